package topology

import (
	"encoding/json"
	"fmt"
	"net/netip"
	"reflect"

	"github.com/weftfabric/weft/fabric"
)

// JSONSchema is the part of JSON Schema 2020-12 that the kinds need.
type JSONSchema struct {
	Schema      string                 `json:"$schema,omitempty"`
	ID          string                 `json:"$id,omitempty"`
	Title       string                 `json:"title,omitempty"`
	Description string                 `json:"description,omitempty"`
	Type        string                 `json:"type,omitempty"`
	Const       string                 `json:"const,omitempty"`
	Enum        []string               `json:"enum,omitempty"`
	Default     any                    `json:"default,omitempty"`
	Pattern     string                 `json:"pattern,omitempty"`
	MaxLength   int                    `json:"maxLength,omitempty"`
	Minimum     *int                   `json:"minimum,omitempty"`
	Maximum     *int                   `json:"maximum,omitempty"`
	Items       *JSONSchema            `json:"items,omitempty"`
	MinItems    int                    `json:"minItems,omitempty"`
	MaxItems    int                    `json:"maxItems,omitempty"`
	Properties  map[string]*JSONSchema `json:"properties,omitempty"`
	Required    []string               `json:"required,omitempty"`
	// Additional is false for structs, or the schema of a map's values.
	Additional any           `json:"additionalProperties,omitempty"`
	OneOf      []*JSONSchema `json:"oneOf,omitempty"`
}

const (
	schemaDialect = "https://json-schema.org/draft/2020-12/schema"
	schemaBase    = "https://weft.dev/schema/v1alpha1/"
)

// Schema returns the JSON Schema of a kind, generated from its Go type, as indented JSON. What a schema
// can't say, such as that a reference resolves, Validate says. The empty kind stands for all: see Schemas.
func Schema(kind Kind) ([]byte, error) {
	if kind == "" {
		return Schemas()
	}
	s := kindSchema(kind)
	if s == nil {
		return nil, fmt.Errorf("unknown kind %q%s", kind, didYouMean(string(kind), kindNames()))
	}
	s.Schema, s.ID = schemaDialect, schemaBase+string(kind)+".json"
	return json.MarshalIndent(s, "", "  ")
}

// Schemas returns the JSON Schema of any document: one of all kinds.
func Schemas() ([]byte, error) {
	all := &JSONSchema{Schema: schemaDialect, ID: schemaBase + "all.json", Title: "weft"}
	for _, k := range Kinds {
		all.OneOf = append(all.OneOf, kindSchema(k))
	}
	return json.MarshalIndent(all, "", "  ")
}

func kindSchema(kind Kind) *JSONSchema {
	o := newObject(kind)
	if o == nil {
		return nil
	}
	s := typeSchema(reflect.TypeOf(o.body()).Elem())
	s.Title = string(kind)
	s.Description = describeField(string(kind)).text
	s.Properties["apiVersion"] = &JSONSchema{Const: APIVersion, Description: "The version of the kind."}
	s.Properties["kind"] = &JSONSchema{Const: string(kind), Description: "The kind of the object."}
	s.Required = append([]string{"apiVersion", "kind"}, s.Required...)
	metadata := s.Properties["metadata"]
	switch scopeOf(kind) {
	case platformScope:
		delete(metadata.Properties, "tenant")
	case tenantScope:
		metadata.Required = append(metadata.Required, "tenant")
	}
	return s
}

// typeSchema returns the schema of a Go type as the decoder reads it.
func typeSchema(t reflect.Type) *JSONSchema {
	switch t {
	case reflect.TypeFor[netip.Prefix]():
		return &JSONSchema{Type: "string", Pattern: `^[0-9a-fA-F:.]+/[0-9]{1,3}$`}
	case reflect.TypeFor[netip.Addr]():
		return &JSONSchema{Type: "string", Pattern: `^[0-9a-fA-F:.]+$`}
	case reflect.TypeFor[fabric.MAC]():
		return &JSONSchema{Type: "string", Pattern: `^[0-9a-fA-F]{2}([:-][0-9a-fA-F]{2}){5}$|^[0-9a-fA-F]{4}(\.[0-9a-fA-F]{4}){2}$`}
	}
	if t == reflect.TypeFor[fabric.PublicKey]() {
		return &JSONSchema{Type: "string", Pattern: `^[A-Za-z0-9+/]{43}=$`}
	}
	switch t.Kind() {
	case reflect.Pointer:
		return typeSchema(t.Elem())
	case reflect.Slice:
		return &JSONSchema{Type: "array", Items: typeSchema(t.Elem())}
	case reflect.Map:
		return &JSONSchema{Type: "object", Additional: typeSchema(t.Elem())}
	case reflect.Struct:
		return structSchema(t)
	case reflect.String:
		return &JSONSchema{Type: "string"}
	case reflect.Bool:
		return &JSONSchema{Type: "boolean"}
	case reflect.Uint8, reflect.Uint16:
		return &JSONSchema{Type: "integer", Minimum: intPtr(0), Maximum: intPtr(1<<t.Bits() - 1)}
	}
	return &JSONSchema{Type: "integer"}
}

func structSchema(t reflect.Type) *JSONSchema {
	s := &JSONSchema{Type: "object", Properties: map[string]*JSONSchema{}, Additional: false}
	for _, f := range fieldsOf(t) {
		d := describeField(t.Name() + "." + f.name)
		p := typeSchema(f.typ)
		p.Description, p.Default, p.Enum = d.text, d.def, d.enum
		p.MinItems, p.MaxItems, p.MaxLength = d.minItems, d.maxItems, d.maxLength
		if d.max != 0 {
			p.Minimum, p.Maximum = intPtr(d.min), intPtr(d.max)
		}
		s.Properties[f.name] = p
		if f.required && (f.typ.Kind() != reflect.Struct || isText(f.typ) || len(p.Required) > 0) {
			s.Required = append(s.Required, f.name)
		}
	}
	return s
}

func intPtr(i int) *int { return &i }
