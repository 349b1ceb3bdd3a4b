package pipeline

import (
	"github.com/weftfabric/weft/fabric"
	"github.com/weftfabric/weft/wire/openflow"
)

// A switch that refuses a row of a network's policy would decide by the rows that are left: what a missing row denies
// would be open. Such a network is closed instead, before policy is asked.

// closedFlows deny the new connections from and to a network.
func closedFlows(n fabric.NetworkID) []openflow.Flow {
	o := &flowsOf{kind: KindNetwork, object: uint32(n)}
	o.drop(TableIdentity, 1000, DropPolicyIncomplete, srcNetwork(n))
	o.drop(TableIdentity, 1000, DropPolicyIncomplete, dstNetwork(n))
	return o.flows
}

// Closes returns the network that a flow closes.
func Closes(f openflow.Flow) (fabric.NetworkID, bool) {
	c, ok := ParseCookie(f.Cookie)
	return fabric.NetworkID(c.Object), ok && c.Drop == DropPolicyIncomplete
}

// DecidesFor returns the network whose policy a flow is a row of.
func DecidesFor(f openflow.Flow) (fabric.NetworkID, bool) {
	t := Table(f.Table)
	if t < TablePlatformEgress || t > TablePostureIngress {
		return 0, false
	}
	subject := regSrcNetwork
	if t >= TablePlatformIngress {
		subject = regDstNetwork
	}
	for _, m := range f.Match {
		if m.Field == subject {
			return fabric.NetworkID(m.Value.Lo), true
		}
	}
	return 0, false
}
