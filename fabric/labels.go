package fabric

import (
	"maps"
	"slices"
	"strings"
)

// Labels are the key-value pairs of an object, a workload or a node.
type Labels map[string]string

// Keys returns the keys in order.
func (l Labels) Keys() []string { return slices.Sorted(maps.Keys(l)) }

// String returns the canonical form: "k=v" pairs in the order of their keys, joined by commas.
// Keys and values may not hold '=' or ',', so equal strings mean equal labels.
func (l Labels) String() string {
	var b strings.Builder
	for i, k := range l.Keys() {
		if i > 0 {
			b.WriteByte(',')
		}
		b.WriteString(k)
		b.WriteByte('=')
		b.WriteString(l[k])
	}
	return b.String()
}

// Without returns the labels whose keys drop does not report; l itself stays as it is.
func (l Labels) Without(drop func(key string) bool) Labels {
	out := make(Labels, len(l))
	for k, v := range l {
		if !drop(k) {
			out[k] = v
		}
	}
	return out
}
