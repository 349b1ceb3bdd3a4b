package firewall

import (
	"cmp"
	"slices"

	"github.com/weftfabric/weft/fabric"
)

// parts are a rule's three dimensions as lists of matches. A packet matches the rule when it matches one
// member of each; a list with a zero match alone stands for everything, an empty list for nothing.
type parts struct {
	subjects []SubjectMatch
	peers    []PeerMatch
	services []ServiceMatch
}

func partsOf(r *Rule) parts {
	return parts{subjects: subjectSet(r.Subject), peers: peerSet(r.Peers), services: serviceSet(r.Services)}
}

func subjectSet(w Workloads) []SubjectMatch {
	if w.Any {
		return []SubjectMatch{{}}
	}
	var out []SubjectMatch
	for _, id := range identitySet(w.IDs) {
		out = append(out, SubjectMatch{Identity: id})
	}
	return out
}

// peerSet lists identities outside the blocks, blocks outside other blocks, then prefixes.
func peerSet(ps Peers) []PeerMatch {
	if ps.Any {
		return []PeerMatch{{}}
	}
	blocks := blockSet(ps.Blocks)
	var out []PeerMatch
	for _, id := range identitySet(ps.IDs) {
		if !slices.ContainsFunc(blocks, func(b fabric.VNIBlock) bool { return b.Contains(id) }) {
			out = append(out, PeerMatch{Identity: id})
		}
	}
	for _, b := range blocks {
		out = append(out, PeerMatch{Block: b})
	}
	for _, p := range prefixSet(ps.CIDRs) {
		out = append(out, PeerMatch{Prefix: p})
	}
	return out
}

// identitySet sorts, and drops repetitions and "unknown".
func identitySet(ids []fabric.Identity) []fabric.Identity {
	ids = slices.Compact(slices.Sorted(slices.Values(ids)))
	if len(ids) > 0 && ids[0] == 0 {
		return ids[1:]
	}
	return ids
}

// blockSet sorts, and drops blocks inside others.
func blockSet(blocks []fabric.VNIBlock) []fabric.VNIBlock {
	blocks = slices.Clone(blocks)
	slices.SortFunc(blocks, func(a, b fabric.VNIBlock) int {
		return cmp.Or(cmp.Compare(a.Base, b.Base), cmp.Compare(a.Bits, b.Bits))
	})
	return slices.CompactFunc(blocks, func(wide, b fabric.VNIBlock) bool { return wide.Contains(b.Base) })
}

// size is the number of plain rows that the parts need.
func (p parts) size() int { return len(p.subjects) * len(p.peers) * len(p.services) }

// plainIsCheaper reports whether the product of the parts takes no more rows than a conjunction: one per
// member and one for the result. A conjunction needs two clauses at least (ovs-actions(7)).
func (p parts) plainIsCheaper() bool {
	clauses, rows := 0, 1
	for _, n := range []int{p.clauseSize(0), p.clauseSize(1), p.clauseSize(2)} {
		if n > 0 {
			clauses++
			rows += n
		}
	}
	return clauses < 2 || p.size() <= rows
}

// clauseSize is the number of members of dimension i, in the order subjects, peers, services; 0 when the
// dimension matches everything and so needs no clause.
func (p parts) clauseSize(i int) int {
	switch {
	case i == 0 && !slices.Contains(p.subjects, SubjectMatch{}):
		return len(p.subjects)
	case i == 1 && !slices.Contains(p.peers, PeerMatch{}):
		return len(p.peers)
	case i == 2 && !slices.Contains(p.services, ServiceMatch{}):
		return len(p.services)
	}
	return 0
}

// product returns one row for each combination that a packet can match.
func (p parts) product(row Entry) []Entry {
	var out []Entry
	for _, row.Subject = range p.subjects {
		for _, row.Peer = range p.peers {
			for _, row.Service = range p.services {
				if row.Peer.Prefix.IsValid() && !row.Service.Protocol.of(row.Peer.Prefix.Addr()) {
					continue
				}
				out = append(out, row)
			}
		}
	}
	return out
}

// conjunction returns the clauses' members and the result row.
func (p parts) conjunction(row Entry) []Entry {
	count, sizes := uint8(0), [3]int{p.clauseSize(0), p.clauseSize(1), p.clauseSize(2)}
	for _, n := range sizes {
		if n > 0 {
			count++
		}
	}
	result := row
	result.Conjunction = true
	out := []Entry{result}
	index := uint8(0)
	for dimension, n := range sizes {
		if n == 0 {
			continue
		}
		index++
		for i := range n {
			member := row
			member.Clause = Clause{Index: index, Count: count}
			switch dimension {
			case 0:
				member.Subject = p.subjects[i]
			case 1:
				member.Peer = p.peers[i]
			case 2:
				member.Service = p.services[i]
			}
			out = append(out, member)
		}
	}
	return out
}
