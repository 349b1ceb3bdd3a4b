package pipeline

import (
	"cmp"
	"reflect"
	"slices"

	"github.com/weftfabric/weft/agent/dataplane"
	"github.com/weftfabric/weft/fabric"
	"github.com/weftfabric/weft/firewall"
	"github.com/weftfabric/weft/plan"
	"github.com/weftfabric/weft/wire/openflow"
)

// Renderer keeps the flows of a node equal to its input, and renders only what a change concerns: the cost of
// Apply doesn't grow with what stays. It holds what Render computes from scratch. One goroutine owns it.
type Renderer struct {
	objects objects
	groups  map[Owner][]openflow.Flow
	claims  map[dataplane.Key][]claim
	// peering holds, for each network, those that name it as a peer.
	peering map[fabric.NetworkID]map[fabric.NetworkID]bool
}

// objects are the parts of an Input by their keys.
type objects struct {
	settings    Settings
	peers       map[Owner]Peer
	networks    map[Owner]plan.Network
	identities  map[Owner]plan.Identity
	routes      map[Owner]plan.Route
	tables      map[Owner]firewall.Table
	attachments map[Owner]Attachment
	closed      map[Owner]fabric.NetworkID
}

// claim is an owner's flow; of all claims of one key the first owner's is on the switch.
type claim struct {
	owner Owner
	flow  openflow.Flow
}

// Change is what differs from the input before: objects that are new or different, and the owners of those
// that are gone.
type Change struct {
	Settings    *Settings
	Peers       []Peer
	Networks    []plan.Network
	Identities  []plan.Identity
	Routes      []plan.Route
	Tables      []firewall.Table
	Attachments []Attachment
	Closed      []fabric.NetworkID
	Gone        []Owner
}

// Delta is how flows changed, each list sorted by dataplane.CompareFlows. Changed flows keep their key and have
// another body.
type Delta struct {
	Added, Changed, Removed []openflow.Flow
}

// Ops returns the operations that bring the delta to a switch, in the order of dataplane.Diff.
func (d Delta) Ops() []dataplane.Op {
	return dataplane.Ops(slices.Concat(d.Added, d.Changed), slices.Clone(d.Removed))
}

// NewRenderer returns a renderer that holds no flows yet, not even the base: its first Apply or Sync adds them.
func NewRenderer() *Renderer {
	return &Renderer{
		objects: objects{
			peers:       make(map[Owner]Peer),
			networks:    make(map[Owner]plan.Network),
			identities:  make(map[Owner]plan.Identity),
			routes:      make(map[Owner]plan.Route),
			tables:      make(map[Owner]firewall.Table),
			attachments: make(map[Owner]Attachment),
			closed:      make(map[Owner]fabric.NetworkID),
		},
		groups:  make(map[Owner][]openflow.Flow),
		claims:  make(map[dataplane.Key][]claim),
		peering: make(map[fabric.NetworkID]map[fabric.NetworkID]bool),
	}
}

// Flows returns all flows, sorted by dataplane.CompareFlows.
func (r *Renderer) Flows() []openflow.Flow {
	out := make([]openflow.Flow, 0, len(r.claims))
	for _, cs := range r.claims {
		out = append(out, cs[0].flow)
	}
	dataplane.SortFlows(out)
	return out
}

// Flow returns the flow of a key.
func (r *Renderer) Flow(k dataplane.Key) (openflow.Flow, bool) {
	f := r.winner(k)
	if f == nil {
		return openflow.Flow{}, false
	}
	return *f, true
}

// Len returns the number of flows.
func (r *Renderer) Len() int { return len(r.claims) }

// Sync makes the renderer hold exactly in. It compares all of in with what it holds, and renders what differs.
func (r *Renderer) Sync(in Input) Delta {
	var c Change
	if s := SettingsOf(in); s != r.objects.settings {
		c.Settings = &s
	}
	o := &r.objects
	c.Peers, c.Gone = compare(o.peers, peersOf(in.Plan), peerOwner, c.Gone)
	c.Networks, c.Gone = compare(o.networks, in.Plan.Networks, networkOwner, c.Gone)
	c.Identities, c.Gone = compare(o.identities, in.Plan.Identities, identityOwner, c.Gone)
	c.Routes, c.Gone = compare(o.routes, in.Plan.Routes, routeOwner, c.Gone)
	c.Tables, c.Gone = compare(o.tables, in.Plan.Tables, tableOwner, c.Gone)
	c.Attachments, c.Gone = compare(o.attachments, in.Attachments, attachmentOwner, c.Gone)
	c.Closed, c.Gone = compare(o.closed, in.Closed, closedOwner, c.Gone)
	return r.Apply(c)
}

// compare returns the objects of want that have lacks or has otherwise, and appends the owners that want lacks.
func compare[T any](have map[Owner]T, want []T, owner func(T) Owner, gone []Owner) ([]T, []Owner) {
	var put []T
	wanted := make(map[Owner]bool, len(want))
	for _, w := range want {
		o := owner(w)
		wanted[o] = true
		if old, ok := have[o]; !ok || !reflect.DeepEqual(old, w) {
			put = append(put, w)
		}
	}
	for o := range have {
		if !wanted[o] {
			gone = append(gone, o)
		}
	}
	return put, gone
}

// Apply takes a change over and returns what it does to the flows.
func (r *Renderer) Apply(c Change) Delta {
	dirty := r.store(c)
	before := make(map[dataplane.Key]*openflow.Flow)
	for o := range dirty {
		r.replace(o, before)
	}
	return r.delta(before)
}

// store takes over the objects of a change and returns the owners whose flows may differ now.
func (r *Renderer) store(c Change) map[Owner]bool {
	dirty := make(map[Owner]bool)
	o := &r.objects
	for _, gone := range c.Gone {
		dirty[gone] = true
		switch gone.Kind {
		case OwnerPeer:
			delete(o.peers, gone)
		case OwnerNetwork:
			r.peersOf(o.networks[gone], dirty)
			r.setPeers(o.networks[gone], nil)
			delete(o.networks, gone)
		case OwnerIdentity:
			delete(o.identities, gone)
		case OwnerRoute:
			delete(o.routes, gone)
		case OwnerTable:
			delete(o.tables, gone)
		case OwnerAttachment:
			delete(o.attachments, gone)
		case OwnerClosed:
			delete(o.closed, gone)
		}
	}
	for _, n := range c.Networks {
		old := o.networks[networkOwner(n)]
		r.setPeers(old, nil)
		r.setPeers(n, n.Peers)
		r.peersOf(n, dirty)
	}
	put(o.networks, c.Networks, networkOwner, dirty)
	put(o.peers, c.Peers, peerOwner, dirty)
	put(o.identities, c.Identities, identityOwner, dirty)
	put(o.routes, c.Routes, routeOwner, dirty)
	put(o.tables, c.Tables, tableOwner, dirty)
	put(o.attachments, c.Attachments, attachmentOwner, dirty)
	put(o.closed, c.Closed, closedOwner, dirty)
	if c.Settings != nil {
		o.settings = *c.Settings
		for owner := range r.groups {
			dirty[owner] = true
		}
	}
	if _, ok := r.groups[Owner{Kind: OwnerBase}]; !ok {
		dirty[Owner{Kind: OwnerBase}] = true
	}
	return dirty
}

func put[T any](have map[Owner]T, objects []T, owner func(T) Owner, dirty map[Owner]bool) {
	for _, x := range objects {
		have[owner(x)] = x
		dirty[owner(x)] = true
	}
}

// setPeers notes that n names peers, and no others any more.
func (r *Renderer) setPeers(n plan.Network, peers []fabric.NetworkID) {
	if peers == nil {
		for _, id := range n.Peers {
			delete(r.peering[id], n.ID)
			if len(r.peering[id]) == 0 {
				delete(r.peering, id)
			}
		}
		return
	}
	for _, id := range peers {
		if r.peering[id] == nil {
			r.peering[id] = make(map[fabric.NetworkID]bool)
		}
		r.peering[id][n.ID] = true
	}
}

// peersOf marks the networks whose routes depend on n.
func (r *Renderer) peersOf(n plan.Network, dirty map[Owner]bool) {
	for id := range r.peering[n.ID] {
		dirty[Owner{Kind: OwnerNetwork, Network: id}] = true
	}
}

// render returns an owner's flows now, and false when its object is gone.
func (r *Renderer) render(owner Owner) ([]openflow.Flow, bool) {
	o := &r.objects
	switch owner.Kind {
	case OwnerBase:
		return renderBase(o.settings), true
	case OwnerPeer:
		p, ok := o.peers[owner]
		return renderPeer(o.settings, p), ok
	case OwnerNetwork:
		n, ok := o.networks[owner]
		return renderNetwork(o.settings, n, func(id fabric.NetworkID) (plan.Network, bool) {
			p, ok := o.networks[Owner{Kind: OwnerNetwork, Network: id}]
			return p, ok
		}), ok
	case OwnerIdentity:
		i, ok := o.identities[owner]
		return renderIdentity(i), ok
	case OwnerRoute:
		rt, ok := o.routes[owner]
		if !ok {
			return nil, false
		}
		return renderRoute(o.settings, rt), true
	case OwnerTable:
		t, ok := o.tables[owner]
		return policyFlows(t), ok
	case OwnerAttachment:
		a, ok := o.attachments[owner]
		return renderAttachment(o.settings, a), ok
	case OwnerClosed:
		n, ok := o.closed[owner]
		return closedFlows(n), ok
	}
	return nil, false
}

// replace renders an owner anew and notes in before what stood at the keys that it touches.
func (r *Renderer) replace(owner Owner, before map[dataplane.Key]*openflow.Flow) {
	touch := func(k dataplane.Key) {
		if _, ok := before[k]; !ok {
			before[k] = r.winner(k)
		}
	}
	for _, f := range r.groups[owner] {
		k := dataplane.KeyOf(f)
		touch(k)
		left := slices.DeleteFunc(r.claims[k], func(c claim) bool { return c.owner == owner })
		if len(left) == 0 {
			delete(r.claims, k)
		} else {
			r.claims[k] = left
		}
	}
	flows, ok := r.render(owner)
	if !ok {
		delete(r.groups, owner)
		return
	}
	r.groups[owner] = flows
	for _, f := range flows {
		k := dataplane.KeyOf(f)
		touch(k)
		r.claims[k] = append(r.claims[k], claim{owner, f})
		slices.SortStableFunc(r.claims[k], func(a, b claim) int { return a.owner.Compare(b.owner) })
	}
}

// winner returns the flow that a key has on the switch.
func (r *Renderer) winner(k dataplane.Key) *openflow.Flow {
	if cs := r.claims[k]; len(cs) > 0 {
		f := cs[0].flow
		return &f
	}
	return nil
}

// delta compares what stood at each key with what stands now.
func (r *Renderer) delta(before map[dataplane.Key]*openflow.Flow) Delta {
	var d Delta
	for k, old := range before {
		switch now := r.winner(k); {
		case old == nil && now != nil:
			d.Added = append(d.Added, *now)
		case old != nil && now == nil:
			d.Removed = append(d.Removed, *old)
		case old != nil && !dataplane.SameBody(*old, *now):
			d.Changed = append(d.Changed, *now)
		}
	}
	for _, fs := range [][]openflow.Flow{d.Added, d.Changed, d.Removed} {
		slices.SortFunc(fs, func(a, b openflow.Flow) int {
			return cmp.Or(dataplane.CompareFlows(a, b), cmp.Compare(a.Cookie, b.Cookie))
		})
	}
	return d
}
