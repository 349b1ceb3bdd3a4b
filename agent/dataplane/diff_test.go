package dataplane_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/weftfabric/weft/agent/dataplane"
	"github.com/weftfabric/weft/wire/openflow"
)

const mark = uint64(dataplane.CookieMark) << 56

func flow(table uint8, port uint64, cookie uint64, actions ...openflow.Action) openflow.Flow {
	return openflow.Flow{Table: table, Priority: 100, Match: openflow.NewMatch(openflow.Exact(openflow.InPort, port)), Cookie: cookie, Actions: actions}
}

func TestDiff(t *testing.T) {
	out := openflow.Output{Port: 1}
	tests := []struct {
		name               string
		installed, desired []openflow.Flow
		want               []dataplane.Op
	}{
		{name: "nothing"},
		{"right stays", []openflow.Flow{flow(0, 1, mark|1, out)}, []openflow.Flow{flow(0, 1, mark|1, out)}, nil},
		{"drop is drop", []openflow.Flow{{Cookie: mark, Actions: []openflow.Action{}}}, []openflow.Flow{{Cookie: mark}}, nil},
		{"missing is added", nil, []openflow.Flow{flow(0, 1, mark)}, []dataplane.Op{{Kind: dataplane.Add, Flow: flow(0, 1, mark)}}},
		{"other body is replaced", []openflow.Flow{flow(0, 1, mark)}, []openflow.Flow{flow(0, 1, mark, out)}, []dataplane.Op{{Kind: dataplane.Add, Flow: flow(0, 1, mark, out)}}},
		{"other cookie is replaced", []openflow.Flow{flow(0, 1, mark)}, []openflow.Flow{flow(0, 1, mark|1)}, []dataplane.Op{{Kind: dataplane.Add, Flow: flow(0, 1, mark|1)}}},
		{"ours and unwanted goes", []openflow.Flow{flow(0, 1, mark)}, nil, []dataplane.Op{{Kind: dataplane.Delete, Flow: flow(0, 1, mark)}}},
		{"foreign stays", []openflow.Flow{flow(0, 1, 5)}, nil, nil},
		{"foreign in our place is replaced", []openflow.Flow{flow(0, 1, 5)}, []openflow.Flow{flow(0, 1, mark)}, []dataplane.Op{{Kind: dataplane.Add, Flow: flow(0, 1, mark)}}},
		{
			"additions first, each in order", []openflow.Flow{flow(3, 1, mark), flow(0, 1, mark)}, []openflow.Flow{flow(9, 1, mark), flow(1, 2, mark)},
			[]dataplane.Op{
				{Kind: dataplane.Add, Flow: flow(1, 2, mark)}, {Kind: dataplane.Add, Flow: flow(9, 1, mark)},
				{Kind: dataplane.Delete, Flow: flow(0, 1, mark)}, {Kind: dataplane.Delete, Flow: flow(3, 1, mark)},
			},
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got := dataplane.Diff(tt.installed, tt.desired)
			if len(got)+len(tt.want) > 0 && !cmp.Equal(tt.want, got) {
				t.Error(cmp.Diff(tt.want, got))
			}
		})
	}
}

// TestDiffConverges holds Diff against a model of the switch: applying the operations gives the desired flows
// and whatever was foreign, and then nothing is left to do.
func TestDiffConverges(t *testing.T) {
	gen := rapid.SliceOf(rapid.Custom(func(t *rapid.T) openflow.Flow {
		cookie := rapid.SampledFrom([]uint64{mark, mark | 1, 7}).Draw(t, "cookie")
		return flow(rapid.Uint8Range(0, 2).Draw(t, "table"), rapid.Uint64Range(1, 3).Draw(t, "port"), cookie, openflow.Output{Port: rapid.Uint32Range(1, 2).Draw(t, "out")})
	}))
	rapid.Check(t, func(t *rapid.T) {
		installed, desired := gen.Draw(t, "installed"), gen.Draw(t, "desired")
		sw := map[dataplane.Key]openflow.Flow{}
		for _, f := range installed {
			sw[dataplane.KeyOf(f)] = f
		}
		want := map[dataplane.Key]openflow.Flow{}
		for k, f := range sw {
			if !dataplane.Ours(f.Cookie) {
				want[k] = f
			}
		}
		named := map[dataplane.Key]bool{}
		for _, f := range desired {
			if k := dataplane.KeyOf(f); !named[k] {
				named[k] = true
				want[k] = f
			}
		}
		var before []openflow.Flow
		for _, f := range sw {
			before = append(before, f)
		}
		for _, op := range dataplane.Diff(before, desired) {
			switch op.Kind {
			case dataplane.Add:
				sw[dataplane.KeyOf(op.Flow)] = op.Flow
			case dataplane.Delete:
				delete(sw, dataplane.KeyOf(op.Flow))
			}
		}
		if !cmp.Equal(want, sw) {
			t.Fatal(cmp.Diff(want, sw))
		}
		var after []openflow.Flow
		for _, f := range sw {
			after = append(after, f)
		}
		if ops := dataplane.Diff(after, desired); len(ops) != 0 {
			t.Fatalf("second diff is not empty: %v", ops)
		}
	})
}
