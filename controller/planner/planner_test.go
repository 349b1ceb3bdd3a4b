package planner

import "testing"

func TestReflects(t *testing.T) {
	var many changes
	for i := range uint64(2 * maxChanges) {
		many = many.with(i + 1)
	}
	for _, row := range []struct {
		name       string
		c          changes
		want, have uint64
		ok         bool
	}{
		{"it has what is asked for", changes{from: 5}, 7, 7, true},
		{"it has more", changes{from: 5}, 7, 9, true},
		{"nothing changed since", changes{from: 5}, 9, 5, true},
		{"the change came after what is asked for", changes{from: 5, at: []uint64{8}}, 7, 6, true},
		{"the change is what is asked for", changes{from: 5, at: []uint64{8}}, 8, 6, false},
		{"the change came before", changes{from: 5, at: []uint64{8}}, 9, 6, false},
		{"the change is acknowledged", changes{from: 5, at: []uint64{8}}, 9, 8, true},
		{"the next one isn't", changes{from: 5, at: []uint64{8, 10}}, 10, 8, false},
		{"between two changes", changes{from: 5, at: []uint64{8, 12}}, 11, 9, true},
		{"before what is remembered", changes{from: 5}, 9, 4, false},
		{"forgotten changes count", many, 2 * maxChanges, maxChanges - 1, false},
		{"the oldest that is remembered", many, maxChanges, maxChanges, true},
	} {
		t.Run(row.name, func(t *testing.T) {
			if got := (Planned{changes: row.c}).Reflects(row.want, row.have); got != row.ok {
				t.Errorf("got %v", got)
			}
		})
	}
}

func TestChangesAreNotShared(t *testing.T) {
	a := changes{}.with(1)
	b, c := a.with(2), a.with(3)
	if b.at[1] != 2 || c.at[1] != 3 || len(a.at) != 1 {
		t.Errorf("%v %v %v", a, b, c)
	}
}
