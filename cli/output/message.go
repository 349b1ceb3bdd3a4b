package output

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/known/timestamppb"
)

// Message is a message of the API.
type Message = proto.Message

// FromMessage returns an API message as a document for scripts: every field, also the empty ones, in the order
// of the schema and with lowerCamelCase names; numbers of 64 bits as numbers, enums as lower-case words
// without their prefix, times in RFC 3339. Bytes fields named "json" are embedded as what they hold.
func FromMessage(m Message) (Document, error) {
	var b bytes.Buffer
	if err := writeMessage(&b, m.ProtoReflect()); err != nil {
		return nil, err
	}
	return b.Bytes(), nil
}

func writeMessage(b *bytes.Buffer, m protoreflect.Message) error {
	if ts, ok := m.Interface().(*timestamppb.Timestamp); ok {
		return writeValue(b, ts.AsTime().UTC().Format(time.RFC3339))
	}
	b.WriteByte('{')
	fields := m.Descriptor().Fields()
	for i := range fields.Len() {
		f := fields.Get(i)
		if i > 0 {
			b.WriteByte(',')
		}
		fmt.Fprintf(b, "%q:", f.JSONName())
		if err := writeField(b, f, m); err != nil {
			return fmt.Errorf("field %s: %w", f.FullName(), err)
		}
	}
	b.WriteByte('}')
	return nil
}

func writeField(b *bytes.Buffer, f protoreflect.FieldDescriptor, m protoreflect.Message) error {
	v := m.Get(f)
	switch {
	case f.IsMap():
		return writeMap(b, f.MapValue(), v.Map())
	case f.IsList():
		b.WriteByte('[')
		for i := range v.List().Len() {
			if i > 0 {
				b.WriteByte(',')
			}
			if err := writeScalar(b, f, v.List().Get(i)); err != nil {
				return err
			}
		}
		b.WriteByte(']')
		return nil
	case f.Message() != nil && !m.Has(f):
		b.WriteString("null")
		return nil
	}
	return writeScalar(b, f, v)
}

func writeMap(b *bytes.Buffer, values protoreflect.FieldDescriptor, m protoreflect.Map) error {
	keys := make([]protoreflect.MapKey, 0, m.Len())
	m.Range(func(k protoreflect.MapKey, _ protoreflect.Value) bool {
		keys = append(keys, k)
		return true
	})
	slices.SortFunc(keys, func(x, y protoreflect.MapKey) int { return strings.Compare(x.String(), y.String()) })
	b.WriteByte('{')
	for i, k := range keys {
		if i > 0 {
			b.WriteByte(',')
		}
		if err := writeValue(b, k.String()); err != nil {
			return err
		}
		b.WriteByte(':')
		if err := writeScalar(b, values, m.Get(k)); err != nil {
			return err
		}
	}
	b.WriteByte('}')
	return nil
}

func writeScalar(b *bytes.Buffer, f protoreflect.FieldDescriptor, v protoreflect.Value) error {
	switch f.Kind() {
	case protoreflect.MessageKind:
		return writeMessage(b, v.Message())
	case protoreflect.EnumKind:
		return writeValue(b, enumWord(f.Enum(), v.Enum()))
	case protoreflect.BytesKind:
		if f.Name() == "json" && len(v.Bytes()) > 0 {
			return json.Compact(b, v.Bytes())
		}
	}
	return writeValue(b, v.Interface())
}

// enumWord returns the value's name in lower case without the prefix that protobuf's style asks for:
// VERB_ADDED of the enum Verb is "added".
func enumWord(e protoreflect.EnumDescriptor, n protoreflect.EnumNumber) string {
	v := e.Values().ByNumber(n)
	if v == nil {
		return fmt.Sprint(n)
	}
	return strings.ToLower(strings.TrimPrefix(string(v.Name()), strings.ToUpper(string(e.Name()))+"_"))
}

func writeValue(b *bytes.Buffer, v any) error {
	d, err := Marshal(v)
	if err != nil {
		return err
	}
	b.Write(bytes.TrimSpace(d))
	return nil
}
