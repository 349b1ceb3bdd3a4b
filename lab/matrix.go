package lab

import (
	"fmt"
	"io"
	"slices"
	"strings"
	"text/tabwriter"

	"github.com/weftfabric/weft/lab/probe"
)

// Cell is one probe: what was asked, who must answer, and who did.
type Cell struct {
	Question
	// Predicted and Seen are references of workloads, or "" for nobody.
	Predicted, Seen string
	// Why says how an unanswered probe ended.
	Why string
}

// Equal reports whether what was seen is what was predicted.
func (c Cell) Equal() bool { return c.Predicted == c.Seen }

// Matrix is the result of probing every ordered pair of workloads with every service that the target answers.
type Matrix struct {
	Workloads []Attached
	Cells     []Cell
	// Leaks are echo requests that reached a workload which must not see them, answered or not.
	Leaks []string
}

// Differences returns the cells where prediction and packets disagree.
func (m Matrix) Differences() []Cell {
	return slices.DeleteFunc(slices.Clone(m.Cells), Cell.Equal)
}

// OK reports whether packets did exactly what was predicted.
func (m Matrix) OK() bool { return len(m.Differences()) == 0 && len(m.Leaks) == 0 }

// The verdicts of a cell, as they are printed.
const (
	markReached = "+" // the target answered
	markOther   = "~" // another workload with the same address answered
	markNobody  = "." // nobody answered
)

func mark(to, who string) string {
	switch who {
	case "":
		return markNobody
	case to:
		return markReached
	}
	return markOther
}

// Print writes the predicted matrix beside the one that was seen: a row for each source, a column for each
// target, and in each field one mark per probe, in the order of the target's services.
func (m Matrix) Print(w io.Writer) error {
	fmt.Fprintln(w, "Targets, and the probes that each field stands for, in order:")
	names := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	for i, t := range m.Workloads {
		fmt.Fprintf(names, "  %s\t%s\t%s\t%s\t%s\n", column(i), t.Ref(), t.Node, addressText(t), strings.Join(m.probesOf(t), " "))
	}
	if err := names.Flush(); err != nil {
		return err
	}
	fmt.Fprintf(w, "\n%s the target answers   %s another workload with that address answers   %s nobody answers   ! not as predicted\n\n", markReached, markOther, markNobody)

	table := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	var columns []string
	for i := range m.Workloads {
		columns = append(columns, column(i))
	}
	fmt.Fprintf(table, "PREDICTED\t%s\t|\tSEEN\t%s\t\n", strings.Join(columns, "\t"), strings.Join(columns, "\t"))
	for i, from := range m.Workloads {
		var predicted, seen []string
		for _, to := range m.Workloads {
			p, s := m.field(from, to)
			predicted, seen = append(predicted, p), append(seen, s)
		}
		fmt.Fprintf(table, "%s %s\t%s\t|\t%s\t%s\t\n", column(i), from.Ref(), strings.Join(predicted, "\t"), column(i), strings.Join(seen, "\t"))
	}
	if err := table.Flush(); err != nil {
		return err
	}
	fmt.Fprintln(w)
	return m.printVerdict(w)
}

func (m Matrix) printVerdict(w io.Writer) error {
	for _, c := range m.Differences() {
		fmt.Fprintf(w, "! %s -> %s, %s to %s: predicted %s, seen %s%s\n", c.From, c.To, c.Service, c.Address, nobody(c.Predicted), nobody(c.Seen), parenthesis(c.Why))
	}
	for _, l := range m.Leaks {
		fmt.Fprintln(w, "!", l)
	}
	reached := 0
	for _, c := range m.Cells {
		if c.Seen == c.To {
			reached++
		}
	}
	verdict := "predicted and seen are equal"
	if !m.OK() {
		verdict = fmt.Sprintf("%d differ from the prediction, %d packets leaked", len(m.Differences()), len(m.Leaks))
	}
	_, err := fmt.Fprintf(w, "%d probes between %d workloads, %d reached their target: %s\n", len(m.Cells), len(m.Workloads), reached, verdict)
	return err
}

// field returns the predicted and the seen marks of one pair.
func (m Matrix) field(from, to Attached) (predicted, seen string) {
	if from.Ref() == to.Ref() {
		return "-", "-"
	}
	differs := ""
	for _, c := range m.Cells {
		if c.From == from.Ref() && c.To == to.Ref() {
			predicted += mark(c.To, c.Predicted)
			seen += mark(c.To, c.Seen)
			if !c.Equal() {
				differs = "!"
			}
		}
	}
	return predicted, seen + differs
}

// probesOf names the probes to a target, in the order of the marks.
func (m Matrix) probesOf(t Attached) []string {
	var out []string
	for _, c := range questionsTo(t) {
		name := c.Service.String()
		if c.Service.Protocol == probe.ICMP {
			name = "ping"
		}
		if len(t.Addresses) > 1 && c.Address.Is6() {
			name += "(v6)"
		}
		out = append(out, name)
	}
	return out
}

// column names a workload by a short letter or number.
func column(i int) string {
	const letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
	if i < len(letters) {
		return letters[i : i+1]
	}
	return fmt.Sprintf("%d", i+1)
}

func nobody(ref string) string {
	if ref == "" {
		return "nobody"
	}
	return ref
}

func parenthesis(s string) string {
	if s == "" {
		return ""
	}
	return " (" + s + ")"
}
