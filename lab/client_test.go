package lab

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"connectrpc.com/connect"
	"golang.zx2c4.com/wireguard/conn"
	"golang.zx2c4.com/wireguard/device"
	"golang.zx2c4.com/wireguard/ipc"
	"golang.zx2c4.com/wireguard/tun"

	"github.com/weftfabric/weft/agent/clients"
	"github.com/weftfabric/weft/cli"
	"github.com/weftfabric/weft/fabric"
	weftv1 "github.com/weftfabric/weft/wire/weftpb/weft/v1"
)

// clientEnv makes the test's binary WireGuard for one device of that name, as wg-quick starts it where the kernel has none.
const clientEnv = "WEFT_TEST_CLIENT"

// A laptop that has nothing but wg-quick and the printed configuration reaches what policy allows it, and no more.
func TestRemoteClient(t *testing.T) {
	if device := os.Getenv(clientEnv); device != "" {
		if err := beWireGuard(device); err != nil {
			t.Fatal(err)
		}
		return
	}
	r, _ := testLab(t, "testdata/clients")
	laptop := r.startClient(t, "laptop", "acme", 200)
	stranger := r.startClient(t, "stranger", "globex", 201)
	db, vault, web, theirs := r.find(t, "acme/db"), r.find(t, "acme/vault"), r.find(t, "acme/web"), r.find(t, "globex/web")

	if at := laptop.handshake(t); at == "" {
		t.Error("wg show knows no peer")
	}
	for _, to := range []Attached{db, web} {
		for _, a := range to.Addresses {
			laptop.reaches(t, a.Addr(), to.Workload.Spec.Listen[0], true)
		}
	}
	for _, a := range vault.Addresses {
		laptop.reaches(t, a.Addr(), "tcp/80", false)
	}
	if at := laptop.handshake(t); at == "0" {
		t.Error("wg show knows no handshake")
	}
	// The other tenant's client has the same address, and lives in the other network.
	for _, a := range theirs.Addresses {
		stranger.reaches(t, a.Addr(), "tcp/80", true)
	}
	stranger.lonely(t, db)

	t.Run("a workload reaches the client", func(t *testing.T) {
		for _, to := range []string{"10.0.1.200", "fd00:0:0:1::200"} {
			if out, err := command(t.Context(), within(web.Namespace, "ping", "-c", "1", "-W", "5", to)...); err != nil {
				t.Errorf("%v\n%s", err, out)
			}
		}
	})
	t.Run("addresses of others don't leave the tunnel", func(t *testing.T) {
		if err := runIP(t.Context(), fmt.Sprintf("-n %s addr add 10.0.1.222/32 dev %s", laptop.namespace, laptop.device)); err != nil {
			t.Fatal(err)
		}
		tap := clients.Tap(fabric.PortRef{Tenant: "acme", Name: "laptop"})
		before := laptop.gateway(t).received(t, tap)
		if _, err := command(t.Context(), within(laptop.namespace, "ping", "-c", "3", "-i", "0.2", "-W", "1", "-I", "10.0.1.222", db.Addresses[0].Addr().String())...); err == nil {
			t.Error("a forged source is answered")
		}
		if now := laptop.gateway(t).received(t, tap); now != before {
			t.Errorf("%d packets came through the tap", now-before)
		}
		laptop.reaches(t, db.Addresses[0].Addr(), "tcp/5432", true)
	})
	t.Run("after a restart of the gateway's agent", func(t *testing.T) {
		n := r.NodeNamed(laptop.at)
		if err := r.RestartAgent(t.Context(), *n); err != nil {
			t.Fatal(err)
		}
		laptop.reaches(t, db.Addresses[0].Addr(), "tcp/5432", true)
	})
	t.Run("at another gateway", func(t *testing.T) {
		client, err := r.Client()
		if err != nil {
			t.Fatal(err)
		}
		defer client.Close()
		was := laptop.at
		if _, err := client.Intent.DrainNode(t.Context(), connect.NewRequest(&weftv1.DrainNodeRequest{Name: was})); err != nil {
			t.Fatal(err)
		}
		laptop.stop(t)
		for deadline := time.Now().Add(time.Minute); laptop.at == was && time.Now().Before(deadline); time.Sleep(50 * time.Millisecond) {
			laptop.config(t)
		}
		laptop.start(t)
		for _, a := range db.Addresses {
			laptop.reaches(t, a.Addr(), "tcp/5432", true)
		}
		r.waitGone(t, was, clients.Tap(fabric.PortRef{Tenant: "acme", Name: "laptop"}))
	})
}

// remote is a remote client's namespace, on the wire between the nodes.
type remote struct {
	lab                     *Record
	name, tenant, namespace string
	at                      string // its gateway
	device, path            string // the configuration is named after the device, as wg-quick wants it
	up                      bool
}

func (r *Record) startClient(t *testing.T, name, tenant string, host int) *remote {
	t.Helper()
	c := &remote{lab: r, name: name, tenant: tenant, namespace: r.namespaceName(name), device: fmt.Sprintf("wg%d%s", host, r.Name)}
	c.path = filepath.Join(t.TempDir(), c.device+".conf")
	if err := r.makeNamespace(t.Context(), c.namespace); err != nil {
		t.Fatal(err)
	}
	if err := runIP(t.Context(),
		fmt.Sprintf("-n %s link add eth0 type veth peer name c%d netns %s", c.namespace, host, r.underlayNamespace()),
		fmt.Sprintf("-n %s link set c%d master %s up", r.underlayNamespace(), host, underlayBridge),
		fmt.Sprintf("-n %s link set eth0 up", c.namespace),
		fmt.Sprintf("-n %s addr add %s dev eth0", c.namespace, cidr(underlayNet, host))); err != nil {
		t.Fatal(err)
	}
	// vswitchd hands packets of the wire on as they are, and the node's kernel refuses those without a checksum.
	if _, err := command(t.Context(), within(c.namespace, "ethtool", "-K", "eth0", "tx", "off")...); err != nil {
		t.Fatal(err)
	}
	for deadline := time.Now().Add(time.Minute); c.at == ""; time.Sleep(50 * time.Millisecond) {
		if c.config(t); c.at == "" && time.Now().After(deadline) {
			t.Fatal("no gateway serves the client")
		}
	}
	c.start(t)
	return c
}

// config prints the client's configuration into its file, if some gateway serves it.
func (c *remote) config(t *testing.T) {
	t.Helper()
	var out, problems bytes.Buffer
	env := cli.Env{Stdin: strings.NewReader(""), Stdout: &out, Stderr: &problems, Getenv: func(string) string { return "" }, Now: time.Now}
	code := cli.Run(t.Context(), env, []string{"--server", "unix://" + c.lab.ControllerSocket(), "client", "config", c.name, "--tenant", c.tenant, "--key-file", "testdata/clients/" + c.name + ".key"})
	if code != 0 {
		if !strings.Contains(problems.String(), "no gateway serves client") {
			t.Fatal(problems.String())
		}
		return
	}
	for l := range strings.Lines(out.String()) {
		if name, ok := strings.CutPrefix(l, "# Gateway "); ok && !strings.Contains(name, ",") {
			c.at = strings.TrimSpace(name)
		}
	}
	if err := os.WriteFile(c.path, out.Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
}

func (c *remote) start(t *testing.T) {
	t.Helper()
	c.up = true
	t.Cleanup(func() { c.stop(t) })
	c.quick(t, "up")
}

func (c *remote) stop(t *testing.T) {
	t.Helper()
	if c.up {
		c.up = false
		c.quick(t, "down")
	}
}

// quick runs wg-quick(8) in the client's namespace. Its file is the one that was printed, with the right to read it taken from
// others.
func (c *remote) quick(t *testing.T, verb string) {
	t.Helper()
	daemon := filepath.Join(filepath.Dir(c.path), "wireguard")
	script := fmt.Sprintf(`#!/bin/sh
%s="$1" %s -test.run='^TestRemoteClient$' >"$0.log" 2>&1 &
until [ -S "/var/run/wireguard/$1.sock" ]; do kill -0 $! || { cat "$0.log"; exit 1; }; sleep 0.02; done
`, clientEnv, os.Args[0])
	if err := os.WriteFile(daemon, []byte(script), 0o700); err != nil {
		t.Fatal(err)
	}
	// The daemon bears the lab's mark, so that the lab's end is its own at the latest.
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	env := []string{"WG_QUICK_USERSPACE_IMPLEMENTATION=" + daemon, markEnv + "=" + c.lab.dir}
	if out, err := commandWith(ctx, "", env, within(c.namespace, "wg-quick", verb, c.path)...); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
}

// handshake returns when the client's session began, by wg(8); zero when there is none.
func (c *remote) handshake(t *testing.T) string {
	t.Helper()
	out, err := command(t.Context(), within(c.namespace, "wg", "show", c.device, "latest-handshakes")...)
	if err != nil {
		t.Fatal(err)
	}
	_, at, _ := strings.Cut(strings.TrimSpace(out), "\t")
	return at
}

// reaches checks that a service answers, within the time that a new session needs, or that it doesn't.
func (c *remote) reaches(t *testing.T, to netip.Addr, service string, want bool) {
	t.Helper()
	script := fmt.Sprintf("exec 3<>/dev/tcp/%s/%s", to, strings.TrimPrefix(service, "tcp/"))
	for deadline := time.Now().Add(40 * time.Second); ; {
		_, err := command(t.Context(), within(c.namespace, "timeout", "2", "bash", "-c", script)...)
		switch {
		case (err == nil) == want:
			return
		case !want:
			t.Errorf("%s reaches %s of %s, which policy denies", c.name, service, to)
			return
		case time.Now().After(deadline):
			t.Errorf("%s doesn't reach %s of %s: %v", c.name, service, to, err)
			return
		}
	}
}

// lonely checks that a client reaches nothing of a workload in a network of others.
func (c *remote) lonely(t *testing.T, to Attached) {
	t.Helper()
	for _, a := range to.Addresses {
		c.reaches(t, a.Addr(), to.Workload.Spec.Listen[0], false)
	}
}

func (c *remote) gateway(t *testing.T) gatewayNode {
	t.Helper()
	return gatewayNode{c.lab.NodeNamed(c.at)}
}

type gatewayNode struct{ *Node }

// received returns how many packets came into the switch through a tap.
func (n gatewayNode) received(t *testing.T, tap string) uint64 {
	t.Helper()
	out, err := command(t.Context(), "ip", "-n", n.Namespace, "-j", "-s", "link", "show", tap)
	if err != nil {
		t.Fatal(err)
	}
	var links []struct {
		Stats struct {
			RX struct {
				Packets uint64 `json:"packets"`
			} `json:"rx"`
		} `json:"stats64"`
	}
	if err := json.Unmarshal([]byte(out), &links); err != nil || len(links) != 1 {
		t.Fatalf("%v: %s", err, out)
	}
	return links[0].Stats.RX.Packets
}

// waitGone waits until a node has no link of a name.
func (r *Record) waitGone(t *testing.T, node, link string) {
	t.Helper()
	for deadline := time.Now().Add(20 * time.Second); ; time.Sleep(50 * time.Millisecond) {
		if _, err := command(t.Context(), "ip", "-n", r.NodeNamed(node).Namespace, "link", "show", link); err != nil {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("%s still has %s", node, link)
		}
	}
}

func (r *Record) find(t *testing.T, name string) Attached {
	t.Helper()
	w, err := r.Find(name)
	if err != nil {
		t.Fatal(err)
	}
	return w
}

// beWireGuard is a device that wg(8) configures, until somebody deletes its link.
func beWireGuard(name string) error {
	link, err := tun.CreateTUN(name, device.DefaultMTU)
	if err != nil {
		return err
	}
	d := device.NewDevice(link, conn.NewDefaultBind(), device.NewLogger(device.LogLevelError, ""))
	file, err := ipc.UAPIOpen(name)
	if err != nil {
		return err
	}
	l, err := ipc.UAPIListen(name, file)
	if err != nil {
		return err
	}
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go d.IpcHandle(c)
		}
	}()
	<-d.Wait()
	return l.Close()
}
