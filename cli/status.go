package cli

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/weftfabric/weft/cli/output"
	weftv1 "github.com/weftfabric/weft/wire/weftpb/weft/v1"
)

func (a *app) statusCommand() *cobra.Command {
	var (
		format formatFlag
		agent  bool
		socket socketFlag
	)
	cmd := &cobra.Command{
		Use:   "status",
		Short: "Show the controller, the nodes, and what is not enforced yet",
		Long: `Show the controller with its revision, the controllers that are alive when there are several, every node with what it
enforces, the packets that nodes dropped by reason, and the objects that some node does not enforce yet.`,
		Example: `  weft status
  weft status -o json
  weft status --agent     # of this machine's agent alone, also while the controller is away`,
		Args: cobra.NoArgs,
	}
	format.register(cmd, output.Table, output.JSON, output.YAML)
	socket.register(cmd)
	cmd.Flags().BoolVar(&agent, "agent", false, "show this machine's agent, and ask no controller")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		of, err := format.parse(cmd)
		if err != nil {
			return err
		}
		if agent {
			return a.agentStatus(cmd.Context(), socket.value(a), of)
		}
		client, err := a.client(cmd)
		if err != nil {
			return err
		}
		info, err := call(cmd.Context(), a, client.Info, &weftv1.InfoRequest{})
		if err != nil {
			return err
		}
		nodes, err := call(cmd.Context(), a, client.ListNodes, &weftv1.ListNodesRequest{})
		if err != nil {
			return err
		}
		objects, err := a.list(cmd.Context(), client, "", "")
		if err != nil {
			return err
		}
		s := statusOf(info, nodes.GetNodes(), objects)
		if of.ForScripts() {
			return s.writeScript(a, of)
		}
		return s.write(a)
	}
	return cmd
}

// status is the state of the whole fabric.
type status struct {
	info    *weftv1.InfoResponse
	nodes   []*weftv1.NodeInfo
	pending []stored          // not enforced somewhere
	drops   map[string]uint64 // by reason, all nodes together
}

func statusOf(info *weftv1.InfoResponse, nodes []*weftv1.NodeInfo, objects []stored) status {
	s := status{info: info, nodes: sortedNodes(nodes), drops: make(map[string]uint64)}
	for _, o := range objects {
		if e := o.GetEnforcement(); len(e.GetPending())+len(e.GetStale()) > 0 {
			s.pending = append(s.pending, o)
		}
	}
	for _, n := range nodes {
		for reason, packets := range n.GetReport().GetDrops() {
			s.drops[reason] += packets
		}
	}
	return s
}

// scriptStatus is status for scripts.
type scriptStatus struct {
	Controller output.Document   `json:"controller"`
	Nodes      []output.Document `json:"nodes"`
	Drops      map[string]uint64 `json:"drops"`
	Pending    []output.Document `json:"pending"` // objects, with their enforcement
}

func (s status) writeScript(a *app, format output.Format) error {
	var err error
	v := scriptStatus{Drops: s.drops, Pending: []output.Document{}}
	if v.Controller, err = output.FromMessage(s.info); err != nil {
		return err
	}
	if v.Nodes, err = documentsOf(s.nodes); err != nil {
		return err
	}
	for _, o := range s.pending {
		d, err := output.FromMessage(o.Object)
		if err != nil {
			return err
		}
		v.Pending = append(v.Pending, d)
	}
	return a.print(format, v, nil)
}

func documentsOf[M output.Message](list []M) ([]output.Document, error) {
	documents := make([]output.Document, len(list))
	for i, m := range list {
		d, err := output.FromMessage(m)
		if err != nil {
			return nil, err
		}
		documents[i] = d
	}
	return documents, nil
}

// controllerGrid shows the controllers that are alive.
func controllerGrid(list []*weftv1.ControllerInfo, now time.Time) output.Grid {
	g := output.Grid{Header: []string{"NAME", "LISTEN", "VERSION", "UP FOR", ""}}
	for _, c := range list {
		note := ""
		if c.GetAnswering() {
			note = "answers"
		}
		g.Add(output.C(c.GetName()), output.C(cmp.Or(c.GetListen(), "-")), output.C(c.GetVersion()),
			output.C(age(now.Sub(c.GetStarted().AsTime()))), output.C(note))
	}
	return g
}

func (s status) write(a *app) error {
	style := a.stdoutStyle()
	title := func(text string) { fmt.Fprintf(a.Stdout, "\n%s\n", style.Paint(output.Strong, text)) }
	fmt.Fprintf(a.Stdout, "controller %s  version %s, store %s, revision %d, %s\n", a.server(), s.info.GetVersion(), s.info.GetStore(),
		s.info.GetRevision(), count(int(s.info.GetObjects()), "object"))
	if len(s.info.GetControllers()) > 1 {
		title("Controllers")
		g := controllerGrid(s.info.GetControllers(), a.Now())
		if err := g.Write(a.Stdout, style); err != nil {
			return err
		}
	}
	if len(s.nodes) == 0 {
		fmt.Fprintln(a.Stdout, "\nno node has joined; see 'weft token create --help'")
	} else {
		title("Nodes")
		g := nodeGrid(s.nodes, a.Now(), false)
		if err := g.Write(a.Stdout, style); err != nil {
			return err
		}
	}
	for _, n := range s.nodes {
		for _, p := range n.GetReport().GetProblems() {
			fmt.Fprintln(a.Stdout, style.Paint(output.Bad, n.GetName()+": "+p))
		}
	}
	if len(s.drops) > 0 {
		title("Dropped packets")
		g := output.Grid{Header: []string{"REASON", "PACKETS"}}
		for _, reason := range slices.Sorted(maps.Keys(s.drops)) {
			g.Add(output.C(reason), output.C(strconv.FormatUint(s.drops[reason], 10)))
		}
		if err := g.Write(a.Stdout, style); err != nil {
			return err
		}
	}
	switch {
	case len(s.nodes) == 0:
		return nil
	case len(s.pending) == 0:
		fmt.Fprintln(a.Stdout, "\n"+style.Paint(output.Good, "every object is enforced on every node that needs it"))
		return nil
	}
	title("Not enforced yet")
	g := output.Grid{Header: []string{"OBJECT", "REVISION", "PENDING ON", "STALE ON"}}
	for _, o := range s.pending {
		g.Add(output.C(o.key().String()), output.C(strconv.FormatUint(o.GetRevision(), 10)),
			output.Cell{Text: strings.Join(o.GetEnforcement().GetPending(), ","), Colour: output.Notice},
			output.Cell{Text: strings.Join(o.GetEnforcement().GetStale(), ","), Colour: output.Bad})
	}
	return g.Write(a.Stdout, style)
}
