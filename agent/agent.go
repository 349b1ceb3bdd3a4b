package agent

import (
	"context"
	"errors"
	"maps"
	"sync"
	"sync/atomic"
	"time"

	"github.com/weftfabric/weft/agent/flowlog"
	"github.com/weftfabric/weft/agent/ovs"
)

// errStopped is the answer to a request that the end of the agent interrupts.
var errStopped = errors.New("the agent is stopping")

// Agent is a node's agent. Run makes it live.
type Agent struct {
	cfg    Config
	events chan func(*state)
	work   sync.WaitGroup // every goroutine but the loop
	// life ends when Run is told to end; stop ends it.
	life context.Context
	stop context.CancelFunc

	jobs    chan flowJob
	plans   chan savedPlan
	reports chan struct{}
	// rotation is held while the node changes its key.
	rotation sync.Mutex
	// announcing says that the node's next key is to be told.
	announcing atomic.Bool
	// bufferTold is done once the switch's buffers have been looked at.
	bufferTold sync.Once
	ways       chan struct{} // the way to others isn't as it has to be
	refused    atomic.Uint64 // questions of the switch that weren't answered

	linkMTU atomic.Uint32 // of the link that carries the tunnels, as known last

	clientsDue  chan struct{} // remote clients have to be looked at
	countNow    chan struct{}
	connections *flowlog.File // nil keeps no log
	// limited and unwritten count records of connections that the agent left out, or couldn't write.
	limited, unwritten atomic.Uint64
}

// New returns an agent that does nothing before Run.
func New(cfg Config) *Agent {
	life, stop := context.WithCancel(context.Background())
	a := &Agent{
		cfg: cfg, life: life, stop: stop, events: make(chan func(*state)), jobs: make(chan flowJob, 1),
		plans: make(chan savedPlan, 1), reports: make(chan struct{}, 1), ways: make(chan struct{}, 1),
		countNow: make(chan struct{}, 1), clientsDue: make(chan struct{}, 1),
	}
	if cfg.FlowLog != "" {
		a.connections = flowlog.NewFile(cfg.FlowLog, 0)
	}
	return a
}

// Run lives until ctx ends, and then waits for all goroutines. It leaves the switch as it is. Run is called once.
func (a *Agent) Run(ctx context.Context) error {
	defer a.stop()
	defer context.AfterFunc(ctx, a.stop)()
	s := newState(a.cfg.Node)
	s.waitUntil = time.Now().Add(planGrace)
	s.refused, s.wireguardPort = &a.refused, a.cfg.WireGuardPort
	a.loadPlan(s)
	a.loadHits(s)
	for _, f := range []func(context.Context){a.switchLoop, a.controllerLoop, a.reportLoop, a.savePlans, a.touchLoop, a.wayLoop, a.clientLoop, a.pathLoop, a.rotateLoop, a.underlayLoop} {
		a.work.Go(func() { f(a.life) })
	}
	a.loop(a.life, s)
	a.work.Wait()
	a.endObservation(s)
	return nil
}

// loop owns the state: one event after the other.
func (a *Agent) loop(ctx context.Context, s *state) {
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			s.abandonWaiters()
			return
		case o := <-a.cfg.Database.Updates():
			s.setOVS(o, time.Now())
		case event := <-a.events:
			event(s)
		case <-timer.C:
		}
		next := a.converge(s, time.Now())
		s.wakeWaiters()
		timer.Reset(next)
	}
}

// signal wakes the reader of a channel of one place; signals that come together are one.
func signal(c chan<- struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

// send gives the loop an event, unless ctx ends before it takes it.
func (a *Agent) send(ctx context.Context, event func(*state)) error {
	select {
	case a.events <- event:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-a.life.Done():
		return errStopped
	}
}

// ask runs f in the loop and returns its answer.
func ask[T any](ctx context.Context, a *Agent, f func(*state) (T, error)) (T, error) {
	type answer struct {
		value T
		err   error
	}
	answers := make(chan answer, 1)
	err := a.send(ctx, func(s *state) {
		v, err := f(s)
		answers <- answer{v, err}
	})
	if err != nil {
		var zero T
		return zero, err
	}
	got := <-answers // the loop has taken the event, so it answers
	return got.value, got.err
}

// do runs f in the loop.
func (a *Agent) do(ctx context.Context, f func(*state)) error {
	_, err := ask(ctx, a, func(s *state) (struct{}, error) { f(s); return struct{}{}, nil })
	return err
}

// converge starts what is needed to bring the node to what it should be, and returns after how long to look again.
func (a *Agent) converge(s *state, now time.Time) time.Duration {
	if s.ovsSeen && s.ovsProblem == "" {
		a.convergeBridge(s, now)
		a.convergeLost(s, now)
		a.convergeOrphans(s, now)
		a.convergeDeletions(s, now)
		a.convergeShields(s, now)
		if s.havePlan {
			a.convergeBindings(s, now)
			a.convergeIdentities(s, now)
			a.convergeDeadLinks(s, now)
			a.watchLinks(s, now)
			a.convergeLeases(s, now)
		}
	}
	a.convergeWay(s)
	a.convergeClients(s)
	a.convergeFlows(s, now)
	a.convergeCuts(s)
	if s.reportDue {
		s.reportDue = false
		a.wantReport()
	}
	return s.nextJob(now)
}

// convergeBridge makes the bridge and its tunnel port.
func (a *Agent) convergeBridge(s *state, now time.Time) {
	if !s.bridgeReady {
		found := s.ovs.Bridge
		a.start(s, now, "bridge", func(ctx context.Context) error { return a.ensureBridge(ctx, found) })
		return
	}
	if s.ovs.Bridge.Name == "" {
		return // the database is about to tell of it
	}
	a.restoreBridge(s, now)
	want := tunnelSpec(s.outerSource(a.cfg.VTEP), s.plan.Settings.VXLANPort)
	i, ok := s.ovs.Interface(tunnelPort)
	if ok && !s.havePlan {
		return // an earlier run made it as its plan said
	}
	if !ok || i.Type != want.Type || !maps.Equal(i.Options, want.Options) {
		a.start(s, now, "tunnel port", func(ctx context.Context) error { return a.cfg.Database.AddPort(ctx, want) })
	}
}

// bridgeSpec is how the bridge has to be on every datapath.
func bridgeSpec() ovs.BridgeSpec {
	return ovs.BridgeSpec{OtherConfig: map[string]string{"disable-in-band": "true"}}
}

// restoreBridge makes settings of the bridge what they must be when somebody has changed them.
func (a *Agent) restoreBridge(s *state, now time.Time) {
	wrong := s.ovs.Bridge.Unlike(bridgeSpec())
	if len(wrong) == 0 {
		s.bridgeRight = true
		return
	}
	if s.bridgeRight { // it isn't just being made
		s.bridgeRight = false
		for _, w := range wrong {
			a.cfg.Logger.Warn("somebody else has set something about the bridge: repairing it", "what", w)
		}
		s.drift.NoteSettings(now, wrong)
		s.reportDue = true
	}
	found := s.ovs.Bridge
	a.start(s, now, "bridge", func(ctx context.Context) error { return a.ensureBridge(ctx, found) })
}

// ensureBridge makes the bridge with the datapath that this node has.
func (a *Agent) ensureBridge(ctx context.Context, found ovs.Bridge) error {
	datapath := a.cfg.Datapath
	if datapath == "" && found.Datapath == ovs.Netdev {
		datapath = ovs.Netdev // somebody chose it
	}
	if datapath != ovs.Netdev {
		kernel, err := a.cfg.KernelDatapath()
		switch {
		case err != nil:
			return err
		case kernel:
			datapath = ovs.System
		case datapath == ovs.System:
			return errors.New("the kernel has no Open vSwitch datapath: load its module openvswitch, or choose --datapath netdev")
		default:
			datapath = ovs.Netdev
		}
	}
	if datapath == ovs.Netdev {
		a.tellBuffer()
	}
	spec := bridgeSpec()
	spec.Datapath = datapath
	if err := a.cfg.Database.EnsureBridge(ctx, spec); err != nil {
		return err
	}
	return a.send(ctx, func(s *state) { s.bridgeReady, s.datapath = true, datapath })
}
