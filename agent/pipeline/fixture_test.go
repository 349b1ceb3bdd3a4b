package pipeline_test

import (
	"net/netip"

	"github.com/weftfabric/weft/agent/pipeline"
	"github.com/weftfabric/weft/fabric"
	"github.com/weftfabric/weft/firewall"
	"github.com/weftfabric/weft/plan"
)

// The fixture: node-a with workloads of two tenants that use the same addresses, a network peered with another,
// two peers, and a fixed address of node-c within node-b's block.
const (
	prod   fabric.NetworkID = 1 // acme/prod, dual stack, subnets web and db
	shared fabric.NetworkID = 2 // acme/shared, peered with prod
	rival  fabric.NetworkID = 3 // rival/prod, the addresses of acme/prod

	webID    fabric.Identity = 0x000101
	dbID     fabric.Identity = 0x000102
	sharedID fabric.Identity = 0x000201
	rivalID  fabric.Identity = 0x000301

	strangerID fabric.Identity = 0x0002fe // in no plan

	tunnelPort = 100
)

var (
	vtepA = addr("192.0.2.1")
	vtepB = addr("192.0.2.2")
	vtepC = addr("192.0.2.3")
	vmac  = fabric.MAC{0x02, 0x77, 0, 0, 0, 1}
)

func addr(s string) netip.Addr     { return netip.MustParseAddr(s) }
func prefix(s string) netip.Prefix { return netip.MustParsePrefix(s) }
func mac(last byte) fabric.MAC     { return fabric.MAC{0x02, 0xaa, 0, 0, 0, last} }

func addrs(s ...string) []netip.Addr {
	var out []netip.Addr
	for _, a := range s {
		out = append(out, addr(a))
	}
	return out
}

// fixture returns a fresh input: web (port 1), db (port 2) and a second web (port 3) of acme/prod, a workload of
// acme/shared (port 4) and
// one of labels that the plan doesn't know (port 6), and one of rival/prod (port 5).
func fixture() pipeline.Input {
	block := func(b fabric.Identity) []fabric.VNIBlock { return []fabric.VNIBlock{{Base: b, Bits: 16}} }
	ref := func(t, n string) fabric.NetworkRef { return fabric.NetworkRef{Tenant: t, Name: n} }
	route := func(n fabric.NetworkID, p string, node fabric.NodeName, vtep netip.Addr, lease bool) plan.Route {
		return plan.Route{Network: n, Prefix: prefix(p), Node: node, VTEP: vtep, Lease: lease}
	}
	posture := func(n fabric.NetworkID, first firewall.RuleID, action firewall.Action) firewall.Table {
		t := firewall.Table{Network: n}
		for i, d := range []firewall.Direction{firewall.Ingress, firewall.Egress} {
			t.Rules = append(t.Rules, firewall.Rule{
				ID: first + firewall.RuleID(i), Tier: firewall.Posture, Direction: d, Action: action,
				Subject: firewall.Workloads{Any: true}, Peers: firewall.Peers{Any: true},
			})
		}
		return t
	}
	return pipeline.Input{
		TunnelPort: tunnelPort,
		Plan: plan.Node{
			Name:     "node-a",
			Settings: plan.Settings{VTEP: vtepA, VXLANPort: 4789, VirtualMAC: vmac, WorkloadMTU: 1400},
			Peers:    []plan.Peer{{Name: "node-b", VTEP: vtepB}, {Name: "node-c", VTEP: vtepC}},
			Networks: []plan.Network{
				{
					ID: prod, Ref: ref("acme", "prod"), Hosted: true, Blocks: block(0x000100), Peers: []fabric.NetworkID{shared},
					Subnets: []plan.Subnet{
						{Name: "web", IPv4: prefix("10.0.0.0/24"), IPv6: prefix("fd00:1::/64"), Gateway4: addr("10.0.0.1"), Gateway6: addr("fd00:1::1")},
						{Name: "db", IPv4: prefix("10.0.1.0/24"), Gateway4: addr("10.0.1.1")},
					},
				},
				{
					ID: shared, Ref: ref("acme", "shared"), Hosted: true, Blocks: block(0x000200), Peers: []fabric.NetworkID{prod},
					Subnets: []plan.Subnet{{Name: "all", IPv4: prefix("10.9.0.0/24"), Gateway4: addr("10.9.0.1")}},
				},
				{
					ID: rival, Ref: ref("rival", "prod"), Hosted: true, Blocks: block(0x000300),
					Subnets: []plan.Subnet{{Name: "web", IPv4: prefix("10.0.0.0/24"), Gateway4: addr("10.0.0.1")}},
				},
			},
			Identities: []plan.Identity{
				{ID: webID, Network: prod, Labels: fabric.Labels{"app": "web"}}, {ID: dbID, Network: prod, Labels: fabric.Labels{"app": "db"}},
				{ID: sharedID, Network: shared, Labels: fabric.Labels{"app": "log"}}, {ID: rivalID, Network: rival, Labels: fabric.Labels{"app": "web"}},
			},
			Routes: []plan.Route{
				route(prod, "10.0.0.0/26", "node-a", vtepA, true), route(prod, "10.0.0.64/26", "node-b", vtepB, true),
				route(prod, "10.0.0.70/32", "node-c", vtepC, false), route(prod, "10.0.1.0/26", "node-a", vtepA, true),
				route(prod, "10.0.0.71/32", "node-a", vtepA, false),
				route(prod, "fd00:1::/122", "node-a", vtepA, true), route(prod, "fd00:1::40/122", "node-b", vtepB, true),
				route(shared, "10.9.0.0/26", "node-a", vtepA, true), route(shared, "10.9.0.64/26", "node-b", vtepB, true),
				route(rival, "10.0.0.0/26", "node-a", vtepA, true), route(rival, "10.0.0.128/26", "node-c", vtepC, true),
			},
			Tables: []firewall.Table{prodTable(posture), posture(shared, 20, firewall.Allow), posture(rival, 30, firewall.Allow)},
		},
		Attachments: []pipeline.Attachment{
			{Interface: "v1", OFPort: 1, Network: prod, Identity: webID, MAC: mac(1), Addresses: addrs("10.0.0.11", "fd00:1::11")},
			{Interface: "v2", OFPort: 2, Network: prod, Identity: dbID, MAC: mac(2), Addresses: addrs("10.0.1.12")},
			{Interface: "v3", OFPort: 3, Network: prod, Identity: webID, MAC: mac(3), Addresses: addrs("10.0.0.13", "fd00:1::13")},
			{Interface: "v4", OFPort: 4, Network: shared, Identity: sharedID, MAC: mac(4), Addresses: addrs("10.9.0.14")},
			{Interface: "v6", OFPort: 6, Network: shared, Identity: strangerID, MAC: mac(6), Addresses: addrs("10.9.0.16")},
			{Interface: "v5", OFPort: 5, Network: rival, Identity: rivalID, MAC: mac(5), Addresses: addrs("10.0.0.11")},
		},
	}
}

// prodTable lets web reach db by TCP 5432 and 5433, denies it all else, and allows the rest.
func prodTable(posture func(fabric.NetworkID, firewall.RuleID, firewall.Action) firewall.Table) firewall.Table {
	t := posture(prod, 10, firewall.Allow)
	db := firewall.Workloads{IDs: []fabric.Identity{dbID}}
	t.Rules = append(t.Rules,
		firewall.Rule{
			ID: 12, Tier: firewall.Tenant, Direction: firewall.Ingress, Action: firewall.Allow, Order: firewall.Order{Policy: "acme/db"},
			Subject: db, Peers: firewall.Peers{IDs: []fabric.Identity{webID}, CIDRs: []firewall.CIDR{{Prefix: prefix("10.9.0.0/24")}}},
			Services: []firewall.Service{{Protocol: firewall.TCP, Ports: firewall.PortRange{First: 5432, Last: 5433}}, {Protocol: firewall.UDP, Ports: firewall.PortRange{First: 53, Last: 53}}},
		},
		firewall.Rule{
			ID: 13, Tier: firewall.Tenant, Direction: firewall.Ingress, Action: firewall.Deny, Order: firewall.Order{Last: true},
			Subject: db, Peers: firewall.Peers{Any: true},
		},
	)
	return t
}
