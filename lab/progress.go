package lab

import (
	"fmt"
	"io"
	"strings"
	"time"
)

// progress prints a line for a step that is done, with the time since the beginning.
type progress func(format string, args ...any)

func newProgress(w io.Writer, now func() time.Time) progress {
	start := now()
	return func(format string, args ...any) {
		if w != nil {
			fmt.Fprintf(w, "%6.1fs  %s\n", now().Sub(start).Seconds(), fmt.Sprintf(format, args...))
		}
	}
}

func addressText(a Attached) string {
	var parts []string
	for _, p := range a.Addresses {
		parts = append(parts, p.String())
	}
	return strings.Join(parts, " ")
}

func compareRef(a, b Attached) int { return strings.Compare(a.Ref(), b.Ref()) }

// boolOrder sorts true before false.
func boolOrder(a, b bool) int {
	switch {
	case a == b:
		return 0
	case a:
		return -1
	}
	return 1
}
