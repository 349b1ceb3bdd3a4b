package pipeline_test

import (
	"fmt"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/weftfabric/weft/agent/dataplane"
	"github.com/weftfabric/weft/agent/pipeline"
	"github.com/weftfabric/weft/fabric"
	"github.com/weftfabric/weft/plan"
	"github.com/weftfabric/weft/wire/openflow"
)

// subset draws some elements of all, in any order.
func subset[T any](t *rapid.T, name string, all []T) []T {
	return slices.DeleteFunc(rapid.Permutation(all).Draw(t, name), func(T) bool {
		return rapid.IntRange(0, 3).Draw(t, name) == 0
	})
}

// variant draws an input out of the fixture's parts: some missing, some altered, in any order.
func variant(t *rapid.T) pipeline.Input {
	in := fixture()
	in.Plan.Peers = subset(t, "peers", in.Plan.Peers)
	in.Plan.Settings.StrictIdentity = rapid.Bool().Draw(t, "strict")
	in.Plan.Placements = subset(t, "placements", placements())
	in.Plan.Networks = subset(t, "networks", in.Plan.Networks)
	in.Plan.Identities = subset(t, "identities", in.Plan.Identities)
	in.Plan.Routes = subset(t, "routes", in.Plan.Routes)
	in.Plan.Tables = subset(t, "tables", in.Plan.Tables)
	in.Attachments = subset(t, "attachments", in.Attachments)
	for i := range in.Attachments {
		switch a := &in.Attachments[i]; rapid.IntRange(0, 5).Draw(t, "attachment") {
		case 0: // an address that another has, too
			a.Network, a.Addresses = prod, addrs("10.0.0.13")
		case 1: // no port yet
			a.OFPort = 0
		case 2:
			a.Identity = dbID
		}
	}
	for i := range in.Plan.Networks {
		if n := &in.Plan.Networks[i]; rapid.Bool().Draw(t, "alone") {
			n.Peers = nil
		}
	}
	for i := range in.Plan.Tables {
		in.Plan.Tables[i].Rules = subset(t, "rules", in.Plan.Tables[i].Rules)
	}
	for i := range in.Plan.Routes {
		if rapid.IntRange(0, 3).Draw(t, "moved") == 0 {
			in.Plan.Routes[i].Node, in.Plan.Routes[i].VTEP = "node-c", vtepC
		}
	}
	switch rapid.IntRange(0, 6).Draw(t, "settings") {
	case 0:
		in.TunnelPort = 0
	case 1:
		in.Plan.Settings.VirtualMAC = mac(99)
	case 2:
		in.Plan.Name = "node-b"
	case 3:
		in.Plan = plan.Node{}
	}
	return in
}

func index(flows []openflow.Flow) map[dataplane.Key]openflow.Flow {
	out := make(map[dataplane.Key]openflow.Flow, len(flows))
	for _, f := range flows {
		out[dataplane.KeyOf(f)] = f
	}
	return out
}

// TestRendererEqualsRender walks through random inputs: the renderer always holds what Render computes from
// scratch, and its deltas lead a switch there.
func TestRendererEqualsRender(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		r := pipeline.NewRenderer()
		sw := map[dataplane.Key]openflow.Flow{}
		for range 5 {
			in := variant(t)
			before := index(r.Flows())
			d := r.Sync(in)
			want := pipeline.Render(in)
			if got := r.Flows(); !cmp.Equal(want, got) || r.Len() != len(want) {
				t.Fatal(cmp.Diff(flowText(want), flowText(got)))
			}
			for _, f := range d.Added {
				if _, ok := before[dataplane.KeyOf(f)]; ok {
					t.Fatalf("added, but was there: %s", f)
				}
			}
			for _, f := range d.Changed {
				if old, ok := before[dataplane.KeyOf(f)]; !ok || dataplane.SameBody(old, f) {
					t.Fatalf("changed, but wasn't there or is the same: %s", f)
				}
			}
			for _, op := range d.Ops() {
				switch op.Kind {
				case dataplane.Add:
					sw[dataplane.KeyOf(op.Flow)] = op.Flow
				case dataplane.Delete:
					delete(sw, dataplane.KeyOf(op.Flow))
				}
			}
			if !cmp.Equal(index(want), sw) {
				t.Fatalf("deltas lead elsewhere: %s", cmp.Diff(index(want), sw))
			}
			if d := r.Sync(in); len(d.Ops()) != 0 {
				t.Fatalf("the same input again changes flows: %v", d)
			}
		}
	})
}

// TestRenderIgnoresOrder: the parts of an input may come in any order.
func TestRenderIgnoresOrder(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		in := variant(t)
		want := pipeline.Render(in)
		p := &in.Plan
		p.Peers, p.Networks = rapid.Permutation(p.Peers).Draw(t, "peers"), rapid.Permutation(p.Networks).Draw(t, "networks")
		p.Identities, p.Routes = rapid.Permutation(p.Identities).Draw(t, "identities"), rapid.Permutation(p.Routes).Draw(t, "routes")
		in.Attachments = rapid.Permutation(in.Attachments).Draw(t, "attachments")
		if got := pipeline.Render(in); !cmp.Equal(want, got) {
			t.Fatal(cmp.Diff(flowText(want), flowText(got)))
		}
	})
}

// TestAttachmentIsCheap: with a thousand peers, routes, label sets and workloads, one more workload touches its
// own flows only.
func TestAttachmentIsCheap(t *testing.T) {
	r := pipeline.NewRenderer()
	in := fixture()
	for i := range 1000 {
		in.Plan.Identities = append(in.Plan.Identities, plan.Identity{ID: webID + 10 + fabric.Identity(i), Network: prod})
		in.Attachments = append(in.Attachments, pipeline.Attachment{
			Interface: fmt.Sprint("many", i), OFPort: 1000 + uint32(i), Network: prod, Identity: webID,
			MAC: fabric.MAC{0x02, 0xbb, 0, 0, byte(i >> 8), byte(i)}, Addresses: addrs(fmt.Sprintf("10.0.%d.%d", 2+i/250, i%250)),
		})
	}
	r.Sync(in)
	one := pipeline.Change{Attachments: []pipeline.Attachment{{Interface: "new", OFPort: 9, Network: prod, Identity: webID, MAC: mac(9), Addresses: addrs("10.0.0.50")}}}
	gone := pipeline.Change{Gone: []pipeline.Owner{{Kind: pipeline.OwnerAttachment, Name: "new"}}}
	allocs := testing.AllocsPerRun(10, func() {
		if d := r.Apply(one); len(d.Added) != 6 || len(d.Changed)+len(d.Removed) != 0 {
			t.Fatalf("attaching: %v", d)
		}
		if d := r.Apply(gone); len(d.Removed) != 6 || len(d.Changed)+len(d.Added) != 0 {
			t.Fatalf("detaching: %v", d)
		}
	})
	if allocs > 600 {
		t.Errorf("attaching and detaching allocates %.0f times", allocs)
	}
}
