package topology

import "fmt"

// reference is one mention of an object in another. path is the field that mentions it.
type reference struct {
	to   Key
	path string
}

// references returns the objects that o needs in order to mean something, in the order of its fields.
func (o *Object) references() []reference {
	var refs []reference
	add := func(path string, to Key) {
		if to.Name != "" {
			refs = append(refs, reference{to, path})
		}
	}
	tenant := o.Key.Tenant
	network := func(path, tenant, name string) { add(path, Key{KindNetwork, tenant, name}) }
	add("metadata.tenant", Key{Kind: KindTenant, Name: tenant})
	switch {
	case o.Peering != nil:
		peer := o.Peering.Remote()
		network("spec.network", tenant, o.Peering.Spec.Network)
		if peer.Tenant != tenant {
			add("spec.peer.tenant", Key{Kind: KindTenant, Name: peer.Tenant})
		}
		network("spec.peer.network", peer.Tenant, peer.Name)
	case o.Port != nil:
		network("spec.network", tenant, o.Port.Spec.Network)
	case o.Client != nil:
		network("spec.network", tenant, o.Client.Spec.Network)
	case o.FirewallPolicy != nil:
		network("spec.network", tenant, o.FirewallPolicy.Spec.Network)
	}
	o.eachPeer(func(path string, _ int, p Peer) {
		add(path+".addressGroup", Key{KindAddressGroup, tenant, p.AddressGroup})
		w := p.Workloads
		if w == nil {
			return
		}
		in := w.Tenant
		if in == "" {
			in = tenant
		} else if in != tenant {
			add(path+".workloads.tenant", Key{Kind: KindTenant, Name: in})
		}
		if in != "" {
			network(path+".workloads.network", in, w.Network)
		}
	})
	return refs
}

// eachPeer calls f with each peer of a policy's rules, and with the index of its rule.
func (o *Object) eachPeer(f func(path string, rule int, p Peer)) {
	o.eachRule(func(path string, i int, _ bool, r Rule) {
		for j, p := range r.From {
			f(fmt.Sprintf("%s.from[%d]", path, j), i, p)
		}
		for j, p := range r.To {
			f(fmt.Sprintf("%s.to[%d]", path, j), i, p)
		}
	})
}

// eachRule calls f with each rule of a policy, ingress first.
func (o *Object) eachRule(f func(path string, i int, ingress bool, r Rule)) {
	ingress, egress := o.rules()
	for i, r := range ingress {
		f(fmt.Sprintf("spec.ingress[%d]", i), i, true, r)
	}
	for i, r := range egress {
		f(fmt.Sprintf("spec.egress[%d]", i), i, false, r)
	}
}
