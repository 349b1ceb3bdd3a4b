package bench

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/weftfabric/weft/agent/ovs/ovstest"
	"github.com/weftfabric/weft/lab"
)

// vswitch is a running Open vSwitch in a network namespace.
type vswitch struct{ namespace, dir, database string }

func vswitchOf(n lab.Node) vswitch {
	return vswitch{namespace: n.Namespace, dir: n.OVSDir(), database: n.OVSDB()}
}

// newVswitch runs an Open vSwitch of its own until the test ends.
func newVswitch(tb testing.TB) vswitch {
	s := ovstest.Start(tb)
	return vswitch{namespace: filepath.Base(s.Namespace), dir: s.Dir, database: s.Database}
}

func (v vswitch) vsctl(tb testing.TB, args ...string) string {
	tb.Helper()
	return run(tb, append([]string{"ovs-vsctl", "--timeout=20", "--db=" + v.database}, args...)...)
}

func (v vswitch) appctl(tb testing.TB, args ...string) string {
	tb.Helper()
	return run(tb, append([]string{"ovs-appctl", "-t", filepath.Join(v.dir, "ovs-vswitchd.ctl")}, args...)...)
}

// endpoint is a container on a switch.
type endpoint struct {
	namespace string
	address   string
}

// wire says how an endpoint is plugged into a bridge.
type wire struct {
	endpoint
	port, bridge string
	mac          string
	externalIDs  string // of the interface: key=value
}

// containerMTU is what weft gives to containers on an underlay of 1500 bytes; the peers get the same.
const containerMTU = 1450

// plug makes a pair of interfaces, and puts the switch's end into a bridge. Checksums are computed by the sender:
// the userspace datapath does not complete them.
func (v vswitch) plug(tb testing.TB, w wire) {
	tb.Helper()
	run(tb, "sh", "-ec", fmt.Sprintf(`
		ip link add %[1]s netns %[2]s mtu %[6]d type veth peer name eth0 netns %[3]s mtu %[6]d address %[4]s
		ip -n %[2]s link set %[1]s up
		ip -n %[3]s addr add %[5]s/16 dev eth0
		ip -n %[3]s link set eth0 up
		ip netns exec %[3]s ethtool -K eth0 tx off >/dev/null`, w.port, v.namespace, w.namespace, w.mac, w.address, containerMTU))
	args := []string{"add-port", w.bridge, w.port}
	if w.externalIDs != "" {
		args = append(args, "--", "set", "interface", w.port, "external_ids:"+w.externalIDs)
	}
	v.vsctl(tb, args...)
}

// underlay joins switches by a kernel bridge: each gets a network card in a bridge of its own, br-ul, which has
// the node's tunnel address, as a lab's nodes have. There is room for Geneve, whose header is longer than VXLAN's.
func underlay(tb testing.TB, ns *namespaces, nodes []vswitch) (addresses []string) {
	wires := ns.add("ul")
	run(tb, "ip", "netns", "exec", wires, "sh", "-ec", "ip link add ul0 type bridge; ip link set ul0 up")
	for i, v := range nodes {
		address := fmt.Sprintf("172.30.0.%d", 11+i)
		run(tb, "sh", "-ec", fmt.Sprintf(`
			ip link add n%[1]d netns %[2]s mtu 1600 type veth peer name eth0 netns %[3]s mtu 1600
			ip -n %[2]s link set n%[1]d master ul0 up
			ip netns exec %[3]s sh -c 'echo 1 >/proc/sys/net/ipv4/conf/all/arp_ignore' # the bridge answers for its address, eth0 doesn't
			ip -n %[3]s link set eth0 up`, i, wires, v.namespace))
		v.vsctl(tb, "add-br", "br-ul", "--", "set", "bridge", "br-ul", "datapath_type=netdev", "--", "add-port", "br-ul", "eth0")
		run(tb, "sh", "-ec", fmt.Sprintf("ip -n %[1]s addr add %[2]s/24 dev br-ul; ip -n %[1]s link set br-ul up", v.namespace, address))
		addresses = append(addresses, address)
	}
	return addresses
}

// work is what a switch has done so far.
type work struct {
	cpu     time.Duration // of all its threads
	packets uint64        // received, from all its ports
	passes  uint64        // through the datapath: a recirculation adds one
}

func (w work) minus(o work) work {
	return work{cpu: w.cpu - o.cpu, packets: w.packets - o.packets, passes: w.passes - o.passes}
}

// work reads the switch's time on the processors and dpif-netdev/pmd-stats-show. The latter counts cycles for PMD
// threads only; ports of the kernel are served by the main thread, so the time stands for them.
func (v vswitch) work(tb testing.TB) (w work) {
	tb.Helper()
	w.cpu = cpuOf(tb, v.pid(tb))
	for line := range strings.Lines(v.appctl(tb, "dpif-netdev/pmd-stats-show")) {
		var n uint64
		if c, _ := fmt.Sscanf(strings.TrimSpace(line), "packets received: %d", &n); c == 1 {
			w.packets += n
			w.passes += n
		}
		if c, _ := fmt.Sscanf(strings.TrimSpace(line), "packet recirculations: %d", &n); c == 1 {
			w.passes += n
		}
	}
	return w
}

// pid finds the switch's process in its namespace.
func (v vswitch) pid(tb testing.TB) int {
	tb.Helper()
	for field := range strings.FieldsSeq(run(tb, "ip", "netns", "pids", v.namespace)) {
		pid, err := strconv.Atoi(field)
		if err != nil {
			tb.Fatal(err)
		}
		comm, err := os.ReadFile(fmt.Sprintf("/proc/%d/comm", pid))
		if err == nil && strings.TrimSpace(string(comm)) == "ovs-vswitchd" {
			return pid
		}
	}
	tb.Fatalf("namespace %s has no ovs-vswitchd", v.namespace)
	return 0
}
