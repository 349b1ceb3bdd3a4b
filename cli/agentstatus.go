package cli

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/weftfabric/weft/cli/output"
	"github.com/weftfabric/weft/wire/cniwire"
)

// agentStatus shows the state of the agent that listens at socket.
func (a *app) agentStatus(ctx context.Context, socket string, format output.Format) error {
	res, err := askAgent(ctx, socket, cniwire.Request{Status: &cniwire.Status{}})
	if err != nil {
		return err
	}
	if res.Status == nil {
		return fmt.Errorf("the agent at %s answered without its state", socket)
	}
	s := *res.Status
	if format.ForScripts() {
		if format != output.JSON {
			return fmt.Errorf("--agent can't be shown in this format: write -o json")
		}
		out := json.NewEncoder(a.Stdout)
		out.SetIndent("", "  ")
		return out.Encode(s)
	}
	state := "ready"
	if !s.Ready {
		state = "not ready: " + s.Reason
	}
	fmt.Fprintf(a.Stdout, "agent of %s  version %s, datapath %s, %s\n", s.Node, s.Version, cmp.Or(s.Datapath, "not chosen yet"), state)
	fmt.Fprintf(a.Stdout, "controller  %s\n", s.Controller)
	fmt.Fprintf(a.Stdout, "plan        %s\n", planText(s, time.Now()))
	fmt.Fprintf(a.Stdout, "switch      enforces revision %d with %d flows for %d attachments\n", s.Revision, s.Flows, s.Attachments)
	if len(s.Questions) > 0 {
		var parts []string
		for _, purpose := range slices.Sorted(maps.Keys(s.Questions)) {
			parts = append(parts, fmt.Sprintf("%s %d", purpose, s.Questions[purpose]))
		}
		fmt.Fprintf(a.Stdout, "questions   %s\n", strings.Join(parts, ", "))
	}
	for _, p := range s.Problems {
		fmt.Fprintf(a.Stdout, "problem     %s\n", p)
	}
	return nil
}

// planText says where the plan is from, and how old it is.
func planText(s cniwire.AgentStatus, now time.Time) string {
	if s.Plan == nil {
		return "none"
	}
	from := "the controller's"
	if s.Plan.FromDisk {
		from = "from disk, since the controller has not answered in this run"
	}
	age := "age unknown"
	if !s.Plan.Confirmed.IsZero() {
		age = "confirmed " + max(now.Sub(s.Plan.Confirmed), 0).Round(time.Second).String() + " ago"
	}
	return fmt.Sprintf("revision %d, %s, %s", s.Plan.Revision, from, age)
}
