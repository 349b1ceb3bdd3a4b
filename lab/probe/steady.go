package probe

import (
	"context"
	"fmt"
	"net/netip"
	"sync"
	"time"
)

// Traffic asks to send to one address without a pause, in up to three ways, until it is told to end.
type Traffic struct {
	Name    string     `json:"name"` // by which Look asks for it
	To      netip.Addr `json:"to"`
	Service Service    `json:"service"` // of TCP, for stream and connections
	// The intervals between numbers on one established connection, echo requests, and new connections. What is 0
	// is left out.
	Stream      time.Duration `json:"stream,omitempty"`
	Pings       time.Duration `json:"pings,omitempty"`
	Connections time.Duration `json:"connections,omitempty"`
	// Patience is how long an answer may take before what was sent counts as lost.
	Patience time.Duration `json:"patience"`
}

// Look asks what became of traffic so far, and ends it if asked to. Ending waits for the last answers.
type Look struct {
	Name string `json:"name"`
	End  bool   `json:"end,omitempty"`
}

// Tally is what became of traffic.
type Tally struct {
	Stream      Count `json:"stream"`
	Pings       Count `json:"pings"`
	Connections Count `json:"connections"`
}

// Count counts one kind of traffic. Sent is the sum of Answered, Lost, and what still has time.
type Count struct {
	Sent     int `json:"sent"`
	Answered int `json:"answered"`
	Lost     int `json:"lost"`
	// Breaks are the times that an established connection ended, and Resent the segments that TCP sent again.
	Breaks int `json:"breaks,omitempty"`
	Resent int `json:"resent,omitempty"`
	// Gap is the longest time without an answer while one was due.
	Gap time.Duration `json:"gap"`
	// Why is how the last loss came about.
	Why string `json:"why,omitempty"`
}

// counter is a Count that is being counted.
type counter struct {
	mu   sync.Mutex
	c    Count
	last time.Time // of an answer, or the beginning
}

func newCounter() *counter { return &counter{last: time.Now()} }

// change edits the count.
func (c *counter) change(edit func(*Count)) {
	c.mu.Lock()
	defer c.mu.Unlock()
	edit(&c.c)
}

// sent notes that an answer is due from now on.
func (c *counter) sent() { c.change(func(n *Count) { n.Sent++ }) }

// answered notes an answer.
func (c *counter) answered() {
	c.mu.Lock()
	defer c.mu.Unlock()
	now := time.Now()
	c.c.Answered++
	c.c.Gap, c.last = max(c.c.Gap, now.Sub(c.last)), now
}

// lost notes that n answers won't come.
func (c *counter) lost(n int, why string) {
	c.change(func(k *Count) {
		if k.Lost += n; n > 0 {
			k.Why = why
		}
	})
}

// read returns the count; a gap that lasts is counted up to now.
func (c *counter) read() Count {
	c.mu.Lock()
	defer c.mu.Unlock()
	out := c.c
	if out.Sent > out.Answered+out.Lost {
		out.Gap = max(out.Gap, time.Since(c.last))
	}
	return out
}

// traffic is traffic that goes on.
type traffic struct {
	stream, pings, connections *counter
	end                        context.CancelFunc
	done                       chan struct{}
}

// traffics are those of one connection to the lab; with it they end.
type traffics struct {
	ctx context.Context
	wg  sync.WaitGroup

	mu    sync.Mutex
	named map[string]*traffic
}

func newTraffics(ctx context.Context) *traffics {
	return &traffics{ctx: ctx, named: map[string]*traffic{}}
}

// begin starts traffic.
func (ts *traffics) begin(t Traffic) error {
	ts.mu.Lock()
	defer ts.mu.Unlock()
	if ts.named[t.Name] != nil || t.Name == "" {
		return fmt.Errorf("traffic %q is under way already", t.Name)
	}
	if t.Service.Protocol != TCP && (t.Stream > 0 || t.Connections > 0) {
		return fmt.Errorf("traffic %q: connections need a service of TCP", t.Name)
	}
	var echoes *echoSocket
	if t.Pings > 0 {
		var err error
		if echoes, err = listenEchoes(t.To); err != nil {
			return fmt.Errorf("traffic %q: %w", t.Name, err)
		}
	}
	ctx, cancel := context.WithCancel(ts.ctx)
	n := &traffic{stream: newCounter(), pings: newCounter(), connections: newCounter(), end: cancel, done: make(chan struct{})}
	ts.named[t.Name] = n
	var wg sync.WaitGroup
	if t.Stream > 0 {
		wg.Go(func() { runStream(ctx, t, n.stream) })
	}
	if t.Pings > 0 {
		wg.Go(func() { echoes.run(ctx, t, n.pings) })
	}
	if t.Connections > 0 {
		wg.Go(func() { runConnections(ctx, t, n.connections) })
	}
	ts.wg.Go(func() {
		defer cancel()
		wg.Wait()
		close(n.done)
	})
	return nil
}

// look returns what became of traffic.
func (ts *traffics) look(l Look) (Tally, error) {
	ts.mu.Lock()
	n := ts.named[l.Name]
	if l.End {
		delete(ts.named, l.Name)
	}
	ts.mu.Unlock()
	if n == nil {
		return Tally{}, fmt.Errorf("there is no traffic %q", l.Name)
	}
	if l.End {
		n.end()
		<-n.done
	}
	return Tally{Stream: n.stream.read(), Pings: n.pings.read(), Connections: n.connections.read()}, nil
}

// runConnections opens one connection after the other, sends a token on it and waits for its answer. The first
// SYN is sent again after a second (RFC 6298): with less patience a single lost packet is a lost connection.
func runConnections(ctx context.Context, t Traffic, c *counter) {
	var wg sync.WaitGroup
	defer wg.Wait()
	tick := time.NewTicker(t.Connections)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		c.sent()
		wg.Go(func() {
			ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), t.Patience)
			defer cancel()
			if _, err := exchange(ctx, Send{Service: t.Service, To: t.To, Token: NewToken()}); err != nil {
				c.lost(1, reason(err))
				return
			}
			c.answered()
		})
	}
}
