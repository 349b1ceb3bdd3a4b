package compile

import (
	"maps"
	"slices"

	"github.com/weftfabric/weft/fabric"
	"github.com/weftfabric/weft/topology"
)

// Apply takes over changes, in their order. The plans follow at the next Flush. A change that changes nothing
// costs nothing.
func (e *Engine) Apply(changes ...Change) {
	objects := make(map[topology.Key]*topology.Object)
	for _, c := range changes {
		switch {
		case c.Object != nil:
			objects[c.Object.Key] = c.Object
		case c.ObjectGone != nil:
			objects[*c.ObjectGone] = nil
		}
	}
	if len(objects) > 0 {
		e.setObjects(objects)
	}
	for _, c := range changes {
		switch {
		case c.Network != nil:
			e.applyNetwork(*c.Network)
		case c.Identity != nil:
			e.applyIdentity(*c.Identity)
		case c.Lease != nil:
			e.applyLease(*c.Lease)
		case c.Binding != nil:
			e.applyBinding(*c.Binding)
		case c.Node != nil:
			e.applyNode(*c.Node)
		case c.Link != nil:
			e.applyLink(*c.Link)
		case c.Placed != nil:
			e.applyPlaced(*c.Placed)
		}
	}
}

func (e *Engine) applyNetwork(c NetworkChange) {
	old, had := e.index.allocs[c.Network]
	switch {
	case c.Alloc == nil && !had:
		return
	case c.Alloc == nil:
		delete(e.index.allocs, c.Network)
	case had && old.ID == c.Alloc.ID && slices.Equal(old.Blocks, c.Alloc.Blocks):
		return
	default:
		e.index.allocs[c.Network] = *c.Alloc
	}
	e.touch(c.Network, allParts)
	e.touchPeers(c.Network, partDeclaration|partTable)
}

func (e *Engine) applyIdentity(c IdentityChange) {
	old, had := e.index.allocOf[c.ID]
	switch {
	case c.Alloc == nil && !had:
		return
	case c.Alloc != nil && had && old.Network == c.Alloc.Network && maps.Equal(old.Labels, c.Alloc.Labels):
		return
	}
	e.index.setIdentity(c.ID, c.Alloc)
	touch := func(ref fabric.NetworkRef) {
		e.touch(ref, partIdentities|partTable)
		if e.index.settings.StrictIdentity || len(e.index.intent.PortsOf(ref)) > 0 {
			e.touch(ref, partPlacement)
		}
		e.touchPeers(ref, partTable)
	}
	if had {
		touch(old.Network)
	}
	if c.Alloc != nil {
		touch(c.Alloc.Network)
	}
}

func (e *Engine) applyLease(c LeaseChange) {
	old, had := e.index.leases[c.Key.Network][c.Key.Prefix]
	if c.Lease == nil && !had || c.Lease != nil && had && old == *c.Lease {
		return
	}
	e.index.setLease(c.Key, c.Lease)
	e.touch(c.Key.Network, partPlacement)
}

func (e *Engine) applyBinding(c BindingChange) {
	if e.index.bindings[c.Port] == c.Node {
		return
	}
	e.index.setBinding(c.Port, c.Node)
	if p := e.index.intent.Port(c.Port); p != nil {
		e.touch(p.NetworkRef(), partPlacement)
	}
}

func (e *Engine) applyNode(c NodeChange) {
	x := e.index
	old, had := x.nodes[c.Name]
	if c.State == nil {
		delete(x.nodes, c.Name)
	} else {
		x.nodes[c.Name] = *c.State
	}
	now, has := x.nodes[c.Name]
	if had == has && old.Equal(now) {
		return
	}
	e.dirtyNodes[c.Name] = true
	if e.net != nil {
		x.setNetNode(e.net, c.Name)
	}
	if had != has || x.vtep(old) != x.vtep(now) || x.keyedState(old) != x.keyedState(now) {
		for ref := range x.placedOn(c.Name) {
			e.touch(ref, partPlacement)
		}
	}
	if LinkMTU(x.settings, old) != LinkMTU(x.settings, now) || old.VTEP.Is6() != now.VTEP.Is6() {
		e.touchWays(c.Name)
	}
	if !x.encrypted() {
		return
	}
	e.rekeyed[c.Name] = true
	if had && has && old.Overlay.IsValid() && old.Overlay != now.Overlay {
		e.touchOverlay()
	}
	for name, n := range x.nodes {
		if !x.keyedState(n) {
			e.dirtyNodes[name] = true // it knows others by their underlay addresses
		}
	}
}

// touchWays marks the nodes that may have ways to or over a node.
func (e *Engine) touchWays(name fabric.NodeName) {
	if e.index.encrypted() {
		for other := range e.index.nodes {
			e.dirtyNodes[other] = true
		}
		return
	}
	for ref := range e.index.placedOn(name) {
		e.touchHolders(ref)
	}
}

// touchOverlay marks the nodes that may know another's tunnel address as relays or through them.
func (e *Engine) touchOverlay() {
	for name := range e.index.nodes {
		e.rekeyed[name] = true
	}
}

func (e *Engine) applyLink(c LinkChange) {
	if c.Failed {
		e.index.failed[c.Link] = true
	} else {
		delete(e.index.failed, c.Link)
	}
	if e.net != nil {
		e.net.SetFailed(c.Link, c.Failed)
	}
}

func (e *Engine) applyPlaced(c PlacedChange) {
	p := c.Placement
	if c.Gone {
		drop(e.index.placed, p.Identity, p.Node)
	} else {
		put(e.index.placed, p.Identity, p.Node, true)
	}
	if a, ok := e.index.allocOf[p.Identity]; ok && e.index.settings.StrictIdentity {
		e.touch(a.Network, partPlacement)
	}
}

// touchObject marks what depends on an object that was set or is gone. It is asked about the object before and
// about the one after.
func (e *Engine) touchObject(o *topology.Object) {
	switch {
	case o.Fabric != nil:
		e.touchEverything()
		e.net = nil
	case o.Tenant != nil:
		e.touchTenant(o.Key.Name)
	case o.Network != nil:
		e.touch(o.Network.Ref(), allParts)
		e.touchPeers(o.Network.Ref(), partDeclaration|partTable)
	case o.Peering != nil:
		e.touch(o.Peering.Local(), partDeclaration|partTable)
		e.touch(o.Peering.Remote(), partDeclaration|partTable)
	case o.Port != nil:
		e.touch(o.Port.NetworkRef(), partDeclaration|partPlacement)
	case o.Client != nil:
		e.touch(o.Client.Port().NetworkRef(), partDeclaration|partPlacement)
	case o.FirewallPolicy != nil, o.AddressGroup != nil:
		e.touchTenant(o.Key.Tenant)
	case o.PlatformPolicy != nil:
		e.touchTenant("")
	}
}
