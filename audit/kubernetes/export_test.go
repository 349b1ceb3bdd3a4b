package kubernetes

import (
	"net/netip"

	"github.com/weftfabric/weft/firewall"
)

// Verdicts returns what the reference and the set engine say about a packet between two ends, named as in questions.
// Workloads send from and to the addresses given; each must have one kind of pods.
func Verdicts(w *World, from, to string, src, dst netip.Addr, p firewall.Packet) (decided, computed bool) {
	i, j := w.single(from), w.single(to)
	p.Src = firewall.Endpoint{Network: w.sides[i].Network, Identity: w.classes[i].identity, Addr: src}
	p.Dst = firewall.Endpoint{Network: w.sides[j].Network, Identity: w.classes[j].identity, Addr: dst}
	decided = firewall.Decide(w.Tables, p).Allowed
	if p.Src.Network|p.Dst.Network == 0 {
		decided = true // no policy governs it, and Decide is never asked
	}
	for _, part := range w.between(i, j) {
		if !w.lies(i, part.Family, part.Src, src) || !w.lies(j, part.Family, part.Dst, dst) {
			continue
		}
		if part.Services.Contains(pointOf(p, part.Family)) {
			computed = computed || part.Allowed
		}
	}
	return decided, computed
}

// single returns the one class of an end.
func (w *World) single(name string) int {
	classes, _, err := w.end(name)
	if err != nil || len(classes) != 1 {
		panic(name)
	}
	return classes[0]
}
