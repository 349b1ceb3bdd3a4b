package lab

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"testing"
	"time"

	"connectrpc.com/connect"
	"golang.org/x/sys/unix"

	"github.com/weftfabric/weft/agent/flowlog"
	"github.com/weftfabric/weft/wire/apiclient"
	weftv1 "github.com/weftfabric/weft/wire/weftpb/weft/v1"
)

// inNamespace runs f on a thread in a workload's namespace. Sockets that f makes stay there.
func inNamespace(t *testing.T, a Attached, f func() error) {
	t.Helper()
	done := make(chan error, 1)
	go func() {
		runtime.LockOSThread() // never unlocked: the thread ends with the goroutine
		file, err := os.Open(filepath.Join(netnsDir, a.Namespace))
		if err == nil {
			err = errors.Join(unix.Setns(int(file.Fd()), unix.CLONE_NEWNET), file.Close())
		}
		if err == nil {
			err = f()
		}
		done <- err
	}()
	if err := <-done; err != nil {
		t.Fatal(err)
	}
}

// serveBack sends back what comes to an address of a workload, until the test ends.
func serveBack(t *testing.T, a Attached, at netip.AddrPort) {
	t.Helper()
	inNamespace(t, a, func() error {
		l, err := net.Listen("tcp", at.String())
		if err != nil {
			return err
		}
		t.Cleanup(func() { _ = l.Close() })
		go func() {
			for {
				c, err := l.Accept()
				if err != nil {
					return
				}
				t.Cleanup(func() { _ = c.Close() })
				go func() { _, _ = io.Copy(c, c) }()
			}
		}()
		return nil
	})
}

// open opens a connection of a workload.
func open(t *testing.T, a Attached, to netip.AddrPort, timeout time.Duration) (c net.Conn, err error) {
	t.Helper()
	inNamespace(t, a, func() error {
		c, err = net.DialTimeout("tcp", to.String(), timeout)
		return nil
	})
	if err == nil {
		t.Cleanup(func() { _ = c.Close() })
	}
	return c, err
}

// thereAndBack reports whether a connection carries something there and back in time.
func thereAndBack(c net.Conn, timeout time.Duration) error {
	_ = c.SetDeadline(time.Now().Add(timeout))
	if _, err := c.Write([]byte("ping")); err != nil {
		return err
	}
	_, err := io.ReadFull(c, make([]byte, 4))
	return err
}

// hitsOf returns what each node counted for a rule that is named.
func hitsOf(t *testing.T, client *apiclient.Client, rule string) map[string]uint64 {
	t.Helper()
	stream, err := client.Observe.Hits(t.Context(), connect.NewRequest(&weftv1.HitsRequest{}))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = stream.Close() }()
	out := map[string]uint64{}
	for stream.Receive() {
		m := stream.Msg()
		for _, r := range m.GetPart().GetRules() {
			if r.GetOrigin().GetRule() == rule {
				out[m.GetNode()] += r.GetHits()
			}
		}
		if m.GetLast() && m.GetError() != "" {
			out[m.GetNode()+": "+m.GetError()] = 0
		}
	}
	if err := stream.Err(); err != nil {
		t.Fatal(err)
	}
	return out
}

// eventually waits for a condition.
func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(30 * time.Second); !ok(); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("waited for %s", what)
		}
	}
}

// TestObservation opens connections between two nodes, and asks the fabric what it saw of them: hits that survive agent and
// switch, a log that is followed, and live connections that a change of policy cuts or leaves alone.
func TestObservation(t *testing.T) {
	r, topo := testLabWith(t, func(o *Options) { o.Nodes = 2 }, "testdata/observe")
	client, err := r.Client()
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	web, err := r.Find("web-1")
	if err != nil {
		t.Fatal(err)
	}
	db, err := r.Find("db-1")
	if err != nil {
		t.Fatal(err)
	}
	at := func(port uint16) netip.AddrPort { return netip.AddrPortFrom(db.Addresses[0].Addr(), port) }
	for _, port := range []uint16{6000, 6001} {
		serveBack(t, db, at(port))
	}
	records := followLog(t, client)

	kept, err := open(t, web, at(6000), 5*time.Second)
	if err != nil {
		t.Fatal(err)
	}
	cut, err := open(t, web, at(6001), 5*time.Second)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := open(t, web, at(22), 300*time.Millisecond); err == nil {
		t.Fatal("a connection was opened that is denied")
	}
	// Once at the destination, although the source's node decides about the first reply, too.
	eventually(t, "two hits", func() bool { return hitsOf(t, client, "sql")[db.Node] == 2 })
	if got := hitsOf(t, client, "sql")[web.Node]; got != 0 {
		t.Errorf("the source's node has counted %d hits", got)
	}
	seen := map[string]string{}
	for len(seen) < 3 {
		select {
		case rec := <-records:
			if rec.Dst != nil && rec.Rule != nil {
				seen[fmt.Sprint(rec.Dst.Port)] = rec.Node + " " + rec.Verdict + " " + rec.Rule.Name
			}
		case <-time.After(10 * time.Second):
			t.Fatalf("the log has told of %v", seen)
		}
	}
	for port, want := range map[string]string{"6000": " allow sql", "6001": " allow sql", "22": " deny default"} {
		if got := seen[port]; got != db.Node+want {
			t.Errorf("the log says of port %s: %q", port, got)
		}
	}

	narrower := topo
	narrower.Sources = slices.Clone(topo.Sources)
	for i, s := range narrower.Sources {
		narrower.Sources[i].Content = bytes.Replace(s.Content, []byte("endPort: 6001"), []byte("endPort: 6000"), 1)
	}
	if got := wouldCut(t, client, narrower); got != 1 {
		t.Errorf("the plan would cut %d connections", got)
	}
	begin := time.Now()
	if err := r.apply(t.Context(), narrower); err != nil {
		t.Fatal(err)
	}
	for thereAndBack(cut, 100*time.Millisecond) == nil {
		if time.Since(begin) > 10*time.Second {
			t.Fatal("a connection that is forbidden goes on")
		}
	}
	t.Logf("it stopped %v after the apply began", time.Since(begin).Round(time.Millisecond))
	if err := thereAndBack(kept, 5*time.Second); err != nil {
		t.Errorf("a connection that stays allowed: %v", err)
	}
	if n, err := client.Intent.Info(t.Context(), connect.NewRequest(&weftv1.InfoRequest{})); err != nil {
		t.Error(err)
	} else if got := cutsOf(t, client, n.Msg.GetRevision()); got != 1 {
		t.Errorf("%d connections were cut", got)
	}

	node := *r.NodeNamed(db.Node)
	for _, part := range []Part{Agent, Switch} {
		if err := errors.Join(r.Kill(t.Context(), part, node), r.Revive(t.Context(), part, node)); err != nil {
			t.Fatal(err)
		}
		eventually(t, "the hits after a kill of "+string(part), func() bool { return hitsOf(t, client, "sql")[db.Node] == 2 })
	}
}

// followLog returns the records that nodes write from now on.
func followLog(t *testing.T, client *apiclient.Client) <-chan flowlog.Record {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	out, done := make(chan flowlog.Record, 1000), make(chan struct{})
	go func() {
		defer close(done)
		// The call returns with the first record.
		stream, err := client.Observe.FlowLog(ctx, connect.NewRequest(&weftv1.FlowLogRequest{Question: &weftv1.FlowLogQuestion{Follow: true}}))
		if err != nil {
			return
		}
		for stream.Receive() {
			for _, text := range stream.Msg().GetPart().GetRecords() {
				var rec flowlog.Record
				if json.Unmarshal([]byte(text), &rec) == nil {
					out <- rec
				}
			}
		}
		_ = stream.Close()
	}()
	t.Cleanup(func() {
		cancel()
		<-done
	})
	return out
}

// wouldCut returns how many connections a plan would cut.
func wouldCut(t *testing.T, client *apiclient.Client, topo Topology) (n uint64) {
	t.Helper()
	req := &weftv1.PlanRequest{Live: true}
	for _, s := range topo.Sources {
		req.Files = append(req.Files, &weftv1.File{Name: s.Name, Content: s.Content})
	}
	res, err := client.Intent.Plan(t.Context(), connect.NewRequest(req))
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range res.Msg.GetNodes() {
		if unknown := c.GetLive().GetUnknown(); unknown != "" || c.GetLive() == nil {
			t.Errorf("%s: %v", c.GetNode(), c)
		}
		n += c.GetLive().GetCut()
	}
	return n
}

// cutsOf returns how many connections a revision has cut.
func cutsOf(t *testing.T, client *apiclient.Client, revision uint64) (n uint64) {
	t.Helper()
	stream, err := client.Observe.Cuts(t.Context(), connect.NewRequest(&weftv1.CutsRequest{Revision: revision}))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = stream.Close() }()
	for stream.Receive() {
		m := stream.Msg()
		if m.GetError() != "" {
			t.Errorf("%s: %s", m.GetNode(), m.GetError())
		}
		n += m.GetPart().GetConnections()
	}
	if err := stream.Err(); err != nil {
		t.Fatal(err)
	}
	return n
}
