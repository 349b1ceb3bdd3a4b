package cni

import (
	"fmt"
	"net"
	"net/netip"

	"github.com/containernetworking/cni/pkg/types"
	types100 "github.com/containernetworking/cni/pkg/types/100"

	"github.com/weftfabric/weft/wire/cniwire"
)

// NewResult states an attached interface as a CNI result: the host's end first, then the container's, each
// address with its gateway, and a default route for each family that has one.
func NewResult(add cniwire.Add, iface cniwire.Interface) (*types100.Result, error) {
	if iface.HostName == "" || iface.MAC.IsZero() || len(iface.Addresses) == 0 {
		return nil, fmt.Errorf("the agent's answer lacks interface name, MAC or address: %+v", iface)
	}
	container := types100.Int(1)
	r := &types100.Result{
		CNIVersion: types100.ImplementedSpecVersion,
		Interfaces: []*types100.Interface{
			{Name: iface.HostName, Mtu: iface.MTU},
			{Name: add.IfName, Mac: iface.MAC.String(), Mtu: iface.MTU, Sandbox: add.Netns},
		},
	}
	for _, prefix := range iface.Addresses {
		ip := &types100.IPConfig{Interface: container, Address: ipNet(prefix)}
		if gw := gatewayFor(prefix.Addr(), iface.Gateways); gw.IsValid() {
			ip.Gateway = gw.AsSlice()
		}
		r.IPs = append(r.IPs, ip)
	}
	for _, gw := range iface.Gateways {
		all := netip.PrefixFrom(netip.IPv4Unspecified(), 0)
		if gw.Is6() {
			all = netip.PrefixFrom(netip.IPv6Unspecified(), 0)
		}
		r.Routes = append(r.Routes, &types.Route{Dst: ipNet(all), GW: gw.AsSlice()})
	}
	return r, nil
}

func gatewayFor(a netip.Addr, gateways []netip.Addr) netip.Addr {
	for _, gw := range gateways {
		if gw.Is4() == a.Is4() {
			return gw
		}
	}
	return netip.Addr{}
}

func ipNet(p netip.Prefix) net.IPNet {
	return net.IPNet{IP: p.Addr().AsSlice(), Mask: net.CIDRMask(p.Bits(), p.Addr().BitLen())}
}
