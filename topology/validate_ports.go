package topology

import (
	"fmt"
	"net/netip"

	"github.com/weftfabric/weft/fabric"
)

// port checks a port, a Port's or a Client's, against its network.
func (v *validator) port(o *Object, p *Port) {
	spec := o.port().Spec
	if spec.MAC == v.intent.Settings().VirtualMAC {
		v.errorf(o, "spec.mac", "is %s, the fabric's own virtual MAC: choose another", spec.MAC)
	}
	families := map[bool]int{}
	for i, a := range spec.Addresses {
		if families[a.Is4()]++; families[a.Is4()] == 2 {
			v.errorf(o, addressPath(i), "%s is a second address of one IP version: a port has at most one of each", a)
		}
	}
	network := v.intent.Get(Key{KindNetwork, o.Key.Tenant, spec.Network})
	if network == nil || network.broken() {
		return
	}
	if spec.Subnet != "" && network.Network.Subnet(spec.Subnet) == nil {
		var names []string
		for _, s := range network.Network.Spec.Subnets {
			names = append(names, s.Name)
		}
		hint := didYouMean(spec.Subnet, names)
		if hint == "" {
			hint = ", it has " + oneOf(names)
		}
		v.errorf(o, "spec.subnet", "names %q, which Network %s does not have%s", spec.Subnet, p.NetworkRef(), hint)
		return
	}
	subnet := network.Network.Subnet(p.Spec.Subnet)
	for i, a := range spec.Addresses {
		if subnet != nil {
			v.fixedAddress(o, addressPath(i), subnet, a)
		}
	}
}

// fixedAddress checks an address of a port against its subnet.
func (v *validator) fixedAddress(o *Object, path string, s *Subnet, a netip.Addr) {
	p := s.Prefix(a)
	switch {
	case !p.IsValid():
		v.errorf(o, path, "%s lies outside subnet %s of Network %s: choose an address in %s", a, s.Name, o.port().NetworkRef(), oneOf(texts(s.Prefixes())))
	case a == s.Gateway(p):
		v.errorf(o, path, "%s is the gateway of subnet %s: choose another address", a, s.Name)
	case !Usable(p, a):
		v.errorf(o, path, "%s is the network or broadcast address of %s: choose another", a, p)
	}
}

func texts[T fmt.Stringer](values []T) []string {
	out := make([]string, len(values))
	for i, v := range values {
		out[i] = v.String()
	}
	return out
}

// ports checks that no two ports of a network share an address or a MAC.
func (v *validator) ports() {
	type address struct {
		network fabric.NetworkRef
		addr    netip.Addr
	}
	type station struct {
		network fabric.NetworkRef
		mac     fabric.MAC
	}
	addresses, stations := map[address]*Object{}, map[station]*Object{}
	v.portObjects(func(o *Object, p *Port) {
		ref := p.NetworkRef()
		for i, a := range p.Spec.Addresses {
			k := address{ref, a}
			if first := addresses[k]; first != nil && first != o {
				v.errorf(o, addressPath(i), "%s is the address of %s too, declared at %s: change one", a, first.Key, first.Origin)
			} else {
				addresses[k] = o
			}
		}
		k := station{ref, p.Spec.MAC}
		if first := stations[k]; first != nil {
			v.errorf(o, "spec.mac", "%s is the MAC of %s too, declared at %s: change one", p.Spec.MAC, first.Key, first.Origin)
		} else {
			stations[k] = o
		}
	})
}

// String returns "file:line", or "the store" for an object that was not read from a file.
func (o Origin) String() string {
	switch {
	case o.File == "":
		return "the store"
	case o.Line == 0:
		return o.File
	}
	return fmt.Sprintf("%s:%d", o.File, o.Line)
}
