package lab

import (
	"context"
	"fmt"
	"net/netip"
	"path/filepath"
	"slices"

	"github.com/weftfabric/weft/fabric"
)

// MaxNodes is the largest number of nodes of one lab.
const MaxNodes = 100

// The lab's own networks. They exist in its namespaces only, so they can't collide with the machine's, and
// the workloads' addresses live inside the overlay, apart from them.
var (
	underlayNet   = netip.MustParsePrefix("172.30.0.0/24")
	underlayNet6  = netip.MustParsePrefix("fd30::/64")
	managementNet = netip.MustParsePrefix("172.31.0.0/24")
)

const (
	underlayBridge   = "ul0"
	managementBridge = "mgmt0"
	controllerHost   = 1 // of managementNet
	firstNodeHost    = 11
	controllerPort   = 7443
	// Where metrics are told, at the management addresses.
	controllerMetrics = 7601
	agentMetrics      = 7602
)

// hostAddr returns the n-th address of a network.
func hostAddr(p netip.Prefix, n int) netip.Addr {
	b := p.Addr().AsSlice()
	b[len(b)-1] += byte(n)
	addr, _ := netip.AddrFromSlice(b)
	return addr
}

func cidr(p netip.Prefix, n int) string {
	return netip.PrefixFrom(hostAddr(p, n), p.Bits()).String()
}

func (r *Record) namespaceName(part string) string { return "weft-" + r.Name + "-" + part }

func (r *Record) underlayNamespace() string   { return r.namespaceName("underlay") }
func (r *Record) controllerNamespace() string { return r.namespaceName("controller") }

// makeNetworks makes the wires of the lab: the underlay, a bridge in a namespace of its own, and the
// management network, a bridge in the controller's namespace.
func (r *Record) makeNetworks(ctx context.Context) error {
	settings := append(append([]string{}, noIPv6...), noNetfilter...)
	for _, bridge := range []struct{ namespace, name, address string }{
		{r.underlayNamespace(), underlayBridge, ""},
		{r.controllerNamespace(), managementBridge, cidr(managementNet, controllerHost)},
	} {
		if err := r.makeNamespace(ctx, bridge.namespace, settings...); err != nil {
			return err
		}
		script := fmt.Sprintf("ip link add %[1]s type bridge && ip link set %[1]s up", bridge.name)
		if bridge.address != "" {
			script += fmt.Sprintf(" && ip addr add %s dev %s", bridge.address, bridge.name)
		}
		if _, err := command(ctx, within(bridge.namespace, "sh", "-ec", script)...); err != nil {
			return err
		}
	}
	return nil
}

// underlay is what the nodes' tunnel packets go over.
type underlay struct {
	net    netip.Prefix
	mtu    int
	kernel bool // the kernel's datapath
	// kernelCard leaves the network card to the kernel: neither the kernel's tunnels nor encrypted ones need a bridge below them.
	kernelCard bool
}

// underlayOf returns the underlay that options ask for.
func underlayOf(o Options) underlay {
	u := underlay{net: underlayNet, mtu: o.Topology.Intent.Settings().UnderlayMTU, kernel: o.KernelDatapath, kernelCard: o.KernelDatapath || o.KernelCard}
	if o.IPv6Underlay {
		u.net = underlayNet6
	}
	return u
}

// makeNode makes a node's namespace and its two wires: eth0 to the underlay, which the userspace datapath takes into
// br-ul later, and mgmt0 to the controller.
func (r *Record) makeNode(ctx context.Context, index int, ul underlay, declared DeclaredNode) (Node, error) {
	name := string(nodeName(index))
	address := hostAddr(ul.net, firstNodeHost+index-1)
	n := Node{
		Name:       fabric.NodeName(name),
		Namespace:  r.namespaceName(name),
		Dir:        filepath.Join(r.dir, name),
		Kernel:     ul.kernel,
		KernelCard: ul.kernelCard,
		Labels:     declared.Metadata.Labels,
		NAT:        declared.Spec.NAT,
		VTEP:       address,
		Management: hostAddr(managementNet, firstNodeHost+index-1),
	}
	if n.NAT {
		n.VTEP = hostAddr(natNet, natNodeHost)
	}
	r.Nodes = append(r.Nodes, n)
	if err := r.makeNamespace(ctx, n.Namespace, slices.Concat(noIPv6, noNetfilter, oneAnswer)...); err != nil {
		return n, err
	}
	if n.NAT {
		if err := r.makeRouter(ctx, n, netip.PrefixFrom(address, ul.net.Bits()), ul.mtu); err != nil {
			return n, err
		}
	} else if err := runIP(ctx,
		fmt.Sprintf("link add %s netns %s mtu %d type veth peer name eth0 netns %s mtu %d", name, r.underlayNamespace(), ul.mtu, n.Namespace, ul.mtu),
		fmt.Sprintf("-n %s link set %s master %s up", r.underlayNamespace(), name, underlayBridge),
		fmt.Sprintf("-n %s link set eth0 up", n.Namespace),
	); err != nil {
		return n, err
	}
	return n, runIP(ctx,
		fmt.Sprintf("link add %s netns %s type veth peer name mgmt0 netns %s", name, r.controllerNamespace(), n.Namespace),
		fmt.Sprintf("-n %s link set %s master %s up", r.controllerNamespace(), name, managementBridge),
		fmt.Sprintf("-n %s addr add %s dev mgmt0", n.Namespace, cidr(managementNet, firstNodeHost+index-1)),
		fmt.Sprintf("-n %s link set mgmt0 up", n.Namespace),
	)
}
