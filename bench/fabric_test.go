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
	ranges map[fabric.NetworkRef]netip.Prefix
	taken  map[fabric.NetworkRef][]netip.Prefix
	held   map[hosting][]netip.Prefix
}

type hosting struct {
	node    fabric.NodeName
	network fabric.NetworkRef
}

// newWorld returns a fabric of nodes without networks.
func newWorld(nodes int, blocks topology.NodeBlock) *world {
	w := &world{
		blocks: blocks, used: map[compile.LeaseKey]int{}, last: map[hosting]compile.LeaseKey{},
		ranges: map[fabric.NetworkRef]netip.Prefix{}, taken: map[fabric.NetworkRef][]netip.Prefix{}, held: map[hosting][]netip.Prefix{},
	}
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
		w.ranges[ref] = netip.PrefixFrom(netip.AddrFrom4([4]byte{10, byte(i % 2 * 128), 0, 0}), 9)
		objects = append(objects,
			object(&topology.Network{
				Metadata: topology.Metadata{Tenant: ref.Tenant, Name: ref.Name},
				Spec:     topology.NetworkSpec{Subnets: []topology.Subnet{{Name: "main", IPv4: w.ranges[ref]}}},
			}),
			object(&topology.Peering{
				Metadata: topology.Metadata{Tenant: ref.Tenant, Name: ref.Name},
				Spec:     topology.PeeringSpec{Network: ref.Name, Peer: topology.PeerNetwork{Tenant: other.Tenant, Network: other.Name}},
			}))
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
	if leased && w.used[key] < 1<<(32-key.Prefix.Bits())-3 {
		w.used[key]++
		return nil
	}
	key = compile.LeaseKey{Network: ref, Prefix: w.nextBlock(at)}
	w.taken[ref], w.held[at] = append(w.taken[ref], key.Prefix), append(w.held[at], key.Prefix)
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

// nextBlock returns the block that a node would lease next of a network.
func (w *world) nextBlock(at hosting) netip.Prefix {
	block, err := topology.BlockLease{Blocks: w.blocks, Subnet: w.ranges[at.network], Held: w.held[at], Taken: w.taken[at.network]}.Next()
	if err != nil {
		panic(err)
	}
	return block
}
