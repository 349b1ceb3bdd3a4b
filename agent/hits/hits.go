// Package hits counts what each rule decided, for longer than the switch does: a restart of agent or switch loses
// nothing but what the switch counted since it was read last.
//
// A Book holds totals, and beside each total the counter of the switch that it includes. Both are saved together, so a
// restarted agent adds what the switch has counted meanwhile. Every reading of the switch is shown to the book; a row
// that is missing in one begins at 0 when it is back. The package is pure: readings and times come in.
package hits

import (
	"cmp"
	"maps"
	"slices"
	"time"

	"github.com/weftfabric/weft/fabric"
	"github.com/weftfabric/weft/firewall"
)

// Row names a counter of the switch: a rule as it governs a network.
type Row struct {
	Network fabric.NetworkID
	Rule    firewall.RuleID
}

// Compare orders rows.
func (r Row) Compare(s Row) int {
	return cmp.Or(cmp.Compare(r.Network, s.Network), cmp.Compare(r.Rule, s.Rule))
}

// Count is how often a rule decided, and when it was last seen to have.
type Count struct {
	Hits uint64
	// Last is the time of the reading that showed the last hit; zero if there was none.
	Last time.Time
}

// Book is the totals of a node. The zero Book is not ready: see NewBook. One goroutine owns it.
type Book struct {
	rows map[Row]entry
}

type entry struct {
	Count
	// seen is the counter of the switch that Hits includes.
	seen uint64
}

// keepUnused is how long the count of a rule is kept that the node doesn't have any more.
const keepUnused = 30 * 24 * time.Hour

// NewBook returns a book without counts.
func NewBook() *Book { return &Book{rows: make(map[Row]entry)} }

// Observe takes over a reading of all counters of the switch, and reports whether a count changed.
func (b *Book) Observe(reading map[Row]uint64, now time.Time) (changed bool) {
	for row, packets := range reading {
		e, known := b.rows[row]
		new := packets
		if packets >= e.seen {
			new = packets - e.seen
		} // else the switch has begun anew
		if new == 0 && known && e.seen == packets {
			continue
		}
		if new > 0 {
			e.Hits, e.Last = e.Hits+new, now
		}
		e.seen = packets
		b.rows[row], changed = e, true
	}
	for row, e := range b.rows {
		if _, ok := reading[row]; ok {
			continue
		}
		switch {
		case e.Hits == 0 || now.Sub(e.Last) > keepUnused:
			delete(b.rows, row)
			changed = true
		case e.seen > 0:
			e.seen = 0
			b.rows[row], changed = e, true
		}
	}
	return changed
}

// Counts returns the count of each rule, its networks taken together.
func (b *Book) Counts() map[firewall.RuleID]Count {
	out := make(map[firewall.RuleID]Count, len(b.rows))
	for row, e := range b.rows {
		c := out[row.Rule]
		c.Hits += e.Hits
		if e.Last.After(c.Last) {
			c.Last = e.Last
		}
		out[row.Rule] = c
	}
	return out
}

// sorted returns the rows in order.
func (b *Book) sorted() []Row { return slices.SortedFunc(maps.Keys(b.rows), Row.Compare) }
