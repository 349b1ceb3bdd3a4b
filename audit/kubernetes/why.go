package kubernetes

import (
	"fmt"
	"net/netip"
	"reflect"
	"slices"

	"github.com/weftfabric/weft/audit"
	"github.com/weftfabric/weft/firewall"
	"github.com/weftfabric/weft/firewall/reach"
)

// WhyOf explains a service, such as tcp/80, between the ends that q names.
func WhyOf(w *World, q audit.Question, service string) (audit.Why, error) {
	out := audit.Why{Header: audit.HeaderOf("Why"), From: q.From, To: q.To, Service: service, Explanations: []audit.Explanation{}}
	packet, families, err := audit.ParseService(service)
	if err != nil {
		return out, err
	}
	from, srcAt, err := w.end(q.From)
	if err != nil {
		return out, err
	}
	to, dstAt, err := w.end(q.To)
	if err != nil {
		return out, err
	}
	if srcAt.IsValid() && dstAt.IsValid() {
		return out, fmt.Errorf("%s and %s are both outside of the cluster: no policy governs what passes between them", q.From, q.To)
	}
	for _, i := range from {
		for _, j := range to {
			for _, p := range w.between(i, j) {
				at := pointOf(packet, p.Family)
				if !slices.Contains(families, p.Family) || !p.Services.Contains(at) {
					continue
				}
				if !w.lies(i, p.Family, p.Src, srcAt) || !w.lies(j, p.Family, p.Dst, dstAt) {
					continue
				}
				p.Services = reach.Set{{First: at, Last: at}}
				x := w.explain(i, j, p, srcAt, dstAt)
				if !slices.ContainsFunc(out.Explanations, func(y audit.Explanation) bool { return alike(x, y) }) {
					out.Explanations = append(out.Explanations, x)
				}
			}
		}
	}
	if len(out.Explanations) == 0 {
		return out, fmt.Errorf("%s and %s have no two addresses of one family between which %s can be sent", q.From, q.To, service)
	}
	return out, nil
}

// alike reports whether two explanations differ in their packets alone, as those of two families do.
func alike(x, y audit.Explanation) bool {
	x.Witness, y.Witness = nil, nil
	return reflect.DeepEqual(x, y)
}

// lies reports whether an asked-for address is among those of a part's side; the zero one always is.
func (w *World) lies(class int, f reach.Family, s reach.Set, a netip.Addr) bool {
	return !a.IsValid() || w.engine.Addresses(class, f, s).Contains(w.engine.Atoms.Of(a))
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
func (w *World) explain(from, to int, p reach.Part, srcAt, dstAt netip.Addr) audit.Explanation {
	packet := reach.PacketAt(p.Services[0].First)
	packet.Src, packet.Dst = w.witness(from, p.Family, p.Src, srcAt), w.witness(to, p.Family, p.Dst, dstAt)
	x := audit.Explanation{
		From: w.name(from, srcAt), To: w.name(to, dstAt), Joined: true, Allowed: p.Allowed,
		Sources: w.texts(p.Src), Destinations: w.texts(p.Dst),
		Witness: &audit.Witness{Source: placed(packet.Src.Addr), Destination: placed(packet.Dst.Addr), Service: audit.ServiceText(packet)},
		Steps:   audit.StepsOf(w.Tables, packet),
	}
	return x
}

// witness returns an end of a part with its lowest address, or with the one asked for.
func (w *World) witness(class int, f reach.Family, s reach.Set, at netip.Addr) firewall.Endpoint {
	if !at.IsValid() {
		at = w.engine.Atoms.Ranges(w.engine.Addresses(class, f, s))[0].First
	}
	return firewall.Endpoint{Network: w.sides[class].Network, Identity: w.classes[class].identity, Addr: at}
}

// placed returns an address, or the zero one for a stand-in.
func placed(a netip.Addr) netip.Addr {
	if nowhere4.Contains(a) || nowhere6.Contains(a) {
		return netip.Addr{}
	}
	return a
}

// texts writes address ranges for people, without stand-ins.
func (w *World) texts(s reach.Set) []string {
	var out []string
	for _, r := range w.engine.Atoms.Ranges(s) {
		if placed(r.First).IsValid() {
			out = append(out, shown(r).String())
		}
	}
	return out
}
