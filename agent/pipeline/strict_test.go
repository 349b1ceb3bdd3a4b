package pipeline_test

import (
	"testing"

	"github.com/weftfabric/weft/agent/pipeline"
	"github.com/weftfabric/weft/plan"
)

// placements are those of the fixture's peers where identities are strict.
func placements() []plan.Placement {
	return []plan.Placement{
		{Node: "node-b", Identity: webID}, {Node: "node-b", Identity: sharedID}, {Node: "node-c", Identity: dbID}, {Node: "node-c", Identity: rivalID},
	}
}

// TestStrictIdentity: a peer that lies about who sends is not believed, though the inner source is its own.
func TestStrictIdentity(t *testing.T) {
	s := startOVS(t, 7)
	in := fixture()
	s.install(t, pipeline.Render(in))
	forged := fromB + "tun_id=0x102," + tcp + "nw_src=10.0.0.65,nw_dst=10.0.0.11,tcp_dst=80" // db, from the node that has web only
	lax := s.trace(t, forged, "trk,new")
	in.Plan.Settings.StrictIdentity, in.Plan.Placements = true, placements()
	s.install(t, pipeline.Render(in))
	one := []string{"trk,new"}
	for _, tt := range []struct {
		name, packet string
		ct           []string
		want         string
	}{
		{"identity that is there", fromB + "tun_id=0x101," + tcp + "nw_src=10.0.0.65,nw_dst=10.0.0.11,tcp_dst=80", one, "to 1"},
		{"another workload's identity", forged, nil, "peer-identity"},
		{"another network's identity", fromB + "tun_id=0x301," + tcp + "nw_src=10.0.0.65,nw_dst=10.0.0.11,tcp_dst=80", nil, "peer-identity"},
		{"identity that nobody has", fromB + "tun_id=0x1fe," + tcp + "nw_src=10.0.0.65,nw_dst=10.0.0.11,tcp_dst=80", nil, "peer-identity"},
		{"right identity, another's address", fromB + "tun_id=0x101," + tcp + "nw_src=10.0.0.70,nw_dst=10.0.0.11,tcp_dst=80", nil, "peer-block"},
		{"another peer's address and identity", fromC + "tun_id=0x101," + tcp + "nw_src=10.0.0.65,nw_dst=10.0.0.11,tcp_dst=80", nil, "peer-identity"},
		{"identity that is there, of the other peer", fromC + "tun_id=0x102," + tcp + "nw_src=10.0.0.70,nw_dst=10.0.0.11,tcp_dst=80", one, "to 1"},
		{"unknown peer", fromX + "tun_id=0x101," + tcp + "nw_src=10.0.0.65,nw_dst=10.0.0.11,tcp_dst=80", nil, "unknown-peer"},
	} {
		if got := s.trace(t, tt.packet, tt.ct...); got.String() != tt.want {
			t.Errorf("%s: %v, want %s\n%s", tt.name, got, tt.want, got.text)
		}
	}
	if lax.String() == "peer-identity" {
		t.Error("the forged identity is refused where nobody asks for it")
	}
}
