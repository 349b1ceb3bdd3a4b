package cni

import (
	"fmt"

	types100 "github.com/containernetworking/cni/pkg/types/100"
	"github.com/containernetworking/cni/pkg/version"
)

// previous returns the result of the plugins before this one in the list, or, for CHECK, the whole list's; nil when
// there is none.
func previous(conf Config) (*types100.Result, error) {
	if len(conf.PrevResult) == 0 || string(conf.PrevResult) == "null" {
		return nil, nil
	}
	parsed, err := version.NewResult(conf.CNIVersion, conf.PrevResult)
	if err != nil {
		return nil, fmt.Errorf("field \"prevResult\": %w", err)
	}
	prev, err := types100.NewResultFromResult(parsed)
	if err != nil {
		return nil, fmt.Errorf("field \"prevResult\": %w", err)
	}
	return prev, nil
}

// interfaceIn returns the index of the container's interface of that name, or -1.
func interfaceIn(r *types100.Result, ifName string) int {
	for i, iface := range r.Interfaces {
		if iface.Name == ifName && iface.Sandbox != "" {
			return i
		}
	}
	return -1
}

// checkChain refuses a place in the list behind the plugin that made the container's interface: weft-cni makes it
// itself. Plugins that made something else, or nothing, may stand before it.
func checkChain(prev *types100.Result, ifName string) error {
	if prev == nil || interfaceIn(prev, ifName) < 0 {
		return nil
	}
	return fmt.Errorf("field \"prevResult\": a plugin before weft-cni has made the container's interface %s: weft-cni makes it itself, so leave that plugin out, or put those that only adjust an interface (tuning, portmap, bandwidth) behind weft-cni", ifName)
}

// chain returns what the list has made so far: what stands in prev, and after it own.
func chain(prev, own *types100.Result) *types100.Result {
	if prev == nil {
		return own
	}
	out := *prev
	out.CNIVersion = own.CNIVersion
	before := len(prev.Interfaces)
	out.Interfaces = append(out.Interfaces[:before:before], own.Interfaces...)
	out.IPs = out.IPs[:len(prev.IPs):len(prev.IPs)]
	for _, ip := range own.IPs {
		moved := *ip
		moved.Interface = types100.Int(before + *ip.Interface)
		out.IPs = append(out.IPs, &moved)
	}
	out.Routes = append(out.Routes[:len(prev.Routes):len(prev.Routes)], own.Routes...)
	return &out
}
