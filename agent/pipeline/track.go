package pipeline

import "github.com/weftfabric/weft/wire/openflow"

// Track, Translate, TrackIn and State: what the connection tracker says. A network's number is its zone.

// zone looks a packet up in the zone of the network in reg, and goes on in table t.
func zone(reg openflow.Field, t Table) openflow.Action {
	return openflow.CT{ZoneSrc: openflow.Subfield{Field: reg, Bits: 16}, Recirc: true, Table: uint8(t)}
}

func trackBase(o *flowsOf, s Settings) {
	for _, f := range families() {
		o.add(TableTrack, 100, when(f.any()), zone(regSrcNetwork, TableTranslate))
	}
	o.drop(TableTrack, 0, DropNotIP)

	o.drop(TableTranslate, 200, DropInvalid, ctState(ctInvalid|ctTracked, ctInvalid|ctTracked))
	o.add(TableTranslate, 100, when(ctState(ctEstablished|ctTracked, ctEstablished|ctTracked)), setFlag(flagEstablished), to(TableRoute))
	o.add(TableTranslate, 100, when(ctState(ctRelated|ctTracked, ctRelated|ctTracked|ctNew)), setFlag(flagEstablished), to(TableRoute))
	o.add(TableTranslate, 90, when(ctState(ctTracked, ctTracked)), to(TableRoute))
	o.drop(TableTranslate, 0, DropUntracked)

	// Leaving to a peer: the destination's zone is the peer's affair.
	o.add(TableTrackIn, 200, when(flags(flagToTunnel, flagToTunnel)), toFit(s)...)
	for _, f := range families() {
		o.add(TableTrackIn, 100, when(f.any(), flags(flagFromTunnel, flagFromTunnel)), zone(regDstNetwork, TableState))
		o.add(TableTrackIn, 100, when(f.any(), flags(flagSecondZone, flagSecondZone)), zone(regDstNetwork, TableState))
	}
	o.add(TableTrackIn, 0, nil, to(TableState))
	stateBase(o)
}

// stateBase tells connections that were decided from those that are to be.
func stateBase(o *flowsOf) {
	established := ctState(ctEstablished|ctTracked, ctEstablished|ctTracked|ctInvalid)
	related := ctState(ctRelated|ctTracked, ctRelated|ctTracked|ctInvalid|ctNew)
	fresh := ctState(ctNew|ctTracked, ctNew|ctTracked|ctInvalid)
	pending := openflow.FieldMatch{Field: openflow.CTLabel, Value: openflow.Value{Hi: ctLabelPending}, Mask: openflow.Value{Hi: ctLabelPending}}
	sending := flags(flagToTunnel, flagToTunnel)
	second := flags(flagSecondZone, flagSecondZone)
	secondKnown := flags(flagSecondZone|flagEstablished, flagSecondZone|flagEstablished)

	o.drop(TableState, 1000, DropInvalid, ctState(ctInvalid|ctTracked, ctInvalid|ctTracked))

	// To a peer: its node decides. New connections are remembered as pending, so that replies are looked at once.
	o.add(TableState, 900, when(sending, established), to(TableDeliver))
	o.add(TableState, 900, when(sending, related), to(TableDeliver))
	for _, f := range families() {
		o.add(TableState, 895, append(when(sending, fresh), answerOfUnknown(f)...), to(TableDeliver))
	}
	o.add(TableState, 890, when(sending, fresh), to(TableCommit))
	o.drop(TableState, 880, DropUntracked, sending)

	// To a local port. A pending connection was sent to a peer and not confirmed: policy decides now, for a reply
	// with its ends swapped.
	o.add(TableState, 800, when(pending, ctState(ctEstablished|ctReply|ctTracked, ctEstablished|ctReply|ctTracked)), setFlag(flagTurned), to(TableIdentity))
	o.add(TableState, 790, when(pending, established), to(TableIdentity))

	// Between two networks both zones must know the connection.
	for _, known := range []openflow.FieldMatch{established, related} {
		o.add(TableState, 700, when(secondKnown, known), to(TableDeliver))
		o.add(TableState, 690, when(second, known), to(TableIdentity))
		o.add(TableState, 600, when(known), to(TableDeliver))
	}
	o.add(TableState, 500, when(fresh), to(TableIdentity))
	o.drop(TableState, 0, DropUntracked)
}

// answerOfUnknown matches TCP segments that go on with a connection that the tracker has forgotten, as after a restart
// of vswitchd, and that look like a service's to its client. Remembering the connection by such a segment would turn its
// ends around, and policy would then be asked for the wrong direction; the client's next segment shows the right one.
func answerOfUnknown(f family) []openflow.FieldMatch {
	const (
		syn       = 0x02
		ephemeral = 0x8000 // where the usual ranges of clients' ports begin (ip_local_port_range: 32768)
	)
	return when(f.any(), openflow.Exact(openflow.IPProto, protoTCP), openflow.Masked(openflow.TCPFlags, 0, syn),
		openflow.Masked(openflow.TCPSrc, 0, ephemeral), openflow.Masked(openflow.TCPDst, ephemeral, ephemeral))
}
