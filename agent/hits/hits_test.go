package hits_test

import (
	"bytes"
	"maps"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/weftfabric/weft/agent/hits"
	"github.com/weftfabric/weft/fabric"
	"github.com/weftfabric/weft/firewall"
)

var start = time.Unix(1_700_000_000, 0)

// TestNothingIsLost plays a switch and an agent that restart at random. The book must say what the rules decided,
// less what the switch took with it since it was read last.
func TestNothingIsLost(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		rows := []hits.Row{{Network: 1, Rule: 7}, {Network: 2, Rule: 7}, {Network: 1, Rule: 8}}
		sw, unread, truth := map[hits.Row]uint64{}, map[hits.Row]uint64{}, map[firewall.RuleID]uint64{}
		book, saved := hits.NewBook(), hits.NewBook().Marshal()
		restore := func() {
			var err error
			if book, err = hits.Unmarshal(saved); err != nil {
				t.Fatal(err)
			}
		}
		read := func() {
			if book.Observe(maps.Clone(sw), start) {
				saved = book.Marshal()
			}
			clear(unread)
		}
		install := func() {
			read() // every connection begins with a reading
			for _, r := range rows {
				if _, ok := sw[r]; !ok {
					sw[r] = 0
				}
			}
		}
		install()
		for range rapid.IntRange(1, 40).Draw(t, "steps") {
			row := rapid.SampledFrom(rows).Draw(t, "row")
			switch rapid.IntRange(0, 6).Draw(t, "step") {
			case 0, 1, 2:
				n := uint64(rapid.IntRange(1, 5).Draw(t, "packets"))
				if _, ok := sw[row]; ok {
					sw[row] += n
					unread[row] += n
					truth[row.Rule] += n
				}
			case 3:
				read()
			case 4: // the agent restarts
				restore()
				install()
			case 5: // the switch restarts
				for r, n := range unread {
					truth[r.Rule] -= n
				}
				clear(sw)
				install()
			case 6: // the rule's row goes, and is back with a later change
				read()
				delete(sw, row)
				install()
			}
		}
		read()
		got := book.Counts()
		for id, n := range truth {
			if got[id].Hits != n {
				t.Fatalf("rule %d: %d hits, want %d", id, got[id].Hits, n)
			}
			if last := got[id].Last; n > 0 && !last.Equal(start) {
				t.Fatalf("rule %d was hit last at %v", id, last)
			}
		}
	})
}

func TestLastHit(t *testing.T) {
	b := hits.NewBook()
	row := hits.Row{Network: 1, Rule: 7}
	for i, reading := range []uint64{0, 3, 3, 4} {
		changed := b.Observe(map[hits.Row]uint64{row: reading}, start.Add(time.Duration(i)*time.Second))
		if want := i != 2; changed != want {
			t.Errorf("reading %d: changed is %v", i, changed)
		}
	}
	if c := b.Counts()[7]; c.Hits != 4 || !c.Last.Equal(start.Add(3*time.Second)) {
		t.Errorf("count %+v", c)
	}
	b.Observe(nil, start.Add(29*24*time.Hour))
	if c := b.Counts()[7]; c.Hits != 4 {
		t.Errorf("the count of a rule that is away: %+v", c)
	}
	b.Observe(nil, start.Add(31*24*time.Hour))
	if len(b.Counts()) != 0 {
		t.Error("the count of a rule that is gone for good is kept")
	}
}

func TestDamagedFiles(t *testing.T) {
	b := hits.NewBook()
	b.Observe(map[hits.Row]uint64{{Network: 1, Rule: 7}: 5, {Network: fabric.MaxNetworkID, Rule: 1<<32 - 1}: 1<<64 - 1}, start)
	good := b.Marshal()
	again, err := hits.Unmarshal(good)
	if err != nil || !bytes.Equal(again.Marshal(), good) {
		t.Fatalf("a file is read as %v, %v", again, err)
	}
	for i := range good {
		bad := bytes.Clone(good)
		bad[i] ^= 4
		if _, err := hits.Unmarshal(bad); err == nil {
			t.Fatalf("a changed octet %d is not noticed", i)
		}
		if _, err := hits.Unmarshal(good[:i]); err == nil {
			t.Fatalf("a file of %d octets is taken for whole", i)
		}
	}
	if _, err := hits.Unmarshal(append(bytes.Clone(good), good...)); err == nil {
		t.Error("a file twice is taken for one")
	}
}
