package kubernetes

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"github.com/weftfabric/weft/fabric"
	"github.com/weftfabric/weft/firewall"
	"github.com/weftfabric/weft/firewall/reach"
)

// World is a cluster with its policies lowered to rules.
type World struct {
	Cluster *Cluster
	Tables  map[fabric.NetworkID]firewall.Table

	identities []identity
	classes    []class
	sides      []reach.Class
	of         [][]int // by workload: its classes
	outside    int     // the class of addresses outside of the cluster
	engine     *reach.Engine
	services   reach.Set // TCP, UDP and SCTP, without port 0
	memo       map[memoKey]reach.Set
}

// class is some pods of a workload that policies treat alike.
type class struct {
	workload  int // -1: outside
	identity  fabric.Identity
	addresses []reach.Range
}

// Options are what manifests don't say.
type Options struct {
	// PodRanges are where the addresses of pods lie that the manifests don't tell. Without them, such a pod is in a
	// range only if that holds every address of a family.
	PodRanges []netip.Prefix
}

// NewWorld lowers the policies of a cluster. cuts are passed to reach.New.
func NewWorld(c *Cluster, o Options, cuts ...reach.Range) (*World, error) {
	w := &World{Cluster: c, of: make([][]int, len(c.Workloads)), memo: make(map[memoKey]reach.Set)}
	numbers := make(map[string]fabric.Identity)
	for i, l := range c.Workloads {
		for _, p := range l.Pods {
			x := class{workload: i}
			if !l.HostNetwork {
				key := l.Namespace + " " + p.alike()
				if numbers[key] == 0 {
					w.identities = append(w.identities, identity{namespace: c.namespace(l.Namespace), pod: p, ports: fmt.Sprint(p.Ports)})
					numbers[key] = fabric.Identity(len(w.identities))
				}
				x.identity = numbers[key]
			}
			w.place(&x, p.Addresses, o)
			w.of[i] = append(w.of[i], len(w.classes))
			w.classes = append(w.classes, x)
		}
	}
	if len(w.identities) >= 1<<24 {
		return nil, fmt.Errorf("%d kinds of pods are more than can be numbered: audit them in parts", len(w.identities))
	}
	w.outside = len(w.classes)
	w.classes = append(w.classes, class{workload: -1, addresses: outside()})
	w.Tables = map[fabric.NetworkID]firewall.Table{network: lower(c, w.identities)}
	for _, x := range w.classes {
		side := reach.Class{Identity: x.identity, Addresses: x.addresses}
		if x.identity != 0 {
			side.Network = network
		}
		w.sides = append(w.sides, side)
	}
	w.engine = reach.New(w.Tables, w.sides, cuts...)
	var all []firewall.Service
	for _, p := range protocols {
		all = append(all, firewall.Service{Protocol: p.protocol, Ports: firewall.PortRange{First: 1, Last: 65535}})
	}
	w.services = reach.ServicesOf(all, reach.IPv4)
	return w, nil
}

// place fills in where the addresses of a class lie.
func (w *World) place(x *class, known []netip.Addr, o Options) {
	if len(known) == 0 && len(o.PodRanges) > 0 && x.identity != 0 {
		for _, p := range o.PodRanges {
			x.addresses = append(x.addresses, reach.RangeOf(p))
		}
		return
	}
	if len(known) == 0 {
		known = standIns(x.identity) // 0 for those that use the addresses of nodes
	}
	for _, a := range known {
		x.addresses = append(x.addresses, reach.Range{First: a, Last: a})
		if x.identity != 0 {
			w.identities[x.identity-1].addresses = append(w.identities[x.identity-1].addresses, a)
		}
	}
}

// end returns the workload, or the address outside of the cluster, that a text means.
func (w *World) end(text string) (classes []int, at netip.Addr, err error) {
	if a, err := netip.ParseAddr(text); err == nil {
		return []int{w.outside}, a.Unmap(), nil
	}
	var near []string
	for i, l := range w.Cluster.Workloads {
		if l.String() == text {
			return w.of[i], netip.Addr{}, nil
		}
		if strings.HasSuffix(text, "/"+l.Name) || text == l.Name {
			near = append(near, l.String())
		}
	}
	hint := ""
	if len(near) > 0 {
		hint = "; there is " + strings.Join(near, ", ")
	}
	return nil, netip.Addr{}, fmt.Errorf("workload %q is not declared: name one as namespace/Kind/name, or an address outside of the cluster%s", text, hint)
}

// name returns how answers name a class: by its workload, or by an address outside of the cluster.
func (w *World) name(class int, at netip.Addr) string {
	switch i := w.classes[class].workload; {
	case i >= 0:
		return w.Cluster.Workloads[i].String()
	case at.IsValid():
		return at.String()
	}
	return "outside"
}

// between returns what policy decides between two classes. Where no policy governs either side everything passes.
func (w *World) between(from, to int) []reach.Part {
	if w.sides[from].Network != 0 || w.sides[to].Network != 0 {
		return w.engine.Between(from, to)
	}
	var out []reach.Part
	for _, f := range []reach.Family{reach.IPv4, reach.IPv6} {
		if !w.engine.Addresses(from, f, nil).IsEmpty() && !w.engine.Addresses(to, f, nil).IsEmpty() {
			out = append(out, reach.Part{Family: f, Services: w.engine.Services(f), Allowed: true})
		}
	}
	return out
}

// memoKey names parts that were looked at: the engine returns the same ones for pairs that are alike.
type memoKey struct {
	first *reach.Part
	n     int
}

// allowed returns the services of TCP, UDP and SCTP that some pod of one class can open to some pod of another.
func (w *World) allowed(from, to int) reach.Set {
	parts := w.between(from, to)
	if len(parts) == 0 {
		return nil
	}
	key := memoKey{&parts[0], len(parts)}
	out, known := w.memo[key]
	if !known {
		for _, p := range parts {
			if p.Allowed {
				out = out.Union(p.Services)
			}
		}
		out = out.Intersect(w.services)
		w.memo[key] = out
	}
	return out
}

// connects returns the services that some pod of a workload can open to some pod of another, by their places.
func (w *World) connects(from, to int) reach.Set {
	var out reach.Set
	for _, i := range w.of[from] {
		for _, j := range w.of[to] {
			out = out.Union(w.allowed(i, j)) // of one it is the same set
		}
	}
	return out
}

// exposure is a range of outside addresses with what can be opened from or to them.
type exposure struct {
	addresses reach.Span // of atoms
	services  reach.Set
}

// exposures returns what a workload can open to outside addresses, or they to it, in order: neighbouring addresses with
// one answer are one entry, those without any connection are left out.
func (w *World) exposures(workload int, d firewall.Direction) []exposure {
	type piece struct {
		addresses, services reach.Set
	}
	var pieces []piece
	var ends []uint32
	for _, i := range w.of[workload] {
		from, to := i, w.outside
		if d == firewall.Ingress {
			from, to = to, from
		}
		for _, p := range w.between(from, to) {
			at := p.Dst
			if d == firewall.Ingress {
				at = p.Src
			}
			services := p.Services.Intersect(w.services)
			if !p.Allowed || services.IsEmpty() {
				continue
			}
			at = w.engine.Addresses(w.outside, p.Family, at)
			pieces = append(pieces, piece{at, services})
			for _, s := range at {
				ends = append(ends, s.First, s.Last+1)
			}
		}
	}
	slices.Sort(ends)
	ends = slices.Compact(ends)
	first6 := w.engine.Atoms.Of(netip.IPv6Unspecified())
	var out []exposure
	for i := 0; i+1 < len(ends); i++ {
		e := exposure{addresses: reach.Span{First: ends[i], Last: ends[i+1] - 1}}
		for _, p := range pieces {
			if p.addresses.Contains(ends[i]) {
				e.services = e.services.Union(p.services)
			}
		}
		if n := len(out); n > 0 && out[n-1].addresses.Last+1 == ends[i] && ends[i] != first6 && out[n-1].services.Equal(e.services) {
			out[n-1].addresses.Last = e.addresses.Last
			continue
		}
		if !e.services.IsEmpty() {
			out = append(out, e)
		}
	}
	return out
}

// rangeOf returns the addresses of atoms, for people.
func (w *World) rangeOf(s reach.Span) reach.Range {
	return shown(w.engine.Atoms.Ranges(reach.Set{s})[0])
}
