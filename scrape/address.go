package scrape

import (
	"fmt"
	"net"
	"net/netip"
)

// ParseAddress reads the address of an endpoint; empty stands for none, and gives the zero value. It must be an IP address
// with a port: all addresses of a machine are offered by 0.0.0.0 or [::] alone, and never by leaving something out, because who
// reaches the endpoint can read it.
func ParseAddress(text string) (netip.AddrPort, error) {
	if text == "" {
		return netip.AddrPort{}, nil
	}
	a, err := netip.ParseAddrPort(text)
	switch {
	case err != nil:
		return netip.AddrPort{}, fmt.Errorf("%.80q is not an IP address with a port: write it like 127.0.0.1:7602 or [::1]:7602", text)
	case a.Port() == 0:
		return netip.AddrPort{}, fmt.Errorf("%.80q has port 0: Prometheus has to know the port", text)
	case a.Addr().IsMulticast():
		return netip.AddrPort{}, fmt.Errorf("%.80q is a multicast address: write one of this machine", text)
	}
	return a, nil
}

// Listen listens on an address.
func Listen(a netip.AddrPort) (net.Listener, error) { return net.Listen("tcp", a.String()) }
