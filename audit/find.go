package audit

import (
	"fmt"
	"slices"
	"strings"

	"github.com/weftfabric/weft/fabric"
	"github.com/weftfabric/weft/topology"
)

// Find returns the classes that a text of the command line means: "tenant/name", a declared workload alone, or
// "tenant/network:key=value,key=value", the classes of a network with these labels; those of all labels without any.
func Find(intent *topology.Intent, workloads []Workload, imagined []Class, text string) ([]Class, error) {
	network, labels, isClass := strings.Cut(strings.TrimPrefix(text, "lab:"), ":")
	if !isClass {
		for _, l := range workloads {
			if l.Name == text {
				return []Class{{Network: l.Network, Labels: l.Labels, Workloads: []string{l.Name}, Addresses: l.ranges(intent)}}, nil
			}
		}
		return nil, fmt.Errorf("workload %q is not declared: name a Port or a workload of the lab as tenant/name, or a class as tenant/network:key=value", text)
	}
	ref, err := fabric.ParseNetworkRef(network)
	if err != nil {
		return nil, fmt.Errorf("%q: %w", text, err)
	}
	if intent.Network(ref) == nil {
		return nil, fmt.Errorf("%q: network %s is not declared", text, ref)
	}
	wanted := fabric.Labels{}
	for part := range strings.SplitSeq(labels, ",") {
		if part == "" {
			continue
		}
		key, value, ok := strings.Cut(part, "=")
		if !ok {
			return nil, fmt.Errorf("%q: label %q has no value: write key=value", text, part)
		}
		wanted[key] = value
	}
	s := topology.Selector{MatchLabels: wanted}
	var out []Class
	for _, c := range slices.Concat(classesOf(intent, workloads), imagined) {
		if c.Network == ref && s.Matches(c.Labels) {
			out = append(out, c)
		}
	}
	if len(out) == 0 { // a workload that may come
		out = append(out, Class{Network: ref, Labels: wanted, Addresses: networkRanges(intent.Network(ref))})
	}
	return out, nil
}
