package bench

import (
	"encoding/json"
	"fmt"
	"math"
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/weftfabric/weft/lab"
)

// packetsSize is how much is sent.
type packetsSize struct {
	rounds int
	send   time.Duration // of each throughput
	trips  int           // of each latency
}

func BenchmarkPackets(b *testing.B) {
	report(b, func() *table {
		return measurePackets(b, packetsSize{rounds: 20, send: 500 * time.Millisecond, trips: 500})
	})
}

func TestPackets(t *testing.T) {
	smoke(t, func() *table {
		return measurePackets(t, packetsSize{rounds: 1, send: 100 * time.Millisecond, trips: 10})
	})
}

// carrier is something that carries packets between containers: two on its first node, one on its second.
type carrier struct {
	name       string
	nodes      []vswitch
	containers [3]endpoint
}

// carried is what a carrier achieved over one way.
type carried struct {
	rate   []float64 // Gbit/s
	trips  []float64 // medians, in µs
	cpu    []float64 // of each switch on the way for a packet, added up, in µs
	user   []float64 // the part of it outside of the kernel; none without perf
	stalls int
	passes []float64 // through each switch's datapath for a packet, added up
}

func measurePackets(tb testing.TB, size packetsSize) *table {
	ns := newNamespaces(tb)
	r := labUp(tb, labSpec{nodes: 2, yaml: cniNetwork + allowPolicy})
	// Each carrier has a NORMAL bridge beside it: a main thread asks all its ports in turn, so only carriers on the
	// same switch, with the same idle ports, compare.
	var vteps []string
	for _, n := range r.Nodes {
		vteps = append(vteps, n.VTEP.String())
	}
	carriers := []*carrier{normalCarrier(tb, ns, labSwitches(r), vteps), weftCarrier(tb, ns, r)}
	if o, addresses := ovnCarrier(tb, ns); o != nil {
		carriers = append(carriers, normalCarrier(tb, ns, o.nodes, addresses), o)
	}
	ways := []struct {
		name     string
		from, to int
		results  []carried
	}{{name: "one node", from: 0, to: 1}, {name: "two nodes", from: 0, to: 2}}
	for i := range ways {
		ways[i].results = make([]carried, len(carriers))
	}
	for range size.rounds {
		for w := range ways {
			for i, c := range carriers {
				c.measure(tb, &ways[w].results[i], c.containers[ways[w].from], c.containers[ways[w].to], size)
			}
		}
	}
	t := &table{
		title: "Packets",
		inputs: fmt.Sprintf("userspace datapath; %d rounds by turns of %s TCP and %d exchanges of 1 byte; medians; MTU %d",
			size.rounds, size.send, size.trips, containerMTU),
		head: []string{"way", "carrier", "Gbit/s", "of NORMAL", "round trip", "of NORMAL", "CPU/packet", "of NORMAL", "switch's own", "over NORMAL", "passes", "stalls"},
	}
	for _, way := range ways {
		for i, c := range carriers {
			got, normal := &way.results[i], &way.results[i/2*2]
			t.add(way.name, c.name, fmt.Sprintf("%.2f", medianOf(got.rate)), pairedText(got.rate, normal.rate),
				fmt.Sprintf("%.0f µs", medianOf(got.trips)), fmt.Sprintf("%.2f", paired(got.trips, normal.trips)),
				fmt.Sprintf("%.2f µs", medianOf(got.cpu)), pairedText(got.cpu, normal.cpu), ownText(got.user), overText(got.user, normal.user), fmt.Sprintf("%.1f", medianOf(got.passes)), got.stalls)
		}
	}
	t.note("NORMAL: a bridge with one NORMAL flow on the same switch as the next line's carrier; its own VXLAN tunnel, no conntrack, no policy.")
	t.note("weft and OVN: a policy lets TCP and UDP pass, every connection is tracked. OVN runs on switches of its own, with Geneve.")
	t.note("A ratio is the median of the rounds' ratios, in brackets between which values it is with 95 %% confidence. CPU/packet: time of vswitchd's threads during the TCP stream for each packet")
	t.note("received by its datapath, acknowledgements included; passes: traversals of the datapath a packet. Both summed over the nodes. Switch's own: the part")
	t.note("of the time outside of the kernel, by %d samples a second of another stream; over NORMAL: what that is more than NORMAL's.", sampleRate)
	t.note("stalls: measurements that were begun anew because a connection made no progress for %s.", trafficTimeout)
	t.metric(paired(ways[0].results[1].rate, ways[0].results[0].rate), "one-node/NORMAL")
	t.metric(paired(ways[1].results[1].rate, ways[1].results[0].rate), "two-nodes/NORMAL")
	return t
}

// triesMax is how often a stalled measurement is begun anew.
const triesMax = 5

// measure sends from one container to another. A connection that makes no progress is counted as a stall, and
// the measurement is begun anew.
func (c *carrier) measure(tb testing.TB, into *carried, from, to endpoint, size packetsSize) {
	tb.Helper()
	for try := 1; ; try++ {
		err := c.measureOnce(tb, into, from, to, size)
		if err == nil {
			return
		}
		into.stalls++
		tb.Logf("%s: %v", c.name, err)
		for _, v := range c.nodes {
			tb.Logf("tunnel neighbours of %s:\n%s", v.namespace, v.appctl(tb, "tnl/neigh/show"))
		}
		if try == triesMax {
			tb.Fatalf("%s carries nothing from %s to %s", c.name, from.address, to.address)
		}
	}
}

func (c *carrier) measureOnce(tb testing.TB, into *carried, from, to endpoint, size packetsSize) error {
	before := make([]work, len(c.nodes))
	for i, v := range c.nodes {
		before[i] = v.work(tb)
	}
	bytes, took, err := throughput(tb.Context(), from, to, size.send)
	if err != nil {
		return err
	}
	var cpu, passes float64
	for i, v := range c.nodes {
		if did := v.work(tb).minus(before[i]); did.packets > minPackets {
			cpu += float64(did.cpu.Nanoseconds()) / 1e3 / float64(did.packets)
			passes += float64(did.passes) / float64(did.packets)
		}
	}
	user, err := c.userPerPacket(tb, from, to, size)
	if err != nil {
		return err
	}
	trips, err := roundTrips(tb.Context(), from, to, size.trips)
	if err != nil {
		return err
	}
	into.user = append(into.user, user...)
	into.rate = append(into.rate, float64(bytes)*8/took.Seconds()/1e9)
	into.cpu, into.passes = append(into.cpu, cpu), append(into.passes, passes)
	into.trips = append(into.trips, float64(median(trips).Nanoseconds())/1e3)
	return nil
}

// userPerPacket sends once more, and returns the time that the switches on the way spend outside of the kernel for
// a packet, in µs; nothing where there is no perf.
func (c *carrier) userPerPacket(tb testing.TB, from, to endpoint, size packetsSize) ([]float64, error) {
	if !canProfile() {
		return nil, nil
	}
	var sum float64
	before, profiles := make([]work, len(c.nodes)), make([]*profile, len(c.nodes))
	for i, v := range c.nodes {
		profiles[i] = startProfile(tb, []string{strconv.Itoa(v.pid(tb))})
		before[i] = v.work(tb)
	}
	_, _, err := throughput(tb.Context(), from, to, size.send)
	for i, v := range c.nodes {
		did := v.work(tb).minus(before[i])
		if spent := profiles[i].userTime(tb); did.packets > minPackets {
			sum += float64(spent.Nanoseconds()) / 1e3 / float64(did.packets)
		}
	}
	return []float64{sum}, err
}

// minPackets tells a switch on the way from one that only has some ARP to do.
const minPackets = 100

// medianOf is the median of samples whose order matters elsewhere.
func medianOf(samples []float64) float64 { return median(slices.Clone(samples)) }

// paired is the median of the ratios of samples that were taken one right after the other.
func paired(a, b []float64) float64 {
	var ratios []float64
	for i := range a {
		ratios = append(ratios, a[i]/b[i])
	}
	return median(ratios)
}

// pairedText is the median of the ratios, and the interval that the true one is in with 95 % confidence: that between two
// of the ratios in order, of which a binomial distribution says how many lie on either side.
func pairedText(a, b []float64) string {
	var ratios []float64
	for i := range a {
		ratios = append(ratios, a[i]/b[i])
	}
	slices.Sort(ratios)
	n := len(ratios)
	k := max(int(float64(n)/2-0.98*math.Sqrt(float64(n))), 0)
	return fmt.Sprintf("%.2f (%.2f-%.2f)", medianOf(ratios), ratios[k], ratios[n-1-k])
}

func ownText(user []float64) string {
	if len(user) == 0 {
		return "-"
	}
	return fmt.Sprintf("%.2f µs", medianOf(user))
}

// overText is the median of the differences of samples that were taken one right after the other.
func overText(a, b []float64) string {
	if len(a) == 0 {
		return "-"
	}
	var more []float64
	for i := range a {
		more = append(more, a[i]-b[i])
	}
	return fmt.Sprintf("%+.2f µs", median(more))
}

// weftCarrier attaches containers by the plugin.
func weftCarrier(tb testing.TB, ns *namespaces, r *lab.Record) *carrier {
	c := &carrier{name: "weft", nodes: labSwitches(r)}
	for i, node := range []int{0, 0, 1} {
		c.containers[i].namespace = ns.add("w")
		p := weftPlugin(r, r.Nodes[node])
		if _, err := p.call("ADD", c.containers[i].namespace); err != nil {
			tb.Fatal(err)
		}
		c.containers[i].address = addressOf(tb, c.containers[i].namespace)
	}
	return c
}

func labSwitches(r *lab.Record) (out []vswitch) {
	for _, n := range r.Nodes {
		out = append(out, vswitchOf(n))
	}
	return out
}

// addressOf returns the IPv4 address of a container's eth0.
func addressOf(tb testing.TB, namespace string) string {
	tb.Helper()
	var links []struct {
		Addresses []struct {
			Local string `json:"local"`
		} `json:"addr_info"`
	}
	if err := json.Unmarshal([]byte(run(tb, "ip", "-n", namespace, "-4", "-j", "addr", "show", "dev", "eth0")), &links); err != nil {
		tb.Fatal(err)
	}
	if len(links) != 1 || len(links[0].Addresses) != 1 {
		tb.Fatalf("eth0 of %s has no single IPv4 address", namespace)
	}
	return links[0].Addresses[0].Local
}

// normalCarrier puts a learning bridge beside another carrier on its switches: the limit of what they forward.
func normalCarrier(tb testing.TB, ns *namespaces, nodes []vswitch, vteps []string) *carrier {
	c := &carrier{name: "NORMAL", nodes: nodes}
	for i, v := range nodes {
		v.vsctl(tb, "add-br", "br-normal", "--", "set", "bridge", "br-normal", "datapath_type=netdev", "--",
			"add-port", "br-normal", "vx-normal", "--", "set", "interface", "vx-normal", "type=vxlan",
			"options:remote_ip="+vteps[1-i], "options:key=77", "options:dst_port=4790")
	}
	for i, node := range []int{0, 0, 1} {
		c.containers[i] = endpoint{namespace: ns.add("n"), address: fmt.Sprintf("10.2.0.%d", i+1)}
		c.nodes[node].plug(tb, wire{endpoint: c.containers[i], port: fmt.Sprintf("normal%d", i), bridge: "br-normal", mac: fmt.Sprintf("02:77:00:00:00:%02x", i+1)})
	}
	return c
}
