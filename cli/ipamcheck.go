package cli

import (
	"cmp"
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"github.com/weftfabric/weft/fabric"
	weftv1 "github.com/weftfabric/weft/wire/weftpb/weft/v1"
)

// ipamFinding is a disagreement over an address, or what keeps agreement from being proved.
type ipamFinding struct {
	Node    string `json:"node"`
	Object  string `json:"object"` // the lease, interface or Port that it is about
	Problem string `json:"problem"`
	Do      string `json:"do"`
}

// ipamReport is what 'weft ipam verify' found.
type ipamReport struct {
	Nodes     int           `json:"nodes"`
	Switches  int           `json:"switches"` // that were asked, and answered
	Leases    int           `json:"leases"`
	Addresses int           `json:"addresses"`
	Findings  []ipamFinding `json:"findings"`
}

// lease is a block of addresses of a network that a node leases.
type lease struct {
	node, network string
	prefix        netip.Prefix
}

// holder is who has an address, a MAC address or a Port.
type holder struct{ node, iface string }

func (h holder) String() string { return h.iface + " of " + h.node }

// ipamCheck compares what is declared and leased (the store) with what the nodes report, and that with their switches.
type ipamCheck struct {
	report   ipamReport
	subnets  map[string][]subnetRange // by network
	fixed    map[string][]string      // addresses, by declared Port
	leases   []lease
	holders  map[[2]string]holder // of an address or MAC address, by network and text
	portHeld map[string]holder
}

// subnetRange is what workloads of a subnet may have.
type subnetRange struct {
	prefixes []netip.Prefix
	gateways []netip.Addr
}

// checkIPAM returns the report; its findings are sorted. Switches are what the nodes that are connected told, by name.
func checkIPAM(objects []stored, nodes []*weftv1.NodeInfo, switches map[string]*nodeReading) ipamReport {
	c := ipamCheck{
		report: ipamReport{Nodes: len(nodes), Findings: []ipamFinding{}}, subnets: map[string][]subnetRange{}, fixed: map[string][]string{},
		holders: map[[2]string]holder{}, portHeld: map[string]holder{},
	}
	for _, o := range objects {
		if n := o.declared.Network; n != nil {
			ref := fabric.NetworkRef{Tenant: n.Metadata.Tenant, Name: n.Metadata.Name}.String()
			for _, s := range n.Spec.Subnets {
				c.subnets[ref] = append(c.subnets[ref], subnetRange{[]netip.Prefix{s.IPv4, s.IPv6}, []netip.Addr{s.Gateway4, s.Gateway6}})
			}
		}
		if p := o.declared.Port; p != nil {
			c.fixed[p.Ref().String()] = texts(p.Spec.Addresses)
		}
	}
	nodes = sortedNodes(nodes)
	for _, n := range nodes {
		c.readLeases(n)
	}
	c.checkLeases()
	for _, n := range nodes {
		c.checkNode(n, switches[n.GetName()])
	}
	slices.SortStableFunc(c.report.Findings, func(a, b ipamFinding) int {
		return cmp.Or(cmp.Compare(a.Node, b.Node), cmp.Compare(a.Object, b.Object))
	})
	return c.report
}

func (c *ipamCheck) find(node, object, do, problem string, args ...any) {
	c.report.Findings = append(c.report.Findings, ipamFinding{Node: node, Object: object, Problem: fmt.Sprintf(problem, args...), Do: do})
}

// readLeases decodes the leases of a node, "tenant/network 10.0.0.64/26".
func (c *ipamCheck) readLeases(n *weftv1.NodeInfo) {
	for _, text := range n.GetLeases() {
		network, block, _ := strings.Cut(text, " ")
		prefix, err := netip.ParsePrefix(block)
		if err != nil {
			c.find(n.GetName(), text, "compare the versions of weft and the controller", "the lease can't be read: %v", err)
			continue
		}
		c.leases = append(c.leases, lease{n.GetName(), network, prefix})
	}
	c.report.Leases = len(c.leases)
}

// checkLeases compares the leases with each other and with the networks.
func (c *ipamCheck) checkLeases() {
	const do = "report this as a defect of the controller, with 'weft nodes -o json'; drain the node and remove it with 'weft delete node' to free its leases"
	byBlock := slices.Clone(c.leases)
	slices.SortFunc(byBlock, func(a, b lease) int {
		return cmp.Or(cmp.Compare(a.network, b.network), a.prefix.Compare(b.prefix))
	})
	var outer lease // the one before that may hold the next ones: prefixes either nest or are disjoint
	for _, l := range byBlock {
		inside := slices.ContainsFunc(c.subnets[l.network], func(s subnetRange) bool {
			return slices.ContainsFunc(s.prefixes, func(p netip.Prefix) bool {
				return p.IsValid() && p.Contains(l.prefix.Addr()) && p.Bits() <= l.prefix.Bits()
			})
		})
		if !inside {
			c.find(l.node, l.network+" "+l.prefix.String(), do, "the lease is in no subnet of its network")
		}
		if outer.network == l.network && outer.prefix.Overlaps(l.prefix) {
			c.find(l.node, l.network+" "+l.prefix.String(), do, "the lease overlaps %s of %s", outer.prefix, outer.node)
			continue
		}
		outer = l
	}
}

// checkNode compares what a node reports with what is leased and declared, with what other nodes report, and with what its
// switch holds.
func (c *ipamCheck) checkNode(n *weftv1.NodeInfo, r *nodeReading) {
	name := n.GetName()
	if !n.GetConnected() || n.GetReport() == nil {
		c.find(name, "node", "start weft-agent on it, or remove the node with 'weft delete node "+name+"'", "what it has is not known: its agent is not connected")
		return
	}
	if n.GetEnforcedRevision() < n.GetPlannedRevision() {
		c.find(name, "node", "run this again; if it stays, see 'weft status' and the agent's log", "its switch has confirmed revision %d of %d", n.GetEnforcedRevision(), n.GetPlannedRevision())
	}
	for _, p := range n.GetReport().GetProblems() {
		c.find(name, "switch", "see 'journalctl -u weft-agent' on the node", "%s", p)
	}
	for _, at := range n.GetReport().GetAttachments() {
		c.checkAttachment(n, at)
	}
	c.checkSwitch(n, r)
}

func (c *ipamCheck) checkAttachment(n *weftv1.NodeInfo, at *weftv1.Attachment) {
	me := holder{n.GetName(), at.GetInterface()}
	again := "detach the workload and attach it again"
	if port := at.GetPort(); port != "" {
		fixed, declared := c.fixed[port]
		switch other, held := c.portHeld[port]; {
		case held:
			c.find(me.node, me.iface, "detach it on one of the nodes with 'weft port detach "+port+"'", "Port %s is attached to %s too", port, other)
		case !declared:
			c.find(me.node, me.iface, "detach it, or declare the Port", "Port %s is not declared", port)
		case len(fixed) > 0 && !sameTexts(fixed, at.GetAddresses()):
			c.find(me.node, me.iface, again, "Port %s has %s, and is declared with %s", port, strings.Join(at.GetAddresses(), ","), strings.Join(fixed, ","))
		}
		c.portHeld[port] = me
	}
	c.hold(at.GetNetwork(), at.GetMac(), "MAC address", me)
	for _, text := range at.GetAddresses() {
		c.report.Addresses++
		c.hold(at.GetNetwork(), text, "address", me)
		addr, err := netip.ParseAddr(text)
		if err != nil {
			c.find(me.node, me.iface, again, "address %q can't be read", text)
			continue
		}
		for _, s := range c.subnets[at.GetNetwork()] {
			if slices.Contains(s.gateways, addr) {
				c.find(me.node, me.iface, again, "address %s is a gateway's of network %s", addr, at.GetNetwork())
			}
		}
		leased := slices.ContainsFunc(c.leases, func(l lease) bool {
			return l.node == me.node && l.network == at.GetNetwork() && l.prefix.Contains(addr)
		})
		if !leased && !slices.Contains(c.fixed[at.GetPort()], text) {
			c.find(me.node, me.iface, again, "address %s of network %s is in no block that the node leases", addr, at.GetNetwork())
		}
	}
}

// hold notes who has a value of a network, which nobody else may have.
func (c *ipamCheck) hold(network, value, what string, me holder) {
	k := [2]string{network, value}
	if other, ok := c.holders[k]; ok {
		c.find(me.node, me.iface, "detach one of the two and attach it again", "%s %s of network %s is %s's too", what, value, network, other)
		return
	}
	c.holders[k] = me
}

// sameTexts reports whether two lists hold the same in any order.
func sameTexts(a, b []string) bool {
	return slices.Equal(slices.Sorted(slices.Values(a)), slices.Sorted(slices.Values(b)))
}
