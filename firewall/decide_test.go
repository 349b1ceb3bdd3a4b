package firewall_test

import (
	"net/netip"
	"testing"

	"github.com/weftfabric/weft/fabric"
	"github.com/weftfabric/weft/firewall"
)

// TestDecide asks one packet per row against network 1 with web (0x101), db (0x102) and other (0x103), and
// network 2 with everything allowed.
func TestDecide(t *testing.T) {
	const web, db, other, foreign = 0x101, 0x102, 0x103, 0x201
	anyone, all := firewall.Peers{Any: true}, firewall.Workloads{Any: true}
	open := func(d firewall.Direction, a firewall.Action) firewall.Rule {
		return firewall.Rule{ID: 90, Tier: firewall.Posture, Direction: d, Action: a, Subject: all, Peers: anyone}
	}
	tables := map[fabric.NetworkID]firewall.Table{
		1: {Network: 1, Rules: []firewall.Rule{
			open(firewall.Egress, firewall.Allow), open(firewall.Ingress, firewall.Allow),
			{ID: 1, Tier: firewall.Platform, Direction: firewall.Ingress, Action: firewall.Deny, Subject: all, Peers: anyone, Services: []firewall.Service{{Protocol: firewall.TCP, Ports: firewall.PortRange{First: 23, Last: 23}}}},
			{ID: 2, Tier: firewall.Platform, Direction: firewall.Ingress, Action: firewall.Pass, Order: firewall.Order{Index: 1}, Subject: all, Peers: anyone},
			{ID: 3, Tier: firewall.Tenant, Direction: firewall.Ingress, Action: firewall.Deny, Order: firewall.Order{Last: true}, Subject: firewall.Workloads{IDs: []fabric.Identity{db}}, Peers: anyone},
			{ID: 4, Tier: firewall.Tenant, Direction: firewall.Ingress, Action: firewall.Allow, Order: firewall.Order{Priority: 500}, Subject: firewall.Workloads{IDs: []fabric.Identity{db}}, Peers: firewall.Peers{IDs: []fabric.Identity{web}}, Services: []firewall.Service{{Protocol: firewall.TCP, Ports: firewall.PortRange{First: 5432, Last: 5433}}}},
			{ID: 5, Tier: firewall.Tenant, Direction: firewall.Ingress, Action: firewall.Pass, Order: firewall.Order{Priority: 500, Index: 1}, Subject: firewall.Workloads{IDs: []fabric.Identity{db}}, Peers: anyone, Services: []firewall.Service{{Protocol: firewall.ICMP, Type: 8, Code: -1}}},
			{ID: 6, Tier: firewall.Baseline, Direction: firewall.Ingress, Action: firewall.Deny, Subject: firewall.Workloads{IDs: []fabric.Identity{db}}, Peers: firewall.Peers{CIDRs: []firewall.CIDR{{Prefix: netip.MustParsePrefix("10.0.0.0/24"), Except: prefixList("10.0.0.7/32")}}}},
		}},
		2: {Network: 2, Rules: []firewall.Rule{open(firewall.Egress, firewall.Allow), open(firewall.Ingress, firewall.Allow)}},
	}
	end := func(n fabric.NetworkID, id fabric.Identity, a string) firewall.Endpoint {
		return firewall.Endpoint{Network: n, Identity: id, Addr: netip.MustParseAddr(a)}
	}
	rows := []struct {
		name     string
		src, dst firewall.Endpoint
		protocol firewall.Protocol
		port     uint16
		icmp     uint8
		allowed  bool
		ingress  firewall.RuleID
	}{
		{"allowed by the tenant", end(1, web, "10.0.0.1"), end(1, db, "10.0.0.2"), firewall.TCP, 5432, 0, true, 4},
		{"last port of the range", end(1, web, "10.0.0.1"), end(1, db, "10.0.0.2"), firewall.TCP, 5433, 0, true, 4},
		{"past the range", end(1, web, "10.0.0.1"), end(1, db, "10.0.0.2"), firewall.TCP, 5434, 0, false, 3},
		{"another protocol", end(1, web, "10.0.0.1"), end(1, db, "10.0.0.2"), firewall.UDP, 5432, 0, false, 3},
		{"another peer", end(1, other, "10.0.0.1"), end(1, db, "10.0.0.2"), firewall.TCP, 5432, 0, false, 3},
		{"unselected subject", end(1, db, "10.0.0.2"), end(1, web, "10.0.0.1"), firewall.TCP, 5432, 0, true, 90},
		{"the platform comes first", end(1, db, "10.0.0.2"), end(1, web, "10.0.0.1"), firewall.TCP, 23, 0, false, 1},
		{"pass, then denied by the baseline", end(1, web, "10.0.0.1"), end(1, db, "10.0.0.2"), firewall.ICMP, 0, 8, false, 6},
		{"pass, then an exception of the baseline", end(1, web, "10.0.0.7"), end(1, db, "10.0.0.2"), firewall.ICMP, 0, 8, true, 90},
		{"ICMP is no ICMPv6", end(1, web, "fd00::1"), end(1, db, "fd00::2"), firewall.ICMP, 0, 8, false, 3},
		{"from a peered network", end(2, foreign, "10.9.0.1"), end(1, web, "10.0.0.1"), firewall.TCP, 80, 0, true, 90},
		{"unknown sender", end(1, 0, "10.0.0.9"), end(1, web, "10.0.0.1"), firewall.TCP, 80, 0, false, 0},
		{"unknown receiver", end(1, web, "10.0.0.1"), end(1, 0, "10.0.0.9"), firewall.TCP, 80, 0, false, 0},
		{"from outside", firewall.Endpoint{Addr: netip.MustParseAddr("192.0.2.1")}, end(1, web, "10.0.0.1"), firewall.TCP, 80, 0, true, 90},
		{"network without a table", end(3, 0x301, "10.0.0.1"), end(1, web, "10.0.0.1"), firewall.TCP, 80, 0, false, 0},
	}
	for _, row := range rows {
		v := firewall.Decide(tables, firewall.Packet{Src: row.src, Dst: row.dst, Protocol: row.protocol, DstPort: row.port, Type: row.icmp})
		var by firewall.RuleID
		if v.Ingress != nil {
			by = v.Ingress.ID
		}
		if v.Allowed != row.allowed || by != row.ingress {
			t.Errorf("%s: allowed %v by ingress rule %d, want %v by %d", row.name, v.Allowed, by, row.allowed, row.ingress)
		}
	}
}
