package probe_test

import (
	"net/netip"
	"testing"
	"time"

	"github.com/weftfabric/weft/lab/probe"
)

func TestSteadyTraffic(t *testing.T) {
	tcp := probe.Service{Protocol: probe.TCP, Port: freePort(t)}
	c := start(t, "acme/web-1", tcp)
	traffic := probe.Traffic{
		Name: "one", To: netip.MustParseAddr("127.0.0.1"), Service: tcp,
		Stream: 5 * time.Millisecond, Pings: 5 * time.Millisecond, Connections: 20 * time.Millisecond, Patience: 5 * time.Second,
	}
	begin := func(tr probe.Traffic) error {
		_, err := c.Ask(t.Context(), probe.Request{Begin: &tr})
		return err
	}
	look := func(l probe.Look) probe.Tally {
		t.Helper()
		a, err := c.Ask(t.Context(), probe.Request{Look: &l})
		if err != nil {
			t.Fatal(err)
		}
		return *a.Tally
	}
	if err := begin(traffic); err != nil {
		t.Fatal(err)
	}
	if err := begin(traffic); err == nil {
		t.Error("two of one name")
	}
	for got := (probe.Tally{}); got.Stream.Answered < 10 || got.Pings.Answered < 10 || got.Connections.Answered < 5; {
		got = look(probe.Look{Name: "one"})
	}
	got := look(probe.Look{Name: "one", End: true})
	for name, n := range map[string]probe.Count{"stream": got.Stream, "pings": got.Pings, "connections": got.Connections} {
		if n.Lost != 0 || n.Breaks != 0 || n.Sent != n.Answered || n.Gap <= 0 {
			t.Errorf("%s: %+v", name, n)
		}
	}
	if _, err := c.Ask(t.Context(), probe.Request{Look: &probe.Look{Name: "one"}}); err == nil {
		t.Error("traffic that has ended is still known")
	}

	traffic.Service.Port, traffic.To, traffic.Patience = freePort(t), netip.MustParseAddr("::1"), time.Second
	if err := begin(traffic); err != nil {
		t.Fatal(err)
	}
	for got = (probe.Tally{}); got.Connections.Lost < 3 || got.Stream.Breaks < 2 || got.Pings.Answered < 3; {
		got = look(probe.Look{Name: "one"})
	}
	if got = look(probe.Look{Name: "one", End: true}); got.Connections.Answered != 0 || got.Connections.Why != "refused" || got.Stream.Why != "refused" || got.Pings.Lost != 0 {
		t.Errorf("nobody listens: %+v", got)
	}
}
