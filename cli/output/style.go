package output

// Colour is how a piece of text stands out on a terminal. The zero value is plain.
type Colour string

// The colours, as SGR parameters (ECMA-48, section 8.3.117).
const (
	Plain  Colour = ""
	Good   Colour = "32" // green
	Bad    Colour = "31" // red
	Notice Colour = "33" // yellow
	Faint  Colour = "2"
	Strong Colour = "1"
)

// Style says whether colours are shown.
type Style struct {
	Colours bool
}

// Paint returns text as the style shows it.
func (s Style) Paint(c Colour, text string) string {
	if !s.Colours || c == Plain || text == "" {
		return text
	}
	return "\x1b[" + string(c) + "m" + text + "\x1b[0m"
}
