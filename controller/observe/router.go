package observe

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"connectrpc.com/connect"
	"golang.org/x/sync/errgroup"

	"github.com/weftfabric/weft/fabric"
	weftv1 "github.com/weftfabric/weft/wire/weftpb/weft/v1"
	"github.com/weftfabric/weft/wire/weftpb/weft/v1/weftv1connect"
)

const (
	// maxAtOnce is how many nodes work on one request at once, when their answers end.
	maxAtOnce = 16
	// peerTimeout is how long another controller may take to say whom it holds.
	peerTimeout = 3 * time.Second
	// A node that is moving from one controller to another is looked for again.
	seekAgain, seekPause = 10, 200 * time.Millisecond
)

// Peer is another controller of the fabric.
type Peer struct {
	Name   string
	Client weftv1connect.PeerServiceClient
}

// Presence is what the store knows of a node.
type Presence struct {
	Known, Connected bool
	LastSeen         time.Time
	Version          string // of its agent
}

// Router asks nodes wherever they are connected.
type Router struct {
	Hub *Hub
	// Peers connects to the other controllers that are alive; done ends the connections. The error says who can't be
	// reached; the peers that are returned with it can.
	Peers func(ctx context.Context) (peers []Peer, done func(), err error)
	// Presence tells of a node.
	Presence func(fabric.NodeName) Presence
}

// Request asks several nodes the same.
type Request struct {
	Ask
	Nodes []fabric.NodeName
}

// Part is a part of a node's answer.
type Part struct {
	Node fabric.NodeName
	*weftv1.AnswerRequest
}

// Ask puts a question to nodes and gives take the parts of their answers, one at a time. For each node exactly one part is the
// last one; it has an error when the node's answer is not complete. After an error of take everything is given up, and
// Ask returns that error.
func (r *Router) Ask(ctx context.Context, req Request, take func(Part) error) error {
	g, ctx := errgroup.WithContext(ctx)
	if req.Question.GetTimeoutMs() != 0 {
		g.SetLimit(maxAtOnce)
	}
	nodes := slices.Compact(slices.Sorted(slices.Values(req.Nodes)))
	where, done := r.locate(ctx, nodes)
	defer done()
	var mu sync.Mutex
	for _, node := range nodes {
		g.Go(func() error {
			return where[node].relay(ctx, node, req.Ask, func(a *weftv1.AnswerRequest) error {
				mu.Lock()
				defer mu.Unlock()
				if err := ctx.Err(); err != nil {
					return err
				}
				return take(Part{node, a})
			})
		})
	}
	return g.Wait()
}

// place is where a node can be asked: here, at a peer, or nowhere for a reason.
type place struct {
	hub    *Hub
	peer   *Peer
	reason error
}

func (p place) relay(ctx context.Context, node fabric.NodeName, q Ask, send func(*weftv1.AnswerRequest) error) error {
	switch {
	case p.hub != nil:
		return p.hub.Relay(ctx, node, q, send)
	case p.peer != nil:
		return p.peer.relay(ctx, node, q, send)
	}
	return send(&weftv1.AnswerRequest{Last: true, Error: p.reason.Error()})
}

// relay asks a node that is connected to a peer.
func (p *Peer) relay(ctx context.Context, node fabric.NodeName, q Ask, send func(*weftv1.AnswerRequest) error) error {
	relayCtx, cancel := withDeadline(ctx, q.Question)
	defer cancel()
	stream, err := p.Client.Relay(relayCtx, connect.NewRequest(&weftv1.RelayRequest{Node: string(node), Caller: q.Caller, Question: q.Question}))
	if err != nil {
		return send(p.lost(relayCtx, err))
	}
	defer func() { _ = stream.Close() }() // what it could tell, Err has told
	for stream.Receive() {
		part := stream.Msg().Part
		if part == nil {
			continue
		}
		if err := send(part); err != nil || part.Last {
			return err
		}
	}
	return send(p.lost(relayCtx, stream.Err()))
}

func (p *Peer) lost(ctx context.Context, err error) *weftv1.AnswerRequest {
	if err == nil {
		err = errLost
	}
	if connect.CodeOf(err) == connect.CodeDeadlineExceeded {
		err = inTime(ctx, context.DeadlineExceeded)
	}
	return &weftv1.AnswerRequest{Last: true, Error: fmt.Sprintf("by way of controller %s: %v", p.Name, err)}
}

// locate finds out where nodes can be asked. A node that counts as connected and is found nowhere is looked for again for
// a moment: it may be on its way from one controller to another.
func (r *Router) locate(ctx context.Context, nodes []fabric.NodeName) (where map[fabric.NodeName]place, done func()) {
	where = make(map[fabric.NodeName]place, len(nodes))
	if r.here(where, nodes); len(where) == len(nodes) {
		return where, func() {}
	}
	peers, done, unreachable := r.Peers(ctx)
	var silent error
	for try := 0; ; try++ {
		silent = r.there(ctx, where, peers)
		again := false
		for _, n := range nodes {
			p := r.Presence(n)
			_, found := where[n]
			again = again || !found && p.Known && p.Connected
		}
		if !again || try == seekAgain {
			break
		}
		select {
		case <-time.After(seekPause):
		case <-ctx.Done():
		}
		r.here(where, nodes)
	}
	for _, n := range nodes {
		if _, found := where[n]; !found {
			where[n] = place{reason: missing(r.Presence(n), errors.Join(unreachable, silent))}
		}
	}
	return where, done
}

// here notes the nodes that are connected to this controller.
func (r *Router) here(where map[fabric.NodeName]place, nodes []fabric.NodeName) {
	for _, n := range r.Hub.Nodes() {
		if _, wanted := slices.BinarySearch(nodes, n); wanted {
			where[n] = place{hub: r.Hub}
		}
	}
}

// there notes the nodes that are connected to peers. The error names peers that don't answer.
func (r *Router) there(ctx context.Context, where map[fabric.NodeName]place, peers []Peer) error {
	ctx, cancel := context.WithTimeout(ctx, peerTimeout)
	defer cancel()
	held, errs := make([][]string, len(peers)), make([]error, len(peers))
	var wait sync.WaitGroup
	for i, p := range peers {
		wait.Go(func() {
			resp, err := p.Client.Holds(ctx, connect.NewRequest(&weftv1.HoldsRequest{}))
			if err != nil {
				errs[i] = fmt.Errorf("controller %s: %w", p.Name, err)
				return
			}
			held[i] = resp.Msg.Nodes
		})
	}
	wait.Wait()
	for i := range peers {
		for _, n := range held[i] {
			if _, found := where[fabric.NodeName(n)]; !found {
				where[fabric.NodeName(n)] = place{peer: &peers[i]}
			}
		}
	}
	return errors.Join(errs...)
}

// missing says why a node is nowhere.
func missing(p Presence, unreachable error) error {
	switch {
	case !p.Known:
		return errors.New("there is no such node")
	case unreachable != nil:
		return fmt.Errorf("it is not connected to this controller, and not all others can be asked: %w", unreachable)
	case p.Connected:
		return fmt.Errorf("it is connected but takes no questions: its agent (%s) may be older than questions, or it is just reconnecting", p.Version)
	case p.LastSeen.IsZero():
		return errors.New("it is not connected, and never was")
	}
	return fmt.Errorf("it is not connected; it was heard of last at %s", p.LastSeen.UTC().Format(time.DateTime+" MST"))
}
