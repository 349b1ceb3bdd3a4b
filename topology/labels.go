package topology

import (
	"slices"
	"strings"

	"github.com/weftfabric/weft/fabric"
)

// IgnoredLabel reports whether a label is no part of an identity. A key in ignored that ends in "/" stands
// for all keys with that prefix.
func IgnoredLabel(ignored []string, key string) bool {
	return slices.ContainsFunc(ignored, func(i string) bool {
		return i == key || strings.HasSuffix(i, "/") && strings.HasPrefix(key, i)
	})
}

// PolicyLabels returns the labels that make up an identity: those that are not ignored.
func PolicyLabels(ignored []string, labels fabric.Labels) fabric.Labels {
	return labels.Without(func(key string) bool { return IgnoredLabel(ignored, key) })
}

// IsZero reports whether s selects everything.
func (s Selector) IsZero() bool { return len(s.MatchLabels) == 0 && len(s.MatchExpressions) == 0 }

// Matches reports whether s selects something with these labels.
func (s Selector) Matches(labels fabric.Labels) bool {
	for key, value := range s.MatchLabels {
		if have, ok := labels[key]; !ok || have != value {
			return false
		}
	}
	for _, r := range s.MatchExpressions {
		if !r.Matches(labels) {
			return false
		}
	}
	return true
}

// Matches reports whether the condition holds for labels; one with an unknown operator never does.
func (r Requirement) Matches(labels fabric.Labels) bool {
	value, ok := labels[r.Key]
	switch r.Operator {
	case In:
		return ok && slices.Contains(r.Values, value)
	case NotIn:
		return !ok || !slices.Contains(r.Values, value)
	case Exists:
		return ok
	case DoesNotExist:
		return !ok
	}
	return false
}
