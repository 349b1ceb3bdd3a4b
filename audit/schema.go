package audit

import (
	"encoding/json"
	"net/netip"
	"reflect"
	"strings"

	"github.com/weftfabric/weft/firewall/reach"
	"github.com/weftfabric/weft/topology"
)

// Documents lists the kinds of documents that audits print, with a value of each.
func Documents() map[string]any {
	return map[string]any{
		"Reach": Reach{}, "Why": Why{}, "Proofs": Proofs{}, "Findings": Findings{}, "Diff": Diff{}, "Report": Report{}, "State": State{},
	}
}

// SchemaOf returns the JSON Schema (2020-12) of a kind of document, generated from the type of a value of it, as indented
// JSON. Programs that read a document should allow for further fields, which this version of it may get.
func SchemaOf(kind string, document any) ([]byte, error) {
	s := schemaOf(reflect.TypeOf(document))
	s.Schema, s.ID, s.Title = "https://json-schema.org/draft/2020-12/schema", schemaBase+kind+".json", kind
	s.Properties["apiVersion"] = &topology.JSONSchema{Const: ReportVersion}
	s.Properties["kind"] = &topology.JSONSchema{Const: kind}
	s.Properties["schema"] = &topology.JSONSchema{Const: s.ID}
	return json.MarshalIndent(s, "", "  ")
}

// enums lists the values of types that are words.
func enums() map[reflect.Type][]string {
	return map[reflect.Type][]string{
		reflect.TypeFor[Outcome]():       {string(Proved), string(Violated), string(Vacuous), string(NotDecided), string(NotModelled)},
		reflect.TypeFor[Level]():         {string(LevelWarning), string(LevelNote)},
		reflect.TypeFor[AssertionType](): {string(Never), string(Only), string(Always), string(MaxExposure)},
		reflect.TypeFor[Passage]():       {string(Delivered), string(Forwarded), string(Dropped), string(ToAgent), string(NotAsked)},
		reflect.TypeFor[Scope]():         {string(Every), string(Declared)},
		reflect.TypeFor[InputKind]():     {string(FromFiles), string(FromController)},
		reflect.TypeFor[InputRole]():     {string(RoleTopology), string(RoleAssertions), string(RoleState)},
	}
}

func schemaOf(t reflect.Type) *topology.JSONSchema {
	if words, ok := enums()[t]; ok {
		return &topology.JSONSchema{Type: "string", Enum: words}
	}
	switch t {
	case reflect.TypeFor[netip.Prefix](), reflect.TypeFor[netip.Addr]():
		return &topology.JSONSchema{Type: "string"}
	case reflect.TypeFor[json.RawMessage]():
		return &topology.JSONSchema{Type: "object"}
	case reflect.TypeFor[reach.Portions]():
		s := structSchema(t)
		s.Description = "Services of one protocol: ports, or ICMP types; all of the protocol without either."
		return s
	}
	switch t.Kind() {
	case reflect.Pointer:
		return schemaOf(t.Elem())
	case reflect.Slice:
		return &topology.JSONSchema{Type: "array", Items: schemaOf(t.Elem())}
	case reflect.Map:
		return &topology.JSONSchema{Type: "object", Additional: schemaOf(t.Elem())}
	case reflect.Struct:
		return structSchema(t)
	case reflect.String:
		return &topology.JSONSchema{Type: "string"}
	case reflect.Bool:
		return &topology.JSONSchema{Type: "boolean"}
	}
	return &topology.JSONSchema{Type: "integer"}
}

// structSchema describes a struct by its json tags. Fields without omitempty or omitzero are there always; those that are
// pointers without it may be null, which no schema of a type can say, so they are described by none.
func structSchema(t reflect.Type) *topology.JSONSchema {
	s := &topology.JSONSchema{Type: "object", Properties: make(map[string]*topology.JSONSchema)}
	for i := range t.NumField() {
		f := t.Field(i)
		if f.Anonymous {
			in := structSchema(f.Type)
			for name, p := range in.Properties {
				s.Properties[name] = p
			}
			s.Required = append(s.Required, in.Required...)
			continue
		}
		name, rest, _ := strings.Cut(f.Tag.Get("json"), ",")
		if !f.IsExported() || name == "" || name == "-" {
			continue
		}
		optional := strings.Contains(rest, "omit")
		s.Properties[name] = schemaOf(f.Type)
		if f.Type.Kind() == reflect.Pointer && !optional {
			s.Properties[name] = &topology.JSONSchema{Description: "null, or an object: " + f.Type.Elem().Name()}
		}
		if !optional {
			s.Required = append(s.Required, name)
		}
	}
	return s
}
