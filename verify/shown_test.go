package verify_test

import (
	"testing"

	"github.com/weftfabric/weft/verify"
)

// TestShown: what a trace says of findings about whether packets are dropped.
func TestShown(t *testing.T) {
	drop, forward := "Flow: ip\nDatapath actions: drop\n", "Datapath actions: ct,recirc(1)\n...\nDatapath actions: 3,5\n"
	for _, tt := range []struct {
		region, got, want, trace string
		shown                    verify.Shown
	}{
		{"from port 1", "dropped", "classified and routed", drop, verify.ShownYes},
		{"from port 1", "dropped", "classified and routed", forward, verify.ShownNo},
		{"from port 1", "NORMAL", "dropped", forward, verify.ShownYes},
		{"ingress", "allowed", "denied", drop, verify.ShownNo},
		{"from port 1", "NORMAL", "answered by ARP", forward, verify.ShownUnknown},
		{"from a port that nobody is attached to", "NORMAL", "dropped", drop, verify.ShownUnknown},
	} {
		f := verify.Finding{Region: tt.region, Got: tt.got, Want: tt.want}
		if got := f.Shown(tt.trace); got != tt.shown {
			t.Errorf("%+v: %q", tt, got)
		}
	}
}
