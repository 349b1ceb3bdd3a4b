package cli

import (
	"context"
	"encoding/json"
	"fmt"
	"net"
	"slices"
	"strconv"
	"strings"
	"time"

	"connectrpc.com/connect"
	"github.com/spf13/cobra"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/weftfabric/weft/agent/flowlog"
	"github.com/weftfabric/weft/cli/output"
	weftv1 "github.com/weftfabric/weft/wire/weftpb/weft/v1"
)

// defaultSince is how far back the log is shown unless told otherwise.
const defaultSince = time.Hour

// logsFlags select records.
type logsFlags struct {
	follow          bool
	nodes           []string
	policy, verdict string
	since           time.Duration
}

func (f *logsFlags) register(cmd *cobra.Command) {
	cmd.Flags().BoolVarP(&f.follow, "follow", "f", false, "go on with what is logged from now on")
	cmd.Flags().StringSliceVar(&f.nodes, "node", nil, "these nodes only")
	cmd.Flags().StringVar(&f.policy, "policy", "", "only what rules of this policy decided: TENANT/NAME, or the NAME of a platform policy")
	cmd.Flags().StringVar(&f.verdict, "verdict", "", "only connections that were allowed (allow) or denied (deny)")
	cmd.Flags().DurationVar(&f.since, "since", defaultSince, "how far back to begin; 0 for everything that nodes keep")
	for _, flag := range []string{"node", "policy", "since"} {
		complete(cmd, flag, cobra.NoFileCompletions)
	}
	complete(cmd, "verdict", cobra.FixedCompletions([]string{"allow", "deny"}, cobra.ShellCompDirectiveNoFileComp))
}

// question is what nodes are asked.
func (f *logsFlags) question(now time.Time) *weftv1.FlowLogQuestion {
	q := &weftv1.FlowLogQuestion{Follow: f.follow, Policy: f.policy, Verdict: f.verdict}
	if f.since > 0 {
		q.Since = timestamppb.New(now.Add(-f.since))
	}
	return q
}

func (a *app) logsCommand() *cobra.Command {
	var (
		flags  logsFlags
		format formatFlag
	)
	cmd := &cobra.Command{
		Use:   "logs",
		Short: "Show connections that rules with log: true decided, and denied ones",
		Long: `Show what the nodes have logged: the first packet of each connection that a rule with "log: true" decided, and, where
logDenials is set, of each that was denied. Records of several nodes are in the order of their time; with --follow those
that come are shown as they come.

-o json prints the records as nodes keep them, one on each line.`,
		Example: `  weft logs
  weft logs -f --verdict deny
  weft logs --policy acme/web-in --since 10m -o json
  weft logs --node n2 --since 0`,
		Args: cobra.NoArgs,
	}
	flags.register(cmd)
	format.register(cmd, output.Table, output.JSON)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		of, err := format.parse(cmd)
		if err != nil {
			return err
		}
		if v := flags.verdict; v != "" && v != "allow" && v != "deny" {
			return usage(cmd, "--verdict %s: it is allow or deny", v)
		}
		client, err := a.dial(cmd)
		if err != nil {
			return err
		}
		req := connect.NewRequest(&weftv1.FlowLogRequest{Nodes: flags.nodes, Question: flags.question(a.Now())})
		stream, err := client.Observe.FlowLog(cmd.Context(), req)
		if err != nil {
			return explain(a.server(), err)
		}
		defer func() { _ = stream.Close() }() // what it could tell, Err has told
		return a.showLogs(cmd.Context(), stream, flags.follow, of == output.JSON)
	}
	return cmd
}

// logLine is a record as it came.
type logLine struct {
	record flowlog.Record
	text   string
}

// showLogs prints records: as they come when following, else in the order of their time.
func (a *app) showLogs(ctx context.Context, stream *connect.ServerStreamForClient[weftv1.FlowLogResponse], follow, asJSON bool) error {
	var lines []logLine
	for stream.Receive() {
		m := stream.Msg()
		for _, text := range m.GetPart().GetRecords() {
			l := logLine{text: text}
			if err := json.Unmarshal([]byte(text), &l.record); err != nil {
				return refused("node %s: a record that can't be read: %w", m.GetNode(), err)
			}
			if follow {
				a.writeRecord(l, asJSON)
			} else {
				lines = append(lines, l)
			}
		}
		for _, lost := range []struct {
			n    uint64
			what string
		}{{m.GetPart().GetMissed(), "came too fast to be shown"}, {m.GetPart().GetDamaged(), "can't be read"}} {
			if lost.n > 0 {
				fmt.Fprintf(a.Stderr, "%s: %s %s\n", m.GetNode(), count(int(lost.n), "record"), lost.what)
			}
		}
		if m.GetLast() && m.GetError() != "" {
			fmt.Fprintf(a.Stderr, "%s: unknown: %s\n", m.GetNode(), m.GetError())
		}
	}
	if err := stream.Err(); err != nil && (!follow || ctx.Err() == nil) { // else the user has seen enough
		return explain(a.server(), err)
	}
	slices.SortStableFunc(lines, func(a, b logLine) int { return a.record.Time.Compare(b.record.Time) })
	for _, l := range lines {
		a.writeRecord(l, asJSON)
	}
	return nil
}

func (a *app) writeRecord(l logLine, asJSON bool) {
	if asJSON {
		fmt.Fprintln(a.Stdout, l.text)
		return
	}
	fmt.Fprintln(a.Stdout, recordLine(l.record, a.stdoutStyle()))
}

// recordLine writes a record for people.
func recordLine(r flowlog.Record, style output.Style) string {
	parts := []string{r.Time.UTC().Format("2006-01-02T15:04:05.000Z"), r.Node}
	if r.Verdict == "" {
		for _, cause := range []string{"switch", "agent", "file"} {
			if n := r.Limited[cause]; n > 0 {
				parts = append(parts, fmt.Sprintf("%d not logged (%s)", n, cause))
			}
		}
		return style.Paint(output.Faint, strings.Join(parts, "  "))
	}
	colour := output.Good
	if r.Verdict != "allow" {
		colour = output.Bad
	}
	protocol := r.Protocol
	if r.ICMP != nil {
		protocol = fmt.Sprintf("%s %d/%d", r.Protocol, r.ICMP.Type, r.ICMP.Code)
	}
	parts = append(parts, style.Paint(colour, fmt.Sprintf("%-5s", r.Verdict)), protocol, endText(r.Src)+" -> "+endText(r.Dst))
	if r.Rule != nil {
		rule := r.Rule.Policy + " " + r.Rule.Name
		if r.Rule.File != "" {
			rule += fmt.Sprintf(" (%s:%d)", r.Rule.File, r.Rule.Line)
		}
		parts = append(parts, r.Direction+" by "+rule)
	}
	if r.Reason != "" {
		parts = append(parts, r.Reason)
	}
	if r.Repeated > 0 {
		parts = append(parts, fmt.Sprintf("and %d more like it before", r.Repeated))
	}
	return strings.Join(parts, "  ")
}

// endText writes who an end is: "10.0.0.2:4001[acme/prod web-1 app=web]".
func endText(e *flowlog.End) string {
	if e == nil {
		return "?"
	}
	addr := e.Address.String()
	if e.Port != 0 {
		addr = net.JoinHostPort(addr, strconv.Itoa(int(e.Port)))
	}
	var who []string
	for _, s := range []string{e.Network, e.Workload, e.Labels.String()} {
		if s != "" {
			who = append(who, s)
		}
	}
	if len(who) == 0 {
		return addr
	}
	return addr + "[" + strings.Join(who, " ") + "]"
}
