package ovs

import (
	"context"
	"errors"
	"maps"
	"slices"
	"sync"

	"github.com/weftfabric/weft/agent/dataplane"
	"github.com/weftfabric/weft/wire/openflow"
)

// FakeSwitch is a bridge's flow table in memory.
type FakeSwitch struct {
	// Refuse returns why the switch doesn't take an operation; nil takes all. It must not change after the
	// first call.
	Refuse func(dataplane.Op) error

	mu    sync.Mutex
	flows map[dataplane.Key]Flow
	ports map[uint32]string
	conns map[*FakeFlows]bool
	mods  int
	asked chan Question
	sent  map[uint32][][]byte // by port
	// forgotten are the connections that it was told to forget.
	forgotten []openflow.Connections
	dumps     int
}

// NewFakeSwitch returns a switch without flows.
func NewFakeSwitch() *FakeSwitch {
	return &FakeSwitch{flows: map[dataplane.Key]Flow{}, conns: map[*FakeFlows]bool{}, asked: make(chan Question, 100), sent: map[uint32][][]byte{}}
}

// Connect makes a connection.
func (s *FakeSwitch) Connect(ctx context.Context) (*FakeFlows, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	f := &FakeFlows{sw: s, done: make(chan struct{})}
	s.conns[f] = true
	return f, nil
}

// Restart does what a restart of vswitchd does: all connections end, all flows go, and ports may be numbered anew.
func (s *FakeSwitch) Restart(ports map[uint32]string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.flows = map[dataplane.Key]Flow{}
	s.ports = maps.Clone(ports)
	for f := range s.conns {
		close(f.done)
	}
	s.conns = map[*FakeFlows]bool{}
}

// Plant puts a flow into the switch that nobody has asked for.
func (s *FakeSwitch) Plant(f Flow) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.flows[dataplane.KeyOf(f.Flow)] = f
	s.changed(nil)
}

// Flows returns the switch's flows, sorted by dataplane.CompareFlows.
func (s *FakeSwitch) Flows() []Flow {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.SortedFunc(maps.Values(s.flows), func(a, b Flow) int { return dataplane.CompareFlows(a.Flow, b.Flow) })
}

// Mods returns how many changes the switch has made.
func (s *FakeSwitch) Mods() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.mods
}

// Forgotten returns the connections that the switch was told to forget, in that order.
func (s *FakeSwitch) Forgotten() []openflow.Connections {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.forgotten)
}

// Dumps returns how often the switch was asked for its flows.
func (s *FakeSwitch) Dumps() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.dumps
}

// FakeFlows is a connection to a FakeSwitch.
type FakeFlows struct {
	sw      *FakeSwitch
	done    chan struct{}
	changes chan struct{} // nil: nobody wants to know
}

var errFakeClosed = errors.New("the connection is closed")

// open reports whether the connection works. The switch's lock is held.
func (f *FakeFlows) open(ctx context.Context) error {
	if !f.sw.conns[f] {
		return errFakeClosed
	}
	return ctx.Err()
}

// Ports implements the contract of Flows.Ports.
func (f *FakeFlows) Ports(ctx context.Context) (map[uint32]string, error) {
	f.sw.mu.Lock()
	defer f.sw.mu.Unlock()
	return maps.Clone(f.sw.ports), f.open(ctx)
}

// Dump implements the contract of Flows.Dump.
func (f *FakeFlows) Dump(ctx context.Context) ([]Flow, error) {
	f.sw.mu.Lock()
	err := f.open(ctx)
	f.sw.dumps++
	f.sw.mu.Unlock()
	if err != nil {
		return nil, err
	}
	return f.sw.Flows(), nil
}

// Apply implements the contract of Flows.Apply.
func (f *FakeFlows) Apply(ctx context.Context, ops []dataplane.Op) error {
	f.sw.mu.Lock()
	defer f.sw.mu.Unlock()
	if err := f.open(ctx); err != nil {
		return err
	}
	next := maps.Clone(f.sw.flows)
	for i, op := range ops {
		if f.sw.Refuse != nil {
			if err := f.sw.Refuse(op); err != nil {
				return &RefusedError{Index: i, Err: err}
			}
		}
		flow := op.Flow.Canonical()
		switch op.Kind {
		case dataplane.Add:
			next[dataplane.KeyOf(flow)] = Flow{Flow: flow}
		case dataplane.Delete:
			delete(next, dataplane.KeyOf(flow))
		case dataplane.Sweep:
			maps.DeleteFunc(next, func(_ dataplane.Key, f Flow) bool { return f.Table == flow.Table && f.Cookie == flow.Cookie })
		}
	}
	f.sw.flows = next
	f.sw.mods += len(ops)
	f.sw.changed(f)
	return nil
}

// Forget implements the contract of Flows.Forget.
func (f *FakeFlows) Forget(ctx context.Context, which []openflow.Connections) error {
	f.sw.mu.Lock()
	defer f.sw.mu.Unlock()
	if err := f.open(ctx); err != nil {
		return err
	}
	f.sw.forgotten = append(f.sw.forgotten, which...)
	return nil
}

// PortChanges implements the contract of Flows.PortChanges: the ports of a Fake database are numbered at once.
func (f *FakeFlows) PortChanges(ctx context.Context) ([]openflow.PortChange, error) {
	select {
	case <-f.done:
		return nil, errFakeClosed
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// Done is closed when the switch has ended the connection.
func (f *FakeFlows) Done() <-chan struct{} { return f.done }

// Close ends the connection.
func (f *FakeFlows) Close() error {
	f.sw.mu.Lock()
	defer f.sw.mu.Unlock()
	delete(f.sw.conns, f)
	return nil
}
