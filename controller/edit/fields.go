package edit

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"

	"github.com/weftfabric/weft/topology"
)

// FieldChange is a difference of two objects at a path such as spec.subnets[0].ipv4. Old and New are JSON;
// empty means that the field is absent.
type FieldChange struct {
	Path, Old, New string
}

// Fields returns the differences between two versions of an object, in the order of their paths.
func Fields(before, after *topology.Object) ([]FieldChange, error) {
	a, err := tree(before)
	if err != nil {
		return nil, err
	}
	b, err := tree(after)
	if err != nil {
		return nil, err
	}
	var out []FieldChange
	err = diff("", a, b, &out)
	return out, err
}

func tree(o *topology.Object) (v any, err error) {
	data, err := o.MarshalJSON()
	if err != nil {
		return nil, err
	}
	err = json.Unmarshal(data, &v)
	return v, err
}

// absent stands for a field that isn't there.
type absent struct{}

func diff(path string, a, b any, out *[]FieldChange) error {
	switch x := a.(type) {
	case map[string]any:
		if y, ok := b.(map[string]any); ok {
			return diffMaps(path, x, y, out)
		}
	case []any:
		if y, ok := b.([]any); ok {
			return diffSlices(path, x, y, out)
		}
	}
	old, err := text(a)
	if err != nil {
		return err
	}
	now, err := text(b)
	if err != nil {
		return err
	}
	if old != now {
		*out = append(*out, FieldChange{Path: path, Old: old, New: now})
	}
	return nil
}

func diffMaps(path string, a, b map[string]any, out *[]FieldChange) error {
	keys := slices.AppendSeq(slices.Collect(maps.Keys(a)), maps.Keys(b))
	slices.Sort(keys)
	for _, k := range slices.Compact(keys) {
		sub := k
		if path != "" {
			sub = path + "." + k
		}
		if err := diff(sub, at(a, k), at(b, k), out); err != nil {
			return err
		}
	}
	return nil
}

func at(m map[string]any, k string) any {
	if v, ok := m[k]; ok {
		return v
	}
	return absent{}
}

func diffSlices(path string, a, b []any, out *[]FieldChange) error {
	for i := range max(len(a), len(b)) {
		var x, y any = absent{}, absent{}
		if i < len(a) {
			x = a[i]
		}
		if i < len(b) {
			y = b[i]
		}
		if err := diff(fmt.Sprintf("%s[%d]", path, i), x, y, out); err != nil {
			return err
		}
	}
	return nil
}

func text(v any) (string, error) {
	if _, ok := v.(absent); ok {
		return "", nil
	}
	b, err := json.Marshal(v)
	return string(b), err
}
