package output

import (
	"fmt"
	"slices"
	"strings"
)

// Format is how a result is printed: the argument of the flag -o.
type Format string

// The formats. Table and Wide are for people and may change; JSON and YAML are for scripts and don't.
const (
	Table Format = "table"
	Wide  Format = "wide" // Table with more columns
	JSON  Format = "json"
	YAML  Format = "yaml"
	Text  Format = "text"  // a drawing in characters
	Dot   Format = "dot"   // the language of Graphviz
	CSV   Format = "csv"   // comma-separated values (RFC 4180)
	SARIF Format = "sarif" // findings with file and line, SARIF 2.1.0
	JUnit Format = "junit" // tests and their outcome, XML of JUnit
	HTML  Format = "html"  // a page that needs nothing else
)

// ParseFormat returns the format named s, which must be one of those that the command offers.
func ParseFormat(s string, offered ...Format) (Format, error) {
	if i := slices.Index(offered, Format(s)); i >= 0 {
		return offered[i], nil
	}
	names := make([]string, len(offered))
	for i, f := range offered {
		names[i] = string(f)
	}
	return "", fmt.Errorf("-o %q is not an output format here: choose %s", s, strings.Join(names, ", "))
}

// ForScripts reports whether f is read by programs, which want nothing but the data on standard output.
func (f Format) ForScripts() bool { return f == JSON || f == YAML }
