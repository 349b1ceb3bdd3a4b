package agent

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/weftfabric/weft/agent/flowlog"
	"github.com/weftfabric/weft/firewall"
	"github.com/weftfabric/weft/plan"
	"github.com/weftfabric/weft/wire/planwire"
	weftv1 "github.com/weftfabric/weft/wire/weftpb/weft/v1"
)

// What users ask about connections.

// tellHits tells how often each rule of the plan decided.
func (a *Agent) tellHits(ctx context.Context, send send) error {
	if err := a.freshHits(ctx); err != nil {
		return err
	}
	rules, err := ask(ctx, a, func(s *state) ([]*weftv1.RuleHits, error) {
		if !s.havePlan {
			return nil, fmt.Errorf("the node has no plan yet; controller: %s", s.controller)
		}
		return s.ruleHits(), nil
	})
	if err != nil {
		return err
	}
	for part := range bySize(rules) {
		if err := send(&weftv1.AnswerRequest{Part: &weftv1.AnswerRequest_Hits{Hits: &weftv1.HitsPart{Rules: part}}}); err != nil {
			return err
		}
	}
	return nil
}

// ruleHits returns the counts of all rules of the plan, in the order of their numbers.
func (s *state) ruleHits() []*weftv1.RuleHits {
	counts := s.hits.Counts()
	found := map[firewall.RuleID]*weftv1.RuleHits{}
	var out []*weftv1.RuleHits
	for _, t := range s.plan.Tables {
		for i := range t.Rules {
			r := &t.Rules[i]
			h := found[r.ID]
			if h == nil {
				h = &weftv1.RuleHits{
					Id: uint32(r.ID), Tier: uint32(r.Tier), Direction: uint32(r.Direction), Action: uint32(r.Action), Hits: counts[r.ID].Hits,
					Origin: &weftv1.RuleOrigin{Policy: r.Origin.Policy, Rule: r.Origin.Rule, File: r.Origin.File, Line: int32(r.Origin.Line)},
				}
				if last := counts[r.ID].Last; !last.IsZero() {
					h.Last = timestamppb.New(last)
				}
				found[r.ID] = h
				out = append(out, h)
			}
			h.Log = h.Log || r.Log
			h.Networks = append(h.Networks, s.index.refs[t.Network].String())
		}
	}
	slices.SortFunc(out, func(a, b *weftv1.RuleHits) int { return cmp.Compare(a.Id, b.Id) })
	return out
}

// errEnough ends the reading of a log.
var errEnough = errors.New("nobody listens any more")

// tellLog tells what the log of connections holds, and what comes.
func (a *Agent) tellLog(ctx context.Context, q *weftv1.FlowLogQuestion, send send) error {
	if a.connections == nil {
		return errors.New("this agent keeps no log of connections")
	}
	var coming <-chan flowlog.Record
	missed := func() uint64 { return 0 }
	if q.GetFollow() { // before the file is read, so that no record falls between
		records, lost, stop := a.connections.Follow()
		defer stop()
		coming, missed = records, lost
	}
	out := &logParts{send: send, wanted: wantedRecords(q), last: map[string]bool{}}
	damaged, err := a.connections.Read(func(r flowlog.Record) error {
		if ctx.Err() != nil {
			return errEnough
		}
		return out.add(r)
	})
	out.part.Damaged = uint64(damaged)
	if err == nil {
		err = out.flush()
	}
	if err != nil || coming == nil {
		return err
	}
	return out.follow(ctx, coming, missed)
}

// logParts collects records into parts.
type logParts struct {
	send   send
	wanted func(flowlog.Record) bool
	part   weftv1.FlowLogPart
	size   int
	// last are the latest records of the file: the first ones that come may be among them.
	last map[string]bool
}

func (l *logParts) add(r flowlog.Record) error {
	if !l.wanted(r) {
		return nil
	}
	b, err := json.Marshal(r)
	if err != nil {
		return err
	}
	if l.last != nil {
		if len(l.last) > 10000 {
			clear(l.last)
		}
		l.last[string(b)] = true
	}
	l.part.Records = append(l.part.Records, string(b))
	if l.size += len(b); l.size >= partSize {
		return l.flush()
	}
	return nil
}

func (l *logParts) flush() error {
	if len(l.part.Records) == 0 && l.part.Missed == 0 && l.part.Damaged == 0 {
		return nil
	}
	part := &weftv1.FlowLogPart{Records: l.part.Records, Missed: l.part.Missed, Damaged: l.part.Damaged}
	l.part, l.size = weftv1.FlowLogPart{}, 0
	return l.send(&weftv1.AnswerRequest{Part: &weftv1.AnswerRequest_FlowLog{FlowLog: part}})
}

// follow sends records as they come, until nobody listens.
func (l *logParts) follow(ctx context.Context, coming <-chan flowlog.Record, missed func() uint64) error {
	seen := l.last
	l.last = nil
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case r := <-coming:
			for more := true; more; {
				if b, err := json.Marshal(r); err == nil && seen[string(b)] {
					delete(seen, string(b))
				} else if err := l.add(r); err != nil {
					return err
				}
				select {
				case r = <-coming:
				default:
					more = false
				}
			}
			l.part.Missed = missed()
			if err := l.flush(); err != nil {
				return err
			}
		}
	}
}

// wantedRecords returns what selects records. Those that tell of the log itself are always wanted.
func wantedRecords(q *weftv1.FlowLogQuestion) func(flowlog.Record) bool {
	var since time.Time
	if q.GetSince() != nil {
		since = q.GetSince().AsTime()
	}
	return func(r flowlog.Record) bool {
		switch {
		case r.Time.Before(since):
			return false
		case r.Verdict == "":
			return true
		case q.GetVerdict() != "" && r.Verdict != q.GetVerdict():
			return false
		}
		return q.GetPolicy() == "" || r.Rule != nil && isPolicy(r.Rule.Policy, q.GetPolicy())
	}
}

// isPolicy reports whether a rule's policy is meant by a name, which may lack the kind.
func isPolicy(policy, name string) bool {
	return policy == name || strings.HasSuffix(policy, " "+name)
}

// tellCuts tells how many live connections a revision has cut, once all of them follow its policy.
func (a *Agent) tellCuts(ctx context.Context, revision uint64, send send) error {
	if a.cfg.Tracker == nil {
		return errors.New("this agent can't ask its switch for live connections")
	}
	err := a.waitFor(ctx, wait{For: "live connections to follow the policy", Timeout: jobTimeout, Condition: func(s *state) (bool, error) {
		return s.cuts.finished >= revision, nil
	}})
	if err != nil {
		return err
	}
	part, err := ask(ctx, a, func(s *state) (*weftv1.CutsPart, error) {
		p := &weftv1.CutsPart{}
		for r, n := range s.cuts.byRevision {
			if r >= revision {
				p.Connections += n
			}
		}
		return p, nil
	})
	if err != nil {
		return err
	}
	return send(&weftv1.AnswerRequest{Part: &weftv1.AnswerRequest_Cuts{Cuts: part}})
}

// tellWouldCut tells how many live connections a change of the plan would cut.
func (a *Agent) tellWouldCut(ctx context.Context, q *weftv1.WouldCutQuestion, send send) error {
	if a.cfg.Tracker == nil {
		return errors.New("this agent can't ask its switch for live connections")
	}
	upsert, err := planwire.FromProtos(q.GetUpsert())
	if err != nil {
		return fmt.Errorf("the change is malformed: %w", err)
	}
	task, err := ask(ctx, a, func(s *state) (sweep, error) {
		hash := plan.Hash(s.plan)
		if !s.havePlan || !bytes.Equal(hash[:], q.GetBaseHash()) {
			return sweep{}, errors.New("the node works on another plan than the controller's")
		}
		next, err := plan.Apply(s.plan, plan.Delta{Upsert: upsert, Remove: q.GetRemove()})
		if err != nil {
			return sweep{}, fmt.Errorf("the change doesn't fit the node's plan: %w", err)
		}
		return s.sweepOf(concernedBy(s.plan, next), next), nil
	})
	if err != nil {
		return err
	}
	f, err := a.forbidden(ctx, task)
	if err != nil {
		return err
	}
	part := &weftv1.CutsPart{Connections: f.here, Kept: f.kept, Unsure: f.unsure}
	return send(&weftv1.AnswerRequest{Part: &weftv1.AnswerRequest_Cuts{Cuts: part}})
}
