package cli

import (
	"bytes"
	"context"
	"errors"
	"fmt"

	"connectrpc.com/connect"

	"github.com/weftfabric/weft/audit"
	"github.com/weftfabric/weft/cli/output"
	"github.com/weftfabric/weft/topology"
	weftv1 "github.com/weftfabric/weft/wire/weftpb/weft/v1"
	"github.com/weftfabric/weft/wire/weftpb/weft/v1/weftv1connect"
)

// maxPlanPairs bounds the pairs of workloads that a plan compares by itself: a second's work.
const maxPlanPairs = 4_000_000

// planned is what an apply would do.
type planned struct {
	plan    *weftv1.PlanResponse
	sources []topology.Source
	// reach is what becomes of connections; nil when it wasn't looked at, for the reason unknown.
	reach   *audit.Diff
	unknown string
}

// compare says what an apply would gain and lose: the files' objects over those that are stored, without those that it would
// remove, and with the workloads that are attached.
func (p planned) compare(ctx context.Context, client weftv1connect.AuditServiceClient) (d *audit.Diff, unknown string, err error) {
	res, err := client.Declared(ctx, connect.NewRequest(&weftv1.DeclaredRequest{Revision: p.plan.GetRevision()}))
	var ce *connect.Error
	if errors.As(err, &ce) && ce.Code() == connect.CodeUnimplemented {
		return nil, "the controller is older than this command", nil
	}
	if err != nil {
		return nil, "", err
	}
	state, err := stateOf(res.Msg)
	if err != nil {
		return nil, "", err
	}
	before, err := state.Side()
	if err != nil {
		return nil, "", err
	}
	if n := len(before.Workloads); n*n > maxPlanPairs {
		return nil, fmt.Sprintf("it takes long with %d workloads: see weft audit diff", n), nil
	}
	objects, _, problems := topology.Decode(p.sources)
	if err := problems.Err(); err != nil {
		return nil, "", err
	}
	var gone []topology.Key
	for _, c := range p.plan.GetChanges() {
		if c.GetVerb() == weftv1.Change_VERB_REMOVED {
			gone = append(gone, keyOf(c.GetKey()))
		}
	}
	after, err := audit.SideOf(before.Intent.Without(gone...).With(objects...), state.Attachments())
	if err != nil {
		return nil, "", err
	}
	diff, err := audit.DiffOf(before, after)
	if err != nil {
		return nil, "", fmt.Errorf("which connections are gained and lost: %w; --reach=false leaves that out", err)
	}
	return &diff, "", nil
}

// document returns the plan for scripts: the API's message, with the field reach after its own.
func (p planned) document() (output.Document, error) {
	d, err := output.FromMessage(p.plan)
	if err != nil || p.reach == nil {
		return d, err
	}
	reach, err := output.Marshal(p.reach)
	if err != nil {
		return nil, err
	}
	out := append(bytes.TrimSuffix(bytes.TrimSpace(d), []byte("}")), `,"reach":`...)
	return append(append(out, bytes.TrimSpace(reach)...), '}'), nil
}

func (a *app) showPlan(format output.Format, p planned) error {
	problems := problemsOf(p.plan.GetProblems())
	a.report(problems)
	if format.ForScripts() {
		d, err := p.document()
		if err != nil {
			return err
		}
		if err := output.WriteDocument(a.Stdout, format, d); err != nil {
			return err
		}
	}
	if errs := len(problems.Errors()); errs > 0 {
		fmt.Fprintf(a.Stderr, "%s: an apply would be refused\n", count(errs, "error"))
		return reported(ExitRefused)
	}
	if format.ForScripts() {
		return nil
	}
	t := tallyOf(p.plan.GetChanges())
	if !t.any() {
		fmt.Fprintf(a.Stdout, "nothing would change; revision %d\n", p.plan.GetRevision())
		return nil
	}
	a.writeChanges(p.plan.GetChanges())
	fmt.Fprintln(a.Stdout)
	a.writeNodeChanges(p.plan.GetNodes(), format == output.Wide)
	a.writeLive(p.plan.GetNodes())
	if err := a.writeReach(p); err != nil {
		return err
	}
	fmt.Fprintf(a.Stdout, "\nan apply would make: %s; from revision %d\n", t, p.plan.GetRevision())
	return nil
}

// writeReach prints the connections gained and lost.
func (a *app) writeReach(p planned) error {
	switch {
	case p.unknown != "":
		fmt.Fprintf(a.Stdout, "\nWhich connections are gained and lost was not looked at: %s.\n", p.unknown)
	case p.reach == nil:
	case p.reach.IsEmpty():
		fmt.Fprintln(a.Stdout, "No connection is gained or lost.")
	default:
		fmt.Fprintln(a.Stdout, "\nConnections gained and lost:")
		return a.printDiff(*p.reach)
	}
	return nil
}
