package cli

import (
	"fmt"

	"github.com/spf13/cobra"

	"github.com/weftfabric/weft/audit"
	"github.com/weftfabric/weft/cli/output"
)

func (a *app) auditCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "audit",
		Short: "Prove and explain who can reach whom",
		Long: `Answer questions about policy: who can reach whom and by which rule. The answers are exact for the classes of workloads
that are looked at, and computed from the rules that the fabric enforces.

Asked about are the controller's present state with the workloads that nodes report, a past revision (--revision), or
files (-f), offline.

A class is a network with a set of labels. Workloads that are declared or attached make up classes, and so do label sets
that policies mention and no workload has. docs/audit.md says what counts, and what is not covered.`,
		Example: `  weft audit reach
  weft audit why acme/web-1 acme/db-1 tcp/5432
  weft audit findings -f topology/`,
	}
	makeGroup(cmd)
	cmd.AddCommand(a.auditReachCommand(), a.auditWhyCommand(), a.auditProveCommand(), a.auditFindingsCommand(), a.auditDiffCommand(),
		a.auditVerifyCommand(), a.auditReportCommand(), a.auditKeygenCommand(), a.auditVerifyBundleCommand(), a.auditSchemaCommand())
	return cmd
}

func (a *app) auditReachCommand() *cobra.Command {
	var (
		source sourceFlags
		format formatFlag
	)
	cmd := &cobra.Command{
		Use:   "reach [FROM TO]",
		Short: "Show which connections policy allows, and by which rules",
		Long: `Show the connections that policy allows between classes of workloads, all pairs or from FROM to TO. Pairs without
any are left out; replies are not connections.

FROM and TO are workloads (tenant/name) or classes (tenant/network:key=value,key=value; "tenant/network:" means all
classes of the network). -o csv prints a matrix.

With --kubernetes they are workloads as namespace/Kind/name, or addresses outside of the cluster; docs/kubernetes.md says
what is looked at.`,
		Example: `  weft audit reach
  weft audit reach acme/web-1 acme/db-1 --revision 41
  weft audit reach acme/prod:app=web acme/prod: -f topology/ -o json
  weft audit reach --kubernetes manifests/`,
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) != 0 && len(args) != 2 {
				return usage(cmd, "name both FROM and TO, or neither")
			}
			return nil
		},
	}
	source.register(cmd)
	source.kubernetes.register(cmd)
	format.register(cmd, output.Table, output.JSON, output.CSV)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		of, err := format.parse(cmd)
		if err != nil {
			return err
		}
		q := audit.Question{}
		if len(args) == 2 {
			q = audit.Question{From: args[0], To: args[1]}
		}
		if source.kubernetes.given() {
			return a.kubernetesReach(cmd, source, of, q)
		}
		in, err := a.audited(cmd, source)
		if err != nil {
			return err
		}
		r, err := audit.ReachOf(in.intent, in.workloads, q)
		if err != nil {
			return refused("%w", err)
		}
		return a.print(of, r, func() error {
			if of == output.CSV {
				return r.WriteCSV(a.Stdout)
			}
			return a.printReach(r)
		})
	}
	return cmd
}

func (a *app) printReach(r audit.Reach) error {
	g := output.Grid{Header: []string{"FROM", "TO", "CONNECTIONS", "EGRESS BY", "INGRESS BY"}}
	for _, row := range r.Rows {
		for _, c := range row.Connections {
			g.Add(output.C(row.From), output.C(row.To), output.C(c.Text()), output.C(c.Egress.String()), output.C(c.Ingress.String()))
		}
	}
	if err := g.Write(a.Stdout, a.stdoutStyle()); err != nil {
		return err
	}
	_, err := fmt.Fprintf(a.Stdout, "%d classes, %s: connections in %d, none in %d, networks not joined in %d\n",
		len(r.Classes), count(r.Pairs, "pair"), len(r.Rows), r.Pairs-len(r.Rows)-r.Unjoined, r.Unjoined)
	return err
}

func (a *app) auditWhyCommand() *cobra.Command {
	var (
		source sourceFlags
		format formatFlag
	)
	cmd := &cobra.Command{
		Use:   "why FROM TO SERVICE",
		Short: "Explain a decision tier by tier",
		Long: `Explain what policy decides for connections from FROM to TO, tier by tier, with the file and line of each rule that
matches. SERVICE is tcp/80, udp/53, sctp/7, icmp/8, icmp/3/4, icmpv6/128 or protocol/47.

FROM and TO are named as for "weft audit reach". Where addresses make a difference, each decision is explained.

Of the controller's present state the nodes' switches are asked too, what they would do with the packet that is shown:
whether they drop it and why, or deliver it, and by which rules, and how often those have decided. Nothing is sent. The exit code doesn't depend on the
verdict.`,
		Example: `  weft audit why acme/web-1 acme/db-1 tcp/5432
  weft audit why acme/prod:app=web acme/db-1 icmp/8 -f topology/ -o json
  weft audit why shop/Deployment/web 203.0.113.9 tcp/443 --kubernetes manifests/`,
		Args: cobra.ExactArgs(3),
	}
	source.register(cmd)
	source.kubernetes.register(cmd)
	format.register(cmd, output.Text, output.JSON)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		of, err := format.parse(cmd)
		if err != nil {
			return err
		}
		if source.kubernetes.given() {
			return a.kubernetesWhy(cmd, source, of, args)
		}
		in, err := a.audited(cmd, source)
		if err != nil {
			return err
		}
		why, err := audit.WhyOf(in.intent, in.workloads, audit.Question{From: args[0], To: args[1]}, args[2])
		if err != nil {
			return refused("%w", err)
		}
		if in.state != nil && source.revision == 0 {
			if err := a.askSwitches(cmd, in, &why); err != nil {
				fmt.Fprintf(a.Stderr, "the switches were not asked: %v\n", err)
			}
		}
		switch c, ok, err := a.liveCounters(cmd, in, source); {
		case err != nil:
			fmt.Fprintf(a.Stderr, "the nodes were not asked for their counters: %v\n", err)
		case ok:
			for i := range why.Explanations {
				why.Explanations[i].Count(c)
			}
		}
		return a.print(of, why, func() error { return a.printWhy(why) })
	}
	return cmd
}

func (a *app) printWhy(why audit.Why) error {
	for i, x := range why.Explanations {
		if i > 0 {
			fmt.Fprintln(a.Stdout)
		}
		if err := a.printExplanation(x, why.Service); err != nil {
			return err
		}
	}
	return nil
}

func (a *app) printExplanation(x audit.Explanation, service string) error {
	style := a.stdoutStyle()
	verdict := style.Paint(output.Bad, "denied")
	if x.Allowed {
		verdict = style.Paint(output.Good, "allowed")
	}
	if !x.Joined {
		_, err := fmt.Fprintf(a.Stdout, "%s -> %s %s: %s: their networks are not joined by Peerings of both sides\n", x.From, x.To, service, verdict)
		return err
	}
	if x.Fabric != "" {
		verdict = style.Paint(output.Bad, "does not pass") + ": " + x.Fabric + "; policy says: " + verdict
	}
	fmt.Fprintf(a.Stdout, "%s -> %s %s: %s\n", x.From, x.To, service, verdict)
	for _, part := range []struct {
		name      string
		addresses []string
	}{{"sources", x.Sources}, {"destinations", x.Destinations}} {
		if len(part.addresses) > 0 {
			fmt.Fprintf(a.Stdout, "%s: %v\n", part.name, part.addresses)
		}
	}
	fmt.Fprintf(a.Stdout, "packet: %s\n", x.Witness)
	if len(x.Steps) == 0 {
		fmt.Fprintln(a.Stdout, "no policy governs either end")
	} else if err := a.printSteps(x.Steps); err != nil {
		return err
	}
	if err := a.printCrossings(x); err != nil {
		return err
	}
	for _, h := range x.Hits {
		last := "never"
		if h.Last != "" {
			last = "last " + h.Last
		}
		fmt.Fprintf(a.Stdout, "counted: %s: %s, %s, on %s\n", &h.Rule, count(int(h.Connections), "connection"), last, count(h.Nodes, "node"))
	}
	return nil
}

// printCrossings prints what switches say, and whether policy says the same.
func (a *app) printCrossings(x audit.Explanation) error {
	if len(x.Switches) == 0 {
		return nil
	}
	style := a.stdoutStyle()
	for _, c := range x.Switches {
		colour := output.Plain
		switch c.Outcome {
		case audit.Delivered:
			colour = output.Good
		case audit.Dropped:
			colour = output.Bad
		}
		text := style.Paint(colour, string(c.Outcome))
		if c.Reason != "" {
			text += ": " + c.Reason
		}
		if c.Node == "" {
			fmt.Fprintf(a.Stdout, "switch: %s\n", text)
			continue
		}
		fmt.Fprintf(a.Stdout, "switch of %s: %s\n", c.Node, text)
		for _, r := range c.Rules {
			fmt.Fprintf(a.Stdout, "  by %s %s\n", &r, r.At())
		}
	}
	verdict := style.Paint(output.Good, "the switches do what policy says")
	switch agrees, known := x.Agrees(); {
	case !known:
		return nil
	case !agrees:
		verdict = style.Paint(output.Bad, "the switches do not do what policy says")
	}
	_, err := fmt.Fprintln(a.Stdout, verdict)
	return err
}

func (a *app) printSteps(steps []audit.Step) error {
	g := output.Grid{Header: []string{"DIRECTION", "TIER", "ACTION", "RULE", "AT"}}
	for _, s := range steps {
		action := "no rule"
		colour := output.Plain
		if s.Rule != nil {
			action = s.Rule.Action
			colour = map[string]output.Colour{"allow": output.Good, "deny": output.Bad}[action]
		}
		rule := ""
		if s.Rule != nil {
			rule = s.Rule.String()
		}
		g.Add(output.C(s.Direction), output.C(s.Tier), output.Cell{Text: action, Colour: colour}, output.C(rule), output.C(s.Rule.At()))
	}
	return g.Write(a.Stdout, a.stdoutStyle())
}
