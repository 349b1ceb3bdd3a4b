package audit

import (
	"cmp"
	"net/netip"
	"slices"
	"strings"

	"github.com/weftfabric/weft/fabric"
	"github.com/weftfabric/weft/firewall"
	"github.com/weftfabric/weft/topology"
)

// Assertion is a sentence about who can reach whom.
type Assertion struct {
	Metadata topology.Metadata `json:"metadata"`
	Spec     AssertionSpec     `json:"spec"`

	origin topology.Origin
}

// AssertionSpec is the body of an Assertion.
type AssertionSpec struct {
	Description string        `json:"description,omitzero"`
	Type        AssertionType `json:"type"`
	// From and To select workloads; absent means all. Absent parts of an entry mean any.
	From []topology.WorkloadPeer `json:"from,omitzero"`
	To   []topology.WorkloadPeer `json:"to,omitzero"`
	// FromAddresses and ToAddresses are addresses outside the fabric, beside the workloads that From and To select, or
	// instead of workloads.
	FromAddresses []netip.Prefix `json:"fromAddresses,omitzero"`
	ToAddresses   []netip.Prefix `json:"toAddresses,omitzero"`
	// Ports and ICMP list services; without both, every packet counts.
	Ports []topology.PortRange `json:"ports,omitzero"`
	ICMP  []topology.ICMPType  `json:"icmp,omitzero"`
	// Max is how many declared workloads may reach each destination: maxExposure only.
	Max *uint32 `json:"max,omitzero"`
	// Workloads says for whom it must hold: every label set that may ever be there, or workloads alone that are there. Never
	// and only default to every, always and maxExposure to those that are there.
	Workloads Scope `json:"workloads,omitzero"`
}

// AssertionType says what an assertion asserts.
type AssertionType string

// The types of assertions.
const (
	Never       AssertionType = "never"       // nothing from From to To
	Only        AssertionType = "only"        // to To from From alone
	Always      AssertionType = "always"      // everything from From to To
	MaxExposure AssertionType = "maxExposure" // at most Max workloads reach each of To
)

// Scope says which workloads are meant.
type Scope string

// The scopes.
const (
	Every    Scope = "every"
	Declared Scope = "declared"
)

// AssertionsOf returns the assertions among documents of other APIs, by name.
func AssertionsOf(intent *topology.Intent, foreign []topology.Document) ([]Assertion, topology.Problems) {
	var out []Assertion
	var problems topology.Problems
	for _, doc := range foreign {
		if !strings.HasPrefix(doc.APIVersion, topology.AuditAPIPrefix) {
			continue
		}
		if doc.APIVersion != ReportVersion || doc.Kind != "Assertion" {
			problems = append(problems, doc.Problem("kind", "%s %s is unknown: audits know Assertion of %s", doc.APIVersion, doc.Kind, ReportVersion))
			continue
		}
		a := Assertion{origin: topology.Origin{File: doc.File, Line: doc.Line}}
		if faults := doc.Decode(&a); len(faults) > 0 {
			problems = append(problems, faults...)
			continue
		}
		problems = append(problems, a.check(&doc, intent)...)
		if slices.ContainsFunc(out, func(b Assertion) bool { return a.Metadata.Name == b.Metadata.Name }) {
			problems = append(problems, doc.Problem("metadata.name", "%q is declared twice", a.Metadata.Name))
		}
		if a.Spec.Workloads == "" {
			a.Spec.Workloads = Every
			if a.Spec.Type == Always || a.Spec.Type == MaxExposure {
				a.Spec.Workloads = Declared
			}
		}
		out = append(out, a)
	}
	slices.SortFunc(out, func(a, b Assertion) int { return cmp.Compare(a.Metadata.Name, b.Metadata.Name) })
	return out, problems
}

func (a Assertion) check(doc *topology.Document, intent *topology.Intent) topology.Problems {
	var ps topology.Problems
	fault := func(path, format string, args ...any) { ps = append(ps, doc.Problem(path, format, args...)) }
	s := a.Spec
	if err := fabric.CheckName(a.Metadata.Name); err != nil {
		fault("metadata.name", "is not valid: %v", err)
	}
	if a.Metadata.Tenant != "" {
		fault("metadata.tenant", "is not allowed: an assertion names tenants in from and to")
	}
	switch s.Type {
	case Never, Only, Always, MaxExposure:
	default:
		fault("spec.type", "%q is unknown: write never, only, always or maxExposure", s.Type)
	}
	if (s.Max != nil) != (s.Type == MaxExposure) {
		fault("spec.max", "goes with type maxExposure, which needs it")
	}
	if s.Workloads != "" && s.Workloads != Every && s.Workloads != Declared {
		fault("spec.workloads", "%q is unknown: write every or declared", s.Workloads)
	}
	if s.Type == Only && len(s.From)+len(s.FromAddresses) == 0 {
		fault("spec.from", "is missing: only needs those who may")
	}
	outside := outsideOf(intent)
	for path, list := range map[string][]netip.Prefix{"spec.fromAddresses": s.FromAddresses, "spec.toAddresses": s.ToAddresses} {
		for _, p := range list {
			switch {
			case !p.IsValid() || p != p.Masked():
				fault(path, "has %s, which is no address range, or has host bits set", p)
			case len(within(outside, []netip.Prefix{p})) == 0:
				fault(path, "has %s, which is all the fabric's own: select its workloads", p)
			}
		}
	}
	ignored := intent.Settings().IgnoredLabels
	for path, list := range map[string][]topology.WorkloadPeer{"spec.from": s.From, "spec.to": s.To} {
		for _, w := range list {
			switch {
			case w.Tenant != "" && intent.Tenant(w.Tenant) == nil:
				fault(path, "names tenant %q, which is not declared", w.Tenant)
			case w.Network != "" && w.Tenant == "":
				fault(path, "names network %q without a tenant: name the tenant too", w.Network)
			case w.Network != "" && intent.Network(fabric.NetworkRef{Tenant: w.Tenant, Name: w.Network}) == nil:
				fault(path, "names network %s/%s, which is not declared", w.Tenant, w.Network)
			}
			for _, key := range append(w.Selector.MatchLabels.Keys(), keysOf(w.Selector.MatchExpressions)...) {
				if topology.IgnoredLabel(ignored, key) {
					fault(path, "selects by %s, a label that policy ignores", key)
				}
			}
			for _, r := range w.Selector.MatchExpressions {
				switch r.Operator {
				case topology.In, topology.NotIn, topology.Exists, topology.DoesNotExist:
				default:
					fault(path, "has the operator %q: write In, NotIn, Exists or DoesNotExist", r.Operator)
				}
			}
		}
	}
	for _, p := range s.Ports {
		if p.Protocol != topology.TCP && p.Protocol != topology.UDP && p.Protocol != topology.SCTP {
			fault("spec.ports", "has the protocol %q: write tcp, udp or sctp", p.Protocol)
		}
		if p.EndPort != 0 && p.EndPort < max(p.Port, 1) || p.EndPort != 0 && p.Port == 0 {
			fault("spec.ports", "has the range %d-%d: give port, and an endPort that is not below it", p.Port, p.EndPort)
		}
	}
	for _, i := range s.ICMP {
		if i.Family != topology.IPv4 && i.Family != topology.IPv6 || i.Code != nil && i.Type == nil {
			fault("spec.icmp", "needs family ipv4 or ipv6, and a type with each code")
		}
	}
	slices.SortFunc(ps, topology.Problem.Compare)
	return ps
}

func keysOf(rs []topology.Requirement) []string {
	var out []string
	for _, r := range rs {
		out = append(out, r.Key)
	}
	return out
}

// services returns the services that the assertion speaks of; none stand for every packet.
func (s AssertionSpec) services() []firewall.Service {
	var out []firewall.Service
	for _, p := range s.Ports {
		protocol := map[topology.Protocol]firewall.Protocol{topology.TCP: firewall.TCP, topology.UDP: firewall.UDP, topology.SCTP: firewall.SCTP}[p.Protocol]
		out = append(out, firewall.Service{Protocol: protocol, Ports: firewall.PortRange{First: p.Port, Last: max(p.Port, p.EndPort)}})
	}
	for _, i := range s.ICMP {
		f := firewall.Service{Protocol: firewall.ICMP, Type: -1, Code: -1}
		if i.Family == topology.IPv6 {
			f.Protocol = firewall.ICMPv6
		}
		if i.Type != nil {
			f.Type = int16(*i.Type)
		}
		if i.Code != nil {
			f.Code = int16(*i.Code)
		}
		out = append(out, f)
	}
	return out
}

// selects reports whether one of the entries means a class; no entries mean all.
func selects(entries []topology.WorkloadPeer, c Class) bool {
	return len(entries) == 0 || slices.ContainsFunc(entries, func(w topology.WorkloadPeer) bool {
		return cmp.Or(w.Tenant, c.Network.Tenant) == c.Network.Tenant && cmp.Or(w.Network, c.Network.Name) == c.Network.Name && w.Selector.Matches(c.Labels)
	})
}
