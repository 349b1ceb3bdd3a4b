package drift_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/weftfabric/weft/agent/dataplane"
	"github.com/weftfabric/weft/agent/drift"
	"github.com/weftfabric/weft/wire/openflow"
)

const mark = uint64(dataplane.CookieMark) << 56

func flow(t *testing.T, text string) openflow.Flow {
	t.Helper()
	f, err := openflow.ParseFlow(text)
	if err != nil {
		t.Fatal(err)
	}
	return f.Canonical()
}

// TestCompare names what was done to flows.
func TestCompare(t *testing.T) {
	ours := fmt.Sprintf("cookie=%#x,", mark)
	good := []string{ours + "table=1,priority=5,ip,actions=output:1", ours + "table=1,priority=4,arp,actions=drop"}
	for _, tt := range []struct {
		name  string
		found []string
		want  string
	}{
		{"nothing", good, ""},
		{"deleted", good[:1], "deleted priority=4,arp"},
		{"flipped", []string{ours + "table=1,priority=5,ip,actions=drop", good[1]}, "changed priority=5,ip"},
		{"reprioritised", []string{ours + "table=1,priority=6,ip,actions=output:1", good[1]}, "deleted priority=5,ip; added with the fabric's cookie priority=6,ip"},
		{"widened", []string{ours + "table=1,priority=5,actions=output:1", good[1]}, "deleted priority=5,ip; added with the fabric's cookie priority=5"},
		{"another cookie", []string{"cookie=7,table=1,priority=5,ip,actions=output:1", good[1]}, "replaced priority=5,ip"},
		{"a foreign flow", append([]string{"table=1,priority=9,actions=drop", "table=99,priority=9,actions=drop"}, good...), "added priority=9"},
	} {
		var found, desired []openflow.Flow
		for _, f := range tt.found {
			found = append(found, flow(t, f))
		}
		for _, f := range good {
			desired = append(desired, flow(t, f))
		}
		all := append(drift.Compare(found, dataplane.Diff(found, desired)), drift.ForeignIn(found, desired)...)
		var got []string
		for _, d := range all {
			_, rest, _ := strings.Cut(d.Flow, "table=1, ")
			rest, _, _ = strings.Cut(rest, " actions")
			got = append(got, d.Kind.String()+" "+rest)
		}
		if text := strings.Join(got, "; "); text != tt.want {
			t.Errorf("%s: %q, want %q", tt.name, text, tt.want)
		}
	}
}

// TestUnreadable: a flow with the fabric's cookie that can't be read takes others along when it is removed; those were right.
func TestUnreadable(t *testing.T) {
	right := flow(t, fmt.Sprintf("cookie=%#x,table=1,priority=5,ip,actions=output:1", mark))
	alien := openflow.Flow{Table: 1, Cookie: mark, Priority: 7}
	got := drift.Compare([]openflow.Flow{right}, dataplane.Resync([]openflow.Flow{right}, []openflow.Flow{alien}, []openflow.Flow{right}))
	if len(got) != 1 || got[0].Kind != drift.Added {
		t.Errorf("%v", got)
	}
}

func TestJournal(t *testing.T) {
	at := time.Date(2030, 1, 1, 12, 0, 0, 0, time.UTC)
	var j drift.Journal
	tell := func(after time.Duration, want ...string) {
		t.Helper()
		if got := j.Tell(at.Add(after)); !slices.Equal(got, want) {
			t.Errorf("after %v: %q, want %q", after, got, want)
		}
	}
	one := []drift.Difference{{Kind: drift.Deleted, Flow: "f1"}}
	j.Note(at, one)
	tell(0, "somebody else deleted a flow at 12:00:00.000 UTC: f1; being repaired")
	if n := j.Confirm(at.Add(time.Second)); n != 1 {
		t.Errorf("%d repaired", n)
	}
	j.Note(at.Add(time.Minute), one)
	j.Confirm(at.Add(time.Minute))
	tell(2*time.Minute, "somebody else deleted a flow at 12:00:00.000 UTC: f1; 2 times until 12:01:00.000 UTC; repaired at 12:01:00.000 UTC")
	tell(time.Hour)
	j.NoteSettings(at.Add(time.Minute), []string{"no-forward of port 3 (p3)"})
	tell(11*time.Minute-1, "somebody else deleted a flow at 12:00:00.000 UTC: f1; 2 times until 12:01:00.000 UTC; repaired at 12:01:00.000 UTC",
		"somebody else set no-forward of port 3 (p3) at 12:01:00.000 UTC; repaired at 12:01:00.000 UTC")
	foreign := []drift.Difference{{Kind: drift.Foreign, Flow: "x"}, {Kind: drift.Foreign, Flow: "y"}}
	if fresh := j.SetForeign(at, foreign); len(fresh) != 2 {
		t.Errorf("%v", fresh)
	}
	rest := "; it is not the fabric's to remove: remove it, or give it another table"
	if fresh := j.SetForeign(at.Add(time.Hour), foreign); len(fresh) != 0 {
		t.Errorf("%v", fresh)
	}
	tell(time.Hour, "somebody else added a flow at 12:00:00.000 UTC: x"+rest, "somebody else added a flow at 12:00:00.000 UTC: y"+rest)
	j.SetForeign(at, nil)
	var many []drift.Difference
	for i := range 1000 {
		many = append(many, drift.Difference{Kind: drift.Deleted, Flow: fmt.Sprint(i)})
	}
	j.Note(at.Add(time.Hour), many)
	j.Note(at.Add(2*time.Hour), []drift.Difference{{Kind: drift.Changed, Flow: "f2", Has: "f3"}})
	tell(2*time.Hour, "somebody else deleted 1000 flows at 13:00:00.000 UTC: 0 and others; being repaired",
		"somebody else changed a flow at 14:00:00.000 UTC: f2; found was f3; being repaired")
	if j.Seen != 1004 {
		t.Errorf("%d seen", j.Seen)
	}
}
