package bench

import (
	"cmp"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
	"text/tabwriter"
	"time"
)

// table is what a subject measured.
type table struct {
	title  string
	inputs string // what else would have to be known to repeat it
	head   []string
	rows   [][]string
	notes  []string
	// metrics are the figures that the benchmark's own line reports, by unit.
	metrics map[string]float64
}

// add appends a row; each value is shown as %v, durations and ratios as text prepared by the caller.
func (t *table) add(cells ...any) {
	row := make([]string, len(cells))
	for i, c := range cells {
		row[i] = fmt.Sprint(c)
	}
	t.rows = append(t.rows, row)
}

// metric sets a figure of the benchmark's line.
func (t *table) metric(value float64, unit string) {
	if t.metrics == nil {
		t.metrics = map[string]float64{}
	}
	t.metrics[unit] = value
}

// note appends a line below the table.
func (t *table) note(format string, args ...any) {
	t.notes = append(t.notes, fmt.Sprintf(format, args...))
}

// String aligns the table, numbers to the right.
func (t *table) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "\n## %s\n", t.title)
	if t.inputs != "" {
		fmt.Fprintf(&b, "   %s\n", t.inputs)
	}
	w := tabwriter.NewWriter(&b, 0, 0, 3, ' ', tabwriter.AlignRight)
	for _, row := range append([][]string{t.head}, t.rows...) {
		fmt.Fprintf(w, "%s\t\n", strings.Join(row, "\t"))
	}
	_ = w.Flush() // a strings.Builder takes everything
	for _, n := range t.notes {
		fmt.Fprintf(&b, "   %s\n", n)
	}
	return b.String()
}

// report runs a subject, once with -benchtime 1x, and prints its table. The benchmark's log would be cut after
// ten lines, so the table goes to the standard output.
func report(b *testing.B, measure func() *table) {
	b.Helper()
	for b.Loop() {
		t := measure()
		fmt.Fprint(os.Stdout, t)
		for unit, v := range t.metrics {
			b.ReportMetric(v, unit)
		}
	}
}

// smoke runs a subject at a tiny size, and wants a table that holds something.
func smoke(t *testing.T, measure func() *table) {
	t.Helper()
	got := measure()
	if len(got.rows) == 0 {
		t.Error("the table is empty")
	}
	t.Log(got)
}

// quantile returns the value below which a part q of the samples lies, by the nearest rank. It sorts them.
func quantile[T cmp.Ordered](samples []T, q float64) T {
	var zero T
	if len(samples) == 0 {
		return zero
	}
	slices.Sort(samples)
	return samples[min(len(samples)-1, int(q*float64(len(samples))))]
}

func median[T cmp.Ordered](samples []T) T { return quantile(samples, 0.5) }

// ms shows a duration in milliseconds.
func ms(d time.Duration) string {
	v := float64(d) / float64(time.Millisecond)
	switch {
	case v < 0.1:
		return fmt.Sprintf("%.4f ms", v)
	case v < 10:
		return fmt.Sprintf("%.2f ms", v)
	}
	return fmt.Sprintf("%.0f ms", v)
}

// ratio shows a/b.
func ratio[T ~int | ~int64 | ~uint64 | ~float64](a, b T) string {
	if b == 0 {
		return "-"
	}
	return fmt.Sprintf("%.2f", float64(a)/float64(b))
}

// timed returns how long f takes.
func timed(f func()) time.Duration {
	start := time.Now()
	f()
	return time.Since(start)
}
