package bench

import (
	"fmt"
	"net/netip"

	"github.com/weftfabric/weft/controller/compile"
	"github.com/weftfabric/weft/fabric"
	"github.com/weftfabric/weft/topology"
)

// The tiers are the label sets of a fabric's workloads.
var tiers = [...]string{"web", "app", "db", "cache"}

// world is a fabric as the controller holds it: it changes as the controller changes it when a workload is
// attached, and remembers what each lease has given away.
type world struct {
	state  compile.State
	blocks topology.NodeBlock
	used   map[compile.LeaseKey]int // workloads in a lease
	last   map[hosting]compile.LeaseKey
	next   map[fabric.NetworkRef]netip.Addr // where the next lease begins
}

type hosting struct {
	node    fabric.NodeName
	network fabric.NetworkRef
}

// newWorld returns a fabric of nodes without networks.
func newWorld(nodes int, blocks topology.NodeBlock) *world {
	w := &world{blocks: blocks, used: map[compile.LeaseKey]int{}, last: map[hosting]compile.LeaseKey{}, next: map[fabric.NetworkRef]netip.Addr{}}
	w.state = compile.State{
		Intent: topology.NewIntent(), Networks: map[fabric.NetworkRef]compile.NetworkAlloc{}, Identities: map[fabric.Identity]compile.IdentityAlloc{},
		Leases: map[compile.LeaseKey]compile.Lease{}, Bindings: map[fabric.PortRef]fabric.NodeName{}, Nodes: map[fabric.NodeName]compile.NodeState{},
	}
	for i := range nodes {
		w.state.Nodes[nodeName(i)] = compile.NodeState{VTEP: netip.AddrFrom4([4]byte{172, 16, byte(i >> 8), byte(i)})}
	}
	return w
}

func nodeName(i int) fabric.NodeName { return fabric.NodeName(fmt.Sprintf("node%d", i)) }

// networkBase is the first identity of the i-th network.
func networkBase(i int) fabric.Identity { return fabric.Identity(i+1) << 8 }

// networks adds networks, two peered ones of each tenant, with one identity for each tier and with policies
// between the tiers.
func (w *world) networks(n int) []fabric.NetworkRef {
	var objects []*topology.Object
	var refs []fabric.NetworkRef
	for i := range n {
		ref := fabric.NetworkRef{Tenant: fmt.Sprintf("t%d", i/2), Name: fmt.Sprintf("net%d", i%2)}
		other := fabric.NetworkRef{Tenant: ref.Tenant, Name: fmt.Sprintf("net%d", 1-i%2)}
		refs = append(refs, ref)
		if i%2 == 0 {
			objects = append(objects, object(&topology.Tenant{Metadata: topology.Metadata{Name: ref.Tenant}}),
				allow(ref.Tenant, "app", "web", 8080), allow(ref.Tenant, "db", "app", 5432))
		}
		first := netip.AddrFrom4([4]byte{10, byte(i % 2 * 128), 0, 0})
		objects = append(objects,
			object(&topology.Network{
				Metadata: topology.Metadata{Tenant: ref.Tenant, Name: ref.Name},
				Spec:     topology.NetworkSpec{Subnets: []topology.Subnet{{Name: "main", IPv4: netip.PrefixFrom(first, 9)}}},
			}),
			object(&topology.Peering{
				Metadata: topology.Metadata{Tenant: ref.Tenant, Name: ref.Name},
				Spec:     topology.PeeringSpec{Network: ref.Name, Peer: topology.PeerNetwork{Tenant: other.Tenant, Network: other.Name}},
			}))
		w.next[ref] = first
		w.state.Networks[ref] = compile.NetworkAlloc{ID: fabric.NetworkID(i + 1), Blocks: []fabric.VNIBlock{{Base: networkBase(i), Bits: 16}}}
		for j, tier := range tiers {
			w.state.Identities[networkBase(i)+fabric.Identity(j)] = compile.IdentityAlloc{Network: ref, Labels: fabric.Labels{"tier": tier}}
		}
	}
	w.state.Intent = w.state.Intent.With(objects...)
	return refs
}

// allow returns a policy that lets a tier reach another one's port.
func allow(tenant, subject, peer string, port uint16) *topology.Object {
	selector := func(tier string) topology.Selector {
		return topology.Selector{MatchLabels: fabric.Labels{"tier": tier}}
	}
	return object(&topology.FirewallPolicy{
		Metadata: topology.Metadata{Tenant: tenant, Name: subject + "-" + peer},
		Spec: topology.FirewallPolicySpec{Subject: selector(subject), Ingress: []topology.Rule{{
			From: []topology.Peer{{Workloads: &topology.WorkloadPeer{Selector: selector(peer)}}}, Ports: []topology.PortRange{{Protocol: topology.TCP, Port: port}},
		}}},
	})
}

func object(body any) *topology.Object {
	o, ok := topology.NewObject(body)
	if !ok {
		panic(fmt.Sprintf("%T is no kind", body))
	}
	return o
}

// attach attaches a workload with a known label set, and returns what the controller has to do for it: nothing
// while the node has an address left in a block that it leases.
func (w *world) attach(node fabric.NodeName, ref fabric.NetworkRef) []compile.Change {
	at := hosting{node, ref}
	key, leased := w.last[at]
	// A subnet's gateway, network and broadcast addresses are counted for every block: slightly too early.
	if room := 1<<(32-w.blocks.IPv4) - 3; leased && w.used[key] < room {
		w.used[key]++
		return nil
	}
	key = compile.LeaseKey{Network: ref, Prefix: netip.PrefixFrom(w.next[ref], w.blocks.IPv4)}
	w.next[ref] = after(key.Prefix)
	w.last[at] = key
	w.used[key] = 1
	lease := compile.Lease{Node: node, Subnet: "main"}
	w.state.Leases[key] = lease
	return []compile.Change{{Lease: &compile.LeaseChange{Key: key, Lease: &lease}}}
}

// engine returns an engine at the world's present state, with every plan made.
func (w *world) engine() *compile.Engine {
	e := compile.NewEngine(w.state)
	e.Flush()
	return e
}

// after returns the first address behind an IPv4 prefix.
func after(p netip.Prefix) netip.Addr {
	b := p.Addr().As4()
	n := uint32(b[0])<<24 | uint32(b[1])<<16 | uint32(b[2])<<8 | uint32(b[3])
	n += 1 << (32 - p.Bits())
	return netip.AddrFrom4([4]byte{byte(n >> 24), byte(n >> 16), byte(n >> 8), byte(n)})
}

// nextBlock returns the block that the network would lease next.
func (w *world) nextBlock(ref fabric.NetworkRef) netip.Prefix {
	return netip.PrefixFrom(w.next[ref], w.blocks.IPv4)
}
