package overlay_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/weftfabric/weft/fabric"
	"github.com/weftfabric/weft/topology"
	"github.com/weftfabric/weft/topology/overlay"
)

func known(labels ...string) map[overlay.Name]overlay.Known {
	out := map[overlay.Name]overlay.Known{}
	for _, l := range labels {
		name, rest, _ := strings.Cut(l, " ")
		k := overlay.Known{Labels: fabric.Labels{}}
		for _, pair := range strings.Fields(rest) {
			if pair == "nat" {
				k.NAT = true
				continue
			}
			key, value, _ := strings.Cut(pair, "=")
			k.Labels[key] = value
		}
		out[overlay.Name(name)] = k
	}
	return out
}

func TestCheck(t *testing.T) {
	hub := func(nodes ...string) topology.Overlay {
		return topology.Overlay{Type: topology.OverlayHub, Hub: &topology.HubOverlay{Nodes: nodes}}
	}
	labelled := topology.Selector{MatchLabels: fabric.Labels{"role": "gw"}}
	bySelector := topology.Overlay{Type: topology.OverlayHub, Hub: &topology.HubOverlay{Selector: &labelled}}
	zones := topology.Overlay{Type: topology.OverlayZones, Zones: &topology.ZonesOverlay{Label: "zone", Gateways: labelled}}
	links := func(pairs ...string) topology.Overlay {
		o := topology.Overlay{Type: topology.OverlayLinks}
		for _, p := range pairs {
			o.Links = append(o.Links, topology.OverlayLink{From: p[:1], To: p[1:]})
		}
		return o
	}
	rows := []struct {
		name    string
		overlay topology.Overlay
		nodes   map[overlay.Name]overlay.Known
		want    string
	}{
		{"mesh", topology.Overlay{Type: topology.OverlayMesh}, known("a", "b nat"), ""},
		{"hub", hub("a"), known("a", "b", "c nat"), ""},
		{"hub that doesn't exist", hub("a", "z"), known("a", "b"), "spec.overlay.hub.nodes[1] is z, which is not a registered node: correct the name, or let it join first; registered: a, b"},
		{"hub by label", bySelector, known("a role=gw", "b"), ""},
		{"no hub by label", bySelector, known("a", "b"), "spec.overlay.hub.selector selects none of the 2 registered nodes: label a node, at the start of its agent"},
		{"hub and spoke behind NAT", hub("a"), known("a nat", "b", "c nat"), "spec.overlay.hub leaves a and c without a way: there is no hub that both can reach"},
		{"second hub for those behind NAT", hub("a", "b"), known("a nat", "b", "c nat"), ""},
		{"zones", zones, known("a zone=x role=gw", "b zone=y role=gw", "c zone=x", "d zone=y"), ""},
		{"one zone needs no gateway", zones, known("a zone=x", "b zone=x"), ""},
		{"zone without a gateway", zones, known("a zone=x role=gw", "b zone=y", "c zone=y"), "spec.overlay.zones.gateways selects no node of zone y (b, c): label one of them"},
		{"node without a zone", zones, known("a zone=x role=gw", "b"), "spec.overlay.zones.label is zone, which node b doesn't have: start their agents with the label, or choose another"},
		{"gateways behind NAT", zones, known("a zone=x role=gw nat", "b zone=y role=gw nat"), "spec.overlay.zones leaves a and b without a way: there are no gateways that join them"},
		{"links", links("ab", "bc"), known("a", "b", "c"), ""},
		{"link to nobody", links("ab", "bz"), known("a", "b"), "spec.overlay.links[1] names z, which is not a registered node: correct the name, or let it join first; registered: a, b"},
		{"two islands", links("ab", "cd"), known("a", "b", "c", "d"), "spec.overlay.links leaves a and c without a way: there are no links that join them"},
		{"nobody yet", zones, nil, ""},
	}
	for _, row := range rows {
		var got []string
		for _, f := range overlay.Check(row.overlay, row.nodes) {
			got = append(got, f.Field+" "+f.Message)
		}
		if g := strings.Join(got, "\n"); g != row.want {
			t.Errorf("%s:\ngot  %s\nwant %s", row.name, g, row.want)
		}
	}
}

func TestCheckLongWays(t *testing.T) {
	chain := func(n int) ([]overlay.Name, topology.Overlay) {
		o := topology.Overlay{Type: topology.OverlayLinks}
		all := []overlay.Name{"n00"}
		for i := range n - 1 {
			all = append(all, overlay.Name(fmt.Sprintf("n%02d", i+1)))
			o.Links = append(o.Links, topology.OverlayLink{From: string(all[i]), To: string(all[i+1])})
		}
		return all, o
	}
	for n, fits := range map[int]bool{31: true, 32: false} {
		nodes := map[overlay.Name]overlay.Known{}
		all, o := chain(n)
		for _, name := range all {
			nodes[name] = overlay.Known{}
		}
		if got := overlay.Check(o, nodes); (len(got) == 0) != fits {
			t.Errorf("a chain of %d nodes: %v", n, got)
		}
	}
}

// An overlay without findings joins every two nodes, and one that doesn't has a finding.
func TestCheckHoldsAgainstPaths(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		w := drawWorld(t)
		clear(w.failed)
		nodes := map[overlay.Name]overlay.Known{}
		for name, x := range w.nodes {
			k := overlay.Known{NAT: x.NAT, Labels: fabric.Labels{"zone": x.Zone}}
			if x.Core {
				k.Labels["role"] = "gw"
			}
			nodes[name] = k
		}
		selector := topology.Selector{MatchLabels: fabric.Labels{"role": "gw"}}
		w.spec.Hub = &topology.HubOverlay{Selector: &selector}
		w.spec.Zones = &topology.ZonesOverlay{Label: "zone", Gateways: selector}
		if w.spec.Type == topology.OverlayMesh {
			return
		}
		n := w.net(names)
		joined := true
		for _, a := range n.Names() {
			for _, b := range n.Names() {
				joined = joined && (a == b || n.Path(a, b) != nil)
			}
		}
		findings := overlay.Check(w.spec, nodes)
		unregistered := slices.ContainsFunc(findings, func(f overlay.Finding) bool { return strings.Contains(f.Message, "not a registered node") })
		noHub := w.spec.Type == topology.OverlayHub && len(nodes) < 2 // one node needs no hub to be joined, and none is declared
		if !unregistered && !noHub && joined != (len(findings) == 0) {
			t.Fatalf("every two nodes have a way: %v; findings: %v", joined, findings)
		}
	})
}
