package bench

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"connectrpc.com/connect"

	"github.com/weftfabric/weft/fabric"
	"github.com/weftfabric/weft/plan"
	"github.com/weftfabric/weft/wire/apiclient"
	"github.com/weftfabric/weft/wire/planwire"
	weftv1 "github.com/weftfabric/weft/wire/weftpb/weft/v1"
)

// agent is a simulated one: it keeps its plan from the updates, checks the hash, and acknowledges at once.
type agent struct {
	node   fabric.NodeName
	client *apiclient.Client
	leased uint64 // the revision that holds its block
	cancel context.CancelFunc
	ended  chan struct{}

	mu      sync.Mutex
	acks    []ack
	changed chan struct{} // closed by the next acknowledgement, and by the end
	err     error
}

// ack is when the controller had taken an acknowledgement.
type ack struct {
	revision uint64
	at       time.Time
}

type agentSpec struct {
	server, token string
	node          fabric.NodeName
	vtep          string
	network       string
	first         bool // brings the network's label set
}

// newAgent joins a node, registers it, lets it host a network, and follows its plan.
func newAgent(ctx context.Context, s agentSpec) (*agent, error) {
	key, err := apiclient.NewKey()
	if err != nil {
		return nil, err
	}
	credentials, err := apiclient.Join(ctx, apiclient.JoinRequest{Server: s.server, Token: s.token, Node: s.node, Key: key})
	if err != nil {
		return nil, err
	}
	a := &agent{node: s.node, ended: make(chan struct{}), changed: make(chan struct{})}
	if a.client, err = apiclient.New(s.server, credentials); err != nil {
		return nil, err
	}
	if _, err := a.client.Node.Register(ctx, connect.NewRequest(&weftv1.RegisterRequest{Vtep: s.vtep, Version: "bench"})); err != nil {
		return nil, fmt.Errorf("%s: register: %w", s.node, err)
	}
	streamCtx, cancel := context.WithCancel(context.WithoutCancel(ctx))
	a.cancel = cancel
	stream, err := a.client.Node.WatchPlan(streamCtx, connect.NewRequest(&weftv1.WatchPlanRequest{}))
	if err != nil {
		cancel()
		return nil, fmt.Errorf("%s: watch: %w", s.node, err)
	}
	go a.follow(streamCtx, stream)
	lease, err := a.client.Node.LeaseBlock(ctx, connect.NewRequest(&weftv1.LeaseBlockRequest{Network: s.network, Family: weftv1.LeaseBlockRequest_FAMILY_IPV4}))
	if err != nil {
		return nil, errors.Join(fmt.Errorf("%s: lease: %w", s.node, err), a.leave())
	}
	a.leased = lease.Msg.GetRevision()
	if s.first {
		request := &weftv1.ResolveIdentityRequest{Network: s.network, Labels: map[string]string{"tier": "web"}}
		if _, err := a.client.Node.ResolveIdentity(ctx, connect.NewRequest(request)); err != nil {
			return nil, errors.Join(fmt.Errorf("%s: resolve: %w", s.node, err), a.leave())
		}
	}
	return a, nil
}

// follow takes updates until the stream ends.
func (a *agent) follow(ctx context.Context, stream *connect.ServerStreamForClient[weftv1.PlanUpdate]) {
	defer close(a.ended)
	have := plan.Node{Name: a.node}
	var err error
	for err == nil && stream.Receive() {
		have, err = a.take(ctx, have, stream.Msg())
	}
	if ctx.Err() == nil {
		err = errors.Join(err, stream.Err(), errors.New("the plan stream ended"))
	} else {
		err = nil
	}
	_ = stream.Close() // the connection is given up anyway
	a.mu.Lock()
	defer a.mu.Unlock()
	a.err = err
	close(a.changed)
}

// take applies an update, and acknowledges it.
func (a *agent) take(ctx context.Context, from plan.Node, u *weftv1.PlanUpdate) (plan.Node, error) {
	entries, err := planwire.FromProtos(u.GetUpsert())
	if err != nil {
		return from, err
	}
	if u.GetSnapshot() {
		from = plan.Node{Name: a.node}
	}
	next, err := plan.Apply(from, plan.Delta{Upsert: entries, Remove: u.GetRemove()})
	if err != nil {
		return from, err
	}
	if hash := plan.Hash(next); string(hash[:]) != string(u.GetHash()) {
		return from, fmt.Errorf("the hash of revision %d is wrong", u.GetRevision())
	}
	if _, err := a.client.Node.Report(ctx, connect.NewRequest(&weftv1.ReportRequest{EnforcedRevision: u.GetRevision()})); err != nil {
		return from, err
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	a.acks = append(a.acks, ack{u.GetRevision(), time.Now()})
	close(a.changed)
	a.changed = make(chan struct{})
	return next, nil
}

// acknowledged waits until the agent has acknowledged a revision or a later one, and returns when it had.
func (a *agent) acknowledged(revision uint64, limit time.Duration) (time.Time, error) {
	timeout := time.NewTimer(limit)
	defer timeout.Stop()
	for {
		a.mu.Lock()
		for _, k := range a.acks {
			if k.revision >= revision {
				a.mu.Unlock()
				return k.at, nil
			}
		}
		changed, err := a.changed, a.err
		a.mu.Unlock()
		if err != nil {
			return time.Time{}, fmt.Errorf("%s: %w", a.node, err)
		}
		select {
		case <-changed:
		case <-timeout.C:
			return time.Time{}, fmt.Errorf("%s has not acknowledged revision %d within %s", a.node, revision, limit)
		}
	}
}

// leave ends the stream.
func (a *agent) leave() error {
	a.cancel()
	<-a.ended
	a.client.Close()
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.err
}
