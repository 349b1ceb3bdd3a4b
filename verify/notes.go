package verify

import (
	"slices"

	"github.com/weftfabric/weft/wire/openflow"
)

// Notes: what flows do for those who look on, and what can't matter to where packets go. A copy for the flow log goes to
// the agent, which never sends one on; the packet itself goes the way of the other actions. Table Tally counts and copies;
// calls of it are left out as long as it does nothing else. Should it, it is followed like any other table.

// flowLog is the userdata of copies for the flow log.
const flowLog = "flow-log"

func isCopy(a openflow.Action) bool {
	c, ok := a.(openflow.Controller)
	return ok && string(c.Userdata) == flowLog && c.ID == 0 && !c.Pause
}

// onlyTallies reports whether table Tally does nothing but count and copy.
func onlyTallies(flows []openflow.Flow) bool {
	return !slices.ContainsFunc(flows, func(f openflow.Flow) bool {
		return f.Table == tableTally && slices.ContainsFunc(f.Actions, func(a openflow.Action) bool { return !isCopy(a) })
	})
}

// withoutNotes returns actions without copies and, where that table only counts, without calls of Tally.
func withoutNotes(actions []openflow.Action, tallies bool) []openflow.Action {
	return slices.DeleteFunc(slices.Clone(actions), func(a openflow.Action) bool {
		call, ok := a.(openflow.Resubmit)
		return isCopy(a) || tallies && ok && call.Table == tableTally
	})
}
