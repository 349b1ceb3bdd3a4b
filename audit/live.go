package audit

import (
	"cmp"
	"net/netip"
	"slices"
	"strings"

	"github.com/weftfabric/weft/fabric"
	"github.com/weftfabric/weft/topology"
)

// Attachment is a workload's interface, as its node reports it.
type Attachment struct {
	Node      string         `json:"node"`
	Interface string         `json:"interface"`
	Network   string         `json:"network"`            // tenant/name
	Port      string         `json:"port,omitempty"`     // tenant/name of the declared Port that it is on
	Workload  string         `json:"workload,omitempty"` // the runtime's name
	MAC       string         `json:"mac,omitempty"`
	Identity  uint32         `json:"identity,omitempty"`
	Addresses []netip.Prefix `json:"addresses"`
	Labels    fabric.Labels  `json:"labels,omitempty"`
}

func (a Attachment) compare(b Attachment) int {
	return cmp.Or(strings.Compare(a.Node, b.Node), strings.Compare(a.Interface, b.Interface))
}

// addresses returns the addresses without the lengths of their subnets.
func (a Attachment) addresses() []netip.Addr {
	var out []netip.Addr
	for _, p := range a.Addresses {
		out = append(out, p.Addr())
	}
	slices.SortFunc(out, netip.Addr.Compare)
	return out
}

// WithLive returns workloads with those that nodes report among them, by name. A declared Port that is attached has the
// addresses that it got. Others are named tenant/NAME after their runtime's name; where that is taken, or missing,
// "@node:interface" follows. Of attachments to networks that aren't declared, nothing is kept.
func WithLive(intent *topology.Intent, workloads []Workload, attachments []Attachment) []Workload {
	out := slices.Clone(workloads)
	place := make(map[string]int)
	for i, w := range out {
		place[w.Name] = i
	}
	attachments = slices.SortedFunc(slices.Values(attachments), Attachment.compare)
	names := make(map[string]int)
	for _, a := range attachments {
		names[a.name()]++
	}
	ignored := intent.Settings().IgnoredLabels
	for _, a := range attachments {
		ref, err := fabric.ParseNetworkRef(a.Network)
		if err != nil || intent.Network(ref) == nil {
			continue
		}
		if i, ok := place[a.Port]; a.Port != "" && ok && out[i].Network == ref {
			out[i].Node = a.Node
			if len(a.Addresses) > 0 {
				out[i].Addresses = a.addresses()
			}
			continue
		}
		w := Workload{
			Name: ref.Tenant + "/" + a.name(), Network: ref, Node: a.Node, Live: true,
			Labels: topology.PolicyLabels(ignored, a.Labels), Addresses: a.addresses(),
		}
		if _, taken := place[w.Name]; taken || names[a.name()] > 1 || a.name() == "" {
			w.Name += "@" + a.Node + ":" + a.Interface
		}
		out = append(out, w)
	}
	slices.SortFunc(out, func(a, b Workload) int { return strings.Compare(a.Name, b.Name) })
	return out
}

// name is what the workload is called within its tenant.
func (a Attachment) name() string {
	if a.Port != "" {
		_, name, _ := strings.Cut(a.Port, "/")
		return name
	}
	return a.Workload
}
