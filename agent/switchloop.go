package agent

import (
	"context"
	"errors"
	"maps"
	"math/rand/v2"
	"slices"
	"sync"
	"time"

	"github.com/weftfabric/weft/agent/dataplane"
	"github.com/weftfabric/weft/agent/ovs"
	"github.com/weftfabric/weft/agent/pipeline"
	"github.com/weftfabric/weft/fabric"
	"github.com/weftfabric/weft/wire/openflow"
)

// jobKind says what a flowJob asks for.
type jobKind uint8

const (
	applyJob jobKind = iota + 1
	dumpJob
)

// flowJob is a task for the goroutine that holds the OpenFlow connection.
type flowJob struct {
	kind jobKind
	ops  []dataplane.Op
	then applied
	// needed tells the operations without which the others must not be made.
	needed func(dataplane.Op) (fabric.NetworkID, bool)
	// forget are the connections to forget after ops, those of the addresses forgotten.
	forget    []openflow.Connections
	forgotten []tracked
	// doomed is how many of forget are live connections that policy forbids.
	doomed int
}

// switchLoop keeps an OpenFlow connection and does the loop's jobs on it. Every connection begins with a dump:
// what the switch holds is never assumed.
func (a *Agent) switchLoop(ctx context.Context) {
	said := ""
	for ctx.Err() == nil {
		err := a.switchSession(ctx, func() { said = "" })
		if ctx.Err() != nil {
			return
		}
		if err.Error() != said {
			said = err.Error()
			if a.do(ctx, func(s *state) { s.switchGone(err) }) != nil {
				return
			}
		}
		select {
		case <-ctx.Done():
		case <-time.After(redialPause/2 + rand.N(redialPause/2)):
		}
	}
}

// redialPause is short and doesn't grow: the switch is on this node, trying costs next to nothing, and a switch without
// flows forwards nothing.
const redialPause = 100 * time.Millisecond

// switchSession is the life of one connection.
func (a *Agent) switchSession(ctx context.Context, connected func()) (err error) {
	dialCtx, cancel := context.WithTimeout(ctx, dialTimeout)
	defer cancel()
	conn, err := a.cfg.Dial(dialCtx)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, conn.Close()) }()
	ports, err := conn.Ports(dialCtx)
	if err != nil {
		return err
	}
	changes := a.flowChanges(dialCtx, conn)
	told, err := dump(ctx, conn)
	if err != nil {
		return err
	}
	connected()
	a.takeStaleJob()
	if err := a.do(ctx, func(s *state) { s.switchConnected(ports, told) }); err != nil {
		return err
	}
	answering, stopAnswering := context.WithCancel(ctx)
	var answers sync.WaitGroup
	answers.Go(func() { a.answerQuestions(answering, conn) })
	answers.Go(func() { a.watchFlows(answering, conn, changes) })
	answers.Go(func() { a.followPorts(answering, conn) })
	answers.Go(func() { a.countLoop(answering, conn) })
	defer answers.Wait()
	defer stopAnswering()
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-conn.Done():
			return errors.New("the switch closed the OpenFlow connection")
		case j := <-a.jobs:
			if err := a.runFlowJob(ctx, conn, j); err != nil {
				return err
			}
		}
	}
}

// followPorts takes over what the switch says of its ports, until the connection ends.
func (a *Agent) followPorts(ctx context.Context, conn Flows) {
	for {
		changes, err := conn.PortChanges(ctx)
		if err != nil || a.send(ctx, func(s *state) { s.portsTold(changes) }) != nil {
			return
		}
		if slices.ContainsFunc(changes, func(c openflow.PortChange) bool { return c.Settings.String() != "" }) {
			a.restorePorts(ctx, conn)
		}
	}
}

// takeStaleJob throws away a job that was meant for the connection before.
func (a *Agent) takeStaleJob() {
	select {
	case <-a.jobs:
	default:
	}
}

// runFlowJob does one job and tells the loop. An error means that the connection is of no use any more.
func (a *Agent) runFlowJob(ctx context.Context, conn Flows, j flowJob) error {
	if j.kind == dumpJob {
		told, err := dump(ctx, conn)
		if err != nil {
			return err
		}
		return a.send(ctx, func(s *state) {
			s.flows.busy = false
			s.flowsFound(told)
		})
	}
	jobCtx, cancel := context.WithTimeout(ctx, switchTimeout)
	defer cancel()
	if endsTally(j.ops) {
		if err := a.readTallies(jobCtx, conn); err != nil {
			return err
		}
	}
	done, err := applyAround(jobCtx, conn, j)
	if err != nil {
		return err
	}
	if done.stopped {
		return a.send(ctx, func(s *state) {
			s.flows.busy = false
			s.flowsRefused(done, time.Now())
		})
	}
	if err := conn.Forget(jobCtx, j.forget); err != nil {
		return err
	}
	return a.send(ctx, func(s *state) {
		s.flows.busy = false
		for _, t := range j.forgotten {
			delete(s.flows.left, t)
		}
		s.cuts.doomed = s.cuts.doomed[min(j.doomed, len(s.cuts.doomed)):]
		s.flows.suspects = nil
		if len(done.refused) > 0 {
			s.flowsRefused(done, time.Now())
			return
		}
		s.enforce(j.then)
		a.wantReport()
	})
}

// dumped is what a switch holds, with its counters.
type dumped struct {
	flows  []ovs.Flow
	meters []openflow.MeterStats
	// unmetered are meters that were missing: flows that name them have none until they are written again.
	unmetered []uint32
}

// dump reads what the switch holds, with a deadline. The meters are there before anything is written that names them.
func dump(ctx context.Context, conn Flows) (out dumped, err error) {
	ctx, cancel := context.WithTimeout(ctx, switchTimeout)
	defer cancel()
	if out.flows, err = conn.Dump(ctx); err != nil {
		return out, err
	}
	if out.unmetered, err = conn.EnsureMeters(ctx, pipeline.Meters()); err != nil {
		return out, err
	}
	out.meters, err = conn.MeterStats(ctx)
	return out, err
}

// outcome is what became of a list of operations.
type outcome struct {
	refused []refusal
	// stopped says that the rest was not made, because the switch refused what it must not lack; suspects are the
	// networks that may be concerned, when the switch didn't say.
	stopped  bool
	suspects []fabric.NetworkID
}

// applyAround applies a job's operations, and goes around those that the switch refuses: one bad flow must not stop the
// others. A refusal that names no operation is looked for by halves. It stops before anything is opened: when a needed
// operation is refused, or may be among what is divided. What closes a network opens nothing, and goes first by itself then.
func applyAround(ctx context.Context, conn Flows, j flowJob) (out outcome, err error) {
	for ops := j.ops; len(ops) > 0; {
		err := conn.Apply(ctx, ops)
		var no *ovs.RefusedError
		switch {
		case err == nil:
			return out, nil
		case !errors.As(err, &no):
			return out, err
		case len(ops) == 1 || no.Index >= 0 && no.Index < len(ops):
			bad := max(no.Index, 0)
			out.refused = append(out.refused, refusal{flow: ops[bad].Flow, reason: no.Error()})
			if _, needed := j.needed(ops[bad]); needed {
				out.stopped = true
				return out, nil
			}
			ops = slices.Delete(slices.Clone(ops), bad, bad+1)
		default:
			first, rest := closingFirst(ops)
			if len(first) == 0 || len(rest) == 0 {
				if out.suspects = j.networksOf(ops); len(out.suspects) > 0 {
					out.stopped = true
					return out, nil
				}
				first, rest = ops[:len(ops)/2], ops[len(ops)/2:]
			}
			part := j
			part.ops = first
			done, err := applyAround(ctx, conn, part)
			out.refused = append(out.refused, done.refused...)
			if err != nil {
				return out, err
			}
			if done.stopped {
				out.stopped, out.suspects = true, done.suspects
				return out, nil
			}
			ops = rest
		}
	}
	return out, nil
}

// closingFirst divides operations into those that close a network and the rest.
func closingFirst(ops []dataplane.Op) (closing, rest []dataplane.Op) {
	for _, op := range ops {
		if _, ok := pipeline.Closes(op.Flow); ok && op.Kind == dataplane.Add {
			closing = append(closing, op)
		} else {
			rest = append(rest, op)
		}
	}
	return closing, rest
}

// networksOf returns the networks that needed operations belong to.
func (j flowJob) networksOf(ops []dataplane.Op) []fabric.NetworkID {
	found := map[fabric.NetworkID]bool{}
	for _, op := range ops {
		if n, ok := j.needed(op); ok {
			found[n] = true
		}
	}
	return slices.Sorted(maps.Keys(found))
}

// switchConnected takes over what a new connection found.
func (s *state) switchConnected(ports map[uint32]string, told dumped) {
	s.flows.connected, s.flows.problem, s.flows.busy, s.flows.synced = true, "", false, false
	s.flows.ports, s.flows.retryAt = ports, time.Time{}
	s.flows.sessions++
	s.flows.refused, s.flows.suspects = map[dataplane.Key]refusal{}, nil // another switch may take them
	s.flowsFound(told)
	s.observeHits(told.flows, time.Now())
}

// switchGone takes over that there is no connection. What the switch held stays in force there, unless it died.
func (s *state) switchGone(err error) {
	s.flows.connected, s.flows.busy, s.flows.synced, s.flows.found = false, false, false, nil
	s.flows.problem, s.flows.retryAt = err.Error(), time.Time{}
}
