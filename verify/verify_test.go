package verify_test

import (
	"encoding/json"
	"path/filepath"
	"testing"

	"github.com/rogpeppe/go-internal/txtar"

	"github.com/weftfabric/weft/agent/pipeline"
	"github.com/weftfabric/weft/controller/compile"
	"github.com/weftfabric/weft/controller/compile/compiletest"
	"github.com/weftfabric/weft/plan"
	"github.com/weftfabric/weft/verify"
)

// inputOf makes a question of what a node's flows are rendered from.
func inputOf(in pipeline.Input) verify.Input {
	out := verify.Input{Plan: in.Plan, TunnelPort: in.TunnelPort, AgentND: in.AgentND, Flows: pipeline.Render(in)}
	for _, a := range in.Attachments {
		out.Attachments = append(out.Attachments, verify.Attachment{Interface: a.Interface, OFPort: a.OFPort, Network: a.Network, Identity: a.Identity, MAC: a.MAC, Addresses: a.Addresses})
	}
	return out
}

// examples returns the input of every node of every example.
func examples(t testing.TB) map[string]pipeline.Input {
	t.Helper()
	fabrics, err := filepath.Glob("../examples/*/fabric.yaml")
	if err != nil || len(fabrics) == 0 {
		t.Fatalf("no examples: %v", err)
	}
	out := make(map[string]pipeline.Input)
	for _, fabric := range fabrics {
		dir := filepath.Dir(fabric)
		world := compiletest.Example(t, dir, 3)
		plans := compile.Plans(world.State)
		for _, node := range world.Nodes() {
			in := pipeline.Input{Plan: plans[node], TunnelPort: 1}
			for _, w := range world.Workloads {
				if w.Node == node {
					in.Attachments = append(in.Attachments, pipeline.Attachment{
						Interface: w.Name, OFPort: uint32(len(in.Attachments) + 2), Network: world.State.Networks[w.Network].ID,
						Identity: w.Identity, MAC: w.MAC, Addresses: w.Addresses})
				}
			}
			out[filepath.Base(dir)+"/"+string(node)] = in
		}
	}
	return out
}

// golden returns the input of one of the pipeline's goldens.
func golden(t testing.TB, name string) pipeline.Input {
	t.Helper()
	archive, err := txtar.ParseFile("../agent/pipeline/testdata/" + name + ".txtar")
	if err != nil {
		t.Fatal(err)
	}
	var in pipeline.Input
	if err := json.Unmarshal(archive.Files[0].Data, &in); err != nil {
		t.Fatal(err)
	}
	return in
}

// TestStrictIdentityIsRight: with placements, what the pipeline renders lets in these and nothing else.
func TestStrictIdentityIsRight(t *testing.T) {
	in := golden(t, "two-tenants")
	in.Plan.Settings.StrictIdentity = true
	for i, id := range in.Plan.Identities {
		if i%2 == 0 && len(in.Plan.Peers) > 0 {
			in.Plan.Placements = append(in.Plan.Placements, plan.Placement{Node: in.Plan.Peers[i/2%len(in.Plan.Peers)].Name, Identity: id.ID})
		}
	}
	if len(in.Plan.Placements) == 0 {
		t.Fatal("nothing is placed on a peer")
	}
	if r := verify.Verify(inputOf(in)); len(r.Findings) > 0 {
		t.Errorf("findings: %+v", r.Findings)
	}
	lax := in
	lax.Plan.Settings.StrictIdentity = false
	wrong := inputOf(in)
	wrong.Flows = pipeline.Render(lax)
	if r := verify.Verify(wrong); len(r.Findings) == 0 {
		t.Error("flows that accept every identity pass for strict ones")
	}
}

// TestRenderedFlowsAreRight: what the pipeline renders keeps its promises.
func TestRenderedFlowsAreRight(t *testing.T) {
	inputs := examples(t)
	for _, name := range []string{"no-plan", "one-port", "two-tenants", "sizes"} {
		inputs[name] = golden(t, name)
	}
	for name, in := range inputs {
		t.Run(name, func(t *testing.T) {
			r := verify.Verify(inputOf(in))
			t.Logf("%d flows, %d questions, %d lookups, %d classes of %d pairs", r.Flows, r.Questions, r.Lookups, r.Classes, r.Pairs)
			for _, f := range r.Findings {
				t.Errorf("%+v", f)
			}
		})
	}
}
