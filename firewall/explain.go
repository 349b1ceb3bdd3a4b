package firewall

import "github.com/weftfabric/weft/fabric"

// Step is one question of a decision: the first rule of a tier and direction that matches, or none.
type Step struct {
	Direction Direction
	Tier      Tier
	Rule      *Rule // nil: no rule matches, and the next tier is asked
}

// Explain returns the steps that lead to Decide's verdict, in order: up to four of egress, then, if it allows, of
// ingress. A direction whose last step neither allows nor denies is denied, and ends the steps.
func Explain(tables map[fabric.NetworkID]Table, p Packet) []Step {
	if unknown(p.Src) || unknown(p.Dst) || p.Src.Network == 0 && p.Dst.Network == 0 {
		return nil
	}
	var steps []Step
	for _, side := range []struct {
		direction Direction
		subject   Endpoint
	}{{Egress, p.Src}, {Ingress, p.Dst}} {
		if side.subject.Network == 0 {
			continue
		}
		allowed := false
		for tier := Platform; tier <= Posture; tier++ {
			r := firstMatch(tables[side.subject.Network], side.direction, tier, p)
			steps = append(steps, Step{side.direction, tier, r})
			if r != nil && r.Action != Pass {
				allowed = r.Action == Allow
				break
			}
		}
		if !allowed {
			break
		}
	}
	return steps
}
