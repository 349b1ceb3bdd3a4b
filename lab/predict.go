package lab

import (
	"fmt"
	"net/netip"
	"slices"

	"github.com/weftfabric/weft/controller/compile"
	"github.com/weftfabric/weft/fabric"
	"github.com/weftfabric/weft/firewall"
	"github.com/weftfabric/weft/lab/probe"
	"github.com/weftfabric/weft/topology"
)

// Question is one probe of the matrix: from a workload to an address of another one. Workloads are named by
// their references.
type Question struct {
	From, To string
	Address  netip.Addr
	Service  probe.Service
}

// Predict says who must answer each question, in their order: the workload's reference, or "" for nobody. It
// depends on the declared topology and on the addresses that workloads have, on nothing that was installed:
// policy is what firewall.Decide says.
func Predict(intent *topology.Intent, workloads []Attached, questions []Question) ([]string, error) {
	m, err := newModel(intent, workloads)
	if err != nil {
		return nil, err
	}
	answers := make([]string, len(questions))
	for i, q := range questions {
		answers[i] = m.whoAnswers(q)
	}
	return answers, nil
}

// model is the topology with numbers of the lab's own: any will do, as policy only compares them.
type model struct {
	workloads  map[string]Attached
	networks   map[fabric.NetworkRef]fabric.NetworkID
	peers      map[fabric.NetworkRef][]fabric.NetworkRef
	identities map[string]fabric.Identity // of workloads
	tables     map[fabric.NetworkID]firewall.Table
}

func newModel(intent *topology.Intent, workloads []Attached) (*model, error) {
	m := &model{
		workloads:  map[string]Attached{},
		networks:   map[fabric.NetworkRef]fabric.NetworkID{},
		peers:      map[fabric.NetworkRef][]fabric.NetworkRef{},
		identities: map[string]fabric.Identity{},
	}
	state := compile.State{
		Intent:     intent,
		Networks:   map[fabric.NetworkRef]compile.NetworkAlloc{},
		Identities: map[fabric.Identity]compile.IdentityAlloc{},
	}
	for i, n := range intent.Networks() {
		id := fabric.NetworkID(i + 1)
		m.networks[n.Ref()] = id
		m.peers[n.Ref()] = intent.PeersOf(n.Ref())
		state.Networks[n.Ref()] = compile.NetworkAlloc{ID: id, Blocks: []fabric.VNIBlock{{Base: fabric.Identity(id) << 8, Bits: fabric.DefaultVNIBlockBits}}}
	}
	if err := m.numberIdentities(intent, workloads, &state); err != nil {
		return nil, err
	}
	m.tables = compile.Tables(state)
	return m, nil
}

// numberIdentities gives each label set of a network a number in the network's block.
func (m *model) numberIdentities(intent *topology.Intent, workloads []Attached, state *compile.State) error {
	byLabels := map[string]fabric.Identity{}
	used := map[fabric.NetworkID]fabric.Identity{}
	ignored := intent.Settings().IgnoredLabels
	for _, a := range workloads {
		ref := a.Workload.networkRef()
		id, ok := m.networks[ref]
		if !ok {
			return fmt.Errorf("predict: workload %s is in network %s, which is not declared any more", a.Ref(), ref)
		}
		labels := a.Workload.Metadata.Labels
		if port := intent.Port(a.Workload.portRef()); port != nil {
			labels = port.Metadata.Labels
		}
		labels = topology.PolicyLabels(ignored, labels)
		key := ref.String() + " " + labels.String()
		identity, ok := byLabels[key]
		if !ok {
			if used[id]++; used[id] > 255 {
				return fmt.Errorf("predict: network %s has more than 255 label sets", ref)
			}
			identity = fabric.Identity(id)<<8 + used[id]
			byLabels[key] = identity
			state.Identities[identity] = compile.IdentityAlloc{Network: ref, Labels: labels}
		}
		m.workloads[a.Ref()] = a
		m.identities[a.Ref()] = identity
	}
	return nil
}

// whoAnswers follows a probe: to whom the address belongs as the source sees it, whether policy lets it pass,
// and whether anybody listens there.
func (m *model) whoAnswers(q Question) string {
	from := m.workloads[q.From]
	to, ok := m.owner(from, q.Address)
	if !ok || !to.answers(q.Service) {
		return ""
	}
	if to.Ref() == from.Ref() {
		return to.Ref() // an address of its own never leaves the workload
	}
	source, ok := sourceFor(from, q.Address)
	if !ok {
		return ""
	}
	packet := firewall.Packet{
		Src: firewall.Endpoint{Network: m.networks[from.Workload.networkRef()], Identity: m.identities[from.Ref()], Addr: source},
		Dst: firewall.Endpoint{Network: m.networks[to.Workload.networkRef()], Identity: m.identities[to.Ref()], Addr: q.Address},
	}
	switch q.Service.Protocol {
	case probe.TCP:
		packet.Protocol, packet.DstPort = firewall.TCP, q.Service.Port
	case probe.UDP:
		packet.Protocol, packet.DstPort = firewall.UDP, q.Service.Port
	case probe.ICMP:
		packet.Protocol, packet.Type = firewall.ICMP, 8 // echo request (RFC 792)
		if q.Address.Is6() {
			packet.Protocol, packet.Type = firewall.ICMPv6, 128 // echo request (RFC 4443)
		}
	}
	if !firewall.Decide(m.tables, packet).Allowed {
		return ""
	}
	return to.Ref()
}

// owner finds whose an address is in the source's network, or in one that is peered with it. Those never
// overlap.
func (m *model) owner(from Attached, a netip.Addr) (Attached, bool) {
	ref := from.Workload.networkRef()
	visible := append([]fabric.NetworkRef{ref}, m.peers[ref]...)
	for _, w := range m.workloads {
		if slices.Contains(visible, w.Workload.networkRef()) && w.has(a) {
			return w, true
		}
	}
	return Attached{}, false
}

func (a Attached) has(addr netip.Addr) bool {
	return slices.ContainsFunc(a.Addresses, func(p netip.Prefix) bool { return p.Addr() == addr })
}

func (a Attached) answers(s probe.Service) bool {
	return s.Protocol == probe.ICMP || slices.Contains(a.Workload.services(), s)
}

// sourceFor is the address from which a workload sends to another: its one of the family.
func sourceFor(from Attached, to netip.Addr) (netip.Addr, bool) {
	for _, p := range from.Addresses {
		if p.Addr().Is4() == to.Is4() {
			return p.Addr(), true
		}
	}
	return netip.Addr{}, false
}
