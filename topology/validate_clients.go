package topology

import (
	"fmt"

	"github.com/weftfabric/weft/fabric"
)

// clientAccess checks what a fabric says of remote clients.
func (v *validator) clientAccess(o *Object) {
	s := o.Fabric.Spec
	if s.Clients == nil {
		return
	}
	v.labelSelector(o, "spec.clients.gateways", s.Clients.Gateways)
	if s.Clients.Gateways.IsZero() {
		v.errorf(o, "spec.clients.gateways", "selects every node: name labels that only gateways have")
	}
	for _, taken := range []struct {
		field string
		port  uint16
	}{{"vxlanPort", s.VXLANPort}, {"encryption.port", s.Encryption.Port}} {
		if taken.port >= s.Clients.Port {
			v.errorf(o, "spec.clients.port", "is %d, but clients use the ports from there up, one for each network, and %s is %d: choose one above it", s.Clients.Port, taken.field, taken.port)
		}
	}
}

// client checks a Client against its network and the fabric.
func (v *validator) client(o *Object) {
	spec := o.Client.Spec
	if v.intent.Settings().Clients == nil {
		v.errorf(o, "spec", "needs gateways: give the Fabric spec.clients, with a selector of the nodes that clients connect to")
	}
	if spec.PublicKey.IsZero() {
		v.errorf(o, "spec.publicKey", "is all zero, which is no key: make one with weft client config %s --tenant %s --generate", o.Key.Name, o.Key.Tenant)
	}
	if len(spec.Addresses) == 0 {
		v.errorf(o, "spec.addresses", "is empty: a client's configuration names its addresses, so give one of each IP version that it uses")
	}
	v.port(o, v.intent.Port(o.Client.Ref()))
}

// clients checks that each Client has a name and a key of its own.
func (v *validator) clients() {
	keys := map[fabric.PublicKey]*Object{}
	for _, g := range v.intent.shelves[KindClient] {
		for _, o := range g.all() {
			if port := v.intent.Get(Key{KindPort, o.Key.Tenant, o.Key.Name}); port != nil {
				v.errorf(o, "metadata.name", "is the name of %s too, declared at %s: a client is a port, so rename one", port.Key, port.Origin)
			}
			k := o.Client.Spec.PublicKey
			switch first := keys[k]; {
			case k.IsZero():
			case first != nil:
				v.errorf(o, "spec.publicKey", "is the key of %s too, declared at %s: each client makes its own", first.Key, first.Origin)
			default:
				keys[k] = o
			}
		}
	}
}

// portObjects returns the objects that declare ports, with them.
func (v *validator) portObjects(visit func(*Object, *Port)) {
	for _, kind := range []Kind{KindPort, KindClient} {
		for _, g := range v.intent.shelves[kind] {
			for _, o := range g.all() {
				visit(o, o.port())
			}
		}
	}
}

// port returns the port that an object declares, or nil.
func (o *Object) port() *Port {
	switch {
	case o.Port != nil:
		return o.Port
	case o.Client != nil:
		return o.Client.Port()
	}
	return nil
}

func addressPath(i int) string { return fmt.Sprintf("spec.addresses[%d]", i) }
