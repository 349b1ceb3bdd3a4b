package verify_test

import (
	"math/rand/v2"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/weftfabric/weft/agent/pipeline"
	"github.com/weftfabric/weft/fabric"
	"github.com/weftfabric/weft/firewall"
	"github.com/weftfabric/weft/verify"
	"github.com/weftfabric/weft/wire/openflow"
)

// mutant returns a copy of flows in which one is changed, and what was done to it.
func mutant(r *rand.Rand, flows []openflow.Flow) (out []openflow.Flow, what string) {
	out = slices.Clone(flows)
	i := r.IntN(len(out))
	f := &out[i]
	before := f.String()
	switch r.IntN(5) {
	case 0:
		return slices.Delete(out, i, i+1), "without " + before
	case 1: // the opposite
		if len(f.Actions) == 0 {
			f.Actions = flows[r.IntN(len(flows))].Actions
		} else {
			f.Actions = nil
		}
	case 2: // a wider mask, or none
		if len(f.Match) == 0 {
			return nil, ""
		}
		f.Match = slices.Clone(f.Match)
		j := r.IntN(len(f.Match))
		m := &f.Match[j]
		if prerequisite(m.Field) {
			return nil, ""
		}
		if bit := m.Mask.Lo & -m.Mask.Lo; bit != m.Mask.Lo && m.Mask.Hi == 0 && maskable(m.Field) {
			m.Mask.Lo &^= bit
			m.Value.Lo &^= bit
		} else {
			f.Match = slices.Delete(f.Match, j, j+1)
		}
	case 3:
		f.Priority = uint16(int(f.Priority) + []int{-400, -100, -1, 1, 10, 100, 400}[r.IntN(7)])
	case 4:
		f.Cookie ^= 1 << r.IntN(64)
	}
	for j, g := range out {
		if j != i && g.Key() == f.Key() {
			return nil, "" // one would replace the other
		}
	}
	return out, before + "\n  became " + f.String()
}

// prerequisite reports whether other fields of a match need f.
func prerequisite(f openflow.Field) bool {
	switch f {
	case openflow.EthType, openflow.IPProto, openflow.ICMPv6Type, openflow.ICMPType:
		return true
	}
	return false
}

func maskable(f openflow.Field) bool {
	switch f {
	case openflow.InPort, openflow.ConjID, openflow.IPTTL, openflow.ARPOp, openflow.ICMPv6Code, openflow.ICMPCode, openflow.IPFrag, openflow.CTState:
		return false
	}
	return true
}

// TestMutants changes flows at random, and holds the verdicts of Verify against a switch with these flows. A finding's
// packet must fare differently there than with the flows as they were; without a finding, no packet of a sample may.
func TestMutants(t *testing.T) {
	seed := uint64(7)
	rounds := 60
	if text := os.Getenv("WEFT_MUTANTS"); text != "" { // for long runs
		n, err := strconv.Atoi(text)
		if err != nil {
			t.Fatal(err)
		}
		rounds, seed = n, rand.Uint64()
	}
	t.Logf("seed %d", seed)
	r := rand.New(rand.NewPCG(seed, 1))
	in := inputOf(withConjunction(golden(t, "two-tenants")))
	if len(verify.Verify(in).Findings) > 0 {
		t.Fatal("the rendered flows are not right")
	}
	right := startOVS(t, 1, 2, 3, 4, 5, 6, 100)
	wrong := startOVS(t, 1, 2, 3, 4, 5, 6, 100)
	if !right.install(t, in.Flows) {
		t.Fatal("the switch refuses the rendered flows")
	}
	sample := samplePackets(t, in)
	noticed, unconfirmed := 0, 0
	for range rounds {
		flows, what := mutant(r, in.Flows)
		if flows == nil {
			continue
		}
		changed := in
		changed.Flows = flows
		report := verify.Verify(changed)
		if !wrong.install(t, flows) {
			continue // no switch can have these
		}
		if len(report.Findings) > 0 {
			noticed++
			confirmed := false
			for _, f := range report.Findings {
				if f.Packet == "" || f.Kind == verify.KindUnmodelled {
					confirmed = true // said openly, not proved
					continue
				}
				a, textA := right.trace(t, f.Packet, f.CT...)
				b, textB := wrong.trace(t, f.Packet, f.CT...)
				confirmed = confirmed || a != b || rewritten(textA) != rewritten(textB)
			}
			if !confirmed {
				unconfirmed++
				why := unseen(in, flows, report.Findings)
				t.Logf("%s\n  finding that no trace confirms: %s: %+v", what, why, report.Findings[0])
				if why == "" {
					t.Errorf("seed %d: no trace confirms a finding, and nothing says why", seed)
				}
			}
			continue
		}
		for _, p := range sample {
			a, _ := right.trace(t, p.packet, p.ct...)
			b, text := wrong.trace(t, p.packet, p.ct...)
			if a != b {
				t.Errorf("seed %d: %s\n  is not noticed, but %s goes to %q instead of %q\n%s", seed, what, p.packet, b, a, text)
			}
		}
	}
	t.Logf("%d of %d mutants noticed, no trace confirms %d of them", noticed, rounds, unconfirmed)
}

// unseen says why a trace can't show findings: a reason of those that docs/verify.md gives.
func unseen(in verify.Input, wrong []openflow.Flow, findings []verify.Finding) string {
	if len(overlaps(wrong)) > len(overlaps(in.Flows)) {
		return "flows of one priority overlap, and the switch has picked the right one"
	}
	for _, f := range findings {
		if strings.Contains(f.Got+f.Want, "remembered") {
			return "it is about what is remembered of a connection"
		}
		if slices.ContainsFunc(f.Flows, func(text string) bool { return strings.Contains(text, ",ct_label=") }) {
			return "a trace can't set the label of a connection"
		}
		if f.Kind == verify.KindVerdict && !slices.ContainsFunc(in.Attachments, func(a verify.Attachment) bool { return to(f.Packet, a) }) {
			return "policy towards peers is asked when the first reply comes"
		}
		if f.Kind == verify.KindEntry && strings.Contains(f.Got+f.Want, "classified") {
			return "the packet has nowhere to go"
		}
	}
	return ""
}

// to reports whether a packet is for a workload.
func to(packet string, a verify.Attachment) bool {
	return slices.ContainsFunc(a.Addresses, func(addr netip.Addr) bool { return strings.Contains(packet+",", "_dst="+addr.String()+",") })
}

// overlaps are pairs of flows of one table and priority that some packet meets both of, and that do different things.
func overlaps(flows []openflow.Flow) (pairs [][2]int) {
	for i, f := range flows {
		for j, g := range flows[:i] {
			if f.Table == g.Table && f.Priority == g.Priority && compatible(f.Match, g.Match) && openflow.FormatActions(f.Actions) != openflow.FormatActions(g.Actions) {
				pairs = append(pairs, [2]int{i, j})
			}
		}
	}
	return pairs
}

// compatible reports whether no field keeps a packet from meeting both.
func compatible(a, b openflow.Match) bool {
	for _, x := range a {
		for _, y := range b {
			if m := x.Mask.And(y.Mask); x.Field == y.Field && x.Value.And(m) != y.Value.And(m) {
				return false
			}
		}
	}
	return true
}

// rewritten is what a trace says that the datapath does.
func rewritten(text string) string {
	var out []string
	for line := range strings.Lines(text) {
		if strings.HasPrefix(line, "Datapath actions:") || strings.HasPrefix(line, "Final flow:") {
			out = append(out, line)
		}
	}
	return strings.Join(out, "")
}

// withConjunction adds rules that become conjunctions, an allowing one above a denying one.
func withConjunction(in pipeline.Input) pipeline.Input {
	ids := []fabric.Identity{in.Attachments[0].Identity, in.Attachments[1].Identity}
	table := &in.Plan.Tables[0]
	for i, action := range []firewall.Action{firewall.Allow, firewall.Deny, firewall.Allow} {
		table.Rules = append(table.Rules, firewall.Rule{
			ID: firewall.RuleID(50 + i), Tier: firewall.Platform, Direction: firewall.Ingress, Action: action,
			Order:   firewall.Order{Priority: i, Policy: "many"},
			Subject: firewall.Workloads{IDs: ids},
			Peers:   firewall.Peers{IDs: ids, CIDRs: []firewall.CIDR{{Prefix: netip.MustParsePrefix("10.9.0.0/24"), Except: []netip.Prefix{netip.MustParsePrefix("10.9.0.64/26")}}}},
			Services: []firewall.Service{
				{Protocol: firewall.TCP, Ports: firewall.PortRange{First: 1000, Last: uint16(1010 + 100*i)}},
				{Protocol: firewall.UDP, Ports: firewall.PortRange{First: 53, Last: 54}}, {Protocol: firewall.ICMP, Type: 8, Code: -1},
			},
		})
	}
	return in
}

type tracedPacket struct {
	packet string
	ct     []string
}

// samplePackets are packets between all ports and from peers, good ones and spoofed ones.
func samplePackets(t *testing.T, in verify.Input) []tracedPacket {
	t.Helper()
	var out []tracedPacket
	vmac := in.Plan.Settings.VirtualMAC.String()
	targets := []string{"10.0.0.11", "10.0.1.12", "10.0.0.13", "10.9.0.14", "10.0.0.65", "10.0.0.1"}
	for _, a := range in.Attachments {
		for _, dst := range targets {
			for i, l4 := range []string{"tcp,tcp_src=9,tcp_dst=5432", "tcp,tcp_src=9,tcp_dst=1005", "tcp,tcp_src=9,tcp_dst=1050", "udp,udp_src=9,udp_dst=53", "icmp,icmp_type=8,icmp_code=0"} {
				ct := [][]string{{"trk,new", "trk,new"}, {"trk,est", "trk,est"}}[i/4]
				out = append(out, tracedPacket{"in_port=" + strconv.Itoa(int(a.OFPort)) + ",dl_src=" + a.MAC.String() + ",dl_dst=" + vmac + "," + l4 +
					",nw_ttl=64,nw_src=" + a.Addresses[0].String() + ",nw_dst=" + dst, ct})
			}
		}
	}
	for _, from := range []string{"tun_id=0x101", "tun_id=0x102", "tun_id=0x1ff"} {
		for _, dst := range targets {
			out = append(out, tracedPacket{"in_port=100,tun_src=192.0.2.2,tun_dst=192.0.2.1," + from + ",dl_src=" + vmac + ",dl_dst=" + vmac +
				",tcp,nw_ttl=64,tcp_src=9,tcp_dst=5432,nw_src=10.0.0.66,nw_dst=" + dst, []string{"trk,new"}})
		}
	}
	return out
}

// TestDumpOfASwitch reads back what a switch has, statistics and all.
func TestDumpOfASwitch(t *testing.T) {
	in := inputOf(withConjunction(golden(t, "two-tenants")))
	s := startOVS(t, 1, 100)
	if !s.install(t, in.Flows) {
		t.Fatal("the switch refuses the rendered flows")
	}
	dump := s.run(t, "", "ovs-ofctl", "-O", "OpenFlow15", "dump-flows", "unix:"+filepath.Join(s.dir, "br0.mgmt"))
	flows, err := verify.ParseFlows([]byte(dump))
	if err != nil {
		t.Fatal(err)
	}
	if len(flows) != len(in.Flows) {
		t.Errorf("%d flows of %d", len(flows), len(in.Flows))
	}
	in.Flows = flows
	if r := verify.Verify(in); len(r.Findings) > 0 {
		t.Errorf("%+v", r.Findings[0])
	}
}
