package openflow_test

import (
	"context"
	"testing"
	"time"

	. "github.com/weftfabric/weft/wire/openflow"
)

func TestPortChanges(t *testing.T) {
	s := startOVS(t)
	c := s.dial()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	await := func(what string, ok func(PortChange) bool) {
		t.Helper()
		for {
			changes, err := c.PortChanges(ctx)
			if err != nil {
				t.Fatalf("waited for %s: %v", what, err)
			}
			for _, p := range changes {
				if p.Name == "p3" && ok(p) {
					return
				}
			}
		}
	}
	s.vsctl("add-port", "br0", "p3", "--", "set", "interface", "p3", "type=dummy", "ofport_request=40000")
	await("the new port", func(p PortChange) bool { return p.Number == 40000 && !p.Deleted })
	s.vsctl("del-port", "p3")
	await("its end", func(p PortChange) bool { return p.Number == 40000 && p.Deleted })
	if err := c.Close(); err != nil {
		t.Fatal(err)
	}
	for range 2 { // a change may be left from before
		_, _ = c.PortChanges(ctx)
	}
	if _, err := c.PortChanges(ctx); err == nil {
		t.Error("a closed connection tells of ports")
	}
}
