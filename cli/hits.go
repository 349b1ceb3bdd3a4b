package cli

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"connectrpc.com/connect"
	"github.com/spf13/cobra"

	"github.com/weftfabric/weft/agent/flowlog"
	"github.com/weftfabric/weft/cli/output"
	"github.com/weftfabric/weft/firewall"
	"github.com/weftfabric/weft/wire/apiclient"
	weftv1 "github.com/weftfabric/weft/wire/weftpb/weft/v1"
)

func (a *app) policyCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "policy",
		Short: "What policies do on the nodes",
		Long: `Ask the nodes what policies do there. What they say and mean is told by "weft get", "weft describe" and
"weft audit".`,
		Example: "  weft policy hits acme/web-in",
	}
	makeGroup(cmd)
	cmd.AddCommand(a.hitsCommand())
	return cmd
}

func (a *app) hitsCommand() *cobra.Command {
	var (
		format formatFlag
		byNode bool
		nodes  []string
	)
	cmd := &cobra.Command{
		Use:   "hits [POLICY]",
		Short: "Show how often each rule decided, and when last",
		Long: `Ask the nodes how often each rule decided about a connection, and when it was last seen to have. Defaults and
postures are rules too. A connection counts where its destination is, by its first packet; one that is denied counts
as often as its client tries. The counts survive restarts of agents and switches.

POLICY is TENANT/NAME, or the NAME of a platform policy; without it all rules are shown.`,
		Example: `  weft policy hits
  weft policy hits acme/web-in
  weft policy hits acme/web-in --by-node
  weft policy hits -o json | jq '.rules[] | select(.hits == 0)'`,
		Args: cobra.MaximumNArgs(1),
	}
	format.register(cmd, output.Table, output.JSON, output.YAML)
	cmd.Flags().BoolVar(&byNode, "by-node", false, "show each node's count")
	cmd.Flags().StringSliceVar(&nodes, "node", nil, "ask these nodes only")
	complete(cmd, "node", cobra.NoFileCompletions)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		of, err := format.parse(cmd)
		if err != nil {
			return err
		}
		client, err := a.dial(cmd)
		if err != nil {
			return err
		}
		h, err := a.hits(cmd.Context(), client, nodes)
		if err != nil {
			return err
		}
		if len(args) > 0 {
			h.Rules = slices.DeleteFunc(h.Rules, func(r ruleHits) bool { return r.Policy != args[0] && !strings.HasSuffix(r.Policy, " "+args[0]) })
			if len(h.Rules) == 0 && len(h.Unknown) == 0 {
				return refused("no node has a rule of policy %q: it doesn't exist, or nothing that it governs is attached", args[0])
			}
		}
		for _, n := range slices.Sorted(maps.Keys(h.Unknown)) {
			fmt.Fprintf(a.Stderr, "%s: unknown: %s\n", n, h.Unknown[n])
		}
		return a.print(of, h, func() error { return h.grid(byNode, a.Now()).Write(a.Stdout, a.stdoutStyle()) })
	}
	return cmd
}

// hitsReport is how often rules decided.
type hitsReport struct {
	Rules []ruleHits `json:"rules"`
	// Unknown says of nodes why they don't tell.
	Unknown map[string]string `json:"unknown,omitempty"`
}

// ruleHits is how often one rule decided, on all nodes together and on each.
type ruleHits struct {
	ID        uint32             `json:"id"`
	Policy    string             `json:"policy"`
	Rule      string             `json:"rule"`
	File      string             `json:"file,omitempty"`
	Line      int32              `json:"line,omitempty"`
	Direction string             `json:"direction"`
	Action    string             `json:"action"`
	Log       bool               `json:"log,omitempty"`
	Networks  []string           `json:"networks"`
	Hits      uint64             `json:"hits"`
	Last      *time.Time         `json:"last,omitempty"`
	Nodes     map[string]nodeHit `json:"nodes"`
}

// nodeHit is what one node counted.
type nodeHit struct {
	Hits uint64     `json:"hits"`
	Last *time.Time `json:"last,omitempty"`
}

// hits asks nodes; without names, all of them.
func (a *app) hits(ctx context.Context, client *apiclient.Client, nodes []string) (hitsReport, error) {
	out := hitsReport{Rules: []ruleHits{}, Unknown: map[string]string{}}
	stream, err := client.Observe.Hits(ctx, connect.NewRequest(&weftv1.HitsRequest{Nodes: nodes}))
	if err != nil {
		return out, explain(a.server(), err)
	}
	defer func() { _ = stream.Close() }() // what it could tell, Err has told
	found := map[uint32]*ruleHits{}
	for stream.Receive() {
		m := stream.Msg()
		for _, r := range m.GetPart().GetRules() {
			known := found[r.GetId()]
			if known == nil {
				known = newRuleHits(r)
				found[r.GetId()] = known
			}
			known.add(m.GetNode(), r)
		}
		if m.GetLast() && m.GetError() != "" {
			out.Unknown[m.GetNode()] = m.GetError()
		}
	}
	if err := stream.Err(); err != nil {
		return out, explain(a.server(), err)
	}
	for _, r := range found {
		out.Rules = append(out.Rules, *r)
	}
	slices.SortFunc(out.Rules, func(a, b ruleHits) int {
		return cmp.Or(strings.Compare(a.Policy, b.Policy), -strings.Compare(a.Direction, b.Direction), strings.Compare(a.File, b.File),
			cmp.Compare(a.Line, b.Line), strings.Compare(a.Rule, b.Rule), cmp.Compare(a.ID, b.ID))
	})
	return out, nil
}

func newRuleHits(r *weftv1.RuleHits) *ruleHits {
	o := r.GetOrigin()
	return &ruleHits{
		ID: r.GetId(), Policy: o.GetPolicy(), Rule: o.GetRule(), File: o.GetFile(), Line: o.GetLine(), Nodes: map[string]nodeHit{},
		Direction: flowlog.DirectionName(firewall.Direction(r.GetDirection())), Action: flowlog.ActionName(firewall.Action(r.GetAction())),
	}
}

// add takes over what a node told.
func (h *ruleHits) add(node string, r *weftv1.RuleHits) {
	one := nodeHit{Hits: r.GetHits()}
	if r.GetLast() != nil {
		t := r.GetLast().AsTime()
		one.Last = &t
	}
	h.Nodes[node] = one
	h.Hits += one.Hits
	if one.Last != nil && (h.Last == nil || one.Last.After(*h.Last)) {
		h.Last = one.Last
	}
	h.Log = h.Log || r.GetLog()
	h.Networks = append(h.Networks, r.GetNetworks()...)
	slices.Sort(h.Networks)
	h.Networks = slices.Compact(h.Networks)
}

// grid shows a line for each rule, or for each rule and node.
func (h hitsReport) grid(byNode bool, now time.Time) *output.Grid {
	g := &output.Grid{Header: []string{"POLICY", "RULE", "DIRECTION", "ACTION", "HITS", "LAST HIT", "WHERE"}}
	if byNode {
		g.Header = slices.Insert(g.Header, 4, "NODE")
	}
	for _, r := range h.Rules {
		where := ""
		if r.File != "" {
			where = fmt.Sprintf("%s:%d", r.File, r.Line)
		}
		line := func(node string, hits uint64, last *time.Time) {
			ago := "never"
			if last != nil {
				ago = age(now.Sub(*last)) + " ago"
			}
			cells := []output.Cell{
				output.C(r.Policy), output.C(r.Rule), output.C(r.Direction), output.C(r.Action),
				output.C(strconv.FormatUint(hits, 10)), output.C(ago), output.C(where),
			}
			if byNode {
				cells = slices.Insert(cells, 4, output.C(node))
			}
			g.Add(cells...)
		}
		if !byNode {
			line("", r.Hits, r.Last)
			continue
		}
		for _, n := range slices.Sorted(maps.Keys(r.Nodes)) {
			line(n, r.Nodes[n].Hits, r.Nodes[n].Last)
		}
	}
	return g
}
