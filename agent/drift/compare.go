package drift

import (
	"fmt"
	"slices"
	"strings"

	"github.com/weftfabric/weft/agent/dataplane"
	"github.com/weftfabric/weft/wire/openflow"
)

// Kind is a sort of difference.
type Kind uint8

// The kinds. All but Foreign are repaired.
const (
	Deleted  Kind = iota + 1 // a flow of the fabric is missing
	Changed                  // one does something else
	Added                    // one with the fabric's cookie is none of the fabric's
	Replaced                 // one of somebody else stands in its place
	Foreign                  // one of somebody else stands in a table of the fabric
	Setting                  // no flow: something was set about a port or the bridge
)

// String says what somebody else did.
func (k Kind) String() string {
	switch k {
	case Deleted:
		return "deleted"
	case Changed:
		return "changed"
	case Added:
		return "added with the fabric's cookie"
	case Replaced:
		return "replaced"
	case Foreign:
		return "added"
	case Setting:
		return "set"
	}
	return fmt.Sprintf("kind %d", uint8(k))
}

// Difference is one flow that is not as it was left.
type Difference struct {
	Kind Kind
	// Flow is what the switch should have; what it has, where it should have nothing.
	Flow string
	// Has is what stands there instead.
	Has string
}

// Compare names the differences that a repair undoes: found is what the switch held, repair the operations that bring it back to
// what was left there. They are in order.
func Compare(found []openflow.Flow, repair []dataplane.Op) []Difference {
	if len(repair) == 0 {
		return nil
	}
	have := make(map[dataplane.Key]openflow.Flow, len(found))
	for _, f := range found {
		have[dataplane.KeyOf(f)] = f
	}
	swept := map[[2]uint64]bool{}
	for _, op := range repair {
		if op.Kind == dataplane.Sweep {
			swept[[2]uint64{uint64(op.Flow.Table), op.Flow.Cookie}] = true
		}
	}
	var out []Difference
	for _, op := range repair {
		was, there := have[dataplane.KeyOf(op.Flow)]
		switch {
		case op.Kind == dataplane.Sweep:
			out = append(out, Difference{Kind: Added, Flow: fmt.Sprintf("table=%d, cookie=%#x, with what the fabric never writes", op.Flow.Table, op.Flow.Cookie)})
		case op.Kind == dataplane.Delete:
			out = append(out, Difference{Kind: Added, Flow: op.Flow.String()})
		case !there:
			out = append(out, Difference{Kind: Deleted, Flow: op.Flow.String()})
		case swept[[2]uint64{uint64(was.Table), was.Cookie}] && dataplane.SameBody(was, op.Flow):
			// It was right, and is written again because it can't be told from one that is swept.
		case dataplane.Ours(was.Cookie):
			out = append(out, Difference{Kind: Changed, Flow: op.Flow.String(), Has: was.String()})
		default:
			out = append(out, Difference{Kind: Replaced, Flow: op.Flow.String(), Has: was.String()})
		}
	}
	sortDifferences(out)
	return out
}

// ForeignIn returns the flows of others in the tables that the fabric's flows use: what packets meet there is not the
// fabric's alone. Flows in other tables are nobody's business, since no flow of the fabric leads there; those in the place of
// one of the fabric's are replaced anyway.
func ForeignIn(found, ours []openflow.Flow) []Difference {
	uses, wanted := map[uint8]bool{}, map[dataplane.Key]bool{}
	for _, f := range ours {
		uses[f.Table], wanted[dataplane.KeyOf(f)] = true, true
	}
	var out []Difference
	for _, f := range found {
		if !dataplane.Ours(f.Cookie) && uses[f.Table] && !wanted[dataplane.KeyOf(f)] {
			out = append(out, Difference{Kind: Foreign, Flow: f.String()})
		}
	}
	sortDifferences(out)
	return out
}

func sortDifferences(all []Difference) {
	slices.SortFunc(all, func(a, b Difference) int {
		if a.Kind != b.Kind {
			return int(a.Kind) - int(b.Kind)
		}
		return strings.Compare(a.Flow, b.Flow)
	})
}
