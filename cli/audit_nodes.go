package cli

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"hash"
	"slices"

	"connectrpc.com/connect"

	"github.com/weftfabric/weft/audit/evidence"
	weftv1 "github.com/weftfabric/weft/wire/weftpb/weft/v1"
	"github.com/weftfabric/weft/wire/weftpb/weft/v1/weftv1connect"
)

// noNodes says why evidence speaks of no node.
type noNodes string

const (
	pastRevision  noNodes = "What the nodes' switches held: the question is about a past revision."
	oldController noNodes = "What the nodes' switches hold: the controller is too old to ask them."
	nobodyThere   noNodes = "What the nodes' switches hold: the controller knows no node."
)

// nodeEvidence asks every node what its switch holds, by name. A node that doesn't answer is there with the reason.
func nodeEvidence(ctx context.Context, client weftv1connect.ObserveServiceClient) ([]evidence.Node, noNodes, error) {
	stream, err := client.Inspect(ctx, connect.NewRequest(&weftv1.InspectRequest{}))
	if err != nil {
		return nil, "", err
	}
	defer func() { _ = stream.Close() }() // everything has been read
	nodes := make(map[string]*nodeAnswer)
	for stream.Receive() {
		res := stream.Msg()
		n := nodes[res.GetNode()]
		if n == nil {
			n = &nodeAnswer{Node: evidence.Node{Name: res.GetNode()}, text: sha256.New()}
			nodes[res.GetNode()] = n
		}
		n.take(res)
	}
	var ce *connect.Error
	switch err := stream.Err(); {
	case errors.As(err, &ce) && ce.Code() == connect.CodeUnimplemented:
		return nil, oldController, nil
	case err != nil:
		return nil, "", err
	}
	var out []evidence.Node
	for _, n := range nodes {
		out = append(out, n.result())
	}
	slices.SortFunc(out, func(a, b evidence.Node) int { return cmp.Compare(a.Name, b.Name) })
	if len(out) == 0 {
		return nil, nobodyThere, nil
	}
	return out, "", nil
}

// nodeAnswer is a node whose answer comes in parts.
type nodeAnswer struct {
	evidence.Node
	text     hash.Hash // of the flows
	told     string    // the hash that the node told
	complete bool
}

func (n *nodeAnswer) take(res *weftv1.InspectResponse) {
	n.complete = n.complete || res.GetLast()
	n.Error = cmp.Or(n.Error, res.GetError())
	if s := res.GetPart().GetState(); s != nil {
		n.Read = stamp(s.GetReadAt().AsTime())
		n.PlanRevision, n.PlanHash, n.Settled = s.GetPlanRevision(), hex.EncodeToString(s.GetPlanHash()), s.GetSettled()
		n.Flows, n.told = s.GetFlowCount(), hex.EncodeToString(s.GetFlowsSha256())
	}
	n.text.Write(res.GetPart().GetFlows())
}

func (n *nodeAnswer) result() evidence.Node {
	n.FlowsSHA256 = hex.EncodeToString(n.text.Sum(nil))
	switch {
	case n.Error != "":
	case !n.complete:
		n.Error = "the answer ended before it was whole"
	case n.told != n.FlowsSHA256:
		n.Error = "the flows have another hash than the node told"
	}
	if n.Error != "" {
		return evidence.Node{Name: n.Name, Error: n.Error}
	}
	return n.Node
}
