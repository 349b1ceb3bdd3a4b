package agent

import (
	"net/netip"
	"slices"

	"github.com/weftfabric/weft/agent/pipeline"
	"github.com/weftfabric/weft/fabric"
	"github.com/weftfabric/weft/wire/openflow"
)

// A tracked connection outlives the workload that had it, and packets of established connections skip policy. So the
// switch forgets the connections of an address between two workloads: when the first one's flows are gone, and, in
// case an agent died in between, once more before the ADD of the second one returns.

// tracked names the connections of one address: a network's number is its zone.
type tracked struct {
	network fabric.NetworkID
	address netip.Addr
}

// noteLeft notes the addresses whose connections have to be forgotten once the flows of next, and no others, are in the
// switch.
func (s *state) noteLeft(next []pipeline.Attachment) {
	f := &s.flows
	used, kept := map[tracked]bool{}, map[tracked]bool{}
	for _, at := range f.enforced {
		for _, addr := range at.Addresses {
			used[tracked{at.Network, addr}] = true
		}
	}
	for _, at := range next {
		_, making := s.reserved[at.Interface]
		for _, addr := range at.Addresses {
			t := tracked{at.Network, addr}
			kept[t] = true
			if making && !used[t] && s.reusable(t) {
				f.left[t] = true
			}
		}
	}
	for t := range used {
		if !kept[t] && s.reusable(t) {
			f.left[t] = true
		}
	}
}

// reusable reports whether an address can go to another workload. A declared Port's own address can't: when the Port
// moves to another node, its connections live on.
func (s *state) reusable(t tracked) bool {
	n, ok := s.index.networks[s.index.refs[t.network]]
	return !ok || !slices.Contains(n.Reserved, t.address)
}

// toForget returns the connections that have to be forgotten, of both directions.
func (f *flowState) toForget() (which []openflow.Connections, of []tracked) {
	for t := range f.left {
		of = append(of, t)
	}
	slices.SortFunc(of, func(a, b tracked) int {
		if a.network != b.network {
			return int(a.network) - int(b.network)
		}
		return a.address.Compare(b.address)
	})
	for _, t := range of {
		protocols := []uint8{0}
		if t.address.Is6() {
			protocols = ipv6Protocols[:]
		}
		for _, p := range protocols {
			c := openflow.Connections{Zone: uint16(t.network), Protocol: p}
			from, to := c, c
			from.Source, to.Destination = t.address, t.address
			which = append(which, from, to)
		}
	}
	return which, of
}

// ipv6Protocols are TCP, UDP and SCTP. ICMPv6 is left out: see openflow.Connections. An echo's connection ends after half
// a minute of silence.
var ipv6Protocols = [...]uint8{6, 17, 132}
