package topology

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
)

// Severity says whether a problem stops an Intent from being used.
type Severity uint8

// The severities: an Error makes the input unusable, a Warning doesn't.
const (
	SeverityError Severity = iota + 1
	SeverityWarning
)

// String returns "error" or "warning".
func (s Severity) String() string {
	switch s {
	case SeverityError:
		return "error"
	case SeverityWarning:
		return "warning"
	}
	return fmt.Sprintf("severity(%d)", uint8(s))
}

// Problem is one finding about the input. Message says what is wrong and what to do.
type Problem struct {
	Severity Severity `json:"severity"`
	File     string   `json:"file,omitempty"`
	Line     int      `json:"line,omitempty"` // from 1; 0 when the input has no lines, as an object from the store
	Message  string   `json:"message"`
}

// String returns "file:line: message"; a warning says that it is one.
func (p Problem) String() string {
	var b strings.Builder
	if p.File != "" {
		b.WriteString(p.File)
		if p.Line > 0 {
			fmt.Fprintf(&b, ":%d", p.Line)
		}
		b.WriteString(": ")
	}
	if p.Severity == SeverityWarning {
		b.WriteString("warning: ")
	}
	b.WriteString(p.Message)
	return b.String()
}

// Compare orders problems by file, line, severity (errors first) and message.
func (p Problem) Compare(o Problem) int {
	return cmp.Or(strings.Compare(p.File, o.File), cmp.Compare(p.Line, o.Line),
		cmp.Compare(p.Severity, o.Severity), strings.Compare(p.Message, o.Message))
}

// Problems are all findings about an input. Functions of this package return them sorted, each once.
//
//nolint:errname // most of its uses are as a list, of warnings too
type Problems []Problem

// Error returns one line per problem, warnings too.
func (ps Problems) Error() string {
	lines := make([]string, len(ps))
	for i, p := range ps {
		lines[i] = p.String()
	}
	return strings.Join(lines, "\n")
}

// Err returns the errors as an error, or nil when there are none.
func (ps Problems) Err() error {
	if errs := ps.Errors(); len(errs) > 0 {
		return errs
	}
	return nil
}

// Errors returns the problems that are errors.
func (ps Problems) Errors() Problems { return ps.only(SeverityError) }

// Warnings returns the problems that are warnings.
func (ps Problems) Warnings() Problems { return ps.only(SeverityWarning) }

func (ps Problems) only(s Severity) Problems {
	var out Problems
	for _, p := range ps {
		if p.Severity == s {
			out = append(out, p)
		}
	}
	return out
}

// sorted returns the problems in order, each once.
func (ps Problems) sorted() Problems {
	slices.SortFunc(ps, Problem.Compare)
	return slices.Compact(ps)
}
