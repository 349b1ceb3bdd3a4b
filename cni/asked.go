package cni

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"

	"github.com/weftfabric/weft/fabric"
)

// A runtime can ask for a MAC address and for addresses in several places, and Multus fills in several at once. What
// stands in two places must agree: to choose one silently would give a container an address that somebody didn't mean.

// askedMAC returns the MAC address of capability and CNI_ARGS.
func askedMAC(conf Config, args Args) (fabric.MAC, error) {
	if conf.RuntimeConfig.MAC == "" {
		return args.MAC, nil
	}
	mac, err := fabric.ParseMAC(conf.RuntimeConfig.MAC)
	if err != nil {
		return fabric.MAC{}, fmt.Errorf("field \"runtimeConfig.mac\": %w", err)
	}
	if !args.MAC.IsZero() && args.MAC != mac {
		return fabric.MAC{}, fmt.Errorf("field \"runtimeConfig.mac\" asks for %s, and CNI_ARGS MAC for %s: give one of them, or the same in both", mac, args.MAC)
	}
	return mac, nil
}

// askedAddresses joins the addresses of all places. Places may leave a family out; those that name it must agree.
func askedAddresses(conf Config, args Args) ([]netip.Addr, error) {
	fromCapability, err1 := addressesIn("runtimeConfig.ips", conf.RuntimeConfig.IPs)
	fromConventions, err2 := addressesIn("args.cni.ips", conf.Args.CNI.IPs)
	if err := errors.Join(err1, err2); err != nil {
		return nil, err
	}
	var out []netip.Addr
	var errs []error
	from := map[bool]string{} // the place that named IPv4 (true) or IPv6 (false) first
	for _, place := range []struct {
		name  string
		addrs []netip.Addr
	}{{"field \"runtimeConfig.ips\"", fromCapability}, {"field \"args.cni.ips\"", fromConventions}, {"CNI_ARGS IP", args.Addresses}} {
		for _, addr := range place.addrs {
			first, named := from[addr.Is4()]
			switch {
			case named && first != place.name && !slices.Contains(out, addr):
				errs = append(errs, fmt.Errorf("%s asks for %s, and %s for another address: give one of them, or the same in both", place.name, addr, first))
			case !slices.Contains(out, addr):
				out = append(out, addr)
				from[addr.Is4()] = place.name
			}
		}
	}
	return out, errors.Join(errs...)
}

// addressesIn decodes the addresses in a field of the configuration.
func addressesIn(field string, list []string) ([]netip.Addr, error) {
	addrs, err := parseAddresses(list)
	if err != nil {
		return nil, fmt.Errorf("field %q: %w", field, err)
	}
	return addrs, nil
}
