package bench

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// ovn is OVN's central part: two databases and northd, on unix sockets of their own.
type ovn struct{ dir string }

// ovnSchemas is where Debian's package ovn-common puts the databases' schemas.
const ovnSchemas = "/usr/share/ovn"

// ovnMissing says what of OVN is not installed; empty when all is.
func ovnMissing() string {
	for _, tool := range []string{"ovn-northd", "ovn-controller", "ovn-nbctl", "ovn-sbctl", "ovsdb-server", "ovsdb-tool"} {
		if _, err := exec.LookPath(tool); err != nil {
			return tool
		}
	}
	return ""
}

// startOVN runs OVN's central part until the test ends. It returns nil, and says so, where OVN is not installed,
// unless peers must be there.
func startOVN(tb testing.TB) *ovn {
	tb.Helper()
	if missing := ovnMissing(); missing != "" {
		if os.Getenv(peersEnv) != "" {
			tb.Fatalf("%s is missing: install ovn-central and ovn-host", missing)
		}
		tb.Logf("OVN is left out: %s is missing (Debian: ovn-central, ovn-host)", missing)
		return nil
	}
	o := &ovn{dir: shortDir(tb)}
	for _, db := range []string{"nb", "sb"} {
		file := filepath.Join(o.dir, db+".db")
		run(tb, "ovsdb-tool", "create", file, filepath.Join(ovnSchemas, "ovn-"+db+".ovsschema"))
		startDaemon(tb, daemonSpec{dir: o.dir, args: []string{"ovsdb-server", file, "--remote=punix:" + o.socket(db),
			"--unixctl=" + filepath.Join(o.dir, db+".ctl"), "-vconsole:warn"}})
		eventually(tb, "OVN's database "+db, 10*time.Second, func() bool {
			_, err := os.Stat(o.socket(db))
			return err == nil
		})
	}
	o.nb(tb, "init")
	run(tb, "ovn-sbctl", "--db=unix:"+o.socket("sb"), "init")
	startDaemon(tb, daemonSpec{dir: o.dir, args: []string{"ovn-northd", "--ovnnb-db=unix:" + o.socket("nb"), "--ovnsb-db=unix:" + o.socket("sb"),
		"--unixctl=" + filepath.Join(o.dir, "northd.ctl"), "-vconsole:warn"}})
	o.nb(tb, "--wait=sb", "sync")
	return o
}

func (o *ovn) socket(db string) string { return filepath.Join(o.dir, db+".sock") }

// nb runs ovn-nbctl.
func (o *ovn) nb(tb testing.TB, args ...string) string {
	tb.Helper()
	return run(tb, append([]string{"ovn-nbctl", "--timeout=120", "--db=unix:" + o.socket("nb")}, args...)...)
}

// join makes a switch a chassis.
func (o *ovn) join(tb testing.TB, v vswitch, name, address string) {
	tb.Helper()
	v.vsctl(tb, "set", "Open_vSwitch", ".", "external_ids:system-id="+name, "external_ids:hostname="+name, "external_ids:ovn-remote=unix:"+o.socket("sb"),
		"external_ids:ovn-encap-type=geneve", "external_ids:ovn-encap-ip="+address, "external_ids:ovn-bridge=br-int",
		"external_ids:ovn-bridge-datapath-type=netdev", "external_ids:ovn-monitor-all=false")
	startDaemon(tb, daemonSpec{namespace: v.namespace, dir: v.dir, env: []string{"OVS_RUNDIR=" + v.dir, "OVN_RUNDIR=" + v.dir}, args: []string{
		"ovn-controller", v.database, "-vconsole:warn"}})
	eventually(tb, "OVN's chassis "+name, 20*time.Second, func() bool {
		return strings.Contains(run(tb, "ovn-sbctl", "--db=unix:"+o.socket("sb"), "--bare", "--columns=name", "list", "chassis"), name)
	})
}

// ovnCarrier builds two nodes with OVN: one logical switch, a port group, and an ACL that lets TCP and UDP pass
// and tracks connections. It returns the nodes' tunnel addresses too, and nil where OVN is not installed.
func ovnCarrier(tb testing.TB, ns *namespaces) (*carrier, []string) {
	o := startOVN(tb)
	if o == nil {
		return nil, nil
	}
	c := &carrier{name: "OVN", nodes: []vswitch{newVswitch(tb), newVswitch(tb)}}
	tunnels := underlay(tb, ns, c.nodes)
	for i, address := range tunnels {
		o.join(tb, c.nodes[i], fmt.Sprintf("n%d", i+1), address)
	}
	o.nb(tb, "ls-add", "ls0", "--", "pg-add", "pg0")
	var ports []string
	for i, node := range []int{0, 0, 1} {
		c.containers[i] = endpoint{namespace: ns.add("o"), address: fmt.Sprintf("10.3.0.%d", i+1)}
		name, mac := fmt.Sprintf("ovn%d", i), fmt.Sprintf("02:78:00:00:00:%02x", i+1)
		addresses := mac + " " + c.containers[i].address
		o.nb(tb, "lsp-add", "ls0", name, "--", "lsp-set-addresses", name, addresses, "--", "lsp-set-port-security", name, addresses)
		c.nodes[node].plug(tb, wire{endpoint: c.containers[i], port: name, bridge: "br-int", mac: mac, externalIDs: "iface-id=" + name})
		ports = append(ports, name)
	}
	o.nb(tb, append([]string{"pg-set-ports", "pg0"}, ports...)...)
	o.nb(tb, "acl-add", "pg0", "to-lport", "1000", "outport == @pg0 && ip4 && (tcp || udp)", "allow-related",
		"--", "acl-add", "pg0", "to-lport", "900", "outport == @pg0 && ip", "drop")
	o.nb(tb, "--wait=hv", "sync")
	for i, node := range []int{0, 0, 1} {
		eventually(tb, "OVN's port "+ports[i], 20*time.Second, func() bool {
			return strings.Contains(c.nodes[node].vsctl(tb, "--if-exists", "get", "interface", ports[i], "external_ids"), `ovn-installed="true"`)
		})
	}
	return c, tunnels
}
