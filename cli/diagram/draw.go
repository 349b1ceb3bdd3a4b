package diagram

import (
	"fmt"
	"io"
	"net/netip"
	"strings"
)

// WriteText draws the picture in characters.
func (p Picture) WriteText(w io.Writer) error {
	var b strings.Builder
	section(&b, "Networks", len(p.Networks))
	for _, n := range p.Networks {
		fmt.Fprintf(&b, "  %s\n", n.Ref)
		for i, s := range n.Subnets {
			fmt.Fprintf(&b, "    %s subnet %s  %s\n", branch(i == len(n.Subnets)-1 && len(n.Ports)+len(n.Nodes) == 0), s.Name, join(s.Prefixes))
		}
		if len(n.Ports) > 0 {
			fmt.Fprintf(&b, "    %s ports %s\n", branch(len(n.Nodes) == 0), strings.Join(n.Ports, ", "))
		}
		if len(n.Nodes) > 0 {
			fmt.Fprintf(&b, "    %s on %s\n", branch(true), strings.Join(n.Nodes, ", "))
		}
	}
	section(&b, "Peerings", len(p.Peerings))
	for _, e := range p.Peerings {
		if e.Active {
			fmt.Fprintf(&b, "  %s <---> %s\n", e.From, e.To)
		} else {
			fmt.Fprintf(&b, "  %s ----> %s  one-sided: %s declares no peering back, nothing crosses\n", e.From, e.To, e.To)
		}
	}
	if len(p.Nodes) > 0 {
		section(&b, "Nodes", len(p.Nodes))
		for _, n := range p.Nodes {
			fmt.Fprintf(&b, "  %s  %s  %s\n", n.Name, n.VTEP, state(n))
		}
		section(&b, "Tunnels", len(p.Tunnels))
		for _, t := range p.Tunnels {
			fmt.Fprintf(&b, "  %s ===== %s  %s\n", t.A, t.B, strings.Join(t.Networks, ", "))
		}
	}
	_, err := io.WriteString(w, b.String())
	return err
}

func section(b *strings.Builder, title string, n int) {
	if b.Len() > 0 {
		b.WriteByte('\n')
	}
	fmt.Fprintf(b, "%s (%d)\n", title, n)
}

func branch(last bool) string {
	if last {
		return "`-"
	}
	return "|-"
}

func join(prefixes []netip.Prefix) string {
	texts := make([]string, len(prefixes))
	for i, p := range prefixes {
		texts[i] = p.String()
	}
	return strings.Join(texts, ", ")
}

func state(n Node) string {
	if !n.Connected {
		return "not connected"
	}
	return strings.TrimSpace("connected " + n.Datapath)
}

// WriteDot draws the picture in the language of Graphviz: networks as boxes, grouped by tenant; nodes as
// ellipses; tunnels as bold lines, peerings as double arrows, and a dotted line where a node hosts a network.
func (p Picture) WriteDot(w io.Writer) error {
	var b strings.Builder
	b.WriteString("graph weft {\n  graph [fontname=\"sans-serif\", rankdir=LR];\n  node [fontname=\"sans-serif\"];\n  edge [fontname=\"sans-serif\", fontsize=10];\n")
	tenant := ""
	for _, n := range p.Networks {
		t, _, _ := strings.Cut(n.Ref, "/")
		if t != tenant {
			if tenant != "" {
				b.WriteString("  }\n")
			}
			tenant = t
			fmt.Fprintf(&b, "  subgraph %s {\n    label=%s;\n", quote("cluster_"+t), quote("tenant "+t))
		}
		fmt.Fprintf(&b, "    %s [shape=box, label=%s];\n", quote("net "+n.Ref), quote(networkLabel(n)))
	}
	if tenant != "" {
		b.WriteString("  }\n")
	}
	for _, n := range p.Nodes {
		style := "solid"
		if !n.Connected {
			style = "dashed"
		}
		fmt.Fprintf(&b, "  %s [shape=ellipse, style=%s, label=%s];\n", quote("node "+n.Name), style, quote(n.Name+"\n"+n.VTEP))
	}
	for _, n := range p.Networks {
		for _, node := range n.Nodes {
			fmt.Fprintf(&b, "  %s -- %s [style=dotted];\n", quote("net "+n.Ref), quote("node "+node))
		}
	}
	for _, e := range p.Peerings {
		attributes := "dir=both"
		if !e.Active {
			attributes = "dir=forward, style=dashed, label=\"one-sided\""
		}
		fmt.Fprintf(&b, "  %s -- %s [%s];\n", quote("net "+e.From), quote("net "+e.To), attributes)
	}
	for _, t := range p.Tunnels {
		fmt.Fprintf(&b, "  %s -- %s [style=bold, label=%s];\n", quote("node "+t.A), quote("node "+t.B), quote(strings.Join(t.Networks, "\n")))
	}
	b.WriteString("}\n")
	_, err := io.WriteString(w, b.String())
	return err
}

func networkLabel(n Network) string {
	lines := []string{n.Ref}
	for _, s := range n.Subnets {
		lines = append(lines, s.Name+" "+join(s.Prefixes))
	}
	return strings.Join(lines, "\n")
}

// quote returns s as a quoted string of the DOT language, in which \n breaks lines.
func quote(s string) string {
	return `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`, "\n", `\n`).Replace(s) + `"`
}
