package pipeline

import "github.com/weftfabric/weft/wire/openflow"

// Commit and Deliver: remember what was allowed, and send the packet.

func deliverBase(o *flowsOf, s Settings) {
	o.add(TableCommit, 200, when(flags(flagTurned, flagTurned)),
		to(TableSwap), openflow.SetMasked(regFlags, 0, flagTurned), to(TableCommit))
	for _, f := range families() { // the action ct needs to know the family
		// Decided by the peer, so not confirmed yet.
		o.add(TableCommit, 300, when(f.any(), flags(flagToTunnel, flagToTunnel)),
			commit(regSrcNetwork, setPending(true)), to(TableDeliver))
		// A connection between two local ports of different networks is tracked on both sides.
		o.add(TableCommit, 100, when(f.any(), flags(flagSecondZone, flagSecondZone)),
			commit(regSrcNetwork, decided()...), commit(regDstNetwork, decided()...), to(TableDeliver))
		o.add(TableCommit, 50, when(f.any()), commit(regDstNetwork, decided()...), to(TableDeliver))
	}
	o.drop(TableCommit, 0, DropNotIP)

	if s.TunnelPort != 0 {
		o.add(TableDeliver, 200, when(flags(flagToTunnel, flagToTunnel)),
			openflow.Move{Src: openflow.Whole(regSrcIdentity), Dst: openflow.Subfield{Field: openflow.TunID, Bits: 32}},
			openflow.Output{Port: s.TunnelPort})
	} else {
		o.drop(TableDeliver, 200, DropNoTunnel, flags(flagToTunnel, flagToTunnel))
	}
	o.drop(TableDeliver, 100, DropNoAddress, openflow.Exact(regOutPort, 0))
	o.add(TableDeliver, 0, nil, openflow.OutputReg{Src: openflow.Whole(regOutPort)})
}

// commit remembers the connection in the zone of the network in reg.
func commit(reg openflow.Field, exec ...openflow.Action) openflow.Action {
	return openflow.CT{Commit: true, ZoneSrc: openflow.Subfield{Field: reg, Bits: 16}, Exec: exec}
}

// decided writes into a connection's label the rules that allowed it, whom they were asked about, and that policy has
// confirmed it.
func decided() []openflow.Action {
	return []openflow.Action{
		setPending(false),
		openflow.Move{Src: openflow.Whole(regEgressRule), Dst: openflow.Subfield{Field: openflow.CTLabel, Bits: 32}},
		openflow.Move{Src: openflow.Whole(regIngressRule), Dst: openflow.Subfield{Field: openflow.CTLabel, Offset: 32, Bits: 32}},
		openflow.Move{Src: openflow.Subfield{Field: regSrcIdentity, Bits: identityBits}, Dst: openflow.Subfield{Field: openflow.CTLabel, Offset: 64, Bits: identityBits}},
		openflow.Move{Src: openflow.Subfield{Field: regDstIdentity, Bits: identityBits}, Dst: openflow.Subfield{Field: openflow.CTLabel, Offset: 64 + identityBits, Bits: identityBits}},
	}
}

func setPending(on bool) openflow.Action {
	bit := openflow.Value{Hi: ctLabelPending}
	set := openflow.SetField{Field: openflow.CTLabel, Mask: bit}
	if on {
		set.Value = bit
	}
	return set
}
