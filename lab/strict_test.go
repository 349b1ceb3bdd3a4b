package lab

import (
	"bytes"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"connectrpc.com/connect"

	"github.com/weftfabric/weft/agent/wireguard"
	"github.com/weftfabric/weft/fabric"
	"github.com/weftfabric/weft/lab/forge"
	"github.com/weftfabric/weft/lab/guest"
	"github.com/weftfabric/weft/lab/probe"
	weftv1 "github.com/weftfabric/weft/wire/weftpb/weft/v1"
)

// With strict identity a node whose root is an attacker can send what its own workloads could send, and nothing else: it
// puts VXLAN packets of its choice into its own WireGuard device, under its own tunnel address. The fabric becomes strict
// while it runs, so that what was attached before must stay accepted.
func TestStrictIdentity(t *testing.T) {
	r, topo := testLab(t, "../examples/encrypted")
	declared, err := os.ReadFile("../examples/encrypted/fabric.yaml")
	if err != nil {
		t.Fatal(err)
	}
	strict := bytes.Replace(declared, []byte("\nspec:\n"), []byte("\nspec:\n  strictIdentity: true\n"), 1)
	client, err := r.Client()
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	res, err := client.Intent.Apply(t.Context(), connect.NewRequest(&weftv1.ApplyRequest{Files: []*weftv1.File{{Name: "fabric.yaml", Content: strict}}}))
	if err != nil || !res.Msg.GetApplied() {
		t.Fatalf("apply: %v, %v", res, err)
	}
	if err := r.WaitEnforced(t.Context()); err != nil {
		t.Fatal(err)
	}
	wantPredicted(t, r, topo.Intent)
	// A workload of a known identity comes to a node that has had none of it: nothing but the placement is new.
	late := r.Workloads[slices.IndexFunc(r.Workloads, func(a Attached) bool { return a.Node == "node2" })].Workload
	late.Metadata.Name, late.Spec.Node = "late", 1
	at, err := r.attach(t.Context(), late, guest.Files{})
	if err != nil {
		t.Fatal(err)
	}
	if err := r.waitWorkload(t.Context(), at); err != nil {
		t.Fatal(err)
	}
	wantPredicted(t, r, topo.Intent)

	victim, attacker := tunnelPair(t, r)
	n, m := *r.NodeNamed(victim.Node), *r.NodeNamed(attacker.Node)
	// An identity of the same network that the attacker's node has no workload of.
	placed := map[fabric.Identity]bool{}
	for _, w := range r.Workloads {
		if w.Node == string(m.Name) {
			placed[identityOf(t, r, w)] = true
		}
	}
	var stolen fabric.Identity
	for _, w := range r.Workloads {
		if id := identityOf(t, r, w); w.Workload.networkRef() == victim.Workload.networkRef() && !placed[id] {
			stolen = id
		}
	}
	if stolen == 0 {
		t.Fatal("every identity of the network is on the attacker's node")
	}
	control := filepath.Join(r.dir, "workload", "root.sock")
	p, err := r.start(spec{name: "workload/root", namespace: m.Namespace, args: []string{
		filepath.Join(r.BinDir, "weft-lab-probe"), "-name", "root", "-socket", control}})
	if err != nil {
		t.Fatal(err)
	}
	if err := waitFor(t.Context(), p, probeStart, "its socket", exists(control)); err != nil {
		t.Fatal(err)
	}
	root, err := probe.Dial(t.Context(), control)
	if err != nil {
		t.Fatal(err)
	}
	defer root.Close()
	own := forge.Packet{SrcMAC: attacker.MAC, DstMAC: victim.MAC, Src: attacker.Addresses[0].Addr(), Dst: victim.Addresses[0].Addr(), SrcPort: 5000, DstPort: 80}
	foreign := own
	foreign.Src = neighbour(attacker, attacker.Addresses[0])
	for _, row := range []struct {
		name, reason string
		identity     fabric.Identity
		inner        forge.Packet
	}{
		{"identity of a workload elsewhere", "peer-identity", stolen, own},
		{"identity that nobody has", "peer-identity", stolen + 100, own},
		{"own identity, source elsewhere", "peer-block", identityOf(t, r, attacker), foreign},
	} {
		before, err := AgentStatus(t.Context(), n)
		if err != nil {
			t.Fatal(err)
		}
		outer := forge.Packet{
			DstMAC: wireguard.GatewayMAC(), Src: r.vtepOf(t, m), Dst: r.vtepOf(t, n),
			SrcPort: 50000, DstPort: 4789, Payload: forge.VXLAN(row.identity, row.inner.Frame()),
		}
		skip := etherHeader // the kernel's device takes IP packets
		if !m.Kernel {
			outer.SrcMAC, skip = bridgeMAC(t, m), 0
		}
		frame := outer.Frame()[skip:]
		if _, err := root.Ask(t.Context(), probe.Request{Raw: &probe.Raw{Interface: r.tunnelLink(m), Frame: frame}}); err != nil {
			t.Fatal(err)
		}
		if err := WaitDrops(t.Context(), n, before.Drops, row.reason); err != nil {
			t.Errorf("%s: %v", row.name, err)
		}
	}
}

// etherHeader is the length of an Ethernet header.
const etherHeader = 14
