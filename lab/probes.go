package lab

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/weftfabric/weft/lab/probe"
	"github.com/weftfabric/weft/topology"
)

// Patience says how long the lab waits for answers. What policy denies costs all of it.
type Patience struct {
	Tries   int
	Timeout time.Duration // per try
	// Parallel bounds the probes under way in all containers together.
	Parallel int
}

// DefaultPatience is long for an emulated guest, and short for a person.
func DefaultPatience() Patience { return Patience{Tries: 2, Timeout: time.Second, Parallel: 128} }

// questionsTo are the probes that a target gets from each other workload: for each of its addresses a ping,
// and each service that it answers.
func questionsTo(to Attached) []Question {
	var out []Question
	for _, p := range to.Addresses {
		out = append(out, Question{To: to.Ref(), Address: p.Addr(), Service: probe.Service{Protocol: probe.ICMP}})
		for _, s := range to.Workload.services() {
			out = append(out, Question{To: to.Ref(), Address: p.Addr(), Service: s})
		}
	}
	return out
}

// Questions are all probes between ordered pairs of workloads.
func Questions(workloads []Attached) []Question {
	var out []Question
	for _, from := range workloads {
		for _, to := range workloads {
			if from.Ref() == to.Ref() {
				continue
			}
			for _, q := range questionsTo(to) {
				q.From = from.Ref()
				out = append(out, q)
			}
		}
	}
	return out
}

// Probe sends real packets between every ordered pair of workloads and sets what was seen beside what the
// intent predicts.
func (r *Record) Probe(ctx context.Context, intent *topology.Intent, p Patience) (Matrix, error) {
	questions := Questions(r.Workloads)
	predicted, err := Predict(intent, r.Workloads, questions)
	if err != nil {
		return Matrix{}, err
	}
	s, err := r.connect(ctx)
	if err != nil {
		return Matrix{}, err
	}
	defer s.close()
	if _, err := s.seen(ctx); err != nil { // forget what earlier probes left
		return Matrix{}, err
	}
	sent := s.send(ctx, questions, p)
	seenBy, err := s.seen(ctx)
	if err != nil {
		return Matrix{}, err
	}
	m := Matrix{Workloads: r.Workloads}
	for i, q := range questions {
		if sent[i].err != nil {
			return Matrix{}, fmt.Errorf("probe from %s to %s: %w", q.From, q.To, sent[i].err)
		}
		c := Cell{Question: q, Predicted: predicted[i], Seen: sent[i].reply.Who, Why: sent[i].reply.Why}
		if q.Service.Protocol == probe.ICMP {
			reached := seenBy[sent[i].token]
			c.Seen = pingAnswer(q, sent[i].reply, reached)
			for _, who := range reached {
				if who != predicted[i] {
					m.Leaks = append(m.Leaks, fmt.Sprintf("an echo request from %s to %s of %s reached %s", q.From, q.Address, q.To, who))
				}
			}
		}
		m.Cells = append(m.Cells, c)
	}
	slices.Sort(m.Leaks)
	return m, nil
}

// pingAnswer says who answered an echo request: whoever received it. An answer without a receiver is one that
// the fabric gave.
func pingAnswer(q Question, reply probe.Reply, reached []string) string {
	switch {
	case !reply.Answered:
		return ""
	case len(reached) == 0:
		return "the fabric"
	case slices.Contains(reached, q.To):
		return q.To
	}
	return reached[0]
}

// session holds connections to the programs in all workloads.
type session struct {
	workloads []Attached
	clients   map[string]*probe.Client
}

func (r *Record) connect(ctx context.Context) (*session, error) {
	s := &session{workloads: r.Workloads, clients: map[string]*probe.Client{}}
	for _, w := range r.Workloads {
		c, err := probe.Dial(ctx, w.Control)
		if err != nil {
			s.close()
			return nil, fmt.Errorf("%s does not run: %w", w.Ref(), err)
		}
		s.clients[w.Ref()] = c
	}
	return s, nil
}

func (s *session) close() {
	for _, c := range s.clients {
		c.Close()
	}
}

// sentProbe is what became of one question.
type sentProbe struct {
	token string
	reply probe.Reply
	err   error
}

// send carries out all questions, several at a time; a virtual machine, being slow, has its own bound.
func (s *session) send(ctx context.Context, questions []Question, p Patience) []sentProbe {
	out := make([]sentProbe, len(questions))
	containers := make(chan struct{}, p.Parallel)
	guests := map[string]chan struct{}{}
	for _, w := range s.workloads {
		if w.Workload.Spec.Type == VM {
			guests[w.Ref()] = make(chan struct{}, guestParallel)
		}
	}
	var wg sync.WaitGroup
	for i, q := range questions {
		slots := containers
		if g, ok := guests[q.From]; ok {
			slots = g
		}
		wg.Go(func() {
			slots <- struct{}{}
			defer func() { <-slots }()
			out[i] = s.ask(ctx, q, p)
		})
	}
	wg.Wait()
	return out
}

func (s *session) ask(ctx context.Context, q Question, p Patience) sentProbe {
	// The program's own deadlines come first; this one is for a program that is gone.
	ctx, cancel := context.WithTimeout(ctx, time.Duration(p.Tries)*p.Timeout+30*time.Second)
	defer cancel()
	out := sentProbe{token: probe.NewToken()}
	answer, err := s.clients[q.From].Ask(ctx, probe.Request{Send: &probe.Send{
		Service: q.Service, To: q.Address, Token: out.token, Tries: p.Tries, Timeout: p.Timeout}})
	switch {
	case err != nil:
		out.err = err
	case answer.Reply == nil:
		out.err = errors.New("the answer holds no reply")
	default:
		out.reply = *answer.Reply
	}
	return out
}

// seen asks every workload which echo requests it received, and returns the workloads by token.
func (s *session) seen(ctx context.Context) (map[string][]string, error) {
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	out := map[string][]string{}
	for _, w := range s.workloads {
		answer, err := s.clients[w.Ref()].Ask(ctx, probe.Request{Seen: &probe.Seen{}})
		if err != nil {
			return nil, fmt.Errorf("%s: %w", w.Ref(), err)
		}
		for _, token := range answer.Tokens {
			out[token] = append(out[token], w.Ref())
		}
	}
	return out, nil
}
