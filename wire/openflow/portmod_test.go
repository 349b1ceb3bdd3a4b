package openflow_test

import (
	"context"
	"testing"

	. "github.com/weftfabric/weft/wire/openflow"
)

// TestClearPort: what ovs-ofctl mod-port sets is told, and cleared.
func TestClearPort(t *testing.T) {
	s := startOVS(t)
	c := s.dial()
	ctx := context.Background()
	local := func() PortDesc {
		t.Helper()
		ports, err := c.PortDescs(ctx)
		if err != nil || len(ports) == 0 {
			t.Fatal(ports, err)
		}
		return ports[len(ports)-1]
	}
	s.ofctl("mod-port", "br0", "no-forward")
	s.ofctl("mod-port", "br0", "no-receive")
	p := local()
	if got := p.Settings.String(); got != "no-receive no-forward" {
		t.Fatalf("settings %q (%#x)", got, uint32(p.Settings))
	}
	if err := c.ClearPort(ctx, PortMod{Number: p.Number, MAC: p.MAC, Clear: PortNoForward}); err != nil {
		t.Fatal(err)
	}
	if got := local().Settings.String(); got != "no-receive" {
		t.Errorf("settings %q", got)
	}
	if err := c.ClearPort(ctx, PortMod{Number: 4711, Clear: PortNoForward}); err == nil {
		t.Error("a port that doesn't exist")
	}
}
