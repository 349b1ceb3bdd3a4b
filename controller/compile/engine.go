package compile

import (
	"slices"

	"github.com/weftfabric/weft/fabric"
	"github.com/weftfabric/weft/plan"
	"github.com/weftfabric/weft/topology"
	"github.com/weftfabric/weft/topology/overlay"
)

// Engine keeps every node's plan up to date while the State changes. What a change costs depends on the nodes
// and networks that it concerns, not on the others; a change of the intent also on what else its tenant declares.
//
// An Engine belongs to one goroutine. The plans that it returns are canonical, share memory and are never
// changed later: treat them as constants, in any goroutine.
type Engine struct {
	index  *index
	views  map[fabric.NetworkRef]*view
	hosted map[fabric.NodeName]map[fabric.NetworkRef]bool
	plans  map[fabric.NodeName]plan.Node

	// net are the tunnels; nil when the overlay is another one, so that it has to be made anew.
	net *overlay.Net

	// What has to be made anew at the next Flush. The tunnels of a node that is rekeyed look different to those at their
	// other ends.
	dirtyViews map[fabric.NetworkRef]part
	dirtyNodes map[fabric.NodeName]bool
	rekeyed    map[fabric.NodeName]bool
}

// NewEngine returns an engine at a state. Its first Flush returns every registered node's plan.
func NewEngine(s State) *Engine {
	e := &Engine{
		index:      newIndex(s),
		views:      make(map[fabric.NetworkRef]*view),
		hosted:     make(map[fabric.NodeName]map[fabric.NetworkRef]bool),
		plans:      make(map[fabric.NodeName]plan.Node),
		dirtyViews: make(map[fabric.NetworkRef]part),
		dirtyNodes: make(map[fabric.NodeName]bool),
		rekeyed:    make(map[fabric.NodeName]bool),
	}
	e.touchEverything()
	return e
}

// State returns the state that all applied changes led to, in maps of its own.
func (e *Engine) State() State { return e.index.state() }

// Plan returns a node's plan as of the last Flush.
func (e *Engine) Plan(name fabric.NodeName) (n plan.Node, ok bool) {
	n, ok = e.plans[name]
	return n, ok
}

// Flush makes what the changes since the last Flush concern anew. It returns the plans that really changed,
// those of newly registered nodes among them, and the nodes that were removed, in order.
func (e *Engine) Flush() (changed map[fabric.NodeName]plan.Node, removed []fabric.NodeName) {
	e.renewViews()
	changed = make(map[fabric.NodeName]plan.Node)
	next := e.assemble()
	for name := range e.dirtyNodes {
		if _, registered := next[name]; registered {
			continue
		}
		if _, had := e.plans[name]; had {
			delete(e.plans, name)
			removed = append(removed, name)
		}
	}
	clear(e.dirtyNodes)
	narrow := e.index.anyNarrow()
	for name, n := range next {
		was, had := e.plans[name]
		now := share(was, e.index.withWays(e.index.withOverlay(n, e.net), e.net, narrow))
		if had && plan.Diff(was, now).IsEmpty() {
			continue
		}
		e.plans[name], changed[name] = now, now
	}
	slices.Sort(removed)
	return changed, removed
}

// assemble returns the plans that may have changed, without what the overlay says, which is up to date then.
func (e *Engine) assemble() map[fabric.NodeName]plan.Node {
	if e.net == nil {
		e.net = e.index.newNet()
		for name := range e.index.nodes {
			e.dirtyNodes[name] = true
		}
	}
	next := make(map[fabric.NodeName]plan.Node)
	for name := range e.dirtyNodes {
		if _, registered := e.index.nodes[name]; !registered {
			e.net.SetPeers(name, nil)
			continue
		}
		next[name] = e.index.assemble(name, e.views, e.hosted[name])
		e.index.setNetPeers(e.net, next[name])
	}
	touched := e.net.Dirty()
	for name := range e.rekeyed {
		touched = append(touched, e.net.Share(name).Tunnels...)
	}
	clear(e.rekeyed)
	for _, name := range touched {
		if _, assembled := next[name]; assembled || e.dirtyNodes[name] {
			continue // or it is gone
		}
		if n, ok := e.plans[name]; ok {
			next[name] = n
		}
	}
	return next
}

// renewViews makes the dirty views anew, and marks the nodes whose plans hold one that changed.
func (e *Engine) renewViews() {
	renewed := make(map[fabric.NetworkRef]*view) // nil: gone
	for ref, parts := range e.dirtyViews {
		old := e.views[ref]
		var v *view
		if e.index.exists(ref) {
			v = e.index.view(ref, old, parts)
		}
		if v != nil && (old == nil || !old.equal(v)) || v == nil && old != nil {
			renewed[ref] = v
		}
	}
	clear(e.dirtyViews)
	for ref := range renewed {
		e.touchHolders(ref)
	}
	for ref, v := range renewed {
		e.replaceView(ref, v)
	}
	for ref := range renewed {
		e.touchHolders(ref)
	}
}

// replaceView puts a network's view in place, or takes it away with nil, and keeps hosted in step.
func (e *Engine) replaceView(ref fabric.NetworkRef, v *view) {
	if old := e.views[ref]; old != nil {
		for _, node := range old.hosts {
			drop(e.hosted, node, ref)
		}
		delete(e.views, ref)
	}
	if v == nil {
		return
	}
	e.views[ref] = v
	for _, node := range v.hosts {
		put(e.hosted, node, ref, true)
	}
}

// touchHolders marks the nodes whose plans hold a network: those that host it or one of its peers.
func (e *Engine) touchHolders(ref fabric.NetworkRef) {
	v := e.views[ref]
	if v == nil {
		return
	}
	for _, node := range v.hosts {
		e.dirtyNodes[node] = true
	}
	for _, p := range v.peers {
		if peer := e.views[p]; peer != nil {
			for _, node := range peer.hosts {
				e.dirtyNodes[node] = true
			}
		}
	}
}

// touchEverything marks all views and nodes.
func (e *Engine) touchEverything() {
	e.touchAll(allParts)
	for name := range e.index.nodes {
		e.dirtyNodes[name] = true
	}
}

// touchAll marks parts of all views.
func (e *Engine) touchAll(parts part) {
	for _, ref := range e.index.networks() {
		e.dirtyViews[ref] |= parts
	}
	for ref := range e.views {
		e.dirtyViews[ref] |= parts
	}
}

// touch marks parts of a network's view.
func (e *Engine) touch(ref fabric.NetworkRef, parts part) { e.dirtyViews[ref] |= parts }

// touchPeers marks parts of the views of a network's peers, those it had at the last Flush and those it has.
func (e *Engine) touchPeers(ref fabric.NetworkRef, parts part) {
	for _, p := range e.index.intent.PeersOf(ref) {
		e.touch(p, parts)
	}
	if v := e.views[ref]; v != nil {
		for _, p := range v.peers {
			e.touch(p, parts)
		}
	}
}

// touchTenant marks the tables of a tenant's networks; of all networks when tenant is empty.
func (e *Engine) touchTenant(tenant string) {
	networks := e.index.intent.Networks
	if tenant != "" {
		networks = func() []*topology.Network { return e.index.intent.NetworksOf(tenant) }
	}
	for _, n := range networks() {
		e.touch(n.Ref(), partTable)
	}
}

// setObjects changes the intent: an absent object is nil.
func (e *Engine) setObjects(objects map[topology.Key]*topology.Object) {
	before := e.index.intent
	var set []*topology.Object
	var keys, gone []topology.Key
	for key, o := range objects {
		keys = append(keys, key)
		if o != nil {
			set = append(set, o)
		} else {
			gone = append(gone, key)
		}
	}
	after := before
	if len(set) > 0 {
		after = after.With(set...)
	}
	if len(gone) > 0 {
		after = after.Without(gone...)
	}
	if e.index.setIntent(after, keys) {
		e.touchAll(partTable)
	}
	for key := range objects {
		for _, o := range []*topology.Object{before.Get(key), after.Get(key)} {
			if o != nil {
				e.touchObject(o)
			}
		}
	}
}
