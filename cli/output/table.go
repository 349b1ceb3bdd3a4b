package output

import (
	"io"
	"strings"
	"unicode/utf8"
)

// Cell is one field of a table.
type Cell struct {
	Text   string
	Colour Colour
}

// C returns a plain cell.
func C(text string) Cell { return Cell{Text: text} }

// Grid is a table: a header and rows of as many cells. An empty cell is shown as "-", so that columns can be
// cut by position in a pinch.
type Grid struct {
	Header []string
	Rows   [][]Cell
}

// Add appends a row.
func (g *Grid) Add(cells ...Cell) { g.Rows = append(g.Rows, cells) }

// columnGap is the number of blanks between columns.
const columnGap = 3

// Write prints the grid with its columns aligned, without trailing blanks.
func (g *Grid) Write(w io.Writer, s Style) error {
	widths := make([]int, len(g.Header))
	for i, h := range g.Header {
		widths[i] = utf8.RuneCountInString(h)
	}
	for _, row := range g.Rows {
		for i, c := range row {
			widths[i] = max(widths[i], utf8.RuneCountInString(shown(c.Text)))
		}
	}
	var b strings.Builder
	header := make([]Cell, len(g.Header))
	for i, h := range g.Header {
		header[i] = Cell{h, Strong}
	}
	writeRow(&b, s, widths, header)
	for _, row := range g.Rows {
		writeRow(&b, s, widths, row)
	}
	_, err := io.WriteString(w, b.String())
	return err
}

func writeRow(b *strings.Builder, s Style, widths []int, row []Cell) {
	for i, c := range row {
		text := shown(c.Text)
		b.WriteString(s.Paint(c.Colour, text))
		if i < len(row)-1 {
			b.WriteString(strings.Repeat(" ", widths[i]-utf8.RuneCountInString(text)+columnGap))
		}
	}
	b.WriteByte('\n')
}

// shown returns what stands for text in a table.
func shown(text string) string {
	if text == "" {
		return "-"
	}
	return text
}
