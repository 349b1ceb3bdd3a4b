package host

import (
	"net/netip"

	"github.com/weftfabric/weft/fabric"
)

// Alias begins the alias (ifalias) of each link that the agent made.
const Alias = "weft: "

// Veth is a pair of links: one on the node, for the switch, the other in a container's network namespace.
type Veth struct {
	Place
	// For is what the pair is for; it becomes part of the alias.
	For       string
	MAC       fabric.MAC // of the container's end
	MTU       int        // of the container's end
	Addresses []netip.Prefix
	Gateways  []netip.Addr // a default route goes through each
	// Userspace says that vswitchd forwards the packets itself. The container then has to compute checksums,
	// and the node's kernel must not see what the container sends.
	Userspace bool
}

// Place says where the ends of a pair are.
type Place struct {
	HostName  string // the node's end
	Namespace string // path of the container's network namespace
	IfName    string // the container's end
}

// The MTU of the node's end of a pair, and of a tap. It is larger than the workload's, by more than any encapsulation
// takes: the kernel drops what is larger in silence, while the switch tells a workload whose own MTU is wrong.
const (
	leastNodeMTU = 1500
	moreNodeMTU  = 150
)

func nodeMTU(workload int) int { return max(leastNodeMTU, workload+moreNodeMTU) }

// Tap is a persistent tap, which one virtual machine after the other can open.
type Tap struct {
	Name      string
	For       string
	MTU       int // of the guest
	Userspace bool
}

// Inside is what a container has.
type Inside struct {
	MAC       fabric.MAC
	MTU       int
	Up        bool
	Addresses []netip.Prefix // in order, link-local ones left out
	Gateways  []netip.Addr   // of the default routes, in order
}

// Link is a link of the node that the agent made.
type Link struct {
	Name string
	For  string
}
