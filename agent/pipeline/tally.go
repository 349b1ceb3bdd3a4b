package pipeline

import (
	"slices"

	"github.com/weftfabric/weft/fabric"
	"github.com/weftfabric/weft/firewall"
	"github.com/weftfabric/weft/wire/openflow"
)

// Tally: one row for each rule of a network counts the connections that the rule decided, whatever rows of the policy
// tables found them, so a row that comes and goes takes no count with it. Where a rule is to be logged, its row also
// copies the packet to the agent. The table only counts and copies: its callers go on behind it, or drop.
//
// The reply to a pending connection is decided anew on the sender's node. It isn't counted: the connection was,
// where it was opened.

// PurposeFlowLog is the userdata of the packet-ins that are copies for the flow log. The cookie names the rule, or the
// reason of a drop that no rule asked for; the registers say between whom.
const PurposeFlowLog = "flow-log"

// LogMeter is the number of the meter that limits copies. What it cuts is never the packet, only the copy.
const LogMeter = 1

// What passes that meter: packets a second, and at once.
const (
	logRate  = 100
	logBurst = 200
)

func logMeter() openflow.MeterDesc {
	return openflow.MeterDesc{ID: LogMeter, Packets: true, Stats: true, Rate: logRate, Burst: logBurst}
}

// logOctets is how much of a packet is copied: up to the ports behind IPv6 with a few extension headers.
const logOctets = 192

// identityBits is the length of an identity.
const identityBits = 24

func copyToLog() openflow.Action {
	return openflow.Controller{Userdata: []byte(PurposeFlowLog), MaxLen: logOctets, Meter: LogMeter}
}

// copyLast has the last row copied to the agent, if denials are logged.
func (o *flowsOf) copyLast(s Settings) {
	if last := &o.flows[len(o.flows)-1]; s.LogDenials {
		last.Actions = append(last.Actions, copyToLog())
	}
}

// ruleRegister is where a direction's rows note their rule.
func ruleRegister(d firewall.Direction) openflow.Field {
	if d == firewall.Egress {
		return regEgressRule
	}
	return regIngressRule
}

// tallyFlows returns the rows of a network's rules.
func tallyFlows(t firewall.Table) []openflow.Flow {
	logged := loggedRules(t.Rules)
	var out []openflow.Flow
	for _, r := range t.Rules {
		match := when(flags(0, flagTurned), openflow.Exact(ruleRegister(r.Direction), uint64(r.ID)))
		if r.Direction == firewall.Egress {
			match = append(match, openflow.Exact(regIngressRule, 0), srcNetwork(t.Network))
		} else {
			match = append(match, dstNetwork(t.Network))
		}
		var actions []openflow.Action
		if logged[r.ID] {
			actions = append(actions, copyToLog())
		}
		out = append(out, row{TableTally, 100, Cookie{Kind: KindTally, Object: uint32(r.ID)}, match, actions}.flow())
	}
	return out
}

// loggedRules returns the rules whose connections are copied: those that log, and those that the switch may pick in
// their place, because they do the same, stand beside them and match some of the same packets. The agent knows which of
// them decided.
func loggedRules(rules []firewall.Rule) map[firewall.RuleID]bool {
	rules = slices.Clone(rules)
	slices.SortStableFunc(rules, firewall.CompareRules)
	out := make(map[firewall.RuleID]bool)
	beside := func(a, b firewall.Rule) bool {
		return a.Direction == b.Direction && a.Tier == b.Tier && a.Action == b.Action
	}
	for i, r := range rules {
		if !r.Log {
			continue
		}
		out[r.ID] = true
		for j := i - 1; j >= 0 && beside(rules[j], r); j-- {
			out[rules[j].ID] = out[rules[j].ID] || overlap(&rules[j], &r)
		}
		for j := i + 1; j < len(rules) && beside(rules[j], r); j++ {
			out[rules[j].ID] = out[rules[j].ID] || overlap(&rules[j], &r)
		}
	}
	return out
}

// overlap reports whether two rules of one direction can match the same packet. It says so, too, where addresses alone
// would have to tell.
func overlap(a, b *firewall.Rule) bool {
	return overlapWorkloads(a.Subject, b.Subject) && overlapPeers(a.Peers, b.Peers) && overlapServices(a.Services, b.Services)
}

func overlapWorkloads(a, b firewall.Workloads) bool {
	return a.Any || b.Any || slices.ContainsFunc(a.IDs, func(id fabric.Identity) bool { return slices.Contains(b.IDs, id) })
}

func overlapPeers(a, b firewall.Peers) bool {
	if a.Any || b.Any || len(a.CIDRs) > 0 && len(b.IDs)+len(b.Blocks) > 0 || len(b.CIDRs) > 0 && len(a.IDs)+len(a.Blocks) > 0 {
		return true
	}
	within := func(ids []fabric.Identity, of firewall.Peers) bool {
		return slices.ContainsFunc(ids, func(id fabric.Identity) bool {
			return slices.Contains(of.IDs, id) || slices.ContainsFunc(of.Blocks, func(b fabric.VNIBlock) bool { return b.Contains(id) })
		})
	}
	blocks := func(x, y firewall.Peers) bool {
		return slices.ContainsFunc(x.Blocks, func(b fabric.VNIBlock) bool {
			return slices.ContainsFunc(y.Blocks, func(c fabric.VNIBlock) bool { return b.Contains(c.Base) })
		})
	}
	prefixes := func(c firewall.CIDR) bool {
		return slices.ContainsFunc(b.CIDRs, func(d firewall.CIDR) bool { return c.Prefix.Overlaps(d.Prefix) })
	}
	return within(a.IDs, b) || within(b.IDs, a) || blocks(a, b) || blocks(b, a) || slices.ContainsFunc(a.CIDRs, prefixes)
}

func overlapServices(a, b []firewall.Service) bool {
	if len(a) == 0 || len(b) == 0 {
		return true
	}
	same := func(x, y int16) bool { return x < 0 || y < 0 || x == y }
	return slices.ContainsFunc(a, func(s firewall.Service) bool {
		return slices.ContainsFunc(b, func(u firewall.Service) bool {
			switch {
			case s.Protocol != u.Protocol:
				return false
			case s.Protocol == firewall.ICMP || s.Protocol == firewall.ICMPv6:
				return same(s.Type, u.Type) && same(s.Code, u.Code)
			}
			return s.Ports.First == 0 || u.Ports.First == 0 || s.Ports.First <= u.Ports.Last && u.Ports.First <= s.Ports.Last
		})
	})
}
