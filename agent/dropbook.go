package agent

import (
	"fmt"

	"github.com/weftfabric/weft/agent/dataplane"
	"github.com/weftfabric/weft/agent/pipeline"
	"github.com/weftfabric/weft/wire/openflow"
)

// dropRow is one of the places where drops are counted: a flow, a meter, or the agent itself.
type dropRow struct {
	reason pipeline.Reason
	place  dataplane.Key
}

// dropBook adds up what was dropped since the agent's start. The counts of status are those of the flows that there are now:
// they fall when a port or a rule goes, or the switch starts anew, and a rate over them would jump. Here each flow's growth
// is added, and stays.
//
// What the flows have counted when the agent starts isn't its own: an earlier run has told it.
type dropBook struct {
	last  map[dropRow]uint64 // nil before the first reading
	total map[pipeline.Reason]uint64
}

// observe takes over a reading of all rows.
func (b *dropBook) observe(reading map[dropRow]uint64) {
	if b.total == nil {
		b.total = map[pipeline.Reason]uint64{}
	}
	if b.last != nil {
		for row, n := range reading {
			if was := b.last[row]; was <= n {
				n -= was
			}
			b.total[row.reason] += n
		}
	}
	b.last = reading
}

// dropRows returns the rows of what a switch told; refused are the questions that the agent didn't answer.
func dropRows(told dumped, refused uint64) map[dropRow]uint64 {
	out := map[dropRow]uint64{{reason: pipeline.DropDHCPRefused}: refused}
	for _, f := range told.flows {
		if c, ok := pipeline.ParseCookie(f.Cookie); ok && c.Drop != 0 && f.Unreadable == "" {
			out[dropRow{c.Drop, dataplane.KeyOf(f.Flow)}] += f.Packets
		}
	}
	for _, m := range told.meters {
		if n := pipeline.TooLarge([]openflow.MeterStats{m}); n > 0 {
			out[dropRow{pipeline.DropTooLarge, dataplane.Key(fmt.Sprint(m.ID))}] = n
		}
	}
	return out
}

// totals returns the packets that were dropped since the agent's start, by reason; each reason is there.
func (b *dropBook) totals() map[string]uint64 {
	out := make(map[string]uint64)
	for _, r := range pipeline.Reasons() {
		out[r.String()] = b.total[r]
	}
	return out
}
