package pipeline

import (
	"slices"

	"github.com/weftfabric/weft/wire/openflow"
)

// Classify: where a packet came from. What isn't a known port with its own MAC, or the tunnel with a known peer,
// goes no further.

// classifyBase refuses tagged frames, ports that nobody attached and peers that the plan doesn't name.
func classifyBase(o *flowsOf, in Settings) {
	o.drop(TableClassify, 300, DropVLAN, openflow.Masked(openflow.VLANTCI, 0x1000, 0x1000))
	if in.TunnelPort != 0 {
		o.drop(TableClassify, 90, DropUnknownPeer, inPort(in.TunnelPort))
	}
	o.drop(TableClassify, 0, DropUnknownPort)
}

// classifyPeer lets a peer's tunnel packets in, where identities are strict only those of identities placed there.
func classifyPeer(o *flowsOf, in Settings, p Peer) {
	if in.TunnelPort == 0 || !p.VTEP.IsValid() {
		return
	}
	from := when(inPort(in.TunnelPort), openflow.Addr(familyOf(p.VTEP).tunnelPeer, p.VTEP))
	if !in.StrictIdentity {
		o.add(TableClassify, 200, from, setFlag(flagFromTunnel), to(TableTunnel))
		return
	}
	for _, id := range p.Identities {
		o.add(TableClassify, 200, append(slices.Clip(from), openflow.Exact(openflow.TunID, uint64(id))), setFlag(flagFromTunnel), to(TableTunnel))
	}
	o.drop(TableClassify, 150, DropPeerIdentity, from...)
}

// classifyAttachment gives what a workload sends its identity and network, if it uses its own MAC.
func classifyAttachment(o *flowsOf, a Attachment) {
	actions := []openflow.Action{openflow.Set(regSrcIdentity, uint64(a.Identity)), openflow.Set(regSrcNetwork, uint64(a.Network))}
	if a.hasIPv4() {
		actions = append(actions, setFlag(flagHasIPv4))
	}
	o.add(TableClassify, 200, when(inPort(a.OFPort), openflow.MAC(openflow.EthSrc, a.MAC)), append(actions, to(TableGuard))...)
	o.drop(TableClassify, 100, DropSpoofMAC, inPort(a.OFPort))
}
