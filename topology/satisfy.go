package topology

import (
	"slices"

	"github.com/weftfabric/weft/fabric"
)

// Compatible reports whether some label set is selected by all the selectors, whether anything has it now or not.
func Compatible(selectors ...Selector) bool {
	if len(selectors) == 2 && len(selectors[0].MatchExpressions)+len(selectors[1].MatchExpressions) == 0 {
		return agree(selectors[0].MatchLabels, selectors[1].MatchLabels)
	}
	keys := make(map[string]*demand)
	of := func(key string) *demand {
		if keys[key] == nil {
			keys[key] = &demand{}
		}
		return keys[key]
	}
	for _, s := range selectors {
		for key, value := range s.MatchLabels {
			of(key).oneOf([]string{value})
		}
		for _, r := range s.MatchExpressions {
			switch d := of(r.Key); r.Operator {
			case In:
				d.oneOf(r.Values)
			case NotIn:
				d.noneOf = append(d.noneOf, r.Values...)
			case Exists:
				d.present = true
			case DoesNotExist:
				d.absent = true
			default:
				return false // an unknown operator holds for nothing
			}
		}
	}
	for _, d := range keys {
		if !d.satisfiable() {
			return false
		}
	}
	return true
}

// agree reports whether labels that both name have one value.
func agree(a, b fabric.Labels) bool {
	for key, value := range a {
		if other, both := b[key]; both && other != value {
			return false
		}
	}
	return true
}

// demand is what selectors ask of one label.
type demand struct {
	present, absent bool
	values          []string // that are left, when limited
	limited         bool
	noneOf          []string
}

func (d *demand) oneOf(values []string) {
	if d.limited {
		values = slices.DeleteFunc(slices.Clone(values), func(v string) bool { return !slices.Contains(d.values, v) })
	}
	d.present, d.limited, d.values = true, true, values
}

// satisfiable: there are more values than selectors can exclude, unless they limit them.
func (d *demand) satisfiable() bool {
	switch {
	case d.absent:
		return !d.present
	case d.limited:
		return slices.ContainsFunc(d.values, func(v string) bool { return !slices.Contains(d.noneOf, v) })
	}
	return true
}
