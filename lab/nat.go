package lab

import (
	"context"
	"fmt"
	"net/netip"
)

// natNet is the network between a node behind NAT and its router. Every such node has the same one, as at home.
var natNet = netip.MustParsePrefix("192.168.0.0/24")

const (
	natRouterHost = 1 // of natNet
	natNodeHost   = 2
	natInside     = "in0" // the router's links, to the node and to the underlay
	natOutside    = "out0"
)

// router is the namespace of the router in front of a node behind NAT.
func (r *Record) router(n Node) string { return r.namespaceName(string(n.Name) + "-nat") }

// makeRouter makes the router of a node behind NAT. It has the node's address on the underlay, and the wire of the node's
// name there. Source ports are drawn by lot, so that a peer that has lost a mapping can't guess the next one.
func (r *Record) makeRouter(ctx context.Context, n Node, outside netip.Prefix, mtu int) error {
	router := r.router(n)
	if err := r.makeNamespace(ctx, router, append([]string{"ipv4/ip_forward=1"}, noIPv6...)...); err != nil {
		return err
	}
	if err := runIP(ctx,
		fmt.Sprintf("link add %s netns %s mtu %d type veth peer name %s netns %s mtu %d", n.Name, r.underlayNamespace(), mtu, natOutside, router, mtu),
		fmt.Sprintf("-n %s link set %s master %s up", r.underlayNamespace(), n.Name, underlayBridge),
		fmt.Sprintf("link add eth0 netns %s mtu %d type veth peer name %s netns %s mtu %d", n.Namespace, mtu, natInside, router, mtu),
		fmt.Sprintf("-n %s link set eth0 up", n.Namespace),
		fmt.Sprintf("-n %s addr add %s dev %s", router, cidr(natNet, natRouterHost), natInside),
		fmt.Sprintf("-n %s addr add %s dev %s", router, outside, natOutside),
		fmt.Sprintf("-n %s link set %s up", router, natInside),
		fmt.Sprintf("-n %s link set %s up", router, natOutside),
	); err != nil {
		return err
	}
	// vswitchd hands on what the router itself sends as it is, and the node's kernel refuses packets without a checksum.
	for _, args := range [][]string{
		{"ethtool", "-K", natInside, "tx", "off"},
		{"iptables", "-w", "-t", "nat", "-A", "POSTROUTING", "-o", natOutside, "-j", "MASQUERADE", "--random"},
	} {
		if _, err := command(ctx, within(router, args...)...); err != nil {
			return err
		}
	}
	return nil
}
