package kubernetes_test

import (
	"fmt"
	"net/netip"
	"strconv"
	"strings"
	"testing"

	"github.com/weftfabric/weft/audit/kubernetes"
	"github.com/weftfabric/weft/firewall"
)

// TestConformance holds the cases that a network plugin must pass to conform with the API of ClusterNetworkPolicy
// (sigs.k8s.io/network-policy-api, conformance/tests, v1alpha2 with the experimental ones). There a case changes the
// policy of the one before it; here each has its policies in full, as "TIER PRIORITY SUBJECT DIRECTION: RULE; RULE", with
// rules such as "accept r tcp/80". g, h, r and s are namespaces of two pods each, and nodes is the one node, on whose
// network the pods of f are. Probes are "+ g-0 r-1 tcp/80", or "-" for those that must not get through.
func TestConformance(t *testing.T) {
	const (
		allow, deny, pass = "accept r; deny r; pass r", "deny r; accept r; pass r", "pass r; accept r; deny r"
		denyS, passS      = "deny s tcp/80 udp/53 sctp/9003; pass s tcp/80 udp/53 sctp/9003", "pass s tcp/80 udp/53 sctp/9003; deny s tcp/80 udp/53 sctp/9003"
		outH, inH         = "accept h tcp/8080 udp/5353 sctp/9003; deny h", "accept h tcp/80 udp/5353 sctp/9003; deny h"
		gOpen             = "+ g-0 r-0 tcp/80; + g-1 r-0 udp/53; + g-0 r-0 sctp/9003; + r-0 g-0 tcp/80; + r-1 g-0 udp/53; + r-1 g-0 sctp/9003"
		gShut             = "- g-0 r-1 tcp/80; - g-1 r-1 udp/53; - g-0 r-1 sctp/9003; - r-0 g-1 tcp/80; - r-1 g-1 udp/53; - r-1 g-1 sctp/9003"
		gPorts            = "+ g-0 h-1 tcp/8080; - g-1 h-1 tcp/80; + g-0 h-1 udp/5353; - g-1 h-1 udp/53; + g-0 h-1 sctp/9003; - g-1 h-1 sctp/9005; " +
			"+ h-0 g-1 tcp/80; - h-1 g-1 tcp/8080; + h-0 g-1 udp/5353; - h-1 g-1 udp/53; + h-0 g-1 sctp/9003; - h-1 g-1 sctp/9005"
		gDenied = "- g-0 s-0 tcp/80; + g-1 s-0 tcp/8080; - g-0 s-0 udp/53; + g-1 s-0 udp/5353; - g-0 s-0 sctp/9003; + g-1 s-0 sctp/9005; " +
			"- s-0 g-0 tcp/80; + s-1 g-0 tcp/8080; - s-0 g-0 udp/53; + s-1 g-0 udp/5353; - s-0 g-0 sctp/9003; + s-1 g-0 sctp/9005"
		cidrs   = "accept s; deny 0.0.0.0/0 ::/0"
		someIPs = "accept 10.0.3.0/32 10.0.2.0/32 fd00::300/128 fd00::200/128; "
	)
	all := func(sign, from, to string) string {
		return fmt.Sprintf("%[1]s %[2]s %[3]s tcp/80; %[1]s %[2]s %[3]s udp/53; %[1]s %[2]s %[3]s sctp/9003", sign, from, to)
	}
	for _, tier := range []string{"admin", "baseline"} {
		// There the baseline tier has no rules that pass; what they leave is the default, in either tier.
		cases := []struct{ name, policy, probes string }{
			{"egress sctp, accept first", "8 r egress: accept g; deny g; pass g; deny s sctp/9003; accept h sctp/9003; deny h", "+ r-0 g-0 sctp/9003; + r-1 g-0 sctp/9005; + r-0 h-1 sctp/9003; - r-1 h-1 sctp/9005"},
			{"egress sctp, deny first", "8 r egress: deny g; accept g; pass g; deny s sctp/9003; pass s sctp/9003; accept h sctp/9003; deny h", "- r-0 g-1 sctp/9003; - r-1 g-1 sctp/9005; - r-0 s-0 sctp/9003; + r-1 s-0 sctp/9005"},
			{"egress sctp, pass first", "8 r egress: pass g; accept g; deny g; pass s sctp/9003; deny s sctp/9003; accept h sctp/9003; deny h", "+ r-0 g-1 sctp/9003; + r-1 g-1 sctp/9005; + r-0 s-0 sctp/9003; + r-1 s-0 sctp/9005"},
			{"egress tcp, accept first", "6 g egress: " + allow + "; deny s tcp/80; accept h tcp/8080; deny h", "+ g-0 r-0 tcp/80; + g-1 r-0 tcp/8080; + g-0 h-1 tcp/8080; - g-1 h-1 tcp/80"},
			{"egress tcp, deny first", "6 g egress: " + deny + "; deny s tcp/80; pass s tcp/80; accept h tcp/8080; deny h", "- g-0 r-1 tcp/80; - g-1 r-1 tcp/8080; - g-0 s-0 tcp/80; + g-1 s-0 tcp/8080"},
			{"egress tcp, pass first", "6 g egress: " + pass + "; pass s tcp/80; deny s tcp/80; accept h tcp/8080; deny h", "+ g-0 r-0 tcp/80; + g-1 r-0 tcp/8080; + g-0 s-0 tcp/80; + g-1 s-0 tcp/8080"},
			{"egress udp, accept first", "7 h egress: " + allow + "; deny s udp/5353; accept g udp/53; deny g", "+ h-0 r-0 udp/53; + h-1 r-0 udp/5353; + h-0 g-1 udp/53; - h-1 g-1 udp/5353"},
			{"egress udp, deny first", "7 h egress: " + deny + "; deny s udp/5353; pass s udp/5353; accept g udp/53; deny g", "- h-0 r-1 udp/53; - h-1 r-1 udp/5353; - h-0 s-0 udp/5353; + h-1 s-0 udp/53"},
			{"egress udp, pass first", "7 h egress: " + pass + "; pass s udp/5353; deny s udp/5353; accept g udp/53; deny g", "+ h-0 r-1 udp/5353; + h-1 r-1 udp/53; + h-0 s-0 udp/5353; + h-1 s-0 udp/53"},
			{"ingress sctp, accept first", "5 r ingress: accept g; deny g; pass g; deny s sctp/9003; accept h sctp/9003; deny h", "+ g-0 r-0 sctp/9003; + g-1 r-0 sctp/9005; + h-0 r-1 sctp/9003; - h-1 r-1 sctp/9005"},
			{"ingress sctp, deny first", "5 r ingress: deny g; accept g; pass g; deny s sctp/9003; pass s sctp/9003; accept h sctp/9003; deny h", "- g-0 r-1 sctp/9003; - g-1 r-1 sctp/9005; - s-0 r-0 sctp/9003; + s-1 r-0 sctp/9005"},
			{"ingress sctp, pass first", "5 r ingress: pass g; accept g; deny g; pass s sctp/9003; deny s sctp/9003; accept h sctp/9003; deny h", "+ g-0 r-1 sctp/9003; + g-1 r-1 sctp/9005; + s-0 r-0 sctp/9003; + s-1 r-0 sctp/9005"},
			{"ingress tcp, accept first", "3 g ingress: " + allow + "; deny s tcp/80; accept h tcp/80; deny h", "+ r-0 g-0 tcp/80; + r-1 g-0 tcp/8080; + h-0 g-1 tcp/80; - h-1 g-1 tcp/8080"},
			{"ingress tcp, deny first", "3 g ingress: " + deny + "; deny s tcp/80; pass s tcp/80; accept h tcp/80; deny h", "- r-0 g-1 tcp/80; - r-1 g-1 tcp/8080; - s-0 g-0 tcp/80; + s-1 g-0 tcp/8080"},
			{"ingress tcp, pass first", "3 g ingress: " + pass + "; pass s tcp/80; deny s tcp/80; accept h tcp/80; deny h", "+ r-0 g-0 tcp/80; + r-1 g-0 tcp/8080; + s-0 g-0 tcp/80; + s-1 g-0 tcp/8080"},
			{"ingress udp, accept first", "4 h ingress: " + allow + "; deny s udp/5353; accept g udp/53; deny g", "+ r-0 h-0 udp/53; + r-1 h-0 udp/5353; + g-0 h-1 udp/53; - g-1 h-1 udp/5353"},
			{"ingress udp, deny first", "4 h ingress: " + deny + "; deny s udp/5353; pass s udp/5353; accept g udp/53; deny g", "- r-0 h-1 udp/53; - r-1 h-1 udp/5353; - s-0 h-0 udp/5353; + s-1 h-0 udp/53"},
			{"ingress udp, pass first", "4 h ingress: " + pass + "; pass s udp/5353; deny s udp/5353; accept g udp/53; deny g", "+ r-0 h-1 udp/5353; + r-1 h-1 udp/53; + s-0 h-0 udp/5353; + s-1 h-0 udp/53"},
			{"both directions, accept first", "15 g egress: " + allow + "; " + denyS + "; " + outH + " | ingress: " + allow + "; " + denyS + "; " + inH, gOpen + "; " + gPorts},
			{"both directions, deny first", "15 g egress: " + deny + "; " + denyS + "; " + outH + " | ingress: " + deny + "; " + denyS + "; " + inH, gShut + "; " + gDenied},
			{"both directions, pass first", "15 g egress: " + pass + "; " + passS + "; " + outH + " | ingress: " + pass + "; " + passS + "; " + inH, gOpen + "; " + strings.ReplaceAll(gDenied, "- ", "+ ")},
			{"ranges deny", "85 g egress: " + cidrs, all("-", "g-1", "r-0") + "; " + all("-", "g-1", "h-0") + "; " + all("+", "g-1", "s-0")},
			{"ranges deny a namespace whose labels changed", "85 g egress: " + strings.Replace(cidrs, "accept s", "accept house=other", 1), all("-", "g-1", "s-0")},
			{"ranges accept single pods", "85 g egress: " + someIPs + cidrs, all("+", "g-1", "r-0") + "; " + all("+", "g-1", "h-0") + "; " + all("-", "g-1", "r-1") + "; " + all("-", "g-1", "h-1")},
			{"a named port, egress tcp", "6 g egress: accept h :web; deny h", "+ g-0 h-1 tcp/80; - g-1 h-1 tcp/8080"},
			{"a named port, egress udp", "6 h egress: accept g :dns; deny g", "+ h-0 g-1 udp/53; - h-1 g-1 udp/5353"},
			{"a named port, ingress udp", "6 h ingress: accept g :dns; deny g", "+ g-0 h-1 udp/53; - g-1 h-1 udp/5353"},
			{"a named port, ingress tcp", "6 g ingress: accept h :web; deny h", "+ h-0 g-1 tcp/80; - h-1 g-1 tcp/8080"},
			{"nodes", "75 g egress: accept nodes tcp/36363; pass nodes udp/34346; deny s nodes 0.0.0.0/0 ::/0",
				"+ g-1 f-1 tcp/36363; + g-1 f-1 udp/34346; - g-1 f-1 tcp/36364; - g-1 f-1 udp/34347; - g-1 f-1 sctp/9003"},
			{"nodes, a range of ports", "10 g egress: accept nodes tcp/36363-36364; deny nodes 0.0.0.0/0 ::/0",
				"+ g-0 f-1 tcp/36363; + g-1 f-1 tcp/36364; - g-1 f-1 udp/34347; - g-1 f-1 sctp/9003"},
		}
		for _, c := range cases {
			t.Run(tier+"/"+c.name, func(t *testing.T) { probe(t, conform(t, tier+" "+c.policy), c.probes) })
		}
	}
	const (
		between  = "{apiVersion: networking.k8s.io/v1, kind: NetworkPolicy, metadata: {name: np, namespace: g}, spec: {podSelector: null, policyTypes: [Ingress, Egress], ingress: [{from: [{namespaceSelector: {matchLabels: {house: s}}}]}], egress: [{to: [{namespaceSelector: {matchLabels: {house: s}}}]}]}}\n---\n"
		baseline = "baseline 10 g ingress: deny s | egress: deny s"
		open     = "+ s-0 g-0 tcp/80; + s-1 g-0 tcp/8080; + g-0 s-0 tcp/80; + g-1 s-0 tcp/8080"
	)
	shut := strings.ReplaceAll(open, "+ ", "- ")
	for _, c := range []struct {
		name     string
		extra    string
		policies []string
		probes   string
	}{
		{"admin before NetworkPolicy", between, []string{"admin 10 g ingress: deny s | egress: deny s", baseline}, shut},
		{"pass to NetworkPolicy", between, []string{"admin 10 g ingress: pass s | egress: pass s", baseline}, open},
		{"pass to baseline", "", []string{"admin 10 g ingress: pass s | egress: pass s", baseline}, shut},
		{"priorities", "", []string{"admin 50 g ingress: deny s | egress: deny s", "admin 60 g ingress: pass s | egress: pass s", "baseline 10 g ingress: accept s | egress: accept s"}, shut},
		{"priorities, changed", "", []string{"admin 50 g ingress: deny s | egress: deny s", "admin 40 g ingress: pass s | egress: pass s", "baseline 10 g ingress: accept s | egress: accept s"}, open},
	} {
		t.Run(c.name, func(t *testing.T) { probe(t, c.extra+conform(t, c.policies...), c.probes) })
	}
}

// conform returns manifests of the namespaces, pods and policies of a case.
func conform(t *testing.T, policies ...string) string {
	t.Helper()
	var b strings.Builder
	for i, ns := range []string{"f", "g", "h", "r", "s"} {
		fmt.Fprintf(&b, "{apiVersion: v1, kind: Namespace, metadata: {name: %s, labels: {house: %s}}}\n---\n", ns, ns)
		for j := range 2 {
			host, v4, v6 := "", conformAddress(i, j, 4), conformAddress(i, j, 6)
			if ns == "f" {
				host = "hostNetwork: true, "
			}
			fmt.Fprintf(&b, `{apiVersion: v1, kind: Pod, metadata: {name: %s-%d, namespace: %s, labels: {house: %s}}, spec: {%scontainers: [{name: c, ports: [{name: web, containerPort: 80}, {name: dns, containerPort: 53, protocol: UDP}]}]}, status: {podIPs: [{ip: %s}, {ip: "%s"}]}}`+"\n---\n", ns, j, ns, ns, host, v4, v6)
		}
	}
	fmt.Fprintf(&b, "{apiVersion: v1, kind: Node, metadata: {name: n, labels: {kubernetes.io/os: linux}}, status: {addresses: [{address: %s}, {address: %s}, {address: \"%s\"}, {address: \"%s\"}]}}\n---\n",
		conformAddress(0, 0, 4), conformAddress(0, 1, 4), conformAddress(0, 0, 6), conformAddress(0, 1, 6))
	for i, p := range policies {
		b.WriteString(conformPolicy(t, fmt.Sprintf("p%d", i), p))
	}
	return b.String()
}

// conformAddress returns the address of pod j of namespace i.
func conformAddress(i, j, family int) netip.Addr {
	if family == 4 {
		return netip.AddrFrom4([4]byte{10, 0, byte(i), byte(j)})
	}
	return netip.AddrFrom16([16]byte{0: 0xfd, 14: byte(i), 15: byte(j)})
}

// conformPolicy writes a policy out.
func conformPolicy(t *testing.T, name, short string) string {
	t.Helper()
	head, rest, _ := strings.Cut(short, ":")
	words := strings.Fields(head)
	if len(words) != 4 {
		t.Fatalf("%q", short)
	}
	tier := map[string]string{"admin": "Admin", "baseline": "Baseline"}[words[0]]
	spec := fmt.Sprintf("tier: %s, priority: %s, subject: {pods: {namespaceSelector: {matchLabels: {house: %s}}, podSelector: {matchLabels: {house: %s}}}}", tier, words[1], words[2], words[2])
	direction := words[3]
	for i, part := range strings.Split(rest, "|") {
		if i > 0 {
			direction, part, _ = strings.Cut(part, ":")
			direction = strings.TrimSpace(direction)
		}
		var rules []string
		for _, r := range strings.Split(part, ";") {
			rules = append(rules, conformRule(direction, strings.Fields(r)))
		}
		spec += ", " + direction + ": [" + strings.Join(rules, ", ") + "]"
	}
	return cluster(name, spec)
}

// conformRule writes a rule out: an action, peers and ports.
func conformRule(direction string, words []string) string {
	var peers, ports, networks []string
	for _, w := range words[1:] {
		protocol, port, isPort := strings.Cut(w, "/")
		first, last, isRange := strings.Cut(port, "-")
		switch {
		case strings.ContainsAny(w, ".") || strings.Contains(w, "::"):
			networks = append(networks, `"`+w+`"`)
		case strings.HasPrefix(w, ":"):
			ports = append(ports, "{destinationNamedPort: "+w[1:]+"}")
		case isPort && isRange:
			ports = append(ports, fmt.Sprintf("{%s: {destinationPort: {range: {start: %s, end: %s}}}}", protocol, first, last))
		case isPort:
			ports = append(ports, fmt.Sprintf("{%s: {destinationPort: {number: %s}}}", protocol, port))
		case w == "nodes":
			peers = append(peers, "{nodes: {matchLabels: {kubernetes.io/os: linux}}}")
		case strings.HasPrefix(w, "house="):
			peers = append(peers, "{namespaces: {matchLabels: {house: "+w[6:]+"}}}")
		default:
			peers = append(peers, "{namespaces: {matchLabels: {kubernetes.io/metadata.name: "+w+"}}}")
		}
	}
	if len(networks) > 0 {
		peers = append(peers, "{networks: ["+strings.Join(networks, ", ")+"]}")
	}
	field := map[string]string{"ingress": "from", "egress": "to"}[direction]
	rule := fmt.Sprintf("action: %s, %s: [%s]", strings.ToUpper(words[0][:1])+words[0][1:], field, strings.Join(peers, ", "))
	if len(ports) > 0 {
		rule += ", protocols: [" + strings.Join(ports, ", ") + "]"
	}
	return "{" + rule + "}"
}

// probe asks about each probe, in both families.
func probe(t *testing.T, manifests, probes string) {
	t.Helper()
	w := load(t, manifests)
	place := func(name string) int { return strings.Index("fghrs", name[:1]) }
	for _, text := range strings.Split(probes, ";") {
		words := strings.Fields(text)
		protocol, port, _ := strings.Cut(words[3], "/")
		number, err := strconv.Atoi(port)
		if err != nil {
			t.Fatal(err)
		}
		p := firewall.Packet{Protocol: map[string]firewall.Protocol{"tcp": firewall.TCP, "udp": firewall.UDP, "sctp": firewall.SCTP}[protocol], DstPort: uint16(number)}
		name := func(pod string) string { return pod[:1] + "/Pod/" + pod }
		for _, family := range []int{4, 6} {
			src := conformAddress(place(words[1]), int(words[1][2]-'0'), family)
			dst := conformAddress(place(words[2]), int(words[2][2]-'0'), family)
			decided, computed := kubernetes.Verdicts(w, name(words[1]), name(words[2]), src, dst, p)
			if want := words[0] == "+"; decided != want || computed != want {
				t.Errorf("%s (IPv%d): Decide says %v, the set engine %v", strings.TrimSpace(text), family, decided, computed)
			}
		}
	}
}
