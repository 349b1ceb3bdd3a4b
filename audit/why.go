package audit

import (
	"fmt"
	"net/netip"
	"slices"

	"github.com/weftfabric/weft/fabric"
	"github.com/weftfabric/weft/firewall"
	"github.com/weftfabric/weft/firewall/reach"
	"github.com/weftfabric/weft/topology"
)

// Why explains the decisions about a service between two ends.
type Why struct {
	Header
	From         string        `json:"from"`
	To           string        `json:"to"`
	Service      string        `json:"service"`
	Explanations []Explanation `json:"explanations"`
}

// Explanation is one decision, for all addresses that it is the same for.
type Explanation struct {
	From    string `json:"from"` // class
	To      string `json:"to"`
	Joined  bool   `json:"joined"`  // false: the networks aren't, and nothing passes
	Allowed bool   `json:"allowed"` // by policy
	// Fabric says why the fabric itself keeps such packets back, whatever policy says; empty where it doesn't.
	Fabric       string   `json:"fabric,omitempty"`
	Sources      []string `json:"sources,omitempty"` // addresses
	Destinations []string `json:"destinations,omitempty"`
	// Witness is a packet of them, and Steps what the tiers say about it.
	Witness *Witness `json:"witness,omitempty"`
	Steps   []Step   `json:"steps,omitempty"`
	// Switches are what the nodes' switches say about the witness, in the order in which it passes them; none when they
	// were not asked.
	Switches []Crossing `json:"switches,omitempty"`
	// Hits are how often nodes have seen the rules of the steps decide, when they were asked.
	Hits []Hits `json:"hits,omitempty"`

	FromNetwork fabric.NetworkRef `json:"-"`
	ToNetwork   fabric.NetworkRef `json:"-"`
}

// Count adds what the counters say of the rules of the steps.
func (x *Explanation) Count(c Counters) {
	for _, s := range x.Steps {
		if s.Rule == nil {
			continue
		}
		if h, ok := c.rules[s.Rule.counted()]; ok {
			h.Rule = *s.Rule
			x.Hits = append(x.Hits, h)
		}
	}
}

// Crossing is what one node's switch would do with a packet.
type Crossing struct {
	Node    string  `json:"node,omitempty"`
	Packet  string  `json:"packet,omitempty"` // in the syntax of ofproto/trace
	Outcome Passage `json:"outcome"`
	// Reason says why it is dropped, or was not asked.
	Reason string `json:"reason,omitempty"`
	// Rules are those that decided there: egress, then ingress. One that the present policies lack has only its id.
	Rules []RuleRef `json:"rules,omitempty"`
}

// Passage is what becomes of a packet at a switch.
type Passage string

// The passages.
const (
	Delivered Passage = "delivered"
	Forwarded Passage = "forwarded" // into the tunnel to another node
	Dropped   Passage = "dropped"
	ToAgent   Passage = "to the agent"
	NotAsked  Passage = "not asked"
)

// Passes reports whether a new connection reaches its destination: policy allows it, and the fabric forwards such packets.
func (x Explanation) Passes() bool { return x.Allowed && x.Fabric == "" }

// Agrees reports whether the switches carry out what policy and fabric say; known is false when one of them was not asked.
func (x Explanation) Agrees() (agrees, known bool) {
	if len(x.Switches) == 0 {
		return false, false
	}
	last := x.Switches[len(x.Switches)-1].Outcome
	return (last == Delivered) == x.Passes(), last != NotAsked && last != Forwarded
}

// Witness is a packet that shows a decision.
type Witness struct {
	Source      netip.Addr `json:"source"`
	Destination netip.Addr `json:"destination"`
	Service     string     `json:"service"`
}

// String returns "10.0.0.1 -> 10.0.0.2 tcp/80". An address that isn't known is invalid.
func (w Witness) String() string {
	name := func(a netip.Addr) string {
		if a.IsValid() {
			return a.String()
		}
		return "(address not known)"
	}
	return fmt.Sprintf("%s -> %s %s", name(w.Source), name(w.Destination), w.Service)
}

// Step is what one tier says; a nil rule says nothing.
type Step struct {
	Direction string   `json:"direction"`
	Tier      string   `json:"tier"`
	Rule      *RuleRef `json:"rule"`
}

// WhyOf explains a service, such as tcp/80, between the ends that q names.
func WhyOf(intent *topology.Intent, workloads []Workload, q Question, service string) (Why, error) {
	packet, families, err := parseService(service)
	if err != nil {
		return Why{}, err
	}
	w, from, to, err := newQuestion(intent, workloads, q)
	if err != nil {
		return Why{}, err
	}
	out := Why{Header: header("Why"), From: q.From, To: q.To, Service: service, Explanations: []Explanation{}}
	for _, i := range from {
		for _, j := range to {
			if !w.Joined(w.Classes[i].Network, w.Classes[j].Network) {
				out.Explanations = append(out.Explanations, Explanation{From: w.label(i, q.From), To: w.label(j, q.To)})
				continue
			}
			for _, p := range w.between(i, j) {
				if !slices.Contains(families, p.Family) || !p.Services.Contains(pointOf(packet, p.Family)) {
					continue
				}
				p.Services = reach.Set{{First: pointOf(packet, p.Family), Last: pointOf(packet, p.Family)}}
				x := w.explain(i, j, p)
				x.From, x.To = w.label(i, q.From), w.label(j, q.To)
				out.Explanations = append(out.Explanations, x)
			}
		}
	}
	if len(out.Explanations) == 0 {
		return out, fmt.Errorf("%s and %s have no two addresses of one family between which %s can be sent", q.From, q.To, service)
	}
	return out, nil
}

// pointOf returns the place of a packet without ends on the service line.
func pointOf(p firewall.Packet, f reach.Family) uint32 {
	p.Src.Addr = netip.IPv4Unspecified()
	if f == reach.IPv6 {
		p.Src.Addr = netip.IPv6Unspecified()
	}
	return reach.PointOf(p)
}

// explain takes the smallest packet of a part as its witness, and asks the reference about it.
func (w *World) explain(from, to int, p reach.Part) Explanation {
	x := Explanation{
		From: w.Classes[from].Name(), To: w.Classes[to].Name(), Joined: true, Allowed: p.Allowed,
		Sources: w.ranges(p.Src), Destinations: w.ranges(p.Dst),
		FromNetwork: w.Classes[from].Network, ToNetwork: w.Classes[to].Network,
	}
	packet := w.witness(from, to, p)
	x.Fabric = keptBack(packet)
	x.Witness = &Witness{packet.Src.Addr, packet.Dst.Addr, serviceText(packet)}
	for _, s := range firewall.Explain(w.Tables, packet) {
		x.Steps = append(x.Steps, Step{directionName(s.Direction), tierName(s.Tier), ruleRef(s.Rule)})
	}
	return x
}

// witness returns the packet of a part with the lowest addresses and the first service; two different addresses, where
// there are.
func (w *World) witness(from, to int, p reach.Part) firewall.Packet {
	packet := reach.PacketAt(p.Services[0].First)
	if packet.Protocol != firewall.ICMP && packet.Protocol != firewall.ICMPv6 && packet.DstPort == 0 && p.Services.Contains(p.Services[0].First+1) && p.Services[0].First&0xffff == 0 {
		packet = reach.PacketAt(p.Services[0].First + 1) // port 0 is nobody's
	}
	src := w.engine.Atoms.Ranges(w.engine.Addresses(from, p.Family, p.Src))[0]
	dst := w.engine.Atoms.Ranges(w.engine.Addresses(to, p.Family, p.Dst))[0]
	if src.First == dst.First && dst.First != dst.Last {
		dst.First = dst.First.Next()
	}
	packet.Src, packet.Dst = w.endpoint(from, src.First), w.endpoint(to, dst.First)
	return packet
}
