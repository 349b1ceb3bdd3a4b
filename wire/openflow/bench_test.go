package openflow_test

import (
	"context"
	"os"
	"strings"
	"testing"
	"time"

	. "github.com/weftfabric/weft/wire/openflow"
)

// benchmarkAdds adds n flows over a Conn, and once for comparison with an ovs-ofctl process. It reports how
// many times longer the process takes in the same run.
func benchmarkAdds(b *testing.B, n int) {
	s := startOVS(b)
	c := s.dial()
	ctx := context.Background()
	mods := make([]Mod, n)
	var text strings.Builder
	for i := range mods {
		f := flowN(i)
		mods[i] = FlowMod{Command: Add, Flow: f}
		text.WriteString(f.String() + "\n")
	}
	file := s.path("flows")
	if err := os.WriteFile(file, []byte(text.String()), 0o600); err != nil {
		b.Fatal(err)
	}
	start := time.Now()
	run(b, "ovs-ofctl", "-O", "OpenFlow15", "--bundle", "add-flows", "unix:"+s.mgmt(), file)
	process := time.Since(start)
	for b.Loop() {
		if err := c.Bundle(ctx, mods); err != nil {
			b.Fatal(err)
		}
		if err := c.Barrier(ctx); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(process.Seconds()/(b.Elapsed().Seconds()/float64(b.N)), "ofctl/native")
}

func BenchmarkAdd20(b *testing.B)    { benchmarkAdds(b, 20) }
func BenchmarkAdd10000(b *testing.B) { benchmarkAdds(b, 10_000) }

func BenchmarkDump10000(b *testing.B) {
	c := startOVS(b).dial()
	ctx := context.Background()
	mods := make([]Mod, 10_000)
	for i := range mods {
		mods[i] = FlowMod{Command: Add, Flow: flowN(i)}
	}
	if err := c.Bundle(ctx, mods); err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		if flows, err := c.DumpFlows(ctx, FlowFilter{Table: AllTables}); err != nil || len(flows) != len(mods) {
			b.Fatal(len(flows), err)
		}
	}
}
