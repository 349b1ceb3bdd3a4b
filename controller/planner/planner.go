// Package planner keeps every node's newest plan, and tells who waits for one.
//
// It runs the compile engine on the steps of the store. A reader always gets the newest plan of its node, so
// one that is slow skips what lies between, and nothing is queued for it.
package planner

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/weftfabric/weft/controller/compile"
	"github.com/weftfabric/weft/controller/state"
	"github.com/weftfabric/weft/controller/store"
	"github.com/weftfabric/weft/fabric"
	"github.com/weftfabric/weft/plan"
)

// Planned is a node's newest plan.
type Planned struct {
	Plan plan.Node
	// Revision is the one at which the plan last changed. After a start of the controller it is the one that the
	// store had then.
	Revision uint64
	Hash     [32]byte
	changes  changes
}

// Planner holds the plans of all nodes. Commit must be called from one goroutine; everything else may be called
// from any.
type Planner struct {
	engine *compile.Engine // of the goroutine that calls Commit

	mu       sync.Mutex
	revision uint64 // that the plans stand for
	plans    map[fabric.NodeName]Planned
	readers  map[fabric.NodeName]map[*Reader]bool
	changed  chan struct{}
	work     Work
}

// Work is what the planner has done since its start.
type Work struct {
	Revision uint64 // that the plans stand for
	Steps    uint64 // of the store that were compiled, the first state included
	Took     time.Duration
	Changed  uint64 // plans that came out different
	Readers  int    // that there are now
}

// Work returns what was done until now.
func (p *Planner) Work() Work {
	p.mu.Lock()
	defer p.mu.Unlock()
	w := p.work
	w.Revision = p.revision
	for _, readers := range p.readers {
		w.Readers += len(readers)
	}
	return w
}

// New compiles a view.
func New(v *state.View) *Planner {
	began := time.Now()
	p := &Planner{
		engine: compile.NewEngine(v.Clone()), plans: map[fabric.NodeName]Planned{},
		readers: map[fabric.NodeName]map[*Reader]bool{}, changed: make(chan struct{}),
	}
	p.take(v, began)
	return p
}

// Commit compiles a step of the store.
func (p *Planner) Commit(c store.Commit) {
	began := time.Now()
	p.engine.Apply(steps(c.Changes)...)
	p.take(c.After, began)
}

func steps(changes []state.Change) []compile.Change {
	out := make([]compile.Change, len(changes))
	for i, c := range changes {
		out[i] = c.Change
	}
	return out
}

// take publishes what the engine changed; the work on it began a moment ago.
func (p *Planner) take(v *state.View, began time.Time) {
	next := map[fabric.NodeName]Planned{}
	changed, removed := p.engine.Flush()
	for name, n := range changed {
		next[name] = Planned{Plan: n, Revision: v.Revision, Hash: plan.Hash(n)}
	}
	took := time.Since(began)
	p.mu.Lock()
	defer p.mu.Unlock()
	p.revision = v.Revision
	p.work.Steps++
	p.work.Took += took
	for name, n := range next {
		old, ok := p.plans[name]
		if ok && old.Hash == n.Hash {
			continue
		}
		if ok {
			n.changes = old.changes.with(v.Revision)
		} else {
			n.changes = changes{from: v.Revision}
		}
		p.plans[name] = n
		p.work.Changed++
		p.wake(name)
	}
	for _, name := range removed {
		delete(p.plans, name)
		p.wake(name)
	}
	close(p.changed)
	p.changed = make(chan struct{})
}

func (p *Planner) wake(node fabric.NodeName) {
	for r := range p.readers[node] {
		select {
		case r.changed <- struct{}{}:
		default: // it has been told already, and will read the newest
		}
	}
}

// Planned returns a node's newest plan; ok is false when it has none.
func (p *Planner) Planned(node fabric.NodeName) (planned Planned, ok bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	planned, ok = p.plans[node]
	return planned, ok
}

// All returns the newest plans of all nodes.
func (p *Planner) All() map[fabric.NodeName]Planned {
	p.mu.Lock()
	defer p.mu.Unlock()
	return maps.Clone(p.plans)
}

// Wait returns once the plans stand for a revision of the store, or a later one.
func (p *Planner) Wait(ctx context.Context, revision uint64) error {
	for {
		p.mu.Lock()
		have, changed := p.revision, p.changed
		p.mu.Unlock()
		if have >= revision {
			return nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return fmt.Errorf("wait for the plans of revision %d: %w", revision, ctx.Err())
		}
	}
}

// Reader is told when the plan of its node changes.
type Reader struct {
	planner *Planner
	node    fabric.NodeName
	changed chan struct{}
}

// Reader returns a reader of a node's plan; Close ends it.
func (p *Planner) Reader(node fabric.NodeName) *Reader {
	r := &Reader{planner: p, node: node, changed: make(chan struct{}, 1)}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.readers[node] == nil {
		p.readers[node] = map[*Reader]bool{}
	}
	p.readers[node][r] = true
	return r
}

// Changed receives once, or more often, after each change of the plan.
func (r *Reader) Changed() <-chan struct{} { return r.changed }

// Close ends the reader.
func (r *Reader) Close() {
	r.planner.mu.Lock()
	defer r.planner.mu.Unlock()
	delete(r.planner.readers[r.node], r)
	if len(r.planner.readers[r.node]) == 0 {
		delete(r.planner.readers, r.node)
	}
}

// maxChanges is how many changes of a plan are remembered for Reflects.
const maxChanges = 64

// changes are the revisions at which a plan changed: all those after from.
type changes struct {
	from uint64
	at   []uint64 // in order
}

func (c changes) with(revision uint64) changes {
	at := append(slices.Clip(c.at), revision)
	if extra := len(at) - maxChanges; extra > 0 {
		return changes{from: at[extra-1], at: slices.Clone(at[extra:])}
	}
	return changes{from: c.from, at: at}
}

// Reflects reports whether a node that has the plan of revision have acts as if it had the one of revision want:
// whether its plan didn't change after have up to want. What is no longer remembered counts as a change.
func (p Planned) Reflects(want, have uint64) bool {
	switch {
	case have >= want:
		return true
	case have < p.changes.from:
		return false
	}
	for _, at := range p.changes.at {
		if at > have {
			return want < at
		}
	}
	return true
}
