package verify

import "strings"

// Shown says whether a trace shows a finding.
type Shown string

// The answers.
const (
	ShownYes     Shown = "yes"
	ShownNo      Shown = "no"
	ShownUnknown Shown = "not by a trace" // the difference is not whether the packet is dropped, or its port doesn't exist
)

// regionNobody is about ports that need not exist.
const regionNobody = "from a port that nobody is attached to"

// Shown compares a finding with what ofproto/trace printed for its packet. A trace tells whether a packet is dropped; what else
// differs is for people to read.
func (f Finding) Shown(trace string) Shown {
	got, want := dropping(f.Got), dropping(f.Want)
	if got == want || f.Region == regionNobody {
		return ShownUnknown
	}
	dropped := true // the last stage decides: those before it hand over to the connection tracker
	for line := range strings.Lines(trace) {
		if actions, ok := strings.CutPrefix(line, "Datapath actions:"); ok {
			dropped = strings.TrimSpace(actions) == "drop"
		}
	}
	if dropped == got {
		return ShownYes
	}
	return ShownNo
}

// dropping reports whether the words of a finding say that packets go nowhere.
func dropping(fate string) bool { return fate == "dropped" || fate == "denied" }
