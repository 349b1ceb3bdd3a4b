package cli

import (
	"encoding/base64"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/weftfabric/weft/cli/output"
	weftv1 "github.com/weftfabric/weft/wire/weftpb/weft/v1"
)

func (a *app) topologyCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "topology",
		Short: "Show tunnels between nodes, what they measure, and which way packets take",
		Long: `Show the overlay that the Fabric declares, as the controller computed it: which nodes have tunnels with each other, what
leads over relays, how the tunnels do, and which way packets take between two nodes.`,
		Example: `  weft topology show
  weft topology path n1 n7
  weft topology health
  weft topology validate`,
	}
	makeGroup(cmd)
	cmd.AddCommand(a.topologyShowCommand(), a.topologyPathCommand(), a.topologyHealthCommand(), a.topologyValidateCommand())
	return cmd
}

// overlayCommand makes a command that shows the overlay of all nodes, or of those that are named.
func (a *app) overlayCommand(cmd *cobra.Command, show func(*weftv1.OverlayResponse) error) *cobra.Command {
	var format formatFlag
	cmd.ValidArgsFunction = a.completeNodes
	format.register(cmd, output.Table, output.JSON, output.YAML)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		of, err := format.parse(cmd)
		if err != nil {
			return err
		}
		client, err := a.client(cmd)
		if err != nil {
			return err
		}
		res, err := call(cmd.Context(), a, client.Overlay, &weftv1.OverlayRequest{Nodes: args})
		if err != nil {
			return err
		}
		if !of.ForScripts() {
			return show(res)
		}
		d, err := output.FromMessage(res)
		if err != nil {
			return err
		}
		return output.WriteDocument(a.Stdout, of, d)
	}
	return cmd
}

func (a *app) topologyShowCommand() *cobra.Command {
	return a.overlayCommand(&cobra.Command{
		Use:   "show [NODE...]",
		Short: "Show the nodes' tunnels and relays",
		Long: `Show each node's tunnel address and underlay address, its WireGuard key, the nodes with which it has tunnels, and what it
reaches over which relays. Tunnels that failed are marked with "!". Without names: all nodes.`,
		Example: `  weft topology show
  weft topology show n1 -o json | jq '.nodes[0].tunnels'`,
	}, a.writeOverlay)
}

func (a *app) writeOverlay(res *weftv1.OverlayResponse) error {
	fmt.Fprintln(a.Stdout, overlayTitle(res))
	g := output.Grid{Header: []string{"NODE", "VTEP", "UNDERLAY", "KEY", "TUNNELS", "RELAYED"}}
	for _, n := range res.GetNodes() {
		g.Add(output.C(overlayName(n)), output.C(n.GetVtep()), output.C(underlay(n)), keyCell(res, n), tunnelsCell(n), output.C(hops(n)))
	}
	return g.Write(a.Stdout, a.stdoutStyle())
}

// overlayTitle says what the overlay is, in a line.
func overlayTitle(res *weftv1.OverlayResponse) string {
	if !res.GetEncrypted() {
		return "overlay " + res.GetType() + ", not encrypted: nodes reach each other over the underlay"
	}
	required := "nodes without a key are reached in the plain"
	if res.GetRequired() {
		required = "nodes without a key are kept out"
	}
	return fmt.Sprintf("overlay %s, encrypted with WireGuard, tunnel addresses in %s; %s", res.GetType(), res.GetVteps(), required)
}

func overlayName(n *weftv1.OverlayNode) string {
	name := n.GetName()
	if n.GetZone() != "" {
		name += " (" + n.GetZone() + ")"
	}
	if n.GetRelay() {
		name += " relay"
	}
	return name
}

func underlay(n *weftv1.OverlayNode) string {
	if n.GetNat() {
		return n.GetUnderlay() + " behind NAT"
	}
	return n.GetUnderlay()
}

func keyCell(res *weftv1.OverlayResponse, n *weftv1.OverlayNode) output.Cell {
	switch {
	case len(n.GetKey()) == 0 && res.GetEncrypted():
		return output.Cell{Text: "none", Colour: output.Bad}
	case len(n.GetKey()) == 0:
		return output.C("")
	}
	text := base64.StdEncoding.EncodeToString(n.GetKey())[:8] + "..."
	if n.GetRotating() {
		return output.Cell{Text: text + " rotating", Colour: output.Notice}
	}
	return output.C(text)
}

func tunnelsCell(n *weftv1.OverlayNode) output.Cell {
	var c output.Cell
	var names []string
	for _, t := range n.GetTunnels() {
		name := t.GetNode()
		if t.GetFailed() {
			name, c.Colour = "!"+name, output.Bad
		}
		names = append(names, name)
	}
	c.Text = few(names, ", ")
	return c
}

func hops(n *weftv1.OverlayNode) string {
	by := map[string][]string{}
	var order []string
	for _, h := range n.GetHops() {
		if by[h.GetVia()] == nil {
			order = append(order, h.GetVia())
		}
		by[h.GetVia()] = append(by[h.GetVia()], h.GetNode())
	}
	slices.Sort(order)
	var parts []string
	for _, via := range order {
		parts = append(parts, few(by[via], ", ")+" via "+via)
	}
	return strings.Join(parts, "; ")
}

// few joins the first of names, and says how many there are.
func few(names []string, separator string) string {
	const most = 8
	if len(names) <= most {
		return strings.Join(names, separator)
	}
	return fmt.Sprintf("%s and %d more", strings.Join(names[:most], separator), len(names)-most)
}

func (a *app) topologyHealthCommand() *cobra.Command {
	return a.overlayCommand(&cobra.Command{
		Use:   "health [NODE...]",
		Short: "Show what the nodes measure of their tunnels",
		Long: `Show each tunnel as its end measures it: whether it is up, the share of probes that were lost in the last minute, the
round trip, the largest packet that gets through, and the last handshake. A tunnel that carries less than planned is marked
with "!" and both sizes. Traffic avoids a tunnel that failed, where there is a relay, until both ends have called it up for a
while.`,
		Example: `  weft topology health
  weft topology health n1
  weft topology health -o json | jq '.nodes[].tunnels[] | select(.failed)'`,
	}, a.writeHealth)
}

func (a *app) writeHealth(res *weftv1.OverlayResponse) error {
	if !res.GetEncrypted() {
		fmt.Fprintln(a.Stdout, overlayTitle(res)+", and tunnels are not measured")
		return nil
	}
	g := output.Grid{Header: []string{"NODE", "TUNNEL TO", "STATE", "SINCE", "LOST", "ROUND TRIP", "MTU", "HANDSHAKE"}}
	for _, n := range res.GetNodes() {
		for _, t := range n.GetTunnels() {
			h := t.GetHealth()
			g.Add(output.C(n.GetName()), output.C(t.GetNode()), healthCell(t), output.C(a.ago(h.GetSince().AsTime())),
				output.C(lost(h)), output.C(roundTrip(h)), mtuCell(h), output.C(a.ago(h.GetHandshake().AsTime())))
		}
	}
	return g.Write(a.Stdout, a.stdoutStyle())
}

func healthCell(t *weftv1.OverlayTunnel) output.Cell {
	c := output.Cell{Text: "unknown", Colour: output.Notice}
	switch t.GetHealth().GetState() {
	case weftv1.TunnelHealth_STATE_UP:
		c = output.Cell{Text: "up", Colour: output.Good}
	case weftv1.TunnelHealth_STATE_DOWN:
		c = output.Cell{Text: "down", Colour: output.Bad}
	}
	if t.GetFailed() {
		c.Text, c.Colour = c.Text+", avoided", output.Bad
	}
	return c
}

// ago returns how long ago a time was; nothing for one that isn't known.
func (a *app) ago(t time.Time) string {
	if t.Unix() <= 0 {
		return ""
	}
	return age(a.Now().Sub(t))
}

func lost(h *weftv1.TunnelHealth) string {
	if h.GetSent() == 0 {
		return ""
	}
	return fmt.Sprintf("%.1f%%", 100*float64(h.GetLost())/float64(h.GetSent()))
}

func roundTrip(h *weftv1.TunnelHealth) string {
	if h.GetRttMicros() == 0 {
		return ""
	}
	return fmt.Sprintf("%.1f ms", float64(h.GetRttMicros())/1000)
}

// mtuCell shows what gets through a tunnel, and what should where that is more.
func mtuCell(h *weftv1.TunnelHealth) output.Cell {
	if h.GetNarrow() {
		return output.Cell{Text: fmt.Sprintf("!%d of %d", h.GetMtu(), h.GetPlannedMtu()), Colour: output.Bad}
	}
	return output.C(orEmpty(h.GetMtu()))
}

func orEmpty(n uint32) string {
	if n == 0 {
		return ""
	}
	return strconv.Itoa(int(n))
}

func (a *app) topologyPathCommand() *cobra.Command {
	var format formatFlag
	cmd := &cobra.Command{
		Use:   "path FROM TO",
		Short: "Show which way packets take from one node to another",
		Long: `Follow the plans of the nodes from one to another, tunnel by tunnel, as packets do, and show what is known of each
tunnel. The exit code is 1 when there is no way.`,
		Example: `  weft topology path n1 n7`,
		Args:    cobra.ExactArgs(2),
	}
	cmd.ValidArgsFunction = a.completeNodes
	format.register(cmd, output.Table, output.JSON, output.YAML)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		of, err := format.parse(cmd)
		if err != nil {
			return err
		}
		client, err := a.client(cmd)
		if err != nil {
			return err
		}
		res, err := call(cmd.Context(), a, client.OverlayPath, &weftv1.OverlayPathRequest{From: args[0], To: args[1]})
		if err != nil {
			return err
		}
		if of.ForScripts() {
			d, err := output.FromMessage(res)
			if err != nil {
				return err
			}
			if err := output.WriteDocument(a.Stdout, of, d); err != nil {
				return err
			}
		} else if err := a.writePath(res); err != nil {
			return err
		}
		if res.GetProblem() != "" {
			return refused("%s", res.GetProblem())
		}
		return nil
	}
	return cmd
}

func (a *app) writePath(res *weftv1.OverlayPathResponse) error {
	if len(res.GetSteps()) == 0 {
		return nil
	}
	g := output.Grid{Header: []string{"FROM", "TO", "THROUGH", "STATE", "LOST", "ROUND TRIP"}}
	for _, s := range res.GetSteps() {
		if !res.GetEncrypted() {
			g.Add(output.C(s.GetFrom()), output.C(s.GetTo()), output.C("the underlay, in the plain"))
			continue
		}
		g.Add(output.C(s.GetFrom()), output.C(s.GetTo()), output.C("WireGuard"), healthCell(&weftv1.OverlayTunnel{Health: s.GetHealth()}),
			output.C(lost(s.GetHealth())), output.C(roundTrip(s.GetHealth())))
	}
	return g.Write(a.Stdout, a.stdoutStyle())
}

func (a *app) topologyValidateCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "validate",
		Short: "Say whether the overlay joins all nodes that are registered",
		Long: `Check the overlay that the Fabric declares against the nodes that are registered now: hubs that are gone, zones without a
gateway, nodes without a zone, a key or a way to others, links and tunnels that carry less than the Fabric's underlayMTU
promises. "weft apply" checks what it can when the overlay is declared; nodes that come and go later can break it.`,
		Example: `  weft topology validate`,
		Args:    cobra.NoArgs,
	}
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		client, err := a.client(cmd)
		if err != nil {
			return err
		}
		res, err := call(cmd.Context(), a, client.Overlay, &weftv1.OverlayRequest{})
		if err != nil {
			return err
		}
		problems := slices.Clone(res.GetProblems())
		for _, n := range res.GetNodes() {
			if res.GetEncrypted() && len(n.GetKey()) == 0 {
				problems = append(problems, "node "+n.GetName()+" has registered no WireGuard key: its agent is too old, or can't make a device")
			}
		}
		for _, p := range problems {
			fmt.Fprintln(a.Stdout, p)
		}
		if len(problems) > 0 {
			return refused("%s", count(len(problems), "problem"))
		}
		fmt.Fprintln(a.Stdout, overlayTitle(res)+"; "+count(len(res.GetNodes()), "node")+", no problems")
		return nil
	}
	return cmd
}
