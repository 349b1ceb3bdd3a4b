package pipeline

import (
	"github.com/weftfabric/weft/fabric"
	"github.com/weftfabric/weft/firewall"
	"github.com/weftfabric/weft/wire/openflow"
)

// Copy is what the switch says of a packet that it has copied for the flow log.
type Copy struct {
	// Rule is the rule whose row copied it, Network and Direction say whom it governed; 0 for a drop without a rule.
	Rule      firewall.RuleID
	Network   fabric.NetworkID
	Direction firewall.Direction
	// Drop is the reason of a drop without a rule.
	Drop Reason
	// The ends, as policy saw them.
	SrcNetwork, DstNetwork   fabric.NetworkID
	SrcIdentity, DstIdentity fabric.Identity
}

// CopyOf reads the cookie and the registers of a packet with PurposeFlowLog. It reports false for what the pipeline
// doesn't copy.
func CopyOf(cookie uint64, registers openflow.Match) (Copy, bool) {
	c, ok := ParseCookie(cookie)
	if !ok || c.Kind != KindTally && c.Drop == 0 {
		return Copy{}, false
	}
	value := make(map[openflow.Field]uint64, len(registers))
	for _, m := range registers {
		value[m.Field] = m.Value.Lo
	}
	out := Copy{
		Drop: c.Drop, SrcNetwork: fabric.NetworkID(value[regSrcNetwork]), DstNetwork: fabric.NetworkID(value[regDstNetwork]),
		SrcIdentity: fabric.Identity(value[regSrcIdentity]), DstIdentity: fabric.Identity(value[regDstIdentity]),
	}
	if c.Kind == KindTally {
		out.Rule, out.Network, out.Direction = firewall.RuleID(c.Object), out.DstNetwork, firewall.Ingress
		if value[regIngressRule] == 0 {
			out.Network, out.Direction = out.SrcNetwork, firewall.Egress
		}
	}
	return out, true
}

// Tallied returns the rule that a flow of table Tally counts for, and the network that it governs.
func Tallied(f openflow.Flow) (n fabric.NetworkID, rule firewall.RuleID, ok bool) {
	c, ours := ParseCookie(f.Cookie)
	if !ours || c.Kind != KindTally || Table(f.Table) != TableTally {
		return 0, 0, false
	}
	for _, m := range f.Match {
		if m.Field == regSrcNetwork || m.Field == regDstNetwork {
			return fabric.NetworkID(m.Value.Lo), firewall.RuleID(c.Object), true
		}
	}
	return 0, 0, false
}
