package conntrack

import (
	"net/netip"
	"slices"

	"github.com/weftfabric/weft/fabric"
	"github.com/weftfabric/weft/firewall"
	"github.com/weftfabric/weft/plan"
)

// Judge knows a plan and what is attached to a node, and decides about live connections as policy does about new ones.
// One goroutine uses it.
type Judge struct {
	tables   map[fabric.NetworkID]firewall.Table
	networks map[fabric.NetworkID]plan.Network
	homes    map[fabric.Identity]fabric.NetworkID
	local    map[Place]fabric.Identity
	// byAddress are the networks with rules that look at addresses; decided keeps answers, which differ by address there
	// alone.
	byAddress map[fabric.NetworkID]bool
	decided   map[firewall.Packet]bool
}

// Place is an address of a network.
type Place struct {
	Network fabric.NetworkID
	Addr    netip.Addr
}

// NewJudge returns a judge of a plan. local are the workloads' addresses on the node, with the identities that they have
// now.
func NewJudge(n plan.Node, local map[Place]fabric.Identity) *Judge {
	j := &Judge{
		tables: make(map[fabric.NetworkID]firewall.Table, len(n.Tables)), networks: make(map[fabric.NetworkID]plan.Network, len(n.Networks)),
		homes: make(map[fabric.Identity]fabric.NetworkID, len(n.Identities)), local: local,
		byAddress: make(map[fabric.NetworkID]bool), decided: make(map[firewall.Packet]bool),
	}
	for _, t := range n.Tables {
		j.tables[t.Network] = t
		j.byAddress[t.Network] = slices.ContainsFunc(t.Rules, func(r firewall.Rule) bool { return len(r.Peers.CIDRs) > 0 })
	}
	for _, w := range n.Networks {
		j.networks[w.ID] = w
	}
	for _, i := range n.Identities {
		j.homes[i.ID] = i.Network
	}
	return j
}

// Verdict is what becomes of a live connection.
type Verdict uint8

// The verdicts.
const (
	// Keep: policy allows it, or it isn't this node that decides.
	Keep Verdict = iota + 1
	// Forbid: as a new connection it would be denied.
	Forbid
	// Unsure: it can't be said between whom it is, so it is kept.
	Unsure
)

// Decide asks policy about a connection as if it were new. A workload on this node counts with the identity that it has
// now, one elsewhere with the identity that it had when the connection was decided.
func (j *Judge) Decide(c Connection) Verdict {
	switch {
	case c.Label.Pending:
		return Keep // its first reply is decided, or its receiver's node has done so
	case c.Label.Sender == 0 || c.Label.Receiver == 0:
		return Unsure // decided before identities were noted
	}
	src, dst, ok := j.ends(c)
	if !ok {
		return Unsure
	}
	if src.Network != dst.Network && !j.peered(src.Network, dst.Network) {
		return Forbid
	}
	p := firewall.Packet{Src: src, Dst: dst, Protocol: firewall.Protocol(c.Protocol), DstPort: c.DstPort, Type: c.Type, Code: c.Code}
	if j.allowed(p) {
		return Keep
	}
	return Forbid
}

// Here reports whether a connection's destination is on this node, and c its entry in the destination's zone: so each
// connection of the fabric is counted once, be it tracked on two nodes or in two zones.
func (j *Judge) Here(c Connection) bool {
	_, here := j.local[Place{fabric.NetworkID(c.Zone), c.Dst}]
	return here
}

// allowed asks policy, once for packets that no rule can tell apart.
func (j *Judge) allowed(p firewall.Packet) bool {
	if !j.byAddress[p.Src.Network] && !j.byAddress[p.Dst.Network] {
		family := netip.IPv6Unspecified()
		if p.Src.Addr.Is4() {
			family = netip.IPv4Unspecified()
		}
		p.Src.Addr, p.Dst.Addr = family, family
	}
	answer, known := j.decided[p]
	if !known {
		answer = firewall.Decide(j.tables, p).Allowed
		j.decided[p] = answer
	}
	return answer
}

// ends returns both ends of a connection's original direction.
func (j *Judge) ends(c Connection) (src, dst firewall.Endpoint, ok bool) {
	here, ok := j.homes[c.Label.Receiver]
	if !ok { // its label set is gone: the zone is its network, or one that is peered with it
		here = fabric.NetworkID(c.Zone)
	}
	if _, to := j.local[Place{here, c.Dst}]; to {
		return j.end(c.Label.Sender, c.Src), j.end(c.Label.Receiver, c.Dst), true
	}
	if _, from := j.local[Place{here, c.Src}]; from { // the reply was decided
		return j.end(c.Label.Receiver, c.Src), j.end(c.Label.Sender, c.Dst), true
	}
	return src, dst, false
}

// end returns the end with an address that had an identity when the connection was decided. One whose identity the plan
// lacks is unknown by now, which is denied.
func (j *Judge) end(was fabric.Identity, addr netip.Addr) firewall.Endpoint {
	network, known := j.homes[was]
	if !known {
		for id, n := range j.networks {
			if slices.ContainsFunc(n.Blocks, func(b fabric.VNIBlock) bool { return b.Contains(was) }) {
				network = id
			}
		}
		was = 0
	}
	if now, ok := j.local[Place{network, addr}]; ok {
		was = now
		if _, known := j.homes[now]; !known {
			was = 0
		}
	}
	if network == 0 {
		network = unknownNetwork // without a network it would be taken for an end outside the fabric
	}
	return firewall.Endpoint{Network: network, Identity: was, Addr: addr}
}

// unknownNetwork is a number that no network has.
const unknownNetwork = fabric.MaxNetworkID + 1

// peered reports whether two networks may exchange packets.
func (j *Judge) peered(a, b fabric.NetworkID) bool {
	return slices.Contains(j.networks[a].Peers, b) && slices.Contains(j.networks[b].Peers, a)
}
