package pipeline

import (
	"github.com/weftfabric/weft/fabric"
	"github.com/weftfabric/weft/plan"
	"github.com/weftfabric/weft/wire/openflow"
)

// Tunnel and Origin: what a peer may say. The VNI must lie in a block of a network that this node knows, and the
// inner source where the plan places that peer.

// Prefixes of one packet are told apart by their length: a longer one must win.
const originPriority = 1000

// prefixPriority is the priority of a prefix in a table that finds the longest one.
func prefixPriority(base uint16, bits int) uint16 { return base + 2*uint16(bits) }

func tunnelBase(o *flowsOf) {
	o.drop(TableTunnel, 0, DropUnknownVNI)
	for _, f := range families() {
		o.drop(TableOrigin, 10, DropPeerBlock, f.any())
	}
	o.drop(TableOrigin, 0, DropNotIP)
}

// tunnelNetwork reads network and identity from the VNI.
func tunnelNetwork(o *flowsOf, n plan.Network) {
	for _, b := range n.Blocks {
		o.add(TableTunnel, 100, when(openflow.Masked(openflow.TunID, uint64(b.Base), uint64(b.Mask()))),
			openflow.Set(regSrcNetwork, uint64(n.ID)),
			openflow.Move{Src: openflow.Subfield{Field: openflow.TunID, Bits: 32}, Dst: openflow.Whole(regSrcIdentity)},
			to(TableOrigin))
	}
}

// originRoute accepts sources of the route's range from its node. A fixed address is refused from everybody
// else, the node that leases the block around it included.
func originRoute(o *flowsOf, self fabric.NodeName, r plan.Route) {
	f := familyOf(r.Prefix.Addr())
	source := when(srcNetwork(r.Network), f.any(), openflow.Prefix(f.src, r.Prefix))
	priority := prefixPriority(originPriority, r.Prefix.Bits())
	if r.Node != self && r.VTEP.IsValid() {
		o.add(TableOrigin, priority+1, append(source, openflow.Addr(familyOf(r.VTEP).tunnelPeer, r.VTEP)), to(TableRoute))
	}
	if !r.Lease {
		o.drop(TableOrigin, priority, DropPeerBlock, source...)
	}
}
