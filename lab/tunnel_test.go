package lab

import (
	"net/netip"
	"path/filepath"
	"strings"
	"testing"

	"connectrpc.com/connect"

	"github.com/weftfabric/weft/fabric"
	"github.com/weftfabric/weft/lab/forge"
	"github.com/weftfabric/weft/lab/guest"
	"github.com/weftfabric/weft/lab/probe"
	weftv1 "github.com/weftfabric/weft/wire/weftpb/weft/v1"
)

// testTunnel sends tunnel packets from the wire between the nodes, where a stranger could stand.
func testTunnel(t *testing.T, r *Record) {
	// The victim has somebody of its network elsewhere, whose node is a known peer.
	victim, friend := tunnelPair(t, r)
	n, peer := *r.NodeNamed(victim.Node), *r.NodeNamed(friend.Node)
	mac, err := command(t.Context(), within(n.Namespace, "cat", "/sys/class/net/"+n.underlayLink()+"/address")...)
	if err != nil {
		t.Fatal(err)
	}
	target, err := fabric.ParseMAC(strings.TrimSpace(mac))
	if err != nil {
		t.Fatal(err)
	}
	control := filepath.Join(r.dir, "workload", "wire.sock")
	p, err := r.start(spec{name: "workload/wire", namespace: r.underlayNamespace(), args: []string{
		filepath.Join(r.BinDir, "weft-lab-probe"), "-name", "wire", "-socket", control}})
	if err != nil {
		t.Fatal(err)
	}
	if err := waitFor(t.Context(), p, probeStart, "its socket", exists(control)); err != nil {
		t.Fatal(err)
	}
	client, err := probe.Dial(t.Context(), control)
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()

	identity := identityOf(t, r, friend)
	inner := forge.Packet{SrcMAC: friend.MAC, DstMAC: victim.MAC, Src: friend.Addresses[0].Addr(), Dst: victim.Addresses[0].Addr(), SrcPort: 5000, DstPort: 80}
	outside := inner
	outside.Src = netip.MustParseAddr("192.0.2.1")
	rows := []struct {
		name, reason string
		from         netip.Addr
		vni          fabric.Identity
		inner        forge.Packet
	}{
		{"from a stranger", "unknown-peer", hostAddr(underlayNet, 200), identity, inner},
		{"unknown VNI", "unknown-vni", peer.VTEP, fabric.MaxIdentity, inner},
		{"source outside the peer's blocks", "peer-block", peer.VTEP, identity, outside},
	}
	for _, row := range rows {
		t.Run(row.name, func(t *testing.T) {
			before, err := AgentStatus(t.Context(), n)
			if err != nil {
				t.Fatal(err)
			}
			frame := forge.Packet{
				SrcMAC: fabric.MAC{2, 0xba, 0xdb, 0xad, 0, 2}, DstMAC: target, Src: row.from, Dst: n.VTEP,
				SrcPort: 50000, DstPort: 4789, Payload: forge.VXLAN(row.vni, row.inner.Frame()),
			}.Frame()
			if _, err := client.Ask(t.Context(), probe.Request{Raw: &probe.Raw{Interface: underlayBridge, Frame: frame}}); err != nil {
				t.Fatal(err)
			}
			if err := WaitDrops(t.Context(), n, before.Drops, row.reason); err != nil {
				t.Error(err)
			}
		})
	}
}

// tunnelPair finds two containers of one network on two nodes.
func tunnelPair(t *testing.T, r *Record) (a, b Attached) {
	t.Helper()
	for _, a := range r.Workloads {
		for _, b := range r.Workloads {
			if a.Node != b.Node && a.Workload.networkRef() == b.Workload.networkRef() && a.Namespace != "" && b.Namespace != "" {
				return a, b
			}
		}
	}
	t.Fatal("no network has containers on two nodes")
	return a, b
}

func listNodes(t *testing.T, r *Record) []*weftv1.NodeInfo {
	t.Helper()
	client, err := r.Client()
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	res, err := client.Intent.ListNodes(t.Context(), connect.NewRequest(&weftv1.ListNodesRequest{}))
	if err != nil {
		t.Fatal(err)
	}
	return res.Msg.GetNodes()
}

func plannedRevisions(t *testing.T, r *Record) map[string]uint64 {
	t.Helper()
	out := map[string]uint64{}
	for _, n := range listNodes(t, r) {
		out[n.GetName()] = n.GetPlannedRevision()
	}
	return out
}

// guestFiles is for workloads that are no virtual machines.
func guestFiles() guest.Files { return guest.Files{} }
