package pipeline_test

import (
	"fmt"
	"net/netip"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"github.com/weftfabric/weft/agent/pipeline"
	"github.com/weftfabric/weft/fabric"
	"github.com/weftfabric/weft/firewall"
)

// tableGen draws the rules of one network: few label sets, addresses and ports, so that they meet often.
func tableGen(n fabric.NetworkID, firstID firewall.RuleID) *rapid.Generator[firewall.Table] {
	identities := []fabric.Identity{webID, dbID, sharedID}
	return rapid.Custom(func(t *rapid.T) firewall.Table {
		table := firewall.Table{Network: n}
		for i := range rapid.IntRange(0, 8).Draw(t, "rules") {
			tier := rapid.SampledFrom([]firewall.Tier{firewall.Platform, firewall.Tenant, firewall.Baseline, firewall.Posture}).Draw(t, "tier")
			actions := []firewall.Action{firewall.Allow, firewall.Deny, firewall.Pass}
			if tier == firewall.Posture {
				actions = actions[:2]
			}
			r := firewall.Rule{
				ID: firstID + firewall.RuleID(i), Tier: tier,
				Direction: rapid.SampledFrom([]firewall.Direction{firewall.Ingress, firewall.Egress}).Draw(t, "direction"),
				Action:    rapid.SampledFrom(actions).Draw(t, "action"),
				Order:     firewall.Order{Priority: rapid.IntRange(0, 1).Draw(t, "priority"), Policy: "p", Index: i},
				Log:       rapid.Bool().Draw(t, "log"),
			}
			if r.Subject.Any = rapid.Bool().Draw(t, "any subject"); !r.Subject.Any {
				r.Subject.IDs = sortedSubset(t, identities)
			}
			if r.Peers.Any = rapid.Bool().Draw(t, "any peer"); !r.Peers.Any {
				r.Peers = peersGen(t, identities)
			}
			if rapid.Bool().Draw(t, "with services") {
				r.Services = subset(t, "services", []firewall.Service{
					{Protocol: firewall.TCP, Ports: firewall.PortRange{First: 80, Last: 83}},
					{Protocol: firewall.UDP},
					{Protocol: firewall.ICMP, Type: 8, Code: -1},
					{Protocol: firewall.ICMPv6, Type: -1, Code: -1},
				})
			}
			table.Rules = append(table.Rules, r)
		}
		for i, d := range []firewall.Direction{firewall.Ingress, firewall.Egress} {
			table.Rules = append(table.Rules, firewall.Rule{
				ID: firstID + 100 + firewall.RuleID(i), Tier: firewall.Posture, Direction: d, Order: firewall.Order{Last: true},
				Action:  rapid.SampledFrom([]firewall.Action{firewall.Allow, firewall.Allow, firewall.Deny}).Draw(t, "posture"),
				Subject: firewall.Workloads{Any: true}, Peers: firewall.Peers{Any: true},
			})
		}
		return table
	})
}

func sortedSubset(t *rapid.T, ids []fabric.Identity) []fabric.Identity {
	return slices.Sorted(slices.Values(subset(t, "identities", ids)))
}

func peersGen(t *rapid.T, identities []fabric.Identity) firewall.Peers {
	p := firewall.Peers{IDs: sortedSubset(t, identities)}
	if rapid.IntRange(0, 3).Draw(t, "blocks") == 0 {
		p.Blocks = []fabric.VNIBlock{{Base: 0x200, Bits: 16}}
	}
	if rapid.IntRange(0, 2).Draw(t, "cidrs") == 0 {
		p.CIDRs = []firewall.CIDR{{Prefix: prefix("10.0.0.0/24"), Except: []netip.Prefix{prefix("10.0.0.64/26")}}}
	}
	return p
}

// place is where a packet of the test comes from.
type place struct {
	frame string
	firewall.Endpoint
}

// TestTraceAgreesWithDecide holds the switch against the meaning of policy: random tables, every pair of places,
// several services; the verdict must be that of firewall.Decide, and the rule that denies one that does so at the
// same stage (of consecutive rules that deny, the switch may name another than the first). Rules log at random, which
// must not matter.
func TestTraceAgreesWithDecide(t *testing.T) {
	s := startOVS(t, 5)
	s.ofctl(t, "", "add-meter", fmt.Sprintf("meter=%d pktps bands=type=drop rate=1", pipeline.LogMeter))
	base := fixture()
	base.Plan.Settings.LogDenials = true
	end := func(n fabric.NetworkID, id fabric.Identity, a string) firewall.Endpoint {
		return firewall.Endpoint{Network: n, Identity: id, Addr: addr(a)}
	}
	sources := []place{
		{web4, end(prod, webID, "10.0.0.11")}, {db4, end(prod, dbID, "10.0.1.12")}, {log4, end(shared, sharedID, "10.9.0.14")},
		{web4, end(prod, webID, "fd00:1::11")}, {fromB + "tun_id=0x102,", end(prod, dbID, "10.0.0.65")},
		{fromB + "tun_id=0x201,", end(shared, sharedID, "10.9.0.65")}, {fromB + "tun_id=0x102,", end(prod, dbID, "fd00:1::41")},
	}
	targets := []firewall.Endpoint{
		end(prod, dbID, "10.0.1.12"), end(prod, webID, "10.0.0.13"), end(shared, sharedID, "10.9.0.14"), end(prod, webID, "fd00:1::13"),
	}
	services := []struct {
		packet firewall.Packet
		text4  string
		text6  string
	}{
		{firewall.Packet{Protocol: firewall.TCP, DstPort: 82}, "tcp,tcp_src=9,tcp_dst=82,", "tcp6,tcp_src=9,tcp_dst=82,"},
		{firewall.Packet{Protocol: firewall.TCP, DstPort: 84}, "tcp,tcp_src=9,tcp_dst=84,", "tcp6,tcp_src=9,tcp_dst=84,"},
		{firewall.Packet{Protocol: firewall.UDP, DstPort: 53}, "udp,udp_src=9,udp_dst=53,", "udp6,udp_src=9,udp_dst=53,"},
		{firewall.Packet{Protocol: firewall.ICMP, Type: 8}, "icmp,icmp_type=8,icmp_code=0,", ""},
		{firewall.Packet{Protocol: firewall.ICMPv6, Type: 128}, "", "icmp6,icmpv6_type=128,icmpv6_code=0,"},
	}
	tables := rapid.Custom(func(t *rapid.T) []firewall.Table {
		return []firewall.Table{tableGen(prod, 1000).Draw(t, "prod"), tableGen(shared, 2000).Draw(t, "shared")}
	})
	rapid.Check(t, func(rt *rapid.T) {
		in := base
		in.Plan.Tables = tables.Draw(rt, "tables")
		s.install(t, pipeline.Render(in))
		byNetwork := map[fabric.NetworkID]firewall.Table{}
		for _, table := range in.Plan.Tables {
			byNetwork[table.Network] = table
		}
		for _, src := range sources {
			for _, dst := range targets {
				v6 := dst.Addr.Is6()
				if src.Addr.Is6() != v6 || src.Addr == dst.Addr {
					continue
				}
				for _, sv := range services {
					text, ip := sv.text4, fmt.Sprintf("nw_ttl=64,nw_src=%s,nw_dst=%s", src.Addr, dst.Addr)
					if v6 {
						text, ip = sv.text6, fmt.Sprintf("nw_ttl=64,ipv6_src=%s,ipv6_dst=%s", src.Addr, dst.Addr)
					}
					if text == "" {
						continue
					}
					p := sv.packet
					p.Src, p.Dst = src.Endpoint, dst
					want := firewall.Decide(byNetwork, p)
					got := s.trace(t, src.frame+text+ip, "trk,new", "trk,new")
					if diff := disagreement(byNetwork, p, want, got); diff != "" {
						rt.Fatalf("%s%s%s: %s\n%s", src.frame, text, ip, diff, got.text)
					}
				}
			}
		}
	})
}

// disagreement says how the switch differs from the verdict.
func disagreement(tables map[fabric.NetworkID]firewall.Table, p firewall.Packet, want firewall.Verdict, got outcome) string {
	if want.Allowed {
		if got.drop != 0 || len(got.ports) != 1 {
			return fmt.Sprintf("Decide allows, the switch: %v", got)
		}
		return ""
	}
	denied := want.Egress
	if want.Ingress != nil {
		denied = want.Ingress
	}
	reason := pipeline.DropPolicyDeny
	if denied.Tier == firewall.Posture {
		reason = pipeline.DropPostureDeny
	}
	if got.drop != reason || len(got.ports) > 0 {
		return fmt.Sprintf("Decide denies by rule %d, the switch: %v by %d", denied.ID, got, got.rule)
	}
	network := p.Src.Network
	if denied.Direction == firewall.Ingress {
		network = p.Dst.Network
	}
	for _, r := range tables[network].Rules {
		if uint32(r.ID) == got.rule && r.Action == denied.Action && r.Tier == denied.Tier && r.Direction == denied.Direction && r.Matches(p) {
			return ""
		}
	}
	return fmt.Sprintf("Decide denies by rule %d, the switch by rule %d, which doesn't", denied.ID, got.rule)
}
