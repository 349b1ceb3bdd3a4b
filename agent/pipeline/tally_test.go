package pipeline_test

import (
	"net/netip"
	"testing"

	"github.com/weftfabric/weft/agent/pipeline"
	"github.com/weftfabric/weft/fabric"
	"github.com/weftfabric/weft/firewall"
	"github.com/weftfabric/weft/plan"
	"github.com/weftfabric/weft/wire/openflow"
)

// tallied returns an input with one network and its rules.
func tallied(rules ...firewall.Rule) pipeline.Input {
	in := fixture()
	for i := range rules {
		rules[i].ID = firewall.RuleID(1000 + i)
		rules[i].Tier, rules[i].Order = firewall.Tenant, firewall.Order{Index: i}
	}
	in.Plan.Tables = []firewall.Table{{Network: in.Plan.Networks[0].ID, Rules: rules}}
	return in
}

// copied returns the rules whose packets are copied, by their place.
func copied(flows []openflow.Flow) map[int]bool {
	out := map[int]bool{}
	for _, f := range flows {
		c, _ := pipeline.ParseCookie(f.Cookie)
		if c.Kind == pipeline.KindTally && len(f.Actions) > 0 {
			out[int(c.Object)-1000] = true
		}
	}
	return out
}

// TestLogChangesItsRowAlone: to log a rule, or denials without a rule, rewrites no row but those that copy.
func TestLogChangesItsRowAlone(t *testing.T) {
	r := pipeline.NewRenderer()
	in := fixture()
	r.Sync(in)
	in.Plan = plan.Clone(in.Plan)
	rule := &in.Plan.Tables[0].Rules[0]
	rule.Log = true
	d := r.Sync(in)
	if len(d.Added)+len(d.Removed) > 0 || len(d.Changed) != 1 || d.Changed[0].Table != uint8(pipeline.TableTally) {
		t.Errorf("logging %s does this: %v", rule.Origin.Rule, d)
	}
	in.Plan.Settings.LogDenials = true
	d = r.Sync(in)
	if len(d.Added)+len(d.Removed) > 0 || len(d.Changed) != 3 {
		t.Errorf("logging denials does this: %v", d)
	}
	for _, f := range d.Changed {
		if c, _ := pipeline.ParseCookie(f.Cookie); c.Drop != pipeline.DropPostureDeny && c.Drop != pipeline.DropUnknownIdentity {
			t.Errorf("logging denials changes %s", f)
		}
	}
}

// TestCopiesOfNeighbours: where the switch may pick a rule beside one that logs, its packets are copied, too.
func TestCopiesOfNeighbours(t *testing.T) {
	any, everyone := firewall.Workloads{Any: true}, firewall.Peers{Any: true}
	some := func(ids ...fabric.Identity) firewall.Workloads { return firewall.Workloads{IDs: ids} }
	peers := func(ids ...fabric.Identity) firewall.Peers { return firewall.Peers{IDs: ids} }
	block := firewall.Peers{Blocks: []fabric.VNIBlock{{Base: 0x100, Bits: 16}}}
	cidr := func(p string) firewall.Peers {
		return firewall.Peers{CIDRs: []firewall.CIDR{{Prefix: netip.MustParsePrefix(p)}}}
	}
	tcp := func(first, last uint16) []firewall.Service {
		return []firewall.Service{{Protocol: firewall.TCP, Ports: firewall.PortRange{First: first, Last: last}}}
	}
	icmp := func(typ int16) []firewall.Service {
		return []firewall.Service{{Protocol: firewall.ICMP, Type: typ, Code: -1}}
	}
	logs := firewall.Rule{Action: firewall.Allow, Direction: firewall.Ingress, Subject: some(0x101), Peers: peers(0x102), Services: tcp(80, 90), Log: true}
	with := func(change func(*firewall.Rule)) firewall.Rule {
		r := logs
		r.Log = false
		change(&r)
		return r
	}
	for _, tt := range []struct {
		name  string
		other firewall.Rule
		want  bool
	}{
		{"the same", with(func(*firewall.Rule) {}), true},
		{"everything", with(func(r *firewall.Rule) { r.Subject, r.Peers, r.Services = any, everyone, nil }), true},
		{"another subject", with(func(r *firewall.Rule) { r.Subject = some(0x103) }), false},
		{"another peer", with(func(r *firewall.Rule) { r.Peers = peers(0x103) }), false},
		{"a block with the peer", with(func(r *firewall.Rule) { r.Peers = block }), true},
		{"perhaps the peer's address", with(func(r *firewall.Rule) { r.Peers = cidr("10.0.0.0/8") }), true},
		{"other ports", with(func(r *firewall.Rule) { r.Services = tcp(91, 99) }), false},
		{"one port in common", with(func(r *firewall.Rule) { r.Services = tcp(90, 99) }), true},
		{"every port", with(func(r *firewall.Rule) { r.Services = tcp(0, 0) }), true},
		{"another protocol", with(func(r *firewall.Rule) { r.Services = icmp(8) }), false},
		{"another action", with(func(r *firewall.Rule) { r.Action = firewall.Deny }), false},
		{"another direction", with(func(r *firewall.Rule) { r.Direction = firewall.Egress }), false},
	} {
		for _, first := range []bool{true, false} {
			rules, other := []firewall.Rule{logs, tt.other}, 1
			if first {
				rules, other = []firewall.Rule{tt.other, logs}, 0
			}
			got := copied(pipeline.Render(tallied(rules...)))
			if !got[1-other] || got[other] != tt.want {
				t.Errorf("%s (first: %v): copied %v, want %v", tt.name, first, got, tt.want)
			}
		}
	}
}

// TestTallyKeys: each rule of each network has a row of its own, or the rows of one would be lost in another's.
func TestTallyKeys(t *testing.T) {
	type row struct {
		network fabric.NetworkID
		rule    firewall.RuleID
	}
	seen, rules, rows := map[row]bool{}, 0, 0
	for _, table := range fixture().Plan.Tables {
		rules += len(table.Rules)
	}
	for _, f := range pipeline.Render(fixture()) {
		if n, rule, ok := pipeline.Tallied(f); ok {
			rows++
			seen[row{n, rule}] = true
		} else if f.Table == uint8(pipeline.TableTally) {
			t.Errorf("nobody's row: %s", f)
		}
	}
	if rows != rules || len(seen) != rules {
		t.Errorf("%d rules have %d rows, %d of them different", rules, rows, len(seen))
	}
}

func TestCopyOf(t *testing.T) {
	registers := openflow.NewMatch(openflow.Exact(openflow.Reg1, 0x101), openflow.Exact(openflow.Reg2, 0x201), openflow.Exact(openflow.Reg3, 1),
		openflow.Exact(openflow.Reg4, 2), openflow.Exact(openflow.Reg6, 7))
	ends := pipeline.Copy{SrcNetwork: 1, DstNetwork: 2, SrcIdentity: 0x101, DstIdentity: 0x201}
	egress, ingress, drop := ends, ends, ends
	egress.Rule, egress.Network, egress.Direction = 7, 1, firewall.Egress
	ingress.Rule, ingress.Network, ingress.Direction = 8, 2, firewall.Ingress
	drop.Drop = pipeline.DropUnknownIdentity
	for _, tt := range []struct {
		name      string
		cookie    pipeline.Cookie
		registers openflow.Match
		want      pipeline.Copy
	}{
		{"egress", pipeline.Cookie{Kind: pipeline.KindTally, Object: 7}, registers, egress},
		{"ingress", pipeline.Cookie{Kind: pipeline.KindTally, Object: 8}, append(registers, openflow.Exact(openflow.Reg7, 8)), ingress},
		{"without a rule", pipeline.Cookie{Drop: pipeline.DropUnknownIdentity}, registers, drop},
	} {
		if got, ok := pipeline.CopyOf(tt.cookie.Uint64(), tt.registers); !ok || got != tt.want {
			t.Errorf("%s: %+v, %v", tt.name, got, ok)
		}
	}
	if _, ok := pipeline.CopyOf(pipeline.Cookie{Kind: pipeline.KindQuestion}.Uint64(), registers); ok {
		t.Error("a question is taken for a copy")
	}
}
