package kubernetes_test

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/weftfabric/weft/audit/kubernetes"
	"github.com/weftfabric/weft/firewall"
	"github.com/weftfabric/weft/topology"
)

// oracle answers what others say; see oracle/main.go.
type oracle struct {
	in  io.Writer
	out *bufio.Reader
}

func startOracle(t *testing.T) *oracle {
	t.Helper()
	program := filepath.Join(t.TempDir(), "oracle")
	build := exec.Command("go", "build", "-C", "oracle", "-o", program, ".")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if text, err := build.CombinedOutput(); err != nil {
		if os.Getenv("WEFT_REQUIRE_OVS") == "" {
			t.Skipf("the oracle can't be built; `make modules` gets what it needs: %v\n%s", err, text)
		}
		t.Fatalf("build the oracle: %v\n%s", err, text)
	}
	cmd := exec.Command(program)
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	cmd.Stderr = os.Stderr
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = in.Close()
		if err := cmd.Wait(); err != nil {
			t.Error(err)
		}
	})
	return &oracle{in, bufio.NewReader(out)}
}

// ask sends a question and returns the answers.
func (o *oracle) ask(t *testing.T, question any) []bool {
	t.Helper()
	b, err := json.Marshal(question)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := o.in.Write(append(b, '\n')); err != nil {
		t.Fatal(err)
	}
	line, err := o.out.ReadBytes('\n')
	if err != nil {
		t.Fatalf("the oracle ended: %v", err)
	}
	var answers []bool
	if err := json.Unmarshal(line, &answers); err != nil {
		t.Fatal(err)
	}
	return answers
}

// long reports whether the long run is asked for.
func long() bool { return os.Getenv("WEFT_ORACLE") != "" }

type dict = map[string]any

// draw makes random manifests from few names, so that they meet often.
type draw struct{ *rand.Rand }

func (d draw) one(of ...string) string { return of[d.IntN(len(of))] }
func (d draw) coin(n int) bool         { return d.IntN(n) == 0 }

// labels draws labels. Everything has the key "all", which NotIn may be asked about: cyclonus doesn't select by NotIn what
// lacks the key, and Kubernetes does (TestSelectors).
func (d draw) labels() dict {
	out := dict{"all": d.one("p", "q")}
	for _, key := range []string{"k", "l"} {
		if d.coin(2) {
			out[key] = d.one("a", "b")
		}
	}
	return out
}

func (d draw) selector() dict {
	out := dict{}
	if d.coin(2) {
		out["matchLabels"] = dict{d.one("k", "l"): d.one("a", "b")}
	}
	if d.coin(3) {
		key, of := d.one("k", "l"), d.one("In", "Exists", "DoesNotExist", "NotIn")
		if of == "NotIn" {
			key = "all"
		}
		e := dict{"key": key, "operator": of}
		if of == "In" || of == "NotIn" {
			e["values"] = []string{d.one("a", "b", "p", "q"), d.one("a", "b", "p", "q")}
		}
		out["matchExpressions"] = []dict{e}
	}
	return out
}

// blocks are ranges around the pods' addresses and outside ones, with exceptions that lie within.
var blocks = []dict{
	{"cidr": "10.0.0.0/24"},
	{"cidr": "10.0.0.0/24", "except": []string{"10.0.0.4/30"}},
	{"cidr": "10.0.0.0/29", "except": []string{"10.0.0.2/31", "10.0.0.6/32"}},
	{"cidr": "0.0.0.0/0"},
	{"cidr": "0.0.0.0/0", "except": []string{"10.0.0.0/8"}},
	{"cidr": "203.0.113.0/24", "except": []string{"203.0.113.128/25"}},
	{"cidr": "fd00::/120", "except": []string{"fd00::4/126"}},
	{"cidr": "::/0", "except": []string{"2001:db8::/32"}},
}

func (d draw) peer() dict {
	switch d.IntN(4) {
	case 0:
		return dict{"ipBlock": blocks[d.IntN(len(blocks))]}
	case 1:
		return dict{"podSelector": d.selector()}
	case 2:
		return dict{"namespaceSelector": d.selector()}
	}
	return dict{"namespaceSelector": d.selector(), "podSelector": d.selector()}
}

func (d draw) port() dict {
	out := dict{}
	if d.coin(2) {
		out["protocol"] = d.one("TCP", "UDP", "SCTP")
	}
	switch d.IntN(4) {
	case 0:
		out["port"] = d.one("web", "dns")
	case 1:
		out["port"] = 80 + d.IntN(4)
	case 2:
		out["port"] = 80 + d.IntN(2)
		out["endPort"] = 81 + d.IntN(3)
	}
	return out
}

func (d draw) rules(peers string) []dict {
	out := []dict{}
	for range d.IntN(3) {
		r := dict{}
		var list, ports []dict
		for range d.IntN(3) {
			list = append(list, d.peer())
		}
		for range d.IntN(3) {
			ports = append(ports, d.port())
		}
		r[peers], r["ports"] = list, ports
		out = append(out, r)
	}
	return out
}

// policy draws a NetworkPolicy; policyTypes are left out at times. defaulted is the policy as an API server hands it on.
func (d draw) policy(name string) (written, defaulted dict) {
	spec := dict{"podSelector": d.selector()}
	var types []string
	if d.coin(2) {
		spec["ingress"] = d.rules("from")
	}
	if d.coin(2) {
		spec["egress"] = d.rules("to")
	}
	egress, _ := spec["egress"].([]dict)
	switch d.IntN(4) {
	case 0:
		types = []string{"Ingress"}
	case 1:
		types = []string{"Egress"}
	case 2:
		types = []string{"Ingress", "Egress"}
	}
	object := func(spec dict) dict {
		return dict{"apiVersion": "networking.k8s.io/v1", "kind": "NetworkPolicy", "metadata": dict{"name": name, "namespace": "n" + name[:1]}, "spec": spec}
	}
	full := dict{"policyTypes": types}
	for key, value := range spec {
		full[key] = value
	}
	if len(types) > 0 {
		spec["policyTypes"] = types
	} else {
		full["policyTypes"] = []string{"Ingress"}
		if len(egress) > 0 {
			full["policyTypes"] = []string{"Ingress", "Egress"}
		}
	}
	return object(spec), object(full)
}

// place is a pod or an outside address of the test.
type place struct {
	name            string // as questions name it
	addresses       [2]netip.Addr
	namespace       string
	labels, nsLabel dict
	ports           map[string]string // names by "TCP/80"
}

// oracleEnd is a place as the oracle wants it.
func (p place) oracleEnd(family int) dict {
	return dict{"address": p.addresses[family].String(), "namespace": p.namespace, "labels": p.labels, "namespaceLabels": p.nsLabel}
}

// cluster draws namespaces, pods and policies. Every pod has an address of both families.
func (d draw) cluster() (manifests []dict, policies []dict, places []place) {
	nsLabels := make(map[string]dict)
	for i := range 3 {
		name := fmt.Sprintf("n%d", i)
		l := d.labels()
		manifests = append(manifests, dict{"apiVersion": "v1", "kind": "Namespace", "metadata": dict{"name": name, "labels": l}})
		nsLabels[name] = dict{"kubernetes.io/metadata.name": name}
		for k, v := range l {
			nsLabels[name][k] = v
		}
	}
	for i := range 7 {
		p := place{
			addresses: [2]netip.Addr{netip.AddrFrom4([4]byte{10, 0, 0, byte(i + 1)}), netip.AddrFrom16([16]byte{0xfd, 15: byte(i + 1)})},
			namespace: fmt.Sprintf("n%d", d.IntN(3)), labels: d.labels(), ports: make(map[string]string),
		}
		p.nsLabel = nsLabels[p.namespace]
		var ports []dict
		for _, name := range []string{"web", "dns"} {
			number, protocol := 80+d.IntN(4), d.one("TCP", "UDP", "SCTP")
			key := fmt.Sprintf("%s/%d", protocol, number)
			if _, taken := p.ports[key]; !taken && d.coin(2) {
				p.ports[key] = name
				ports = append(ports, dict{"name": name, "containerPort": number, "protocol": protocol})
			}
		}
		name := fmt.Sprintf("p%d", i)
		p.name = p.namespace + "/Pod/" + name
		manifests = append(manifests, dict{"apiVersion": "v1", "kind": "Pod", "metadata": dict{"name": name, "namespace": p.namespace, "labels": p.labels},
			"spec":   dict{"containers": []dict{{"name": "c", "ports": ports}}},
			"status": dict{"podIPs": []dict{{"ip": p.addresses[0].String()}, {"ip": p.addresses[1].String()}}}})
		places = append(places, p)
	}
	for _, a := range [][2]string{{"203.0.113.9", "2001:db8::9"}, {"203.0.113.200", "2001:db9::9"}} {
		places = append(places, place{name: a[0], addresses: [2]netip.Addr{netip.MustParseAddr(a[0]), netip.MustParseAddr(a[1])}})
	}
	for i := range 1 + d.IntN(5) {
		written, full := d.policy(fmt.Sprintf("%d-%d", d.IntN(3), i))
		manifests, policies = append(manifests, written), append(policies, full)
	}
	return manifests, policies, places
}

// TestCyclonus holds the rules of random NetworkPolicies against cyclonus' simulator: the reference and the set engine
// must both say what it says about each packet.
func TestCyclonus(t *testing.T) {
	o := startOracle(t)
	clusters, packets := 120, 40
	if long() {
		clusters = 6_000
	}
	seed := rand.Uint64()
	asked, allowed := 0, 0
	for n := range clusters {
		d := draw{rand.New(rand.NewPCG(seed, uint64(n)))}
		manifests, policies, places := d.cluster()
		text, err := json.Marshal(dict{"apiVersion": "v1", "kind": "List", "items": manifests})
		if err != nil {
			t.Fatal(err)
		}
		c, problems := kubernetes.Load([]topology.Source{{Name: "list.json", Content: text}})
		if err := problems.Err(); err != nil {
			t.Fatalf("seed %d, cluster %d: %v\n%s", seed, n, err, text)
		}
		w, err := kubernetes.NewWorld(c, kubernetes.Options{})
		if err != nil {
			t.Fatal(err)
		}
		var questions []dict
		var ours [][2]bool
		for len(questions) < packets {
			src, dst, family := places[d.IntN(len(places))], places[d.IntN(len(places))], d.IntN(2)
			if src.namespace == "" && dst.namespace == "" || src.name == dst.name {
				continue
			}
			protocol, port := d.one("TCP", "UDP", "SCTP"), 79+d.IntN(6)
			p := firewall.Packet{Protocol: map[string]firewall.Protocol{"TCP": firewall.TCP, "UDP": firewall.UDP, "SCTP": firewall.SCTP}[protocol], DstPort: uint16(port)}
			decided, computed := kubernetes.Verdicts(w, src.name, dst.name, src.addresses[family], dst.addresses[family], p)
			ours = append(ours, [2]bool{decided, computed})
			questions = append(questions, dict{"src": src.oracleEnd(family), "dst": dst.oracleEnd(family), "protocol": protocol, "port": port,
				"portName": dst.ports[fmt.Sprintf("%s/%d", protocol, port)]})
		}
		for i, want := range o.ask(t, dict{"policies": policies, "packets": questions}) {
			if ours[i] != [2]bool{want, want} {
				packet, _ := json.Marshal(questions[i])
				t.Fatalf("seed %d, cluster %d: cyclonus says %v, Decide %v, the set engine %v\npacket: %s\n%s", seed, n, want, ours[i][0], ours[i][1], packet, text)
			}
			asked++
			if want {
				allowed++
			}
		}
	}
	t.Logf("seed %d: %d packets, %d allowed", seed, asked, allowed)
	if allowed < asked/20 || allowed > asked*19/20 {
		t.Errorf("%d of %d allowed: the draw is lopsided", allowed, asked)
	}
}

// TestSelectors holds label selectors against those of Kubernetes itself.
func TestSelectors(t *testing.T) {
	o := startOracle(t)
	n := 500
	if long() {
		n = 20_000
	}
	seed := rand.Uint64()
	d := draw{rand.New(rand.NewPCG(seed, 0))}
	for range n {
		s := d.selector()
		if e, ok := s["matchExpressions"].([]dict); ok && d.coin(2) {
			e[0]["key"] = d.one("k", "l")
		}
		var sets []dict
		var manifests []dict
		for i := range 8 {
			sets = append(sets, d.labels())
			manifests = append(manifests, dict{"apiVersion": "v1", "kind": "Pod", "metadata": dict{"name": fmt.Sprint(i), "labels": sets[i]}, "status": dict{"podIP": fmt.Sprintf("10.0.0.%d", i+1)}})
		}
		manifests = append(manifests, dict{"apiVersion": "networking.k8s.io/v1", "kind": "NetworkPolicy", "metadata": dict{"name": "p"}, "spec": dict{"podSelector": s}})
		text, err := json.Marshal(dict{"apiVersion": "v1", "kind": "List", "items": manifests})
		if err != nil {
			t.Fatal(err)
		}
		w := load(t, string(text))
		for i, selected := range o.ask(t, dict{"selector": s, "labels": sets}) {
			// What the policy selects it isolates.
			decided, _ := kubernetes.Verdicts(w, "203.0.113.9", fmt.Sprintf("default/Pod/%d", i), netip.MustParseAddr("203.0.113.9"), netip.MustParseAddr(fmt.Sprintf("10.0.0.%d", i+1)), firewall.Packet{Protocol: firewall.TCP, DstPort: 80})
			if decided == selected {
				t.Fatalf("seed %d: %v selects %v: Kubernetes says %v", seed, s, sets[i], selected)
			}
		}
	}
}
