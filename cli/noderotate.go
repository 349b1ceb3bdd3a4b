package cli

import (
	"fmt"

	"connectrpc.com/connect"
	"github.com/spf13/cobra"

	"github.com/weftfabric/weft/cli/output"
	"github.com/weftfabric/weft/fabric"
	weftv1 "github.com/weftfabric/weft/wire/weftpb/weft/v1"
)

// nodeRotateCommand changes WireGuard keys.
func (a *app) nodeRotateCommand() *cobra.Command {
	var (
		format formatFlag
		all    bool
	)
	cmd := &cobra.Command{
		Use:   "rotate-keys NODE... | --all",
		Short: "Change the WireGuard keys of nodes",
		Long: `Have nodes make new WireGuard keys and use them, one node after the other. A node uses its new key once all connected nodes
with a tunnel to it know the key, and no packet is lost by that. Nodes also change their keys by themselves, every 30
days or as their --key-lifetime says.`,
		Example: `  weft node rotate-keys n4
  weft node rotate-keys --all`,
		ValidArgsFunction: a.completeNodes,
	}
	cmd.Flags().BoolVar(&all, "all", false, "of all nodes")
	format.register(cmd, output.Table, output.JSON, output.YAML)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		of, err := format.parse(cmd)
		if err != nil {
			return err
		}
		if all == (len(args) > 0) {
			return usage(cmd, "name the nodes, or write --all")
		}
		for _, name := range args {
			if err := fabric.CheckName(name); err != nil {
				return usage(cmd, "%w", err)
			}
		}
		client, err := a.dial(cmd)
		if err != nil {
			return err
		}
		defer client.Close()
		stream, err := client.Observe.RotateKeys(cmd.Context(), connect.NewRequest(&weftv1.RotateKeysRequest{Nodes: args}))
		if err != nil {
			return explain(a.server(), err)
		}
		defer func() { _ = stream.Close() }() // what it sent is read
		r := rotated{Nodes: []rotatedNode{}}
		for stream.Receive() {
			r.take(a, of, stream.Msg())
		}
		if err := stream.Err(); err != nil {
			return explain(a.server(), err)
		}
		if of.ForScripts() {
			d, err := output.Marshal(r)
			if err != nil {
				return err
			}
			if err := output.WriteDocument(a.Stdout, of, d); err != nil {
				return err
			}
		}
		if r.failed > 0 {
			return fmt.Errorf("%d of %d nodes keep their keys", r.failed, len(r.Nodes))
		}
		return nil
	}
	return cmd
}

// rotated is the outcome, node by node.
type rotated struct {
	Nodes  []rotatedNode `json:"nodes"`
	failed int
}

type rotatedNode struct {
	Node  string           `json:"node"`
	Old   fabric.PublicKey `json:"old,omitzero"`
	New   fabric.PublicKey `json:"new,omitzero"`
	Error string           `json:"error,omitempty"`
}

// take notes a part of the answer, and shows a node's outcome to people as soon as it is known.
func (r *rotated) take(a *app, of output.Format, m *weftv1.RotateKeysResponse) {
	if len(r.Nodes) == 0 || r.Nodes[len(r.Nodes)-1].Node != m.GetNode() {
		r.Nodes = append(r.Nodes, rotatedNode{Node: m.GetNode()})
	}
	n := &r.Nodes[len(r.Nodes)-1]
	if p := m.GetPart(); p != nil {
		copy(n.Old[:], p.GetOld())
		copy(n.New[:], p.GetNew())
	}
	if !m.GetLast() {
		return
	}
	n.Error = m.GetError()
	if n.Error == "" && n.New.IsZero() {
		n.Error = "the node's answer is empty"
	}
	if n.Error != "" {
		r.failed++
	}
	switch {
	case of.ForScripts():
	case n.Error != "":
		fmt.Fprintf(a.Stdout, "%s  keeps its key: %s\n", n.Node, n.Error)
	default:
		fmt.Fprintf(a.Stdout, "%s  %s, was %s\n", n.Node, n.New, n.Old)
	}
}
