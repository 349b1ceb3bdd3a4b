package audit

import (
	_ "embed"
	"fmt"
	"html/template"
	"io"
	"strings"
)

//go:embed report.gohtml
var reportPage string

// maxMatrix is up to how many classes a page shows the matrix; the list of connections follows in any case.
const maxMatrix = 40

// page is a report as the template shows it.
type page struct {
	Report
	Version  string
	Matrix   []matrixRow // empty when there are too many classes
	Findings []findingGroup
}

type matrixRow struct {
	Name  string
	Cells []matrixCell
}

// matrixCell is what one class may send to another. Kind is the cell's look: open, some, none, or apart for networks that
// aren't joined.
type matrixCell struct {
	Kind, Text, Title string
}

type findingGroup struct {
	Kind        FindingKind
	Explanation string
	List        []Finding
}

// WriteHTML writes the report as one page that needs nothing else: no script, no image, no font, no network. Equal reports of
// one version are equal pages.
func (r Report) WriteHTML(out io.Writer, version string) error {
	t, err := template.New("report").Parse(reportPage)
	if err != nil {
		return fmt.Errorf("template of the report: %w", err)
	}
	p := page{Report: r, Version: version}
	if len(r.Reach.Classes) <= maxMatrix {
		p.Matrix = r.Reach.matrix()
	}
	for _, k := range FindingKinds {
		g := findingGroup{Kind: k, Explanation: k.Explanation()}
		for _, f := range r.Findings.Findings {
			if f.Kind == k {
				g.List = append(g.List, f)
			}
		}
		if len(g.List) > 0 {
			p.Findings = append(p.Findings, g)
		}
	}
	return t.Execute(out, p)
}

func (r Reach) matrix() []matrixRow {
	cells := make(map[[2]string]matrixCell)
	for _, row := range r.Rows {
		c := matrixCell{Kind: "some"}
		var titles []string
		for _, x := range row.Connections {
			c.Text = strings.TrimPrefix(c.Text+"; "+x.Text(), "; ")
			titles = append(titles, fmt.Sprintf("%s: egress by %s, ingress by %s", x.Text(), x.Egress, x.Ingress))
		}
		if c.Text == "any" {
			c.Kind = "open"
		}
		c.Title = strings.Join(titles, "\n")
		cells[[2]string{row.From, row.To}] = c
	}
	var out []matrixRow
	for _, from := range r.Classes {
		row := matrixRow{Name: from.Name}
		for _, to := range r.Classes {
			c, ok := cells[[2]string{from.Name, to.Name}]
			switch {
			case ok:
			case r.unjoined[[2]string{from.Network, to.Network}]:
				c = matrixCell{Kind: "apart", Title: "the networks are not joined"}
			default:
				c = matrixCell{Kind: "none", Text: "–", Title: "policy allows nothing"}
			}
			row.Cells = append(row.Cells, c)
		}
		out = append(out, row)
	}
	return out
}
