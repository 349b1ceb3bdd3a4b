package lab

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// ovsSchema is where the distributions put the schema of Open vSwitch's database.
const ovsSchema = "/usr/share/openvswitch/vswitch.ovsschema"

// ovsStart bounds the start of one of Open vSwitch's daemons; it takes about 0.1 s.
const ovsStart = 20 * time.Second

// OVSDir holds the database, the sockets and the pid files of the node's Open vSwitch.
func (n Node) OVSDir() string { return filepath.Join(n.Dir, "ovs") }

// OVSDB is the address of the node's Open vSwitch database.
func (n Node) OVSDB() string { return "unix:" + filepath.Join(n.OVSDir(), "db.sock") }

// ovsEnv makes Open vSwitch's programs use the node's own directory.
func (n Node) ovsEnv() []string {
	d := n.OVSDir()
	return []string{"OVS_RUNDIR=" + d, "OVS_LOGDIR=" + d, "OVS_DBDIR=" + d}
}

// startOVS starts the node's Open vSwitch and gives the node its tunnel address: the network card is a port of
// the bridge br-ul, and the address is the bridge's own. The native tunnels of the userspace datapath need it
// so: they look their next hop up in the kernel's routes and must find a bridge of theirs there.
func (r *Record) startOVS(ctx context.Context, n Node, mtu int) error {
	dir := n.OVSDir()
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	if err := r.createDatabase(ctx, n); err != nil {
		return err
	}
	if err := r.startSwitch(ctx, n); err != nil {
		return err
	}
	if n.KernelCard {
		return n.addressUnderlay(ctx)
	}
	return n.makeUnderlayBridge(ctx, mtu)
}

// underlayLink is the link that has the node's tunnel address.
func (n Node) underlayLink() string {
	if n.KernelCard {
		return "eth0"
	}
	return "br-ul"
}

// createDatabase makes the node's database and starts its server.
func (r *Record) createDatabase(ctx context.Context, n Node) error {
	if _, err := command(ctx, "ovsdb-tool", "create", n.databaseFile(), ovsSchema); err != nil {
		return fmt.Errorf("make the database of Open vSwitch: %w", err)
	}
	if err := r.startDatabase(ctx, n); err != nil {
		return err
	}
	version, err := ovsVersion(ctx)
	if err != nil {
		return err
	}
	// What ovs-ctl writes on a real node.
	_, err = n.vsctl(ctx, "--no-wait", "init", "--", "set", "Open_vSwitch", ".", "ovs_version="+version,
		"external_ids:system-id="+string(n.Name), "external_ids:hostname="+string(n.Name))
	return err
}

// databaseFile is where ovsdb-server keeps the node's database.
func (n Node) databaseFile() string { return filepath.Join(n.OVSDir(), "conf.db") }

// makeUnderlayBridge makes the bridge br-ul unless it is there, and gives it the node's tunnel address.
func (n Node) makeUnderlayBridge(ctx context.Context, mtu int) error {
	// ovs-vsctl returns when the switch has done it.
	if _, err := n.vsctl(ctx, "--timeout=20",
		"--may-exist", "add-br", "br-ul", "--", "set", "bridge", "br-ul", "datapath_type=netdev", "fail_mode=standalone",
		"--", "--may-exist", "add-port", "br-ul", "eth0", "--", "set", "interface", "br-ul", fmt.Sprintf("mtu_request=%d", mtu)); err != nil {
		return err
	}
	return n.addressUnderlay(ctx)
}

// addressUnderlay gives the node its tunnel address, as an operating system does when the link appears.
func (n Node) addressUnderlay(ctx context.Context) error {
	link := n.underlayLink()
	up := fmt.Sprintf("-n %s link set %s up", n.Namespace, link)
	if n.NAT {
		return runIP(ctx, fmt.Sprintf("-n %s addr replace %s/%d dev %s", n.Namespace, n.VTEP, natNet.Bits(), link), up,
			fmt.Sprintf("-n %s route replace default via %s", n.Namespace, hostAddr(natNet, natRouterHost)))
	}
	if n.VTEP.Is4() {
		return runIP(ctx, fmt.Sprintf("-n %s addr replace %s/%d dev %s", n.Namespace, n.VTEP, underlayNet.Bits(), link), up)
	}
	return runIP(ctx,
		fmt.Sprintf("netns exec %s sh -c 'echo 0 >/proc/sys/net/ipv6/conf/%s/disable_ipv6'", n.Namespace, link),
		fmt.Sprintf("-n %s addr replace %s/%d dev %s nodad", n.Namespace, n.VTEP, underlayNet6.Bits(), link), up)
}

// preferred begins the command lines of Open vSwitch's daemons: on real nodes its own start script gives them this
// priority (ovs-ctl(8), --ovs-vswitchd-priority).
func preferred() []string { return []string{"nice", "-n", "-10"} }

// startDatabase starts the node's ovsdb-server and waits until it listens.
func (r *Record) startDatabase(ctx context.Context, n Node) error {
	socket := strings.TrimPrefix(n.OVSDB(), "unix:")
	if err := removeSocket(socket); err != nil {
		return err
	}
	p, err := r.start(spec{name: string(n.Name) + "/ovsdb-server", namespace: n.Namespace, env: n.ovsEnv(), args: append(preferred(),
		"ovsdb-server", n.databaseFile(), "--remote=p"+n.OVSDB(), "--unixctl="+filepath.Join(n.OVSDir(), "ovsdb-server.ctl"), "-vconsole:warn")})
	if err != nil {
		return err
	}
	return waitFor(ctx, p, ovsStart, "its socket", exists(socket))
}

// startSwitch starts the node's ovs-vswitchd and waits until it answers.
func (r *Record) startSwitch(ctx context.Context, n Node) error {
	control := filepath.Join(n.OVSDir(), "ovs-vswitchd.ctl")
	if err := removeSocket(control); err != nil {
		return err
	}
	p, err := r.start(spec{name: string(n.Name) + "/ovs-vswitchd", namespace: n.Namespace, env: n.ovsEnv(), args: append(preferred(),
		"ovs-vswitchd", n.OVSDB(), "--unixctl="+control, "-vconsole:warn")})
	if err != nil {
		return err
	}
	return waitFor(ctx, p, ovsStart, "its socket", exists(control))
}

// removeSocket removes what a daemon that was killed left, so that its presence means the new one.
func removeSocket(path string) error {
	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}

// ovsVersion returns the version of the installed vswitchd, such as 3.1.0.
func ovsVersion(ctx context.Context) (string, error) {
	out, err := command(ctx, "ovs-vswitchd", "--version") // "ovs-vswitchd (Open vSwitch) 3.1.0", and more lines
	if err != nil {
		return "", err
	}
	first, _, _ := strings.Cut(out, "\n")
	fields := strings.Fields(first)
	if len(fields) == 0 {
		return "", fmt.Errorf("ovs-vswitchd --version says nothing")
	}
	return fields[len(fields)-1], nil
}

func (n Node) vsctl(ctx context.Context, args ...string) (string, error) {
	out, err := command(ctx, append([]string{"ovs-vsctl", "--db=" + n.OVSDB()}, args...)...)
	if err != nil {
		return "", fmt.Errorf("%s: %w", n.Name, err)
	}
	return out, nil
}

// exists returns a condition for waitFor.
func exists(path string) func(context.Context) bool {
	return func(context.Context) bool {
		_, err := os.Stat(path)
		return err == nil
	}
}

// warmUnderlay lets each node resolve each other's address: the first packet of a tunnel would be lost
// meanwhile.
func (r *Record) warmUnderlay(ctx context.Context) error {
	for _, from := range r.Nodes {
		var pings []string
		for _, to := range r.Nodes {
			if to.Name != from.Name && !to.NAT {
				pings = append(pings, "ping -q -c 1 -w 5 "+to.VTEP.String()+" >/dev/null")
			}
		}
		if len(pings) == 0 {
			continue
		}
		if _, err := command(ctx, within(from.Namespace, "sh", "-ec", strings.Join(pings, "\n"))...); err != nil {
			return fmt.Errorf("%s does not reach the other nodes' tunnel addresses: %w", from.Name, err)
		}
	}
	return nil
}
