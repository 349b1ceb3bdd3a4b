package cli

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/weftfabric/weft/wire/apiclient"
	weftv1 "github.com/weftfabric/weft/wire/weftpb/weft/v1"
)

// waitPeriod is the time between two looks at the nodes. A node acknowledges within some milliseconds.
const waitPeriod = 100 * time.Millisecond

// waitFlags are those of commands that change something and may wait until it is enforced.
type waitFlags struct {
	wait    bool
	timeout time.Duration
}

func (f *waitFlags) register(cmd *cobra.Command) {
	cmd.Flags().BoolVar(&f.wait, "wait", false, "return once every node's switch confirmed the change, and say how many live connections it cut")
	cmd.Flags().DurationVar(&f.timeout, "timeout", time.Minute, "how long --wait waits; then the exit code is 5")
	complete(cmd, "timeout", cobra.NoFileCompletions)
}

// lagging is a node that doesn't enforce its plan yet.
type lagging struct {
	node, why string
}

// laggards returns the nodes whose enforced plan is older than the one the controller has for them.
func laggards(nodes []*weftv1.NodeInfo) []lagging {
	var list []lagging
	for _, n := range nodes {
		if n.GetEnforcedRevision() >= n.GetPlannedRevision() {
			continue
		}
		why := fmt.Sprintf("enforces revision %d of %d", n.GetEnforcedRevision(), n.GetPlannedRevision())
		if !n.GetConnected() {
			why = "not connected"
		}
		list = append(list, lagging{n.GetName(), why})
	}
	return list
}

// run waits, if asked to, until every node enforces revision or what came after it.
func (f *waitFlags) run(ctx context.Context, a *app, client *apiclient.Client, revision uint64) error {
	if !f.wait {
		return nil
	}
	limited, cancel := context.WithTimeout(ctx, f.timeout)
	defer cancel()
	tick := time.NewTicker(waitPeriod)
	defer tick.Stop()
	progress := newProgress(a)
	defer progress.clear()
	var late []lagging
	for {
		res, err := call(limited, a, client.Intent.ListNodes, &weftv1.ListNodesRequest{})
		if err != nil && limited.Err() == nil {
			return err
		}
		if err == nil {
			late = laggards(res.GetNodes())
			if len(late) == 0 && res.GetRevision() >= revision {
				progress.clear()
				if len(res.GetNodes()) == 0 {
					fmt.Fprintln(a.Stderr, "no node has joined: there is nothing to wait for")
				} else {
					fmt.Fprintf(a.Stderr, "enforced on %s\n", count(len(res.GetNodes()), "node"))
				}
				a.reportCuts(ctx, client, res.GetNodes(), revision)
				return nil
			}
			progress.show(fmt.Sprintf("waiting for %s of %d: %s", count(len(late), "node"), len(res.GetNodes()), names(late)))
		}
		select {
		case <-limited.Done():
			if ctx.Err() != nil {
				return ctx.Err()
			}
			return &Error{Code: ExitNotEnforced, Err: errors.New(timeoutMessage(revision, f.timeout, late))}
		case <-tick.C:
		}
	}
}

func timeoutMessage(revision uint64, timeout time.Duration, late []lagging) string {
	if len(late) == 0 {
		return fmt.Sprintf("revision %d is stored, but the controller has not planned it after %s", revision, timeout)
	}
	parts := make([]string, len(late))
	for i, l := range late {
		parts[i] = l.node + " (" + l.why + ")"
	}
	return fmt.Sprintf("revision %d is stored, but not enforced after %s on %s", revision, timeout, strings.Join(parts, ", "))
}

func names(late []lagging) string {
	parts := make([]string, len(late))
	for i, l := range late {
		parts[i] = l.node
	}
	return strings.Join(parts, ", ")
}

// progress is one line on a terminal's standard error that is written over. Elsewhere it stays silent.
type progress struct {
	a    *app
	last string
}

func newProgress(a *app) *progress { return &progress{a: a} }

// maxProgress keeps the line short enough not to wrap on a terminal of 80 columns.
const maxProgress = 78

func (p *progress) show(text string) {
	if len(text) > maxProgress {
		text = text[:maxProgress-3] + "..."
	}
	if p.a.StderrTerminal && text != p.last {
		fmt.Fprintf(p.a.Stderr, "\r\x1b[K%s", text)
		p.last = text
	}
}

func (p *progress) clear() {
	if p.last != "" {
		fmt.Fprint(p.a.Stderr, "\r\x1b[K")
		p.last = ""
	}
}
