package verify_test

import (
	"crypto/sha256"
	"fmt"
	"net/netip"
	"slices"
	"syscall"
	"testing"
	"time"

	"github.com/weftfabric/weft/agent/pipeline"
	"github.com/weftfabric/weft/fabric"
	"github.com/weftfabric/weft/firewall"
	"github.com/weftfabric/weft/plan"
	"github.com/weftfabric/weft/verify"
)

// bigNode makes a node of a large fabric: 110 workloads in 4 dual-stack networks, 890 other nodes, 60 label sets a
// network, 150 policies each.
func bigNode() pipeline.Input {
	const networks, labelSets, policies, peers, workloads = 4, 60, 150, 890, 110
	in := pipeline.Input{TunnelPort: 9999}
	in.Plan.Name = "n0"
	in.Plan.Settings = plan.Settings{VTEP: netip.AddrFrom4([4]byte{192, 0, 2, 1}), VirtualMAC: fabric.MAC{2, 0x77, 0, 0, 0, 1}}
	vtep := func(p int) netip.Addr { return netip.AddrFrom4([4]byte{172, 16, byte(p >> 8), byte(p)}) }
	for p := range peers {
		in.Plan.Peers = append(in.Plan.Peers, plan.Peer{Name: fabric.NodeName(fmt.Sprintf("p%d", p)), VTEP: vtep(p)})
	}
	addr4 := func(n, host int) netip.Addr {
		return netip.AddrFrom4([4]byte{10, byte(n), byte(host >> 8), byte(host)})
	}
	addr6 := func(n, host int) netip.Addr {
		return netip.AddrFrom16([16]byte{0xfd, byte(n), 14: byte(host >> 8), 15: byte(host)})
	}
	rule := firewall.RuleID(1)
	for n := 1; n <= networks; n++ {
		id := fabric.NetworkID(n)
		base := fabric.Identity(n << 12)
		in.Plan.Networks = append(in.Plan.Networks, plan.Network{
			ID: id, Ref: fabric.NetworkRef{Tenant: "t", Name: fmt.Sprintf("n%d", n)}, Hosted: true,
			Blocks:  []fabric.VNIBlock{{Base: base, Bits: 16}},
			Subnets: []plan.Subnet{{Name: "a", IPv4: netip.PrefixFrom(addr4(n, 0), 16), IPv6: netip.PrefixFrom(addr6(n, 0), 64), Gateway4: addr4(n, 1), Gateway6: addr6(n, 1)}},
		})
		for i := range labelSets {
			in.Plan.Identities = append(in.Plan.Identities, plan.Identity{ID: base + 1 + fabric.Identity(i), Network: id, Labels: fabric.Labels{"app": fmt.Sprint(i)}})
		}
		for p := range peers {
			name := fabric.NodeName(fmt.Sprintf("p%d", p))
			in.Plan.Routes = append(in.Plan.Routes,
				plan.Route{Network: id, Prefix: netip.PrefixFrom(addr4(n, 64*(p+2)), 26), Node: name, VTEP: vtep(p), Lease: true},
				plan.Route{Network: id, Prefix: netip.PrefixFrom(addr6(n, 64*(p+2)), 122), Node: name, VTEP: vtep(p), Lease: true})
		}
		t := firewall.Table{Network: id}
		for p := range policies {
			r := firewall.Rule{
				ID: rule, Tier: firewall.Tenant, Direction: firewall.Ingress, Action: firewall.Allow,
				Order:    firewall.Order{Policy: fmt.Sprintf("p%d", p)},
				Subject:  firewall.Workloads{IDs: []fabric.Identity{base + 1 + fabric.Identity(p%labelSets)}},
				Services: []firewall.Service{{Protocol: firewall.TCP, Ports: firewall.PortRange{First: uint16(1000 + 10*p), Last: uint16(1000 + 10*p + 7)}}, {Protocol: firewall.UDP, Ports: firewall.PortRange{First: 53, Last: 53}}},
			}
			for k := range 8 {
				r.Peers.IDs = append(r.Peers.IDs, base+1+fabric.Identity((p%7*k+k*5+p%3)%labelSets))
			}
			slices.Sort(r.Peers.IDs)
			r.Peers.IDs = slices.Compact(r.Peers.IDs)
			if p%10 == 0 {
				r.Peers.CIDRs = []firewall.CIDR{{Prefix: netip.PrefixFrom(addr4(n, 0), 20), Except: []netip.Prefix{netip.PrefixFrom(addr4(n, 256), 24)}}}
			}
			t.Rules = append(t.Rules, r)
			rule++
		}
		for i, d := range []firewall.Direction{firewall.Ingress, firewall.Egress} {
			action := []firewall.Action{firewall.Deny, firewall.Allow}[i]
			t.Rules = append(t.Rules, firewall.Rule{ID: rule, Tier: firewall.Posture, Direction: d, Action: action, Subject: firewall.Workloads{Any: true}, Peers: firewall.Peers{Any: true}})
			rule++
		}
		in.Plan.Tables = append(in.Plan.Tables, t)
	}
	for w := range workloads {
		n := 1 + w%networks
		in.Attachments = append(in.Attachments, pipeline.Attachment{
			Interface: fmt.Sprintf("w%d", w), OFPort: uint32(w + 1), Network: fabric.NetworkID(n), Identity: fabric.Identity(n<<12) + 1 + fabric.Identity(w/networks*2%labelSets),
			MAC: fabric.MAC{2, 0xaa, 0, 0, byte(w >> 8), byte(w)}, Addresses: []netip.Addr{addr4(n, 10+w), addr6(n, 10+w)},
		})
	}
	return in
}

// BenchmarkVerify measures the verification of a node with some 20,000 flows. The input has no randomness; its hash tells
// whether two runs measured the same. cpu-ms/op is the processor time, which other programs on the machine add little to.
func BenchmarkVerify(b *testing.B) {
	in := inputOf(bigNode())
	sum := sha256.New()
	for _, f := range in.Flows {
		fmt.Fprintln(sum, f)
	}
	b.Logf("flows: sha256 %x", sum.Sum(nil))
	before := cpuTime(b)
	for b.Loop() {
		r := verify.Verify(in)
		if len(r.Findings) > 0 {
			b.Fatalf("%+v", r.Findings[0])
		}
		b.ReportMetric(float64(r.Flows), "flows")
		b.ReportMetric(float64(r.Classes), "classes")
		b.ReportMetric(float64(r.Lookups), "lookups")
	}
	b.ReportMetric(float64((cpuTime(b)-before).Milliseconds())/float64(b.N), "cpu-ms/op")
}

// cpuTime is the processor time that this process has used.
func cpuTime(b *testing.B) time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
