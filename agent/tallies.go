package agent

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"time"

	"github.com/weftfabric/weft/agent/dataplane"
	"github.com/weftfabric/weft/agent/hits"
	"github.com/weftfabric/weft/agent/ovs"
	"github.com/weftfabric/weft/agent/pipeline"
	"github.com/weftfabric/weft/wire/openflow"
)

// The counts of rules: read from the switch's table Tally from time to time, and before a rule's row goes; added up in a
// book; saved with what they were added up from. Only what the switch counted since the last reading is lost when the
// switch dies.

// tallyInterval is how often the counts are read; jitter keeps nodes apart.
const (
	tallyInterval = 10 * time.Second
	tallyJitter   = 5 * time.Second
)

// Counters are what the agent reads of a switch beside its flows.
type Counters interface {
	// DumpTable returns the flows of one table.
	DumpTable(ctx context.Context, table uint8) ([]ovs.Flow, error)
	// EnsureMeters makes meters as they must be, and returns those that were missing.
	EnsureMeters(context.Context, []openflow.MeterDesc) ([]uint32, error)
	// MeterStats returns the counters of all meters.
	MeterStats(context.Context) ([]openflow.MeterStats, error)
	// MeterDropped returns how many packets a meter has dropped.
	MeterDropped(ctx context.Context, id uint32) (uint64, error)
}

// loadHits takes over the counts of earlier runs. A damaged file is put aside, and said.
func (a *Agent) loadHits(s *state) {
	s.hits = hits.NewBook()
	if a.cfg.HitsFile == "" {
		return
	}
	b, err := os.ReadFile(a.cfg.HitsFile)
	if errors.Is(err, os.ErrNotExist) {
		return
	}
	if err == nil {
		var book *hits.Book
		if book, err = hits.Unmarshal(b); err == nil {
			s.hits = book
			return
		}
		err = errors.Join(err, os.Rename(a.cfg.HitsFile, a.cfg.HitsFile+".damaged"))
	}
	s.hitsProblem = fmt.Sprintf("the counts of rules begin anew, %s is not used: %v", a.cfg.HitsFile, err)
	a.cfg.Logger.Warn("the counts of rules begin anew", "file", a.cfg.HitsFile, "error", err)
}

// observeHits takes over a reading of the switch, in which every row of Tally is that the switch has.
func (s *state) observeHits(flows []ovs.Flow, now time.Time) {
	reading := make(map[hits.Row]uint64)
	for _, f := range flows {
		if n, rule, ok := pipeline.Tallied(f.Flow); ok && f.Unreadable == "" {
			reading[hits.Row{Network: n, Rule: rule}] += f.Packets
		}
	}
	if s.hits.Observe(reading, now) {
		s.hitsChanged = true
	}
	s.hitsSeen++
}

// countLoop reads the counts of a connection's switch until the connection ends.
func (a *Agent) countLoop(ctx context.Context, conn Flows) {
	dropped, err := conn.MeterDropped(ctx, pipeline.LogMeter) // when it was read last
	if err != nil {
		a.cfg.Logger.Debug("read the meter of the flow log", "error", err)
	}
	for {
		asked := false
		select {
		case <-ctx.Done():
			return
		case <-a.countNow:
			asked = true
		case <-time.After(tallyInterval - tallyJitter/2 + rand.N(tallyJitter)):
		}
		if err := a.readTallies(ctx, conn); err != nil {
			if ctx.Err() == nil {
				a.cfg.Logger.Debug("read the counts of rules", "error", err)
			}
			continue
		}
		dropped = a.noteLimited(ctx, conn, dropped)
		if !asked {
			a.saveHits(ctx)
		}
	}
}

// readTallies reads the counts and takes them over.
func (a *Agent) readTallies(ctx context.Context, conn Flows) error {
	readCtx, cancel := context.WithTimeout(ctx, switchTimeout)
	defer cancel()
	flows, err := conn.DumpTable(readCtx, uint8(pipeline.TableTally))
	if err != nil {
		return err
	}
	return a.do(ctx, func(s *state) { s.observeHits(flows, time.Now()) })
}

// endsTally reports whether operations take a rule's row away, or all that there is.
func endsTally(ops []dataplane.Op) bool {
	return slices.ContainsFunc(ops, func(op dataplane.Op) bool {
		return op.Kind != dataplane.Add && op.Flow.Table == uint8(pipeline.TableTally)
	})
}

// saveHits writes the counts, if they have changed since they were written.
func (a *Agent) saveHits(ctx context.Context) {
	if a.cfg.HitsFile == "" {
		return
	}
	b, err := ask(ctx, a, func(s *state) ([]byte, error) {
		if !s.hitsChanged {
			return nil, nil
		}
		s.hitsChanged = false
		return s.hits.Marshal(), nil
	})
	if err != nil || b == nil {
		return
	}
	if err := writeFile(a.cfg.HitsFile, b); err != nil {
		a.cfg.Logger.Error("can't save the counts of rules: a restart would lose some", "error", err)
	}
}

// freshHits returns the counts of now, or, when the switch doesn't answer, those of the last reading.
func (a *Agent) freshHits(ctx context.Context) error {
	seen, err := ask(ctx, a, func(s *state) (uint64, error) { return s.hitsSeen, nil })
	if err != nil {
		return err
	}
	signal(a.countNow)
	err = a.waitFor(ctx, wait{For: "the counts of the switch", Timeout: statusTimeout, Condition: func(s *state) (bool, error) {
		return s.hitsSeen > seen, nil
	}})
	if ctx.Err() != nil {
		return err
	}
	return nil
}

// endObservation saves the counts and closes the log when the agent ends. Nobody else uses the state any more.
func (a *Agent) endObservation(s *state) {
	if a.cfg.HitsFile != "" && s.hitsChanged {
		if err := writeFile(a.cfg.HitsFile, s.hits.Marshal()); err != nil {
			a.cfg.Logger.Error("can't save the counts of rules: some are lost", "error", err)
		}
	}
	if a.connections != nil {
		if err := a.connections.Close(); err != nil {
			a.cfg.Logger.Error("close the flow log", "error", err)
		}
	}
}
