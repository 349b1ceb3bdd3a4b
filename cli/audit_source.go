package cli

import (
	"cmp"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/weftfabric/weft/audit"
	"github.com/weftfabric/weft/fabric"
	"github.com/weftfabric/weft/topology"
	weftv1 "github.com/weftfabric/weft/wire/weftpb/weft/v1"
)

// sourceFlags say what an audit is about: files, a controller's state, or Kubernetes manifests.
type sourceFlags struct {
	files      filesFlag
	revision   uint64
	kubernetes kubernetesFlags
}

func (f *sourceFlags) register(cmd *cobra.Command) {
	f.files.register(cmd, "audit files instead of the controller's state")
	cmd.Flags().Uint64Var(&f.revision, "revision", 0, "audit the controller's state at a past revision")
	complete(cmd, "revision", cobra.NoFileCompletions)
}

// audited is what an audit starts from.
type audited struct {
	intent    *topology.Intent
	workloads []audit.Workload
	foreign   []topology.Document
	// sources are the files, and state is what the controller has: one of them.
	sources []topology.Source
	state   *audit.State
}

func (in audited) side() audit.Side {
	return audit.Side{Intent: in.intent, Workloads: in.workloads}
}

// audited reads and checks what is audited.
func (a *app) audited(cmd *cobra.Command, f sourceFlags) (audited, error) {
	if len(f.files.paths) == 0 {
		return a.declared(cmd, f.revision)
	}
	if cmd.Flags().Changed("revision") {
		return audited{}, usage(cmd, "-f and --revision exclude each other: one names files, the other the controller's state")
	}
	sources, err := f.files.read(cmd, a)
	if err != nil {
		return audited{}, err
	}
	return a.load(sources)
}

// load checks sources; problems are reported, and errors end the command.
func (a *app) load(sources []topology.Source) (audited, error) {
	in := audited{sources: sources}
	var problems, more topology.Problems
	in.intent, in.foreign, problems = topology.Load(sources)
	if len(problems.Errors()) == 0 {
		in.workloads, more = audit.WorkloadsOf(in.intent, in.foreign)
		problems = append(problems, more...)
	}
	a.report(problems)
	if errs := problems.Errors(); len(errs) > 0 {
		fmt.Fprintf(a.Stderr, "%s; nothing to audit\n", count(len(errs), "error"))
		return audited{}, reported(ExitRefused)
	}
	return in, nil
}

// declared asks the controller for its state at a revision; 0 is the newest.
func (a *app) declared(cmd *cobra.Command, revision uint64) (audited, error) {
	client, err := a.dial(cmd)
	if err != nil {
		return audited{}, err
	}
	res, err := call(cmd.Context(), a, client.Audit.Declared, &weftv1.DeclaredRequest{Revision: revision})
	if err != nil {
		return audited{}, err
	}
	state, err := stateOf(res)
	if err != nil {
		return audited{}, refused("the controller's answer: %w", err)
	}
	side, err := state.Side()
	if err != nil {
		return audited{}, refused("the controller's answer: %w", err)
	}
	return audited{intent: side.Intent, workloads: side.Workloads, state: &state}, nil
}

// stateOf returns the controller's answer as a document.
func stateOf(res *weftv1.DeclaredResponse) (audit.State, error) {
	state := audit.NewState(res.GetRevision())
	for _, o := range res.GetObjects() {
		state.Objects = append(state.Objects, audit.StateObject{
			Object: o.GetJson(), Origin: topology.Origin{File: o.GetFile(), Line: int(o.GetLine())},
			Rules: topology.RuleLines{Ingress: ints(o.GetIngressLines()), Egress: ints(o.GetEgressLines())},
		})
	}
	for _, n := range res.GetNodes() {
		node := audit.StateNode{Node: n.GetNode(), Reported: stamp(n.GetReported().AsTime()), Connected: n.GetConnected(), Attachments: []audit.Attachment{}}
		for _, at := range n.GetAttachments() {
			a := audit.Attachment{
				Node: n.GetNode(), Interface: at.GetInterface(), Network: at.GetNetwork(), Port: at.GetPort(), Workload: at.GetWorkload(),
				MAC: at.GetMac(), Identity: at.GetIdentity(), Addresses: []netip.Prefix{}, Labels: fabric.Labels(at.GetLabels()),
			}
			for _, text := range at.GetAddresses() {
				p, err := parseAddress(text)
				if err != nil {
					return state, fmt.Errorf("node %s: interface %s: %w", n.GetNode(), at.GetInterface(), err)
				}
				a.Addresses = append(a.Addresses, p)
			}
			node.Attachments = append(node.Attachments, a)
		}
		slices.SortFunc(node.Attachments, func(a, b audit.Attachment) int { return cmp.Compare(a.Interface, b.Interface) })
		state.Nodes = append(state.Nodes, node)
	}
	return state, nil
}

// parseAddress reads an address with or without the length of its subnet.
func parseAddress(text string) (netip.Prefix, error) {
	if strings.Contains(text, "/") {
		return netip.ParsePrefix(text)
	}
	addr, err := netip.ParseAddr(text)
	if err != nil {
		return netip.Prefix{}, err
	}
	return netip.PrefixFrom(addr, addr.BitLen()), nil
}

func ints(list []int32) []int {
	var out []int
	for _, n := range list {
		out = append(out, int(n))
	}
	return out
}

// stamp writes a time as documents hold it.
func stamp(t time.Time) string { return t.UTC().Format(time.RFC3339) }
