package audit

import (
	"encoding/csv"
	"io"
	"strings"

	"github.com/weftfabric/weft/fabric"
	"github.com/weftfabric/weft/topology"
)

// Reach says which connections policy allows between classes.
type Reach struct {
	Header
	Classes []ClassRef `json:"classes"`
	// Rows hold the pairs with an allowed connection, in order.
	Rows []ReachRow `json:"rows"`
	// Pairs counts the ordered pairs that were looked at, Unjoined those of networks that aren't joined, between which
	// nothing passes whatever policy says.
	Pairs    int `json:"pairs"`
	Unjoined int `json:"unjoined"`

	unjoined map[[2]string]bool // by the names of the networks
}

// ReachRow is a pair of classes with what is allowed from one to the other.
type ReachRow struct {
	From        string        `json:"from"`
	To          string        `json:"to"`
	Connections []Connections `json:"connections"`
}

// Question names the ends of a question; empty means every class.
type Question struct{ From, To string }

// ReachOf answers for all pairs of classes, or for those that q names. Imagined classes are those that policies mention.
func ReachOf(intent *topology.Intent, workloads []Workload, q Question) (Reach, error) {
	w, from, to, err := newQuestion(intent, workloads, q)
	if err != nil {
		return Reach{}, err
	}
	out := Reach{Header: header("Reach"), Classes: []ClassRef{}, Rows: []ReachRow{}, unjoined: make(map[[2]string]bool)}
	listed := make(map[int]bool)
	for _, ends := range [][]int{from, to} {
		for _, i := range ends {
			listed[i] = true
		}
	}
	for i := range w.Classes {
		if listed[i] {
			out.Classes = append(out.Classes, w.classRef(i))
		}
	}
	joined := make(map[fabric.NetworkRef][]int) // the destinations for a source of each network
	for _, i := range from {
		network := w.Classes[i].Network
		if _, known := joined[network]; !known {
			joined[network] = indicesOf(to, func(j int) bool {
				other := w.Classes[j].Network
				if !w.Joined(network, other) {
					out.unjoined[[2]string{network.String(), other.String()}] = true
					return false
				}
				return true
			})
		}
		out.Pairs += len(to)
		out.Unjoined += len(to) - len(joined[network])
		for _, j := range joined[network] {
			parts := w.between(i, j)
			if c := w.connections(parts, familiesOf(parts)); len(c) > 0 {
				out.Rows = append(out.Rows, ReachRow{w.label(i, q.From), w.label(j, q.To), c})
			}
		}
	}
	return out, nil
}

// newQuestion returns the world of a question with the places of the classes at both ends.
func newQuestion(intent *topology.Intent, workloads []Workload, q Question) (w *World, from, to []int, err error) {
	classes := Mentioned(intent, workloads)
	declared, mentioned := len(classesOf(intent, workloads)), len(classes)
	end := func(text string) ([]int, error) {
		if text == "" {
			return indices(declared+mentioned, func(int) bool { return true }), nil
		}
		found, err := Find(intent, workloads, classes, text)
		first := declared + len(classes)
		classes = append(classes, found...)
		return indices(declared+len(classes), func(i int) bool { return i >= first }), err
	}
	if from, err = end(q.From); err != nil {
		return nil, nil, nil, err
	}
	if to, err = end(q.To); err != nil {
		return nil, nil, nil, err
	}
	w, err = NewWorld(intent, workloads, classes)
	return w, from, to, err
}

// label names a class as the question did, when it named a workload.
func (w *World) label(i int, asked string) string {
	if c := w.Classes[i]; len(c.Workloads) == 1 && c.Workloads[0] == asked {
		return asked
	}
	return w.Classes[i].Name()
}

// WriteCSV prints a matrix: a row for each source class, a column for each destination. A cell holds the services, "-"
// for none, and nothing between networks that aren't joined.
func (r Reach) WriteCSV(out io.Writer) error {
	cells := make(map[[2]string]string)
	for _, row := range r.Rows {
		var texts []string
		for _, c := range row.Connections {
			texts = append(texts, c.Text())
		}
		cells[[2]string{row.From, row.To}] = strings.Join(texts, "; ")
	}
	csv := csv.NewWriter(out)
	names := []string{"from \\ to"}
	for _, c := range r.Classes {
		names = append(names, c.Name)
	}
	if err := csv.Write(names); err != nil {
		return err
	}
	for _, from := range r.Classes {
		line := []string{from.Name}
		for _, to := range r.Classes {
			cell := cells[[2]string{from.Name, to.Name}]
			if cell == "" && !r.unjoined[[2]string{from.Network, to.Network}] {
				cell = "-"
			}
			line = append(line, cell)
		}
		if err := csv.Write(line); err != nil {
			return err
		}
	}
	csv.Flush()
	return csv.Error()
}
