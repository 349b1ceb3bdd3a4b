package cli

import (
	"fmt"
	"strings"

	"github.com/weftfabric/weft/cli/output"
	weftv1 "github.com/weftfabric/weft/wire/weftpb/weft/v1"
)

// tally counts changes by what happens.
type tally map[weftv1.Change_Verb]int

func tallyOf(changes []*weftv1.Change) tally {
	t := make(tally)
	for _, c := range changes {
		t[c.GetVerb()]++
	}
	return t
}

// any reports whether something is added, changed or removed.
func (t tally) any() bool {
	return t[weftv1.Change_VERB_ADDED]+t[weftv1.Change_VERB_CHANGED]+t[weftv1.Change_VERB_REMOVED] > 0
}

// String returns "2 added, 1 changed, 0 removed, 4 unchanged".
func (t tally) String() string {
	return fmt.Sprintf("%d added, %d changed, %d removed, %d unchanged", t[weftv1.Change_VERB_ADDED],
		t[weftv1.Change_VERB_CHANGED], t[weftv1.Change_VERB_REMOVED], t[weftv1.Change_VERB_UNCHANGED])
}

// mark is how a verb is drawn.
type mark struct {
	sign   string
	colour output.Colour
}

func markOf(v weftv1.Change_Verb) mark {
	switch v {
	case weftv1.Change_VERB_ADDED:
		return mark{"+", output.Good}
	case weftv1.Change_VERB_CHANGED:
		return mark{"~", output.Notice}
	case weftv1.Change_VERB_REMOVED:
		return mark{"-", output.Bad}
	}
	return mark{" ", output.Faint}
}

// writeChanges prints objects with what happens to them, and the fields of changed ones. Unchanged objects are
// left out.
func (a *app) writeChanges(changes []*weftv1.Change) {
	style := a.stdoutStyle()
	for _, c := range changes {
		if c.GetVerb() == weftv1.Change_VERB_UNCHANGED {
			continue
		}
		m := markOf(c.GetVerb())
		fmt.Fprintln(a.Stdout, style.Paint(m.colour, m.sign+" "+keyOf(c.GetKey()).String()))
		for _, f := range c.GetFields() {
			fmt.Fprintf(a.Stdout, "    %s: %s\n", f.GetPath(), fieldChange(f))
		}
	}
}

func fieldChange(f *weftv1.FieldChange) string {
	switch {
	case f.GetOld() == "":
		return "set to " + f.GetNew()
	case f.GetNew() == "":
		return "removed (was " + f.GetOld() + ")"
	}
	return f.GetOld() + " -> " + f.GetNew()
}

// writeNodeChanges prints the nodes whose plans change; with details, entry by entry.
func (a *app) writeNodeChanges(nodes []*weftv1.NodeChange, details bool) {
	if len(nodes) == 0 {
		fmt.Fprintln(a.Stdout, "No node's plan changes.")
		return
	}
	fmt.Fprintln(a.Stdout, "Nodes whose plans change:")
	for _, n := range nodes {
		var parts []string
		for _, p := range []struct {
			what string
			keys []string
		}{{"added", n.GetAdded()}, {"changed", n.GetChanged()}, {"removed", n.GetRemoved()}} {
			if len(p.keys) > 0 {
				parts = append(parts, fmt.Sprintf("%d %s", len(p.keys), p.what))
			}
		}
		fmt.Fprintf(a.Stdout, "  %s: %s\n", n.GetNode(), strings.Join(parts, ", "))
		if details {
			a.writeEntries(n)
		}
	}
}

func (a *app) writeEntries(n *weftv1.NodeChange) {
	style := a.stdoutStyle()
	for _, p := range []struct {
		verb weftv1.Change_Verb
		keys []string
	}{{weftv1.Change_VERB_ADDED, n.GetAdded()}, {weftv1.Change_VERB_CHANGED, n.GetChanged()}, {weftv1.Change_VERB_REMOVED, n.GetRemoved()}} {
		for _, key := range p.keys {
			fmt.Fprintln(a.Stdout, "    "+style.Paint(markOf(p.verb).colour, markOf(p.verb).sign+" "+key))
		}
	}
}
