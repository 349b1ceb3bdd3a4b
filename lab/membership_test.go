package lab

import (
	"fmt"
	"net"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"connectrpc.com/connect"

	weftv1 "github.com/weftfabric/weft/wire/weftpb/weft/v1"
)

// testMovedNode gives the last node another underlay address. The others find it there, and nothing else changes for them.
func testMovedNode(t *testing.T, r *Record, topo Topology) {
	n := &r.Nodes[len(r.Nodes)-1]
	vtep := r.vtepOf(t, *n)
	was, is := n.VTEP, hostAddr(underlayNet6, 99)
	r.untouchedPair(t, topo, func() {
		if err := runIP(t.Context(),
			fmt.Sprintf("-n %s addr add %s/%d dev br-ul nodad", n.Namespace, is, underlayNet6.Bits()),
			fmt.Sprintf("-n %s addr del %s/%d dev br-ul", n.Namespace, was, underlayNet6.Bits())); err != nil {
			t.Fatal(err)
		}
		n.VTEP = is
		if err := r.RestartAgent(t.Context(), *n); err != nil {
			t.Fatal(err)
		}
		if err := r.WaitEnforced(t.Context()); err != nil {
			t.Fatal(err)
		}
		if err := r.warmTunnels(t.Context()); err != nil {
			t.Fatal(err)
		}
	})
	if now := r.vtepOf(t, *n); now != vtep {
		t.Errorf("the tunnel address was %s, and is %s", vtep, now)
	}
	if at := r.endpointOf(t, r.Nodes[0], *n); at.Addr() != is {
		t.Errorf("another node sends to %s, want %s", at, is)
	}
	wantPredicted(t, r, topo.Intent)
}

// testReturn drains the last node, deletes it, and lets it join anew. It has its tunnel address again.
func testReturn(t *testing.T, r *Record, topo Topology) {
	client, err := r.Client()
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	n := r.Nodes[len(r.Nodes)-1]
	i := slices.IndexFunc(r.Workloads, func(a Attached) bool { return a.Node == string(n.Name) })
	leaving := r.Workloads[i]
	vtep := r.vtepOf(t, n)
	r.untouchedPair(t, topo, func() {
		if _, err := client.Intent.DrainNode(t.Context(), connect.NewRequest(&weftv1.DrainNodeRequest{Name: string(n.Name)})); err != nil {
			t.Fatal(err)
		}
		if _, err := command(t.Context(), within(leaving.Namespace, "ping", "-q", "-c", "1", "-w", "5", r.Workloads[0].Addresses[0].Addr().String())...); err != nil {
			t.Errorf("a workload of a drained node reaches nobody: %v", err)
		}
		if _, err := r.cniCall(t.Context(), "DEL", n, leaving, ""); err != nil {
			t.Fatal(err)
		}
		if err := stop(r.processesNamed("workload/" + leaving.Ref())); err != nil {
			t.Fatal(err)
		}
		if err := removeSocket(leaving.Control); err != nil {
			t.Fatal(err)
		}
		r.Workloads = slices.Delete(r.Workloads, i, i+1)
		if err := stop(r.processesNamed(processName(Agent, n))); err != nil {
			t.Fatal(err)
		}
		if _, err := client.Intent.DeleteNode(t.Context(), connect.NewRequest(&weftv1.DeleteNodeRequest{Name: string(n.Name)})); err != nil {
			t.Fatal(err)
		}
		for _, o := range r.Nodes[:len(r.Nodes)-1] {
			for deadline := time.Now().Add(time.Minute); len(r.wireguardOf(t, o).Peers) != len(r.Nodes)-2; time.Sleep(20 * time.Millisecond) {
				if time.Now().After(deadline) {
					t.Fatalf("%s keeps the deleted node as a peer", o.Name)
				}
			}
		}
		if err := os.RemoveAll(filepath.Join(n.Dir, "agent")); err != nil {
			t.Fatal(err)
		}
		p, err := r.startAgent(t.Context(), n)
		if err != nil {
			t.Fatal(err)
		}
		if err := r.waitAgent(t.Context(), n, p); err != nil {
			t.Fatal(err)
		}
	})
	w := leaving.Workload
	w.Metadata.Name += "-again"
	back, err := r.attach(t.Context(), w, guestFiles())
	if err != nil {
		t.Fatal(err)
	}
	if err := r.waitWorkload(t.Context(), back); err != nil {
		t.Fatal(err)
	}
	if err := r.WaitEnforced(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := r.warmTunnels(t.Context()); err != nil {
		t.Fatal(err)
	}
	if now := r.vtepOf(t, n); now != vtep {
		t.Errorf("the tunnel address was %s, and is %s", vtep, now)
	}
	wantPredicted(t, r, topo.Intent)
}

// untouchedPair does something to the last node while the first two talk: they lose nothing, and keep their session.
func (r *Record) untouchedPair(t *testing.T, topo Topology, do func()) {
	t.Helper()
	a, b := r.Nodes[0], r.Nodes[1]
	k := &killer{t: t, lab: r, paths: r.pathsBetween(t, topo, b, a)}
	session := func() time.Time {
		vtep := r.vtepOf(t, b).String()
		for _, p := range r.wireguardOf(t, a).Peers {
			if slices.ContainsFunc(p.AllowedIPs, func(n net.IPNet) bool { return n.IP.String() == vtep }) {
				return p.LastHandshakeTime
			}
		}
		t.Fatalf("%s has no tunnel to %s", a.Name, b.Name)
		return time.Time{}
	}
	before := session()
	k.lossless(t, do)
	// WireGuard begins a new session every two minutes anyway.
	if now := session(); !now.Equal(before) && now.Sub(before) < 100*time.Second {
		t.Errorf("%s and %s began a new session %v after the last one", a.Name, b.Name, now.Sub(before))
	}
}
