package output

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"

	"go.yaml.in/yaml/v3"
)

// Document is a value as JSON text. The order of its fields is kept by every function here, so that JSON and
// YAML show the same thing in the same order.
type Document = json.RawMessage

// Marshal returns v as a document: structs in the order of their fields, maps in the order of their keys.
func Marshal(v any) (Document, error) {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(v); err != nil {
		return nil, err
	}
	return b.Bytes(), nil
}

// WriteDocument prints one document as JSON or YAML.
func WriteDocument(w io.Writer, f Format, d Document) error {
	if f == YAML {
		return writeYAML(w, d)
	}
	return writeJSON(w, d)
}

// WriteDocuments prints a list: a JSON array, or a YAML document each, separated by "---" lines.
func WriteDocuments(w io.Writer, f Format, list []Document) error {
	if f == YAML {
		return writeYAML(w, list...)
	}
	d, err := Marshal(append([]Document{}, list...)) // an empty list is [], not null
	if err != nil {
		return err
	}
	return writeJSON(w, d)
}

func writeJSON(w io.Writer, d Document) error {
	var b bytes.Buffer
	if err := json.Indent(&b, bytes.TrimSpace(d), "", "  "); err != nil {
		return fmt.Errorf("result is not JSON: %w", err)
	}
	b.WriteByte('\n')
	_, err := w.Write(b.Bytes())
	return err
}

func writeYAML(w io.Writer, list ...Document) error {
	if len(list) == 0 {
		return nil
	}
	var b bytes.Buffer
	e := yaml.NewEncoder(&b)
	e.SetIndent(2)
	for _, d := range list {
		dec := json.NewDecoder(bytes.NewReader(d))
		dec.UseNumber()
		n, err := yamlNode(dec)
		if err != nil {
			return fmt.Errorf("result is not JSON: %w", err)
		}
		if err := e.Encode(n); err != nil {
			return err
		}
	}
	if err := e.Close(); err != nil {
		return err
	}
	_, err := w.Write(b.Bytes())
	return err
}

// yamlNode reads the next JSON value as a YAML node, fields in their order.
func yamlNode(dec *json.Decoder) (*yaml.Node, error) {
	t, err := dec.Token()
	if err != nil {
		return nil, err
	}
	switch v := t.(type) {
	case json.Delim:
		n := &yaml.Node{Kind: yaml.SequenceNode, Tag: "!!seq"}
		if v == '{' {
			n = &yaml.Node{Kind: yaml.MappingNode, Tag: "!!map"}
		}
		for dec.More() { // an object's keys are tokens too, so both kinds are read alike
			child, err := yamlNode(dec)
			if err != nil {
				return nil, err
			}
			n.Content = append(n.Content, child)
		}
		if len(n.Content) == 0 {
			n.Style = yaml.FlowStyle // [] and {}
		}
		_, err := dec.Token() // the closing delimiter
		return n, err
	case string:
		n := &yaml.Node{}
		n.SetString(v)
		if strings.Contains(v, "\t") {
			n.Style = yaml.DoubleQuotedStyle // in a block a tab could stand where only spaces may
		}
		return n, nil
	case json.Number:
		tag := "!!int"
		if bytes.ContainsAny([]byte(v), ".eE") {
			tag = "!!float"
		}
		return &yaml.Node{Kind: yaml.ScalarNode, Tag: tag, Value: v.String()}, nil
	case bool:
		return &yaml.Node{Kind: yaml.ScalarNode, Tag: "!!bool", Value: fmt.Sprint(v)}, nil
	case nil:
		return &yaml.Node{Kind: yaml.ScalarNode, Tag: "!!null", Value: "null"}, nil
	}
	return nil, errors.New("unknown JSON token")
}
