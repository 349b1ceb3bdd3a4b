package agent

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"time"

	"github.com/weftfabric/weft/plan"
	"github.com/weftfabric/weft/wire/planwire"
	weftv1 "github.com/weftfabric/weft/wire/weftpb/weft/v1"
)

// What status says of the controller, besides reasons.
const (
	connected    = "connected"
	notConnected = "not connected yet"
)

// controllerLoop announces the node and follows its plan, over and over.
func (a *Agent) controllerLoop(ctx context.Context) {
	backoff, started := minBackoff, time.Now()
	for ctx.Err() == nil {
		err := a.followPlan(ctx, func() { backoff = minBackoff })
		if ctx.Err() != nil {
			return
		}
		a.cfg.Logger.Warn("no plan stream from the controller", "error", err, "retry", backoff)
		if a.do(ctx, func(s *state) { s.controllerGone(err, time.Now()) }) != nil {
			return
		}
		select {
		case <-ctx.Done():
		case <-time.After(backoff/2 + rand.N(backoff/2)):
		}
		backoff = min(2*backoff, maxBackoff)
		if time.Since(started) < startTime {
			backoff = min(backoff, maxStartBackoff)
		}
	}
}

// followPlan is the life of one plan stream.
func (a *Agent) followPlan(ctx context.Context, alive func()) error {
	callCtx, cancel := context.WithTimeout(ctx, controllerTimeout)
	defer cancel()
	if err := a.cfg.Controller.Register(callCtx, a.registration()); err != nil {
		return fmt.Errorf("register: %w", err)
	}
	have, err := ask(ctx, a, func(s *state) (*weftv1.WatchPlanRequest, error) {
		if !s.havePlan {
			return &weftv1.WatchPlanRequest{}, nil
		}
		hash := plan.Hash(s.plan)
		return &weftv1.WatchPlanRequest{HaveRevision: s.revision, HaveHash: hash[:]}, nil
	})
	if err != nil {
		return err
	}
	return a.cfg.Controller.Watch(ctx, have, func(u *weftv1.PlanUpdate) error {
		alive()
		_, err := ask(ctx, a, func(s *state) (struct{}, error) { return struct{}{}, a.takeUpdate(s, u) })
		return err
	})
}

// takeUpdate takes over an update of the plan. After an error the stream is opened anew, and the hash of what the
// agent has makes the controller send what it lacks.
func (a *Agent) takeUpdate(s *state, u *weftv1.PlanUpdate) error {
	upsert, err := planwire.FromProtos(u.GetUpsert())
	if err != nil {
		return fmt.Errorf("the controller sent a malformed plan: %w", err)
	}
	base := s.plan
	if u.GetSnapshot() {
		base = plan.Node{Name: s.node}
	} else if !s.havePlan {
		return errors.New("the controller sent a difference to a plan that this node doesn't have")
	}
	next, err := plan.Apply(base, plan.Delta{Upsert: upsert, Remove: u.GetRemove()})
	if err != nil {
		return fmt.Errorf("the controller sent a plan that doesn't fit: %w", err)
	}
	if hash := plan.Hash(next); len(u.GetHash()) > 0 && !bytes.Equal(hash[:], u.GetHash()) {
		return errors.New("the plan isn't what the controller says it is: its hash differs")
	}
	s.setPlan(next, u.GetRevision())
	s.fresh, s.controller = true, connected
	a.savePlan(s)
	a.cfg.Logger.Debug("plan", "revision", s.revision, "snapshot", u.GetSnapshot(), "upsert", len(upsert), "remove", len(u.GetRemove()))
	return nil
}

// savedPlan is a plan on its way to the disk.
type savedPlan struct {
	revision uint64
	plan     plan.Node
}

// loadPlan takes over the plan of the last run. Without one the agent waits for the controller and leaves the
// switch as it finds it.
func (a *Agent) loadPlan(s *state) {
	if a.cfg.PlanFile == "" {
		return
	}
	b, err := os.ReadFile(a.cfg.PlanFile)
	if errors.Is(err, os.ErrNotExist) {
		return
	}
	var revision uint64
	var n plan.Node
	if err == nil {
		revision, n, err = planwire.UnmarshalSnapshot(b)
	}
	if err == nil && n.Name != s.node {
		err = fmt.Errorf("it is the plan of node %s", n.Name)
	}
	if err != nil {
		s.planProblem = fmt.Sprintf("the saved plan %s is not used: %v", a.cfg.PlanFile, err)
		a.cfg.Logger.Warn("the saved plan is not used", "file", a.cfg.PlanFile, "error", err)
		return
	}
	if info, err := os.Stat(a.cfg.PlanFile); err == nil {
		s.planTime = info.ModTime()
	}
	s.setPlan(n, revision)
	a.cfg.Logger.Info("starting with the saved plan", "file", a.cfg.PlanFile, "revision", revision)
}

// savePlan hands the plan to the goroutine that writes it; an older one that it hasn't begun to write is dropped.
func (a *Agent) savePlan(s *state) {
	if a.cfg.PlanFile == "" {
		return
	}
	select {
	case <-a.plans:
	default:
	}
	a.plans <- savedPlan{s.revision, s.plan}
}

// savePlans writes plans to the disk, the last one also when the agent ends.
func (a *Agent) savePlans(ctx context.Context) {
	write := func(p savedPlan) {
		if err := writeFile(a.cfg.PlanFile, planwire.MarshalSnapshot(p.revision, p.plan)); err != nil {
			a.cfg.Logger.Error("can't save the plan: a restart without the controller would use an older one", "error", err)
		}
	}
	confirm := time.NewTicker(confirmInterval)
	defer confirm.Stop()
	for {
		select {
		case p := <-a.plans:
			write(p)
		case <-confirm.C:
			if a.cfg.PlanFile != "" {
				a.confirmPlan(ctx)
			}
		case <-ctx.Done():
			select {
			case p := <-a.plans:
				write(p)
			default:
			}
			return
		}
	}
}

// writeFile replaces a file as a whole: readers see the old content or the new one, also after a power failure.
func writeFile(path string, content []byte) (err error) {
	f, err := os.CreateTemp(filepath.Dir(path), filepath.Base(path)+".*")
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, os.Remove(f.Name()))
		}
	}()
	_, err = f.Write(content)
	err = errors.Join(err, f.Sync(), f.Close())
	if err != nil {
		return err
	}
	return os.Rename(f.Name(), path)
}
