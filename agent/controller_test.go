package agent_test

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"sync"

	"connectrpc.com/connect"

	"github.com/weftfabric/weft/fabric"
	"github.com/weftfabric/weft/firewall"
	"github.com/weftfabric/weft/plan"
	"github.com/weftfabric/weft/wire/planwire"
	weftv1 "github.com/weftfabric/weft/wire/weftpb/weft/v1"
)

// fakeController is a controller of one node, in memory: it has networks and Ports to give, and a plan.
type fakeController struct {
	mu       sync.Mutex
	changed  chan struct{} // closed and replaced at each change
	away     bool
	plan     plan.Node
	revision uint64
	// networks and ports are what is declared; they enter the plan when they are used.
	networks map[string]plan.Network
	ports    map[fabric.PortRef]plan.Port
	tables   []firewall.Table
	nextID   fabric.Identity
	calls    map[string]int
	enforced uint64
	report   *weftv1.NodeReport
}

func newFakeController(node fabric.NodeName) *fakeController {
	mac, _ := fabric.ParseMAC("02:77:65:66:74:01")
	prod := plan.Network{
		ID: 1, Ref: fabric.NetworkRef{Tenant: "acme", Name: "prod"}, Hosted: true, Blocks: []fabric.VNIBlock{{Base: 0x000100, Bits: 16}},
		Subnets: []plan.Subnet{{
			Name: "web", IPv4: netip.MustParsePrefix("10.1.0.0/24"), Gateway4: netip.MustParseAddr("10.1.0.1"),
			IPv6: netip.MustParsePrefix("fd00:1::/64"), Gateway6: netip.MustParseAddr("fd00:1::1"),
			DNS: []netip.Addr{netip.MustParseAddr("10.1.0.53"), netip.MustParseAddr("9.9.9.9")},
		}},
		Reserved: []netip.Addr{netip.MustParseAddr("10.1.0.1"), netip.MustParseAddr("10.1.0.200"), netip.MustParseAddr("fd00:1::1")},
	}
	vm, _ := fabric.ParseMAC("02:00:00:00:00:aa")
	db, _ := fabric.ParseMAC("02:00:00:00:00:bb")
	posture := func(id firewall.RuleID, d firewall.Direction) firewall.Rule {
		return firewall.Rule{
			ID: id, Tier: firewall.Posture, Direction: d, Action: firewall.Allow, Subject: firewall.Workloads{Any: true},
			Peers: firewall.Peers{Any: true}, Origin: firewall.Origin{Policy: "posture"},
		}
	}
	return &fakeController{
		tables:  []firewall.Table{{Network: 1, Rules: []firewall.Rule{posture(11, firewall.Ingress), posture(12, firewall.Egress)}}},
		changed: make(chan struct{}), revision: 1, nextID: 0x000101, calls: map[string]int{},
		plan: plan.Node{Name: node, Settings: plan.Settings{
			VTEP: netip.MustParseAddr("192.0.2.1"), Underlay: netip.MustParseAddr("192.0.2.1"), VXLANPort: 4789, VirtualMAC: mac, WorkloadMTU: 1400, IgnoredLabels: []string{"lab.weft.dev/"},
		}},
		networks: map[string]plan.Network{"acme/prod": prod},
		ports: map[fabric.PortRef]plan.Port{
			{Tenant: "acme", Name: "vm"}: {
				Ref: fabric.PortRef{Tenant: "acme", Name: "vm"}, UID: "11111111-2222-5333-8444-555555555555", Network: 1, Subnet: "web",
				MAC: vm, Addresses: []netip.Addr{netip.MustParseAddr("10.1.0.200")},
			},
			{Tenant: "acme", Name: "db"}: {
				Ref: fabric.PortRef{Tenant: "acme", Name: "db"}, UID: "11111111-2222-5333-8444-666666666666", Network: 1, Subnet: "web", MAC: db,
			},
		},
	}
}

// change edits the plan under the lock, and tells the stream.
func (c *fakeController) change(call string, edit func() error) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.calls[call]++
	if c.away {
		return connect.NewError(connect.CodeUnavailable, errors.New("the controller is away"))
	}
	before := plan.Canonical(c.plan)
	if err := edit(); err != nil {
		return err
	}
	c.plan = plan.Canonical(c.plan)
	if !plan.Equal(before, c.plan) {
		c.revision++
		close(c.changed)
		c.changed = make(chan struct{})
	}
	return nil
}

// setAway makes every call fail, and ends the stream; or undoes that.
func (c *fakeController) setAway(away bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.away = away
	close(c.changed)
	c.changed = make(chan struct{})
}

// count returns how often a call was made.
func (c *fakeController) count(call string) int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.calls[call]
}

// reported returns the last report, and the revision that was acknowledged.
func (c *fakeController) reported() (*weftv1.NodeReport, uint64, uint64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.report, c.enforced, c.revision
}

// bound returns the Ports in the plan.
func (c *fakeController) bound() []string {
	c.mu.Lock()
	defer c.mu.Unlock()
	var out []string
	for _, p := range c.plan.Ports {
		out = append(out, p.Ref.String())
	}
	return out
}

func (c *fakeController) Watch(ctx context.Context, have *weftv1.WatchPlanRequest, update func(*weftv1.PlanUpdate) error) error {
	c.mu.Lock()
	c.calls["Watch"]++
	last, first := plan.Node{Name: c.plan.Name}, true
	if hash := plan.Hash(c.plan); slices.Equal(hash[:], have.HaveHash) {
		last, first = c.plan, false
	}
	c.mu.Unlock()
	for send := true; ; {
		c.mu.Lock()
		now, revision, changed, away := plan.Clone(c.plan), c.revision, c.changed, c.away
		c.mu.Unlock()
		if away {
			return connect.NewError(connect.CodeUnavailable, errors.New("the controller is away"))
		}
		if d := plan.Diff(last, now); send || !d.IsEmpty() {
			hash := plan.Hash(now)
			u := &weftv1.PlanUpdate{Revision: revision, Snapshot: first, Remove: d.Remove, Hash: hash[:], Upsert: planwire.ToProtos(d.Upsert)}
			if err := update(u); err != nil {
				return err
			}
			last, first, send = now, false, false
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

func (c *fakeController) Announce(ctx context.Context, r *weftv1.RegisterRequest) (bool, error) {
	return true, c.Register(ctx, r)
}

func (c *fakeController) Register(context.Context, *weftv1.RegisterRequest) error {
	return c.change("Register", func() error { return nil })
}

func (c *fakeController) Report(_ context.Context, r *weftv1.ReportRequest) error {
	return c.change("Report", func() error {
		c.enforced = r.EnforcedRevision
		if r.Report != nil {
			c.report = r.Report
		}
		return nil
	})
}

// host puts a network into the plan.
func (c *fakeController) host(n plan.Network) {
	if !slices.ContainsFunc(c.plan.Networks, func(o plan.Network) bool { return o.ID == n.ID }) {
		c.plan.Networks = append(c.plan.Networks, n)
		c.plan.Tables = append(c.plan.Tables, slices.DeleteFunc(slices.Clone(c.tables), func(t firewall.Table) bool { return t.Network != n.ID })...)
	}
}

// identity returns the identity of a label set, and puts it into the plan.
func (c *fakeController) identity(n fabric.NetworkID, labels fabric.Labels) fabric.Identity {
	for _, id := range c.plan.Identities {
		if id.Network == n && id.Labels.String() == labels.String() {
			return id.ID
		}
	}
	id := c.nextID
	c.nextID++
	c.plan.Identities = append(c.plan.Identities, plan.Identity{ID: id, Network: n, Labels: labels})
	return id
}

func (c *fakeController) LeaseBlock(_ context.Context, r *weftv1.LeaseBlockRequest) (block netip.Prefix, err error) {
	err = c.change("LeaseBlock", func() error {
		n, ok := c.networks[r.Network]
		if !ok {
			return connect.NewError(connect.CodeNotFound, fmt.Errorf("network %s does not exist", r.Network))
		}
		sub := n.Subnets[0]
		block = netip.PrefixFrom(sub.IPv4.Addr(), 29)
		if r.Family == weftv1.LeaseBlockRequest_FAMILY_IPV6 {
			block = netip.PrefixFrom(sub.IPv6.Addr(), 125)
		}
		for slices.ContainsFunc(c.plan.Routes, func(r plan.Route) bool { return r.Prefix == block }) {
			next := block.Addr()
			for range 8 {
				next = next.Next()
			}
			block = netip.PrefixFrom(next, block.Bits())
		}
		if !sub.IPv4.Contains(block.Addr()) && !sub.IPv6.Contains(block.Addr()) {
			return connect.NewError(connect.CodeResourceExhausted, fmt.Errorf("subnet %s of network %s has no free block", sub.Name, r.Network))
		}
		c.host(n)
		c.plan.Routes = append(c.plan.Routes, plan.Route{Network: n.ID, Prefix: block, Node: c.plan.Name, VTEP: c.plan.Settings.VTEP, Lease: true, Subnet: sub.Name})
		return nil
	})
	return block, err
}

func (c *fakeController) ReleaseBlock(_ context.Context, r *weftv1.ReleaseBlockRequest) error {
	return c.change("ReleaseBlock", func() error {
		c.plan.Routes = slices.DeleteFunc(c.plan.Routes, func(p plan.Route) bool { return p.Lease && p.Prefix.String() == r.Prefix })
		return nil
	})
}

func (c *fakeController) ResolveIdentity(_ context.Context, r *weftv1.ResolveIdentityRequest) (id fabric.Identity, err error) {
	err = c.change("ResolveIdentity", func() error {
		labels := fabric.Labels{}
		for k, v := range r.Labels {
			if k != "lab.weft.dev/name" {
				labels[k] = v
			}
		}
		id = c.identity(c.networks[r.Network].ID, labels)
		if p := (plan.Placement{Node: c.plan.Name, Identity: id}); c.plan.Settings.StrictIdentity && !slices.Contains(c.plan.Placements, p) {
			c.plan.Placements = append(c.plan.Placements, p)
		}
		return nil
	})
	return id, err
}

func (c *fakeController) BindPort(_ context.Context, r *weftv1.BindPortRequest) (ref fabric.PortRef, err error) {
	err = c.change("BindPort", func() error {
		for _, p := range c.ports {
			if p.Ref.String() != r.Port && p.UID != r.Port {
				continue
			}
			if r.Mac != "" && r.Mac != p.MAC.String() {
				return connect.NewError(connect.CodeInvalidArgument, fmt.Errorf("port %s has the MAC address %s, not %s", p.Ref, p.MAC, r.Mac))
			}
			ref = p.Ref
			if slices.ContainsFunc(c.plan.Ports, func(o plan.Port) bool { return o.Ref == p.Ref }) {
				return nil
			}
			c.host(c.networks["acme/prod"])
			p.Identity = c.identity(p.Network, fabric.Labels{"port": p.Ref.Name})
			c.plan.Ports = append(c.plan.Ports, p)
			for _, addr := range p.Addresses {
				c.plan.Routes = append(c.plan.Routes, plan.Route{
					Network: p.Network, Prefix: netip.PrefixFrom(addr, addr.BitLen()), Node: c.plan.Name, VTEP: c.plan.Settings.VTEP, Subnet: p.Subnet})
			}
			return nil
		}
		return connect.NewError(connect.CodeNotFound, fmt.Errorf("port %s is not declared", r.Port))
	})
	return ref, err
}

func (c *fakeController) ReleasePort(_ context.Context, ref fabric.PortRef) error {
	return c.change("ReleasePort", func() error {
		p := c.ports[ref]
		c.plan.Ports = slices.DeleteFunc(c.plan.Ports, func(o plan.Port) bool { return o.Ref == ref })
		c.plan.Routes = slices.DeleteFunc(c.plan.Routes, func(r plan.Route) bool { return !r.Lease && slices.Contains(p.Addresses, r.Prefix.Addr()) })
		return nil
	})
}
