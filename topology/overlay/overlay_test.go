package overlay_test

import (
	"fmt"
	"maps"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/weftfabric/weft/topology"
	"github.com/weftfabric/weft/topology/overlay"
)

// world is what a net is made of, for tests that make it in several ways.
type world struct {
	spec   topology.Overlay
	nodes  map[overlay.Name]overlay.Node
	peers  map[overlay.Name][]overlay.Name
	failed map[overlay.Link]bool
}

var names = []overlay.Name{"a", "b", "c", "d", "e", "f", "g", "h"}

func drawWorld(t *rapid.T) world {
	w := world{nodes: map[overlay.Name]overlay.Node{}, peers: map[overlay.Name][]overlay.Name{}, failed: map[overlay.Link]bool{}}
	w.spec.Type = rapid.SampledFrom([]topology.OverlayType{topology.OverlayMesh, topology.OverlayHub, topology.OverlayZones, topology.OverlayLinks}).Draw(t, "type")
	if w.spec.Type == topology.OverlayLinks {
		for i, a := range names {
			for _, b := range names[i+1:] {
				if rapid.IntRange(0, 3).Draw(t, "listed") == 0 {
					w.spec.Links = append(w.spec.Links, topology.OverlayLink{From: string(a), To: string(b)})
				}
			}
		}
	}
	for _, name := range names {
		if rapid.IntRange(0, 7).Draw(t, "absent") != 0 {
			w.nodes[name] = drawNode(t, w.spec)
		}
		w.peers[name] = drawPeers(t)
	}
	for range rapid.IntRange(0, 5).Draw(t, "failures") {
		w.failed[drawLink(t)] = true
	}
	return w
}

func drawNode(t *rapid.T, o topology.Overlay) overlay.Node {
	n := overlay.Node{NAT: rapid.IntRange(0, 5).Draw(t, "nat") == 0}
	switch o.Type {
	case topology.OverlayHub:
		n.Core = rapid.IntRange(0, 2).Draw(t, "hub") == 0
	case topology.OverlayZones:
		n.Zone = rapid.SampledFrom([]string{"x", "y", "z"}).Draw(t, "zone")
		n.Core = rapid.Bool().Draw(t, "gateway")
	}
	return n
}

func drawPeers(t *rapid.T) []overlay.Name {
	return rapid.SliceOfNDistinct(rapid.SampledFrom(names), 0, 4, rapid.ID).Draw(t, "peers")
}

func drawLink(t *rapid.T) overlay.Link {
	pair := rapid.Permutation(names).Draw(t, "link")
	return overlay.LinkOf(pair[0], pair[1])
}

// net makes the net in one go, in the order of keys.
func (w world) net(keys []overlay.Name) *overlay.Net {
	n := overlay.New(w.spec)
	for l := range w.failed {
		n.SetFailed(l, true)
	}
	for _, name := range keys {
		n.SetPeers(name, w.peers[name])
		if x, ok := w.nodes[name]; ok {
			n.SetNode(name, x)
		}
	}
	n.Dirty()
	return n
}

func (w world) talk(a, b overlay.Name) bool {
	_, x := w.nodes[a]
	_, y := w.nodes[b]
	return x && y && a != b && (slices.Contains(w.peers[a], b) || slices.Contains(w.peers[b], a))
}

// linked is Net.linked, said another way.
func (w world) linked(a, b overlay.Name) bool {
	x, ok := w.nodes[a]
	y, there := w.nodes[b]
	if !ok || !there || a == b || x.NAT && y.NAT {
		return false
	}
	return map[topology.OverlayType]bool{
		topology.OverlayMesh:  w.talk(a, b),
		topology.OverlayHub:   x.Core || y.Core,
		topology.OverlayZones: x.Zone == y.Zone || x.Core && y.Core,
		topology.OverlayLinks: slices.ContainsFunc(w.spec.Links, func(l topology.OverlayLink) bool {
			return overlay.LinkOf(overlay.Name(l.From), overlay.Name(l.To)) == overlay.LinkOf(a, b)
		}),
	}[w.spec.Type]
}

// reachable reports whether there is a way without failed links: by a walk over everything that may relay.
func (w world) reachable(a, b overlay.Name) bool {
	works := func(a, b overlay.Name) bool { return w.linked(a, b) && !w.failed[overlay.LinkOf(a, b)] }
	if w.spec.Type == topology.OverlayMesh { // one relay at most
		return works(a, b) || slices.ContainsFunc(names, func(r overlay.Name) bool { return works(a, r) && works(r, b) })
	}
	seen := map[overlay.Name]bool{a: true}
	for todo := []overlay.Name{a}; len(todo) > 0; todo = todo[1:] {
		at := todo[0]
		if at != a && w.spec.Type != topology.OverlayLinks && !w.nodes[at].Core {
			continue
		}
		for _, next := range names {
			if works(at, next) && !seen[next] {
				seen[next] = true
				todo = append(todo, next)
			}
		}
	}
	return seen[b]
}

// shares are those of all nodes.
func shares(n *overlay.Net) map[overlay.Name]overlay.Share {
	out := map[overlay.Name]overlay.Share{}
	for _, name := range n.Names() {
		out[name] = n.Share(name)
	}
	return out
}

// next is where a share sends packets to a node; "" drops them.
func next(s overlay.Share, to overlay.Name) overlay.Name {
	if i := slices.IndexFunc(s.Hops, func(h overlay.Hop) bool { return h.Node == to }); i >= 0 {
		return s.Hops[i].Via
	}
	if slices.Contains(s.Tunnels, to) {
		return to
	}
	return ""
}

func TestEveryPairHasAWay(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		w := drawWorld(t)
		all := shares(w.net(names))
		for _, a := range names {
			for _, b := range names {
				if w.talk(a, b) {
					checkWay(t, w, all, a, b)
				}
			}
		}
	})
}

// checkWay forwards a packet as the nodes would, and accepts it as WireGuard would.
func checkWay(t *rapid.T, w world, all map[overlay.Name]overlay.Share, a, b overlay.Name) {
	reachable := w.reachable(a, b)
	way := []overlay.Name{a}
	for at := a; at != b; {
		via := next(all[at], b)
		if via == "" {
			if reachable {
				t.Fatalf("%s to %s: dropped at %s after %v", a, b, at, way)
			}
			return
		}
		if slices.Contains(way, via) {
			t.Fatalf("%s to %s: a loop, %v then %s", a, b, way, via)
		}
		if !slices.Contains(all[at].Tunnels, via) || !slices.Contains(all[via].Tunnels, at) {
			t.Fatalf("%s to %s: no tunnel between %s and %s", a, b, at, via)
		}
		if reachable && at != a && !all[at].Relay {
			t.Fatalf("%s to %s: %s is no relay", a, b, at)
		}
		if reachable && w.failed[overlay.LinkOf(at, via)] {
			t.Fatalf("%s to %s: leads over the failed tunnel from %s to %s", a, b, at, via)
		}
		if reachable && next(all[via], a) != at {
			t.Fatalf("%s to %s: %s accepts %s from %q, not from %s", a, b, via, a, next(all[via], a), at)
		}
		way = append(way, via)
		at = via
	}
}

func TestTunnelsAreThoseOfTheType(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		w := drawWorld(t)
		all := shares(w.net(names))
		for a, s := range all {
			for _, b := range s.Tunnels {
				if !w.linked(a, b) {
					t.Fatalf("%s: a tunnel between %s and %s, which the overlay doesn't have", w.spec.Type, a, b)
				}
				if !slices.Contains(all[b].Tunnels, a) {
					t.Fatalf("%s has a tunnel with %s, which has none with it", a, b)
				}
				core := w.nodes[a].Core || w.nodes[b].Core
				if !w.talk(a, b) && !core && w.spec.Type != topology.OverlayLinks {
					t.Fatalf("%s and %s don't talk and have a tunnel", a, b)
				}
			}
			if idle := !slices.ContainsFunc(names, func(b overlay.Name) bool { return w.talk(a, b) }); idle && !w.nodes[a].Core && w.spec.Type != topology.OverlayLinks && len(s.Tunnels) > 0 {
				t.Fatalf("%s talks with nobody and has tunnels with %v", a, s.Tunnels)
			}
		}
	})
}

func TestOrderOfInputIsNothing(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		w := drawWorld(t)
		if diff := cmp.Diff(shares(w.net(names)), shares(w.net(rapid.Permutation(names).Draw(t, "order")))); diff != "" {
			t.Fatal(diff)
		}
	})
}

// A net that changes, read only where it says that something changed, equals one that is made anew.
func TestDirtyCoversAllChanges(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		w := drawWorld(t)
		n := w.net(names)
		have := shares(n)
		for range rapid.IntRange(1, 12).Draw(t, "steps") {
			name := rapid.SampledFrom(names).Draw(t, "node")
			switch rapid.IntRange(0, 4).Draw(t, "step") {
			case 0:
				w.nodes[name] = drawNode(t, w.spec)
				n.SetNode(name, w.nodes[name])
			case 1:
				delete(w.nodes, name)
				n.RemoveNode(name)
			case 2, 3:
				w.peers[name] = drawPeers(t)
				n.SetPeers(name, w.peers[name])
			case 4:
				l := drawLink(t)
				w.failed[l] = !w.failed[l]
				n.SetFailed(l, w.failed[l])
				if !w.failed[l] {
					delete(w.failed, l)
				}
			}
			if rapid.Bool().Draw(t, "read") {
				for _, d := range n.Dirty() {
					if have[d] = n.Share(d); !slices.Contains(n.Names(), d) {
						delete(have, d)
					}
				}
				if diff := cmp.Diff(shares(w.net(names)), have); diff != "" {
					t.Fatalf("%s (-anew +kept):\n%s", w.spec.Type, diff)
				}
			}
		}
	})
}

// A relay that goes moves only the ways that led over it; a link that fails, only those over it.
func TestLittleMoves(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		w := drawWorld(t)
		before := w.net(names)
		gone := rapid.SampledFrom(names).Draw(t, "gone")
		broken := drawLink(t)
		byNode, byLink := w, w
		byNode.nodes = maps.Clone(w.nodes)
		delete(byNode.nodes, gone)
		byLink.failed = maps.Clone(w.failed)
		byLink.failed[broken] = true
		withoutNode, withoutLink := byNode.net(names), byLink.net(names)
		for _, a := range names {
			for _, b := range names {
				if !w.talk(a, b) || !w.reachable(a, b) {
					continue
				}
				way := before.Path(a, b)
				if !slices.Contains(way, gone) && !slices.Equal(way, withoutNode.Path(a, b)) {
					t.Fatalf("%s goes, and %v becomes %v", gone, way, withoutNode.Path(a, b))
				}
				if !over(way, broken) && !slices.Equal(way, withoutLink.Path(a, b)) {
					t.Fatalf("%v fails, and %v becomes %v", broken, way, withoutLink.Path(a, b))
				}
			}
		}
	})
}

func over(way []overlay.Name, l overlay.Link) bool {
	for i := range len(way) - 1 {
		if overlay.LinkOf(way[i], way[i+1]) == l {
			return true
		}
	}
	return false
}

// Redundant hubs share the load.
func TestHubsShareTheLoad(t *testing.T) {
	n := overlay.New(topology.Overlay{Type: topology.OverlayHub})
	var all []overlay.Name
	for i := range 60 {
		name := overlay.Name(fmt.Sprintf("n%d", i))
		n.SetNode(name, overlay.Node{Core: i < 3})
		all = append(all, name)
	}
	pairs := map[overlay.Name]int{}
	for i, a := range all[3:] {
		for _, b := range all[3:][i+1:] {
			pairs[n.Path(a, b)[1]]++
		}
	}
	for _, hub := range all[:3] {
		if got, fair := pairs[hub], 57*56/2/3; got < fair*2/3 || got > fair*4/3 {
			t.Errorf("hub %s relays for %d pairs, a fair share is %d: %v", hub, got, fair, pairs)
		}
	}
}
