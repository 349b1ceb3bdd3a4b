package cli

import (
	"fmt"
	"net/netip"
	"strconv"
	"strings"

	"github.com/weftfabric/weft/cli/output"
	"github.com/weftfabric/weft/topology"
)

// titlesOf returns the titles of what a kind's table shows between the name and the enforcement.
func titlesOf(kind topology.Kind) []string {
	switch kind {
	case topology.KindFabric:
		return []string{"UNDERLAY MTU", "VXLAN PORT", "POSTURE"}
	case topology.KindTenant:
		return []string{"POSTURE", "DESCRIPTION"}
	case topology.KindNetwork:
		return []string{"SUBNETS", "POSTURE", "MTU"}
	case topology.KindPeering:
		return []string{"NETWORK", "PEER"}
	case topology.KindPort:
		return []string{"NETWORK", "SUBNET", "MAC", "ADDRESSES"}
	case topology.KindClient:
		return []string{"NETWORK", "ADDRESSES", "KEY"}
	case topology.KindAddressGroup:
		return []string{"PREFIXES"}
	case topology.KindFirewallPolicy:
		return []string{"NETWORK", "PRIORITY", "SUBJECT", "INGRESS", "EGRESS"}
	case topology.KindPlatformPolicy:
		return []string{"TIER", "PRIORITY", "SUBJECT", "INGRESS", "EGRESS"}
	}
	return nil
}

// valuesOf returns an object's values under the titles of its kind.
func valuesOf(o *topology.Object) []string {
	switch {
	case o.Fabric != nil:
		s := o.Fabric.Spec
		return []string{strconv.Itoa(s.UnderlayMTU), strconv.Itoa(int(s.VXLANPort)), string(s.Posture)}
	case o.Tenant != nil:
		return []string{string(o.Tenant.Spec.Posture), o.Tenant.Spec.Description}
	case o.Network != nil:
		var list []netip.Prefix
		for _, s := range o.Network.Spec.Subnets {
			list = append(list, s.Prefixes()...)
		}
		mtu := ""
		if o.Network.Spec.MTU != 0 {
			mtu = strconv.Itoa(o.Network.Spec.MTU)
		}
		return []string{join(list), string(o.Network.Spec.Posture), mtu}
	case o.Peering != nil:
		return []string{o.Peering.Local().String(), o.Peering.Remote().String()}
	case o.Port != nil:
		s := o.Port.Spec
		return []string{s.Network, s.Subnet, s.MAC.String(), join(s.Addresses)}
	case o.Client != nil:
		s := o.Client.Spec
		return []string{s.Network, join(s.Addresses), s.PublicKey.String()}
	case o.AddressGroup != nil:
		return []string{join(o.AddressGroup.Spec.Prefixes)}
	case o.FirewallPolicy != nil:
		s := o.FirewallPolicy.Spec
		return []string{s.Network, strconv.Itoa(s.Priority), selector(s.Subject), rules(s.Ingress), rules(s.Egress)}
	case o.PlatformPolicy != nil:
		s := o.PlatformPolicy.Spec
		return []string{string(s.Tier), strconv.Itoa(s.Priority), platformSubject(s.Subject), rules(s.Ingress), rules(s.Egress)}
	}
	return nil
}

// kindGrid returns the table of objects of one kind.
func kindGrid(kind topology.Kind, objects []stored, wide bool) output.Grid {
	var g output.Grid
	if namesOf(kind).tenanted != platformOnly {
		g.Header = append(g.Header, "TENANT")
	}
	g.Header = append(append(append(g.Header, "NAME"), titlesOf(kind)...), "ENFORCED")
	if wide {
		g.Header = append(g.Header, wideTitles()...)
	}
	for _, o := range objects {
		var row []output.Cell
		if namesOf(kind).tenanted != platformOnly {
			row = append(row, output.C(o.key().Tenant))
		}
		row = append(row, output.C(o.key().Name))
		for _, v := range valuesOf(o.declared) {
			row = append(row, output.C(v))
		}
		row = append(row, enforced(o.GetEnforcement()))
		if wide {
			row = append(row, wideCells(o)...)
		}
		g.Add(row...)
	}
	return g
}

// mixedGrid returns the table of objects of all kinds.
func mixedGrid(objects []stored, wide bool) output.Grid {
	g := output.Grid{Header: []string{"KIND", "TENANT", "NAME", "ENFORCED"}}
	if wide {
		g.Header = append(g.Header, wideTitles()...)
	}
	for _, o := range objects {
		row := []output.Cell{output.C(string(o.key().Kind)), output.C(o.key().Tenant), output.C(o.key().Name), enforced(o.GetEnforcement())}
		if wide {
			row = append(row, wideCells(o)...)
		}
		g.Add(row...)
	}
	return g
}

func wideTitles() []string { return []string{"REVISION", "DECLARED", "APPLY SET", "LABELS"} }

func wideCells(o stored) []output.Cell {
	return []output.Cell{
		output.C(strconv.FormatUint(o.GetRevision(), 10)), output.C(declaredAt(o.Object)), output.C(o.GetApplySet()),
		output.C(o.declared.Metadata().Labels.String()),
	}
}

// join lists values: "10.0.1.0/24,fd00:1::/64".
func join[T fmt.Stringer](list []T) string { return strings.Join(texts(list), ",") }

// texts returns the values' texts, never nil.
func texts[T fmt.Stringer](list []T) []string {
	out := make([]string, len(list))
	for i, v := range list {
		out[i] = v.String()
	}
	return out
}

// selector returns a selector on one line: "app=web,tier in (a,b),!old"; "all" selects everything.
func selector(s topology.Selector) string {
	if s.IsZero() {
		return "all"
	}
	var parts []string
	if len(s.MatchLabels) > 0 {
		parts = append(parts, s.MatchLabels.String())
	}
	for _, r := range s.MatchExpressions {
		switch r.Operator {
		case topology.In:
			parts = append(parts, r.Key+" in ("+strings.Join(r.Values, ",")+")")
		case topology.NotIn:
			parts = append(parts, r.Key+" notin ("+strings.Join(r.Values, ",")+")")
		case topology.Exists:
			parts = append(parts, r.Key)
		case topology.DoesNotExist:
			parts = append(parts, "!"+r.Key)
		}
	}
	return strings.Join(parts, ",")
}

func platformSubject(s topology.PlatformSubject) string {
	if s.Tenants.IsZero() {
		return selector(s.Workloads)
	}
	return "tenants " + selector(s.Tenants) + ": " + selector(s.Workloads)
}

// rules says how many rules a direction has. A direction that is governed by no rule at all denies everything.
func rules(list []topology.Rule) string {
	switch {
	case list == nil:
		return ""
	case len(list) == 0:
		return "none allowed"
	}
	return count(len(list), "rule")
}
