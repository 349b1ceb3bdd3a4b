package pipeline_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/weftfabric/weft/agent/dataplane"
	"github.com/weftfabric/weft/agent/pipeline"
	"github.com/weftfabric/weft/wire/openflow"
)

// TestFlowsPerPort counts what a workload costs its node; nothing is rendered for it elsewhere.
func TestFlowsPerPort(t *testing.T) {
	for _, tt := range []struct {
		addresses []string
		most      int
	}{{[]string{"10.0.0.50"}, 10}, {[]string{"10.0.0.50", "fd00:1::50"}, 12}} {
		in := fixture()
		before := len(pipeline.Render(in))
		in.Attachments = append(in.Attachments, pipeline.Attachment{Interface: "new", OFPort: 9, Network: prod, Identity: webID, MAC: mac(9), Addresses: addrs(tt.addresses...)})
		if n := len(pipeline.Render(in)) - before; n > tt.most {
			t.Errorf("%v: %d flows, want at most %d", tt.addresses, n, tt.most)
		} else {
			t.Logf("%v: %d flows", tt.addresses, n)
		}
	}
}

// goesNowhere reports whether a flow only counts its packets, and perhaps notes and copies them.
func goesNowhere(f openflow.Flow) bool {
	return !slices.ContainsFunc(f.Actions, func(a openflow.Action) bool {
		switch a := a.(type) {
		case openflow.Resubmit:
			return a.Table != uint8(pipeline.TableTally)
		case openflow.Controller:
			return string(a.Userdata) != pipeline.PurposeFlowLog
		case openflow.SetField:
			return a.Field != openflow.Reg6 && a.Field != openflow.Reg7
		}
		return true
	})
}

// TestRenderHolds checks what is true of all flows of any input.
func TestRenderHolds(t *testing.T) {
	named := map[uint8]bool{}
	for _, table := range pipeline.Tables() {
		named[uint8(table)] = true
	}
	agentND := fixture()
	agentND.AgentND = true
	for name, in := range map[string]pipeline.Input{"fixture": fixture(), "the agent answers ND": agentND, "no plan": {}, "no plan, attached": {Attachments: fixture().Attachments, TunnelPort: tunnelPort}} {
		flows := pipeline.Render(in)
		seen := map[dataplane.Key]bool{}
		for _, f := range flows {
			if k := dataplane.KeyOf(f); seen[k] {
				t.Errorf("%s: twice: %s", name, f)
			} else {
				seen[k] = true
			}
			if canonical := f.Canonical(); !cmp.Equal(canonical, f, cmpopts.EquateEmpty()) {
				t.Errorf("%s: the switch will return another form: %s", name, cmp.Diff(canonical, f))
			}
			c, ok := pipeline.ParseCookie(f.Cookie)
			if !ok || c.Uint64() != f.Cookie {
				t.Errorf("%s: cookie isn't ours: %s", name, f)
			}
			if drops := f.Table != uint8(pipeline.TableTally) && goesNowhere(f); drops != (c.Drop != 0) {
				t.Errorf("%s: a drop needs a reason, and nothing else has one: %s", name, f)
			}
			if c.Drop != 0 && strings.HasPrefix(c.Drop.String(), "reason ") {
				t.Errorf("%s: reason without a name: %s", name, f)
			}
			if !named[f.Table] {
				t.Errorf("%s: unknown table: %s", name, f)
			}
			for _, a := range f.Actions {
				if r, ok := a.(openflow.Resubmit); ok && !named[r.Table] {
					t.Errorf("%s: resubmits to nowhere: %s", name, f)
				}
			}
		}
	}
}

// Where the agent answers for neighbours, no flow writes a field that the kernel's datapath can't write.
func TestAgentND(t *testing.T) {
	in := fixture()
	in.AgentND = true
	asks := 0
	for _, f := range pipeline.Render(in) {
		for _, a := range f.Actions {
			if s, ok := a.(openflow.SetField); ok && slices.Contains([]openflow.Field{openflow.NDReserved, openflow.NDOptionsType, openflow.NDTLL}, s.Field) {
				t.Errorf("writes %v: %s", s.Field, f)
			}
			if c, ok := a.(openflow.Controller); ok && string(c.Userdata) == pipeline.PurposeND {
				asks++
			}
		}
	}
	if asks == 0 {
		t.Error("nobody asks the agent")
	}
}

func TestReasonNames(t *testing.T) {
	seen := map[string]bool{}
	for _, r := range pipeline.Reasons() {
		if s := r.String(); seen[s] || strings.HasPrefix(s, "reason ") {
			t.Errorf("reason %d is called %q", r, s)
		} else {
			seen[s] = true
		}
	}
}

func TestDrops(t *testing.T) {
	drop := func(r pipeline.Reason, object uint32) uint64 {
		return pipeline.Cookie{Drop: r, Object: object}.Uint64()
	}
	got := pipeline.Drops([]pipeline.FlowCount{
		{drop(pipeline.DropSpoofMAC, 1), 2}, {drop(pipeline.DropSpoofMAC, 2), 3}, {drop(pipeline.DropVLAN, 0), 0},
		{pipeline.Cookie{Kind: pipeline.KindBase}.Uint64(), 9}, {5, 9}, {drop(pipeline.DropInvalid, 0) ^ 3<<48, 9},
	})
	if want := map[pipeline.Reason]uint64{pipeline.DropSpoofMAC: 5}; !cmp.Equal(want, got) {
		t.Error(cmp.Diff(want, got))
	}
}

// TestSwitchHoldsWhatWasRendered installs all flows into a real switch and reads them back.
func TestSwitchHoldsWhatWasRendered(t *testing.T) {
	s := startOVS(t, 0)
	want := pipeline.Render(fixture())
	s.install(t, want)
	var got []openflow.Flow
	for line := range strings.Lines(s.ofctl(t, "", "dump-flows", "--no-stats", "--no-names")) {
		f, err := openflow.ParseFlow(strings.TrimSpace(line))
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, f)
	}
	for _, op := range dataplane.Diff(got, want) {
		t.Errorf("%v %s", op.Kind, op.Flow)
	}
}
