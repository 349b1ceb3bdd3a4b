package lab

import (
	"bytes"
	"context"
	"os"
	"strings"
	"testing"
	"time"
)

// TestDamagedDatabase: Open vSwitch's conf.db is damaged under a running node. Traffic goes on until ovsdb-server starts
// again; then the agent plugs again what it had plugged, into whatever database there is. Where the agent has died too,
// nothing of what was attached is known: CHECK says so, DEL succeeds, and an ADD begins anew.
func TestDamagedDatabase(t *testing.T) {
	r, topo := testLab(t, "testdata/moves.yaml")
	d := damaged{mover: mover{t: t, r: r}, node: r.Nodes[0], mtu: topo.Intent.Settings().UnderlayMTU}
	d.wantWhole()
	for _, damage := range []struct {
		name string
		do   func(content []byte) error
		// starts says that ovsdb-server takes the file, with less in it.
		starts bool
	}{
		{"its end is cut off", func(content []byte) error {
			// Whole records are left, and the beginning of one: those that made the first ports of br-int are cut off.
			return os.Truncate(d.node.databaseFile(), int64(bytes.Index(content, []byte(`"br-int"`))))
		}, true},
		{"a byte of its beginning is another", func(content []byte) error {
			content[3] ^= 1
			return os.WriteFile(d.node.databaseFile(), content, 0o600)
		}, false},
		{"it is garbage", func(content []byte) error {
			return os.WriteFile(d.node.databaseFile(), bytes.Repeat([]byte("garbage\n"), 1000), 0o600)
		}, false},
		{"it is missing", func([]byte) error { return os.Remove(d.node.databaseFile()) }, false},
	} {
		t.Run(damage.name, func(t *testing.T) {
			d := d
			d.t = t
			content, err := os.ReadFile(d.node.databaseFile())
			if err != nil {
				t.Fatal(err)
			}
			if err := damage.do(content); err != nil {
				t.Fatal(err)
			}
			d.wantWhole() // ovsdb-server works by what it has in memory
			if err := r.Kill(t.Context(), Database, d.node); err != nil {
				t.Fatal(err)
			}
			switch err := r.Revive(t.Context(), Database, d.node); {
			case err != nil && damage.starts:
				t.Fatal(err)
			case err == nil && !damage.starts:
				t.Error("ovsdb-server starts with it")
			case err != nil:
				t.Logf("ovsdb-server says: %.200s", err)
				d.replace()
			}
			begin := time.Now()
			if err := d.node.makeUnderlayBridge(t.Context(), d.mtu); err != nil {
				t.Fatal(err)
			}
			d.wantWhole()
			t.Logf("whole again after %s", time.Since(begin).Round(time.Millisecond))
		})
	}
	t.Run("the agent dies too", d.testBothLost)
}

// damaged is a node whose database is damaged.
type damaged struct {
	mover
	node Node
	mtu  int
}

// replace does what an administrator does: an empty database instead of the damaged one.
func (d damaged) replace() {
	d.t.Helper()
	if err := os.RemoveAll(d.node.databaseFile()); err != nil {
		d.t.Fatal(err)
	}
	if err := d.r.createDatabase(d.t.Context(), d.node); err != nil {
		d.t.Fatal(err)
	}
}

// wantWhole waits until the node's container answers from another node, and its switch is as it must be.
func (d damaged) wantWhole() {
	d.t.Helper()
	d.until("an answer of the container", func() bool { return d.reaches(d.t.Context()) })
	wantClean(d.t, d.r)
	testCheck(d.t, d.r)
}

func (d damaged) reaches(ctx context.Context) bool {
	one, errOne := d.r.Find("acme/one")
	two, errTwo := d.r.Find("acme/two")
	if errOne != nil || errTwo != nil {
		d.t.Fatal(errOne, errTwo)
	}
	_, err := command(ctx, within(two.Namespace, "ping", "-c", "1", "-W", "1", one.Addresses[0].Addr().String())...)
	return err == nil
}

func (d damaged) testBothLost(t *testing.T) {
	d.t = t
	for _, p := range []Part{Agent, Database} {
		if err := d.r.Kill(t.Context(), p, d.node); err != nil {
			t.Fatal(err)
		}
	}
	d.replace()
	if err := d.node.makeUnderlayBridge(t.Context(), d.mtu); err != nil {
		t.Fatal(err)
	}
	if err := d.r.Revive(t.Context(), Agent, d.node); err != nil {
		t.Fatal(err)
	}
	one, err := d.r.Find("acme/one")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := d.r.cniCall(t.Context(), "CHECK", d.node, one, `{"cniVersion":"1.1.0","interfaces":[],"ips":[]}`); err == nil || !strings.Contains(err.Error(), "not attached") && !strings.Contains(err.Error(), "no interface eth0") {
		t.Errorf("CHECK: %v", err)
	}
	d.until("the end of the link", func() bool {
		_, err := command(t.Context(), "ip", "-n", d.node.Namespace, "link", "show", one.Interface)
		return err != nil
	})
	for range 2 {
		if _, err := d.r.cniCall(t.Context(), "DEL", d.node, one, ""); err != nil {
			t.Errorf("DEL: %v", err)
		}
	}
	if _, err := d.r.cniCall(t.Context(), "ADD", d.node, one, ""); err != nil {
		t.Fatal(err)
	}
	d.until("an answer of the container", func() bool { return d.reaches(t.Context()) })
	wantClean(t, d.r)
}
