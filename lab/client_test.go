package lab

import (
	"bufio"
	"bytes"
	"context"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"connectrpc.com/connect"
	"golang.zx2c4.com/wireguard/conn"
	"golang.zx2c4.com/wireguard/device"
	"golang.zx2c4.com/wireguard/tun"

	"github.com/weftfabric/weft/agent/clients"
	"github.com/weftfabric/weft/cli"
	"github.com/weftfabric/weft/fabric"
	weftv1 "github.com/weftfabric/weft/wire/weftpb/weft/v1"
)

// clientEnv makes the test's binary a remote client with the configuration in that file: a process of its own, because
// its sockets and its device must be made in the client's namespace.
const clientEnv = "WEFT_TEST_CLIENT"

// A laptop that has nothing but the printed configuration reaches what policy allows it, and no more.
func TestRemoteClient(t *testing.T) {
	if path := os.Getenv(clientEnv); path != "" {
		if err := beClient(path); err != nil {
			t.Fatal(err)
		}
		return
	}
	r, _ := testLab(t, "testdata/clients")
	laptop := r.startClient(t, "laptop", "acme", 200)
	stranger := r.startClient(t, "stranger", "globex", 201)
	db, vault, web, theirs := r.find(t, "acme/db"), r.find(t, "acme/vault"), r.find(t, "acme/web"), r.find(t, "globex/web")

	for _, to := range []Attached{db, web} {
		for _, a := range to.Addresses {
			laptop.reaches(t, a.Addr(), to.Workload.Spec.Listen[0], true)
		}
	}
	for _, a := range vault.Addresses {
		laptop.reaches(t, a.Addr(), "tcp/80", false)
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
		if err := runIP(t.Context(), fmt.Sprintf("-n %s addr add 10.0.1.222/32 dev wg0", laptop.namespace)); err != nil {
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
	path                    string
	cmd                     *exec.Cmd
	end                     context.CancelFunc
}

func (r *Record) startClient(t *testing.T, name, tenant string, host int) *remote {
	t.Helper()
	c := &remote{lab: r, name: name, tenant: tenant, namespace: r.namespaceName(name), path: filepath.Join(t.TempDir(), "weft.conf")}
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
	ctx, end := context.WithCancel(context.Background())
	c.end = end
	argv := within(c.namespace, os.Args[0], "-test.run=^TestRemoteClient$")
	c.cmd = exec.CommandContext(ctx, argv[0], argv[1:]...)
	c.cmd.Env = append(os.Environ(), clientEnv+"="+c.path)
	c.cmd.Stderr = os.Stderr
	out, err := c.cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := c.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.stop(t) })
	if lines := bufio.NewScanner(out); !lines.Scan() || lines.Text() != "ready" {
		t.Fatalf("the client didn't start: %s", lines.Text())
	}
}

func (c *remote) stop(t *testing.T) {
	t.Helper()
	if c.cmd == nil {
		return
	}
	c.end()
	_ = c.cmd.Wait() // killed
	c.cmd = nil
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

// beClient does what wg-quick does with a configuration, on WireGuard in this process, until it is killed.
func beClient(path string) error {
	content, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	var uapi strings.Builder
	var lines []string
	mtu := 0
	for l := range strings.Lines(string(content)) {
		key, value, ok := strings.Cut(strings.TrimSpace(l), " = ")
		if !ok || strings.HasPrefix(key, "#") {
			continue
		}
		switch key {
		case "PrivateKey":
			fmt.Fprintf(&uapi, "private_key=%s\n", hexOf(value))
		case "PublicKey":
			fmt.Fprintf(&uapi, "public_key=%s\n", hexOf(value))
		case "Endpoint":
			fmt.Fprintf(&uapi, "endpoint=%s\n", value)
		case "PersistentKeepalive":
			fmt.Fprintf(&uapi, "persistent_keepalive_interval=%s\n", value)
		case "AllowedIPs":
			for p := range strings.SplitSeq(value, ", ") {
				fmt.Fprintf(&uapi, "allowed_ip=%s\n", p)
				lines = append(lines, fmt.Sprintf("route add %s dev wg0", p))
			}
		case "Address":
			for a := range strings.SplitSeq(value, ", ") {
				lines = append(lines, fmt.Sprintf("addr add %s dev wg0", a))
			}
		case "MTU":
			if mtu, err = strconv.Atoi(value); err != nil {
				return err
			}
			lines = append(lines, "link set wg0 up")
		default:
			return fmt.Errorf("wg-quick knows no %q", key)
		}
	}
	link, err := tun.CreateTUN("wg0", mtu)
	if err != nil {
		return err
	}
	d := device.NewDevice(link, conn.NewDefaultBind(), device.NewLogger(device.LogLevelError, ""))
	if err := errors.Join(d.IpcSet(uapi.String()), d.Up(), runIP(context.Background(), lines...)); err != nil {
		return err
	}
	fmt.Println("ready")
	<-d.Wait()
	return nil
}

func hexOf(key string) string {
	b, _ := base64.StdEncoding.DecodeString(key) // the device refuses what isn't a key
	return hex.EncodeToString(b)
}
