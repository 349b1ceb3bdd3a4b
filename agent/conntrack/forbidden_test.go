package conntrack_test

import (
	"net/netip"
	"testing"

	"pgregory.net/rapid"

	"github.com/weftfabric/weft/agent/conntrack"
	"github.com/weftfabric/weft/fabric"
	"github.com/weftfabric/weft/firewall"
	"github.com/weftfabric/weft/plan"
)

// world is two peered networks and one that stands alone. Each identity has a workload here and one elsewhere.
type world struct {
	plan  plan.Node
	local map[conntrack.Place]fabric.Identity
	ends  []end
}

// end is a workload: where it is, what it is, and what it was when its connections were decided.
type end struct {
	firewall.Endpoint
	was  fabric.Identity
	here bool
}

func drawWorld(t *rapid.T) world {
	w := world{local: map[conntrack.Place]fabric.Identity{}}
	peers := map[fabric.NetworkID][]fabric.NetworkID{1: {2}, 2: {1}, 3: nil}
	if rapid.Bool().Draw(t, "unpeered") {
		peers[2] = nil
	}
	var all []fabric.Identity
	for n := fabric.NetworkID(1); n <= 3; n++ {
		base := fabric.Identity(n) << 8
		w.plan.Networks = append(w.plan.Networks, plan.Network{ID: n, Peers: peers[n], Blocks: []fabric.VNIBlock{{Base: base, Bits: 16}}})
		for i := range fabric.Identity(3) {
			id := base + 1 + i
			all = append(all, id)
			if rapid.IntRange(0, 5).Draw(t, "gone") > 0 {
				w.plan.Identities = append(w.plan.Identities, plan.Identity{ID: id, Network: n})
			}
			for _, here := range []bool{true, false} {
				last := 2 * int(i)
				if here {
					last++
				}
				e := end{firewall.Endpoint{Network: n, Identity: id, Addr: netip.AddrFrom4([4]byte{10, byte(n), 0, byte(last)})}, id, here}
				if here {
					if rapid.IntRange(0, 5).Draw(t, "relabelled") == 0 {
						e.Identity = base + 1 + rapid.Map(rapid.IntRange(0, 2), func(i int) fabric.Identity { return fabric.Identity(i) }).Draw(t, "label")
					}
					w.local[conntrack.Place{Network: n, Addr: e.Addr}] = e.Identity
				}
				w.ends = append(w.ends, e)
			}
		}
	}
	some := func(label string) []fabric.Identity {
		return rapid.SliceOfNDistinct(rapid.SampledFrom(all), 0, 4, rapid.ID).Draw(t, label)
	}
	for n := fabric.NetworkID(1); n <= 3; n++ {
		table := firewall.Table{Network: n}
		for i := range rapid.IntRange(0, 5).Draw(t, "rules") {
			r := firewall.Rule{
				ID: firewall.RuleID(100*int(n) + i), Tier: rapid.SampledFrom([]firewall.Tier{firewall.Platform, firewall.Tenant}).Draw(t, "tier"),
				Direction: rapid.SampledFrom([]firewall.Direction{firewall.Ingress, firewall.Egress}).Draw(t, "direction"),
				Action:    rapid.SampledFrom([]firewall.Action{firewall.Allow, firewall.Deny, firewall.Pass}).Draw(t, "action"),
				Order:     firewall.Order{Index: i}, Subject: firewall.Workloads{IDs: some("subject")}, Peers: firewall.Peers{IDs: some("peers")},
			}
			if rapid.IntRange(0, 3).Draw(t, "by address") == 0 {
				r.Peers.CIDRs = []firewall.CIDR{{Prefix: netip.PrefixFrom(netip.AddrFrom4([4]byte{10, 1, 0, 0}), rapid.IntRange(28, 32).Draw(t, "bits")).Masked()}}
			}
			if rapid.Bool().Draw(t, "one port") {
				r.Services = []firewall.Service{{Protocol: firewall.TCP, Ports: firewall.PortRange{First: 80, Last: 80}}}
			}
			table.Rules = append(table.Rules, r)
		}
		for _, d := range []firewall.Direction{firewall.Ingress, firewall.Egress} {
			table.Rules = append(table.Rules, firewall.Rule{ID: firewall.RuleID(1000*int(n) + int(d)), Tier: firewall.Posture, Direction: d,
				Action:  rapid.SampledFrom([]firewall.Action{firewall.Allow, firewall.Deny}).Draw(t, "posture"),
				Subject: firewall.Workloads{Any: true}, Peers: firewall.Peers{Any: true}})
		}
		w.plan.Tables = append(w.plan.Tables, table)
	}
	return w
}

// TestJudgeAgreesWithDecide: of all connections that a node can hold, those are forbidden that Decide denies between the
// ends as they are now, and no others.
func TestJudgeAgreesWithDecide(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		w := drawWorld(t)
		tables, known := map[fabric.NetworkID]firewall.Table{}, map[fabric.Identity]bool{}
		for _, table := range w.plan.Tables {
			tables[table.Network] = table
		}
		for _, i := range w.plan.Identities {
			known[i.ID] = true
		}
		joined := map[[2]fabric.NetworkID]bool{{1, 1}: true, {2, 2}: true, {3, 3}: true}
		if len(w.plan.Networks[1].Peers) > 0 {
			joined[[2]fabric.NetworkID{1, 2}], joined[[2]fabric.NetworkID{2, 1}] = true, true
		}
		judge := conntrack.NewJudge(w.plan, w.local)
		now := func(e end) firewall.Endpoint {
			if !known[e.Identity] { // elsewhere it is what it was
				e.Identity = 0
			}
			return e.Endpoint
		}
		for _, src := range w.ends {
			for _, dst := range w.ends {
				if src.Addr == dst.Addr || !src.here && !dst.here {
					continue
				}
				// A connection to a peer was decided by its reply, whose sender was the destination.
				label := conntrack.Label{Sender: src.was, Receiver: dst.was}
				zone := uint16(dst.Network)
				if !dst.here {
					label, zone = conntrack.Label{Sender: dst.was, Receiver: src.was}, uint16(src.Network)
				}
				for _, port := range []uint16{80, 81} {
					c := conntrack.Connection{Zone: zone, Protocol: 6, Src: src.Addr, Dst: dst.Addr, SrcPort: 1, DstPort: port, Label: label}
					p := firewall.Packet{Src: now(src), Dst: now(dst), Protocol: firewall.TCP, DstPort: port}
					want := conntrack.Forbid
					if joined[[2]fabric.NetworkID{src.Network, dst.Network}] && firewall.Decide(tables, p).Allowed {
						want = conntrack.Keep
					}
					if got := judge.Decide(c); got != want {
						t.Fatalf("%v: %v to %v: %d, want %d", c, src, dst, got, want)
					}
				}
			}
		}
	})
}

// TestJudgeKeepsWhatItCantTell: what isn't decided here, or was before identities were noted, stays.
func TestJudgeKeepsWhatItCantTell(t *testing.T) {
	a, b := netip.MustParseAddr("10.1.0.2"), netip.MustParseAddr("10.1.0.3")
	n := plan.Node{Networks: []plan.Network{{ID: 1, Blocks: []fabric.VNIBlock{{Base: 0x100, Bits: 16}}}}, Identities: []plan.Identity{{ID: 0x101, Network: 1}}}
	judge := conntrack.NewJudge(n, map[conntrack.Place]fabric.Identity{{Network: 1, Addr: b}: 0x101})
	both := conntrack.Label{Sender: 0x101, Receiver: 0x101}
	for _, tt := range []struct {
		what string
		c    conntrack.Connection
		want conntrack.Verdict
	}{
		{"nothing allows it", conntrack.Connection{Zone: 1, Src: a, Dst: b, Label: both}, conntrack.Forbid},
		{"pending", conntrack.Connection{Zone: 1, Src: b, Dst: a, Label: conntrack.Label{Pending: true}}, conntrack.Keep},
		{"without identities", conntrack.Connection{Zone: 1, Src: a, Dst: b}, conntrack.Unsure},
		{"nobody's address here", conntrack.Connection{Zone: 1, Src: a, Dst: a, Label: both}, conntrack.Unsure},
		{"a network that is gone", conntrack.Connection{Zone: 1, Src: a, Dst: b, Label: conntrack.Label{Sender: 0x901, Receiver: 0x101}}, conntrack.Forbid},
	} {
		if got := judge.Decide(tt.c); got != tt.want {
			t.Errorf("%s: %d, want %d", tt.what, got, tt.want)
		}
	}
}
