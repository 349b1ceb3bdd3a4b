package cli

import (
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/weftfabric/weft/fabric"
	"github.com/weftfabric/weft/topology"
	weftv1 "github.com/weftfabric/weft/wire/weftpb/weft/v1"
)

// kindNames are the names that a command line accepts for a kind, besides the kind itself in any case.
type kindNames struct {
	kind     topology.Kind
	plural   string
	short    string
	other    []string
	tenanted tenancy
}

// tenancy says whether objects of a kind belong to a tenant.
type tenancy uint8

const (
	platformOnly tenancy = iota + 1
	tenantOnly
	either
)

// kindTable returns the names of every kind, in the order of topology.Kinds.
func kindTable() []kindNames {
	return []kindNames{
		{topology.KindFabric, "fabrics", "fab", nil, platformOnly},
		{topology.KindTenant, "tenants", "tn", nil, platformOnly},
		{topology.KindNetwork, "networks", "net", []string{"nets"}, tenantOnly},
		{topology.KindPeering, "peerings", "peer", []string{"peers"}, tenantOnly},
		{topology.KindPort, "ports", "po", nil, tenantOnly},
		{topology.KindClient, "clients", "cl", nil, tenantOnly},
		{topology.KindAddressGroup, "addressgroups", "ag", []string{"address-group", "address-groups"}, either},
		{topology.KindFirewallPolicy, "firewallpolicies", "fwp", []string{"policy", "policies", "firewall-policy", "firewall-policies"}, tenantOnly},
		{topology.KindPlatformPolicy, "platformpolicies", "pp", []string{"platform-policy", "platform-policies"}, platformOnly},
	}
}

// namesOf returns the names of a kind.
func namesOf(k topology.Kind) kindNames {
	for _, n := range kindTable() {
		if n.kind == k {
			return n
		}
	}
	return kindNames{kind: k, plural: strings.ToLower(string(k))}
}

func (n kindNames) accepts(word string) bool {
	if strings.EqualFold(word, string(n.kind)) || word == n.plural || word == n.short {
		return true
	}
	for _, o := range n.other {
		if word == o {
			return true
		}
	}
	return false
}

// parseKind returns the kind that a word stands for: its name, plural or short name, in any case.
func parseKind(cmd *cobra.Command, word string) (topology.Kind, error) {
	lower := strings.ToLower(word)
	var known []string
	for _, n := range kindTable() {
		if n.accepts(lower) {
			return n.kind, nil
		}
		known = append(append(known, strings.ToLower(string(n.kind)), n.plural), n.other...)
	}
	switch lower {
	case "node", "nodes":
		return "", usage(cmd, "nodes are not declared: use 'weft nodes'")
	case "token", "tokens":
		return "", usage(cmd, "tokens are not declared: use 'weft token list'")
	}
	if near := nearest(lower, known); near != "" {
		return "", usage(cmd, "unknown kind %q; did you mean %s?", word, near)
	}
	return "", usage(cmd, "unknown kind %q; the kinds are %s", word, kindList())
}

// kindList lists the kinds with their short names, for help texts.
func kindList() string {
	var parts []string
	for _, n := range kindTable() {
		parts = append(parts, fmt.Sprintf("%s (%s)", strings.ToLower(string(n.kind)), n.short))
	}
	return strings.Join(parts, ", ")
}

// nearest returns the candidate that is at most two edits from word and nearest to it, or nothing.
func nearest(word string, candidates []string) string {
	probe := &cobra.Command{SuggestionsMinimumDistance: 2}
	for _, c := range candidates {
		probe.AddCommand(&cobra.Command{Use: c, Run: func(*cobra.Command, []string) {}})
	}
	if near := probe.SuggestionsFor(word); len(near) > 0 {
		return near[0]
	}
	return ""
}

// parseKey returns the key that a kind and a name as typed stand for. The name may be tenant/name; else tenant
// is that of the flags, and may stay empty where it is not known.
func parseKey(cmd *cobra.Command, kind topology.Kind, name, tenant string) (topology.Key, error) {
	k := topology.Key{Kind: kind, Tenant: tenant, Name: name}
	if t, n, ok := strings.Cut(name, "/"); ok {
		if tenant != "" && tenant != t && cmd.Flags().Changed("tenant") {
			return k, usage(cmd, "%s is in tenant %s, but --tenant says %s", name, t, tenant)
		}
		k.Tenant, k.Name = t, n
	}
	if namesOf(kind).tenanted == platformOnly {
		if k.Name != name {
			return k, usage(cmd, "%s %s: a %s belongs to no tenant: write its name alone", kind, name, kind)
		}
		k.Tenant = ""
	}
	for _, part := range []string{k.Name, k.Tenant} {
		if part == "" {
			continue
		}
		if err := fabric.CheckName(part); err != nil {
			return k, usage(cmd, "%w", err)
		}
	}
	if k.Name == "" {
		return k, usage(cmd, "the name of the %s is missing", kind)
	}
	return k, nil
}

func keyOf(k *weftv1.Key) topology.Key {
	return topology.Key{Kind: topology.Kind(k.GetKind()), Tenant: k.GetTenant(), Name: k.GetName()}
}

func wireKey(k topology.Key) *weftv1.Key {
	return &weftv1.Key{Kind: string(k.Kind), Tenant: k.Tenant, Name: k.Name}
}
