package topology

import (
	"encoding"
	"fmt"
	"net/netip"
	"reflect"
	"regexp"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"

	"github.com/weftfabric/weft/fabric"
)

// decoder fills Go values from YAML nodes, driven by the json tags of struct fields, and is strict: every
// field must be known, every value must have its type, and null stands for nothing.
type decoder struct {
	file     string
	subject  string         // "Network acme/prod", which starts every message
	lines    map[string]int // the line of each path that was decoded
	faulty   []string       // the paths with problems
	problems Problems
}

// decode fills v, which is settable, from n. path is where n stands: spec.subnets[0].ipv4.
func (d *decoder) decode(n *yaml.Node, v reflect.Value, path string) {
	if _, seen := d.lines[path]; !seen {
		d.lines[path] = n.Line
	}
	n = resolve(n)
	if n.Kind == yaml.ScalarNode && n.ShortTag() == "!!null" {
		d.fault(n, path, "has no value: give one, or remove the field")
		return
	}
	if v.Kind() == reflect.Pointer {
		p := reflect.New(v.Type().Elem())
		d.decode(n, p.Elem(), path)
		v.Set(p)
		return
	}
	if u, ok := v.Addr().Interface().(encoding.TextUnmarshaler); ok {
		d.decodeText(n, v, u, path)
		return
	}
	switch v.Kind() {
	case reflect.Struct:
		d.decodeStruct(n, v, path)
	case reflect.Map:
		d.decodeMap(n, v, path)
	case reflect.Slice:
		d.decodeSlice(n, v, path)
	case reflect.String:
		if s, ok := d.text(n, path); ok {
			v.SetString(s)
		}
	case reflect.Bool:
		if n.Kind != yaml.ScalarNode || n.ShortTag() != "!!bool" {
			d.fault(n, path, "must be true or false, not %s", describe(n))
			return
		}
		v.SetBool(strings.EqualFold(n.Value, "true"))
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64,
		reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		d.decodeNumber(n, v, path)
	default:
		panic(fmt.Sprintf("topology: %s: the type %s can't be declared in YAML", path, v.Type()))
	}
}

// fault reports a problem, and that the value at path can't be trusted.
func (d *decoder) fault(n *yaml.Node, path, format string, args ...any) {
	if len(d.faulty) <= maxFaults {
		d.faulty = append(d.faulty, path)
	}
	d.report(n, path, format, args...)
}

func (d *decoder) report(n *yaml.Node, path, format string, args ...any) {
	if len(d.problems) > maxFaults {
		return // the parser says that there are too many
	}
	message := fmt.Sprintf(format, args...)
	if path != "" {
		message = path + " " + message
	}
	if d.subject != "" {
		message = d.subject + ": " + message
	}
	d.problems = append(d.problems, Problem{SeverityError, d.file, max(n.Line, 1), message})
}

// text returns the value of a scalar that YAML takes for a text.
func (d *decoder) text(n *yaml.Node, path string) (string, bool) {
	if n.Kind != yaml.ScalarNode {
		d.fault(n, path, "must be a text, not %s", describe(n))
		return "", false
	}
	if n.ShortTag() != "!!str" {
		d.fault(n, path, "must be a text, not %s: write it in quotes, \"%s\"", describe(n), clip(n.Value))
		return "", false
	}
	return n.Value, true
}

// decodeText fills the types of addresses, prefixes and MACs.
func (d *decoder) decodeText(n *yaml.Node, v reflect.Value, u encoding.TextUnmarshaler, path string) {
	s, ok := d.text(n, path)
	if !ok {
		return
	}
	var err error
	switch v.Addr().Interface().(type) {
	case *netip.Prefix:
		var p netip.Prefix
		p, err = parsePrefix(s)
		v.Set(reflect.ValueOf(p))
	case *netip.Addr:
		var a netip.Addr
		a, err = parseAddr(s)
		v.Set(reflect.ValueOf(a))
	case *fabric.MAC:
		var m fabric.MAC
		m, err = fabric.ParseMAC(s)
		v.Set(reflect.ValueOf(m))
	case *fabric.PublicKey:
		var k fabric.PublicKey
		k, err = fabric.ParsePublicKey(s)
		v.Set(reflect.ValueOf(k))
	default:
		err = u.UnmarshalText([]byte(s))
	}
	if err != nil {
		d.fault(n, path, "is not valid: %v", err)
	}
}

func parsePrefix(s string) (netip.Prefix, error) {
	p, err := netip.ParsePrefix(s)
	switch {
	case err != nil:
		return netip.Prefix{}, fmt.Errorf("%q is not an address range: write address/length, such as 10.0.0.0/24 or fd00::/64", clip(s))
	case p.Addr().Is4In6():
		return netip.Prefix{}, fmt.Errorf("%s is an IPv4 range in IPv6 form: write it as IPv4", s)
	}
	return p, nil
}

func parseAddr(s string) (netip.Addr, error) {
	a, err := netip.ParseAddr(s)
	switch {
	case err != nil:
		return netip.Addr{}, fmt.Errorf("%q is not an IP address: write one such as 10.0.0.10 or fd00::10", clip(s))
	case a.Is4In6():
		return netip.Addr{}, fmt.Errorf("%s is an IPv4 address in IPv6 form: write %s", s, a.Unmap())
	case a.Zone() != "":
		return netip.Addr{}, fmt.Errorf("%q has a zone: write the address alone", clip(s))
	}
	return a, nil
}

var decimal = regexp.MustCompile(`^(0|-?[1-9][0-9]*)$`)

func (d *decoder) decodeNumber(n *yaml.Node, v reflect.Value, path string) {
	switch {
	case n.Kind != yaml.ScalarNode:
		d.fault(n, path, "must be a number, not %s", describe(n))
		return
	case n.ShortTag() == "!!str" && n.Style&(yaml.SingleQuotedStyle|yaml.DoubleQuotedStyle) != 0 && decimal.MatchString(n.Value):
		d.fault(n, path, "must be a number, not a text: remove the quotes")
		return
	case n.ShortTag() != "!!int":
		d.fault(n, path, "must be a whole number, not %s", describe(n))
		return
	case !decimal.MatchString(n.Value):
		// YAML reads 0777 and 0x1f as numbers, but people don't agree on which.
		d.fault(n, path, "must be a decimal number, not %q", clip(n.Value))
		return
	}
	bits := v.Type().Bits()
	if v.CanInt() {
		i, err := strconv.ParseInt(n.Value, 10, bits)
		if err != nil {
			d.fault(n, path, "%s is out of range", clip(n.Value))
			return
		}
		v.SetInt(i)
		return
	}
	u, err := strconv.ParseUint(n.Value, 10, bits)
	if err != nil {
		d.fault(n, path, "%s is out of range 0-%d", clip(n.Value), uint64(1)<<bits-1)
		return
	}
	v.SetUint(u)
}

func (d *decoder) decodeSlice(n *yaml.Node, v reflect.Value, path string) {
	if n.Kind != yaml.SequenceNode {
		d.fault(n, path, "must be a list, not %s", describe(n))
		return
	}
	// An empty list is not an absent one: an empty ingress allows nothing, an absent one governs nothing.
	v.Set(reflect.MakeSlice(v.Type(), len(n.Content), len(n.Content)))
	for i, c := range n.Content {
		d.decode(c, v.Index(i), fmt.Sprintf("%s[%d]", path, i))
	}
}

func (d *decoder) decodeMap(n *yaml.Node, v reflect.Value, path string) {
	if n.Kind != yaml.MappingNode {
		d.fault(n, path, "must be a mapping of keys to values, not %s", describe(n))
		return
	}
	v.Set(reflect.MakeMapWithSize(v.Type(), len(n.Content)/2))
	for i := 0; i+1 < len(n.Content); i += 2 {
		key, ok := d.text(n.Content[i], path+"."+clip(n.Content[i].Value))
		if !ok {
			continue
		}
		value := reflect.New(v.Type().Elem()).Elem()
		d.decode(n.Content[i+1], value, path+"."+key)
		v.SetMapIndex(reflect.ValueOf(key).Convert(v.Type().Key()), value)
	}
}

func (d *decoder) decodeStruct(n *yaml.Node, v reflect.Value, path string) {
	if n.Kind != yaml.MappingNode {
		d.fault(n, path, "must be a mapping of fields, not %s", describe(n))
		return
	}
	fields := fieldsOf(v.Type())
	given := make(map[string]bool, len(n.Content)/2)
	for i := 0; i+1 < len(n.Content); i += 2 {
		key := n.Content[i]
		given[key.Value] = true
		at := findField(fields, key.Value)
		switch {
		case at >= 0:
			d.decodeField(n.Content[i+1], v.Field(fields[at].index), fields[at], join(path, key.Value))
			// A mapping's own line is that of its first key; the field's is where its name stands.
			d.lines[join(path, key.Value)] = key.Line
		case path == "" && (key.Value == "apiVersion" || key.Value == "kind"):
		default:
			d.unknownField(key, fields, path)
		}
	}
	for _, f := range fields {
		if !given[f.name] {
			d.missing(n, f, join(path, f.name))
		}
	}
}

// decodeField decodes a field, and refuses one that is written as if it were absent: an empty text, or 0
// where absent means a default.
func (d *decoder) decodeField(n *yaml.Node, v reflect.Value, f field, path string) {
	before := len(d.problems)
	d.decode(n, v, path)
	switch {
	case len(d.problems) > before || !v.IsZero():
	case v.Kind() == reflect.String:
		d.fault(n, path, "is empty: give a value, or remove the field")
	case !f.required && (v.CanInt() || v.CanUint()):
		d.fault(n, path, "must not be 0: give another value, or remove the field")
	}
}

func (d *decoder) unknownField(key *yaml.Node, fields []field, path string) {
	names := make([]string, len(fields))
	for i, f := range fields {
		names[i] = f.name
	}
	hint := didYouMean(key.Value, names)
	if hint == "" {
		hint = ", the fields here are " + strings.Join(names, ", ")
	}
	d.faulty = append(d.faulty, join(path, key.Value))
	d.report(key, path, "has an unknown field %q%s", clip(key.Value), hint)
}

// missing reports the required fields of an absent one: itself, or those within it.
func (d *decoder) missing(n *yaml.Node, f field, path string) {
	switch {
	case f.required && f.typ.Kind() == reflect.Struct && !isText(f.typ):
		for _, sub := range fieldsOf(f.typ) {
			d.missing(n, sub, join(path, sub.name))
		}
	case f.required:
		d.fault(n, path, "is missing")
	}
}

// field is a declarable field of a struct.
type field struct {
	name     string
	index    int
	typ      reflect.Type
	required bool
}

// fieldsOf returns the fields of a struct type in the order of their declaration. A field is required
// unless its tag lets it be omitted.
func fieldsOf(t reflect.Type) []field {
	var fields []field
	for i := range t.NumField() {
		sf := t.Field(i)
		tag, ok := sf.Tag.Lookup("json")
		if !ok || tag == "-" || !sf.IsExported() {
			continue
		}
		name, options, _ := strings.Cut(tag, ",")
		optional := strings.Contains(options, "omitzero") || strings.Contains(options, "omitempty")
		fields = append(fields, field{name: name, index: i, typ: sf.Type, required: !optional})
	}
	return fields
}

func findField(fields []field, name string) int {
	for i, f := range fields {
		if f.name == name {
			return i
		}
	}
	return -1
}

func isText(t reflect.Type) bool {
	return reflect.PointerTo(t).Implements(reflect.TypeFor[encoding.TextUnmarshaler]())
}

func join(path, name string) string {
	if path == "" {
		return name
	}
	return path + "." + name
}

// describe says in words what a node holds.
func describe(n *yaml.Node) string {
	switch n.Kind {
	case yaml.MappingNode:
		return "a mapping"
	case yaml.SequenceNode:
		return "a list"
	}
	switch n.ShortTag() {
	case "!!int", "!!float":
		return "the number " + clip(n.Value)
	case "!!bool":
		return "the truth value " + clip(n.Value)
	case "!!timestamp":
		return "the date " + clip(n.Value)
	case "!!null":
		return "nothing"
	}
	return fmt.Sprintf("%q", clip(n.Value))
}
