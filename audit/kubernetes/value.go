package kubernetes

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"

	"github.com/weftfabric/weft/fabric"
	"github.com/weftfabric/weft/topology"
)

// reader collects the problems of one object.
type reader struct {
	file     string
	subject  string // "NetworkPolicy shop/web", which starts every message
	problems *topology.Problems
	budget   *int // how many values may still be looked at
}

// maxValues bounds the values that are looked at. Aliases count with all that they stand for, so that a few lines can't
// keep a processor busy for hours.
const maxValues = 20_000_000

func (r *reader) problem(s topology.Severity, line int, format string, args ...any) {
	message := fmt.Sprintf(format, args...)
	if r.subject != "" {
		message = r.subject + ": " + message
	}
	*r.problems = append(*r.problems, topology.Problem{Severity: s, File: r.file, Line: max(line, 1), Message: message})
}

// value is a node of a manifest. The zero value is absent and holds nothing; null counts as absent, as it does for an
// API server.
type value struct {
	*reader
	node *yaml.Node
	path string // spec.ingress[0].from
	near int    // the line of what holds it
}

func (r *reader) value(n *yaml.Node, path string) value {
	if *r.budget--; *r.budget <= 0 {
		if *r.budget == 0 {
			r.problem(topology.SeverityError, n.Line, "more than %d values: audit the manifests in parts, and write aliases out", maxValues)
		}
		return value{reader: r, path: path}
	}
	for n != nil && n.Kind == yaml.AliasNode {
		n = n.Alias
	}
	if n == nil || n.Kind == yaml.ScalarNode && n.ShortTag() == "!!null" {
		return value{reader: r, path: path}
	}
	return value{reader: r, node: n, path: path}
}

func (v value) given() bool { return v.node != nil }

// line returns the line of the value, or of what should hold it.
func (v value) line() int {
	if v.node == nil {
		return v.near
	}
	return v.node.Line
}

// fault reports an error about the value.
func (v value) fault(format string, args ...any) {
	v.problem(topology.SeverityError, v.line(), "%s %s", v.path, fmt.Sprintf(format, args...))
}

// field returns a field of a mapping. A value that is no mapping is a fault of its own.
func (v value) field(name string) value {
	path := name
	if v.path != "" {
		path = v.path + "." + name
	}
	for key, n := range v.entries() {
		if key.Value == name {
			found := v.value(n, path)
			found.near = key.Line
			return found
		}
	}
	return value{reader: v.reader, path: path, near: v.line()}
}

// at returns a field of fields.
func (v value) at(names ...string) value {
	for _, n := range names {
		v = v.field(n)
	}
	return v
}

// entries yields the keys and values of a mapping.
func (v value) entries() func(yield func(*yaml.Node, *yaml.Node) bool) {
	return func(yield func(*yaml.Node, *yaml.Node) bool) {
		switch {
		case !v.given():
			return
		case v.node.Kind != yaml.MappingNode:
			v.fault("must be a mapping of fields")
			return
		}
		for i := 0; i+1 < len(v.node.Content); i += 2 {
			if !yield(v.node.Content[i], v.node.Content[i+1]) {
				return
			}
		}
	}
}

// only reports the fields that are not among names, and those given twice.
func (v value) only(names ...string) {
	seen := make(map[string]bool)
	path := v.path
	if path == "" {
		path = "the object"
	}
	for key := range v.entries() {
		switch {
		case key.ShortTag() == "!!merge":
			v.problem(topology.SeverityError, key.Line, "%s has a merge key (<<): write the fields out", path)
		case !slices.Contains(names, key.Value):
			v.problem(topology.SeverityError, key.Line, "%s has an unknown field %q: the fields here are %s", path, key.Value, strings.Join(names, ", "))
		case seen[key.Value]:
			v.problem(topology.SeverityError, key.Line, "%s has the field %q twice: remove one", path, key.Value)
		}
		seen[key.Value] = true
	}
}

// list returns the elements of a list. One that is null is an empty mapping.
func (v value) list() []value {
	switch {
	case !v.given():
		return nil
	case v.node.Kind != yaml.SequenceNode:
		v.fault("must be a list")
		return nil
	}
	out := make([]value, 0, len(v.node.Content))
	for i, n := range v.node.Content {
		e := v.value(n, fmt.Sprintf("%s[%d]", v.path, i))
		if !e.given() {
			e.node = &yaml.Node{Kind: yaml.MappingNode, Line: n.Line}
		}
		out = append(out, e)
	}
	return out
}

// text returns a text; what YAML takes for something else is a fault.
func (v value) text() string {
	if !v.given() {
		return ""
	}
	if tag := v.node.ShortTag(); v.node.Kind != yaml.ScalarNode || tag != "!!str" && tag != "!!timestamp" {
		v.fault("must be a text: write it in quotes")
		return ""
	}
	return v.node.Value
}

// texts returns a list of texts.
func (v value) texts() []string {
	var out []string
	for _, e := range v.list() {
		out = append(out, e.text())
	}
	return out
}

// isNumber reports whether the value is a whole number.
func (v value) isNumber() bool {
	return v.given() && v.node.Kind == yaml.ScalarNode && v.node.ShortTag() == "!!int"
}

// number returns a whole number between two bounds.
func (v value) number(low, high int) int {
	if !v.given() {
		return 0
	}
	n, err := strconv.Atoi(v.node.Value)
	if !v.isNumber() || err != nil || n < low || n > high {
		v.fault("must be a number in %d-%d", low, high)
		return 0
	}
	return n
}

// truth reports whether the value is true.
func (v value) truth() bool {
	if !v.given() {
		return false
	}
	if v.node.Kind != yaml.ScalarNode || v.node.ShortTag() != "!!bool" {
		v.fault("must be true or false")
		return false
	}
	return strings.EqualFold(v.node.Value, "true")
}

// labels returns a mapping of texts.
func (v value) labels() fabric.Labels {
	out := fabric.Labels{}
	for key, n := range v.entries() {
		out[key.Value] = v.value(n, v.path+"."+key.Value).text()
	}
	return out
}

// selector returns a label selector; an absent one selects everything.
func (v value) selector() topology.Selector {
	v.only("matchLabels", "matchExpressions")
	s := topology.Selector{MatchLabels: v.field("matchLabels").labels()}
	for _, e := range v.field("matchExpressions").list() {
		e.only("key", "operator", "values")
		r := topology.Requirement{Key: e.field("key").text(), Operator: topology.Operator(e.field("operator").text()), Values: e.field("values").texts()}
		switch r.Operator {
		case topology.In, topology.NotIn:
			if len(r.Values) == 0 {
				e.fault("has the operator %s without values: give one", r.Operator)
			}
		case topology.Exists, topology.DoesNotExist:
			if len(r.Values) > 0 {
				e.fault("has the operator %s with values: remove them", r.Operator)
			}
		default:
			e.fault("has the operator %q: write In, NotIn, Exists or DoesNotExist", r.Operator)
		}
		if r.Key == "" {
			e.fault("has no key")
		}
		s.MatchExpressions = append(s.MatchExpressions, r)
	}
	return s
}

// oneOf returns the one field that is given, of a mapping that must have exactly one.
func (v value) oneOf(names ...string) (string, value) {
	v.only(names...)
	var given []string
	for _, n := range names {
		if v.field(n).given() {
			given = append(given, n)
		}
	}
	if len(given) != 1 {
		v.fault("must have exactly one of %s", strings.Join(names, ", "))
		return "", value{reader: v.reader, path: v.path, near: v.line()}
	}
	return given[0], v.field(given[0])
}
