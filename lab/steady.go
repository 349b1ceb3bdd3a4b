package lab

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"text/tabwriter"
	"time"

	"github.com/weftfabric/weft/lab/probe"
	"github.com/weftfabric/weft/topology"
)

// Path is a way between two workloads on which traffic goes on: what policy allows of pings and TCP.
type Path struct {
	From, To Attached
	Address  netip.Addr
	Service  probe.Service // of TCP
	Ping     bool          // echo requests are allowed, too
}

// Kind says what a path leads across: the nodes, the subnets, and the types of its ends.
func (p Path) Kind() string {
	where, subnet := "one node", "one subnet"
	if p.From.Node != p.To.Node {
		where = "two nodes"
	}
	if !slices.ContainsFunc(p.From.Addresses, func(a netip.Prefix) bool { return a.Masked().Contains(p.Address) }) {
		subnet = "two subnets"
	}
	return fmt.Sprintf("%s, %s, %s to %s", where, subnet, p.From.Workload.Spec.Type, p.To.Workload.Spec.Type)
}

// Rates are the intervals of steady traffic; what is 0 is left out.
type Rates struct {
	Stream      time.Duration // between numbers on one established connection
	Pings       time.Duration
	Connections time.Duration // between new connections
	// Patience is how long an answer may take before it counts as lost.
	Patience time.Duration
}

// DefaultRates notice each lost packet: a lost SYN is sent again only after a second (RFC 6298).
func DefaultRates() Rates {
	return Rates{Stream: 20 * time.Millisecond, Pings: 10 * time.Millisecond, Connections: 100 * time.Millisecond, Patience: 950 * time.Millisecond}
}

// Paths returns every path between two workloads on which the intent allows TCP, by their names. A path is from one
// workload to one address; of several allowed services it takes the first.
func (r *Record) Paths(intent *topology.Intent) ([]Path, error) {
	questions := Questions(r.Workloads)
	answers, err := Predict(intent, r.Workloads, questions)
	if err != nil {
		return nil, err
	}
	type ends struct {
		from, to string
		address  netip.Addr
	}
	found := map[ends]*Path{}
	pings := map[ends]bool{}
	var order []ends
	for i, q := range questions {
		e := ends{q.From, q.To, q.Address}
		switch {
		case answers[i] != q.To:
		case q.Service.Protocol == probe.ICMP:
			pings[e] = true
		case q.Service.Protocol == probe.TCP && found[e] == nil:
			from, _ := r.Find(q.From)
			to, err := r.Find(q.To)
			if err != nil {
				return nil, err
			}
			found[e] = &Path{From: from, To: to, Address: q.Address, Service: q.Service}
			order = append(order, e)
		}
	}
	var out []Path
	for _, e := range order {
		p := found[e]
		p.Ping = pings[e]
		out = append(out, *p)
	}
	return out, nil
}

// OneOfEach returns one path of each kind, with pings where they are allowed. Virtual machines only answer: an emulated
// guest is too slow to send at the default rates.
func OneOfEach(paths []Path) []Path {
	var out []Path
	for _, ping := range []bool{true, false} {
		for _, p := range paths {
			if p.Ping == ping && p.From.Workload.Spec.Type != VM && !slices.ContainsFunc(out, func(o Path) bool { return o.Kind() == p.Kind() && o.Address.Is4() == p.Address.Is4() }) {
				out = append(out, p)
			}
		}
	}
	slices.SortStableFunc(out, func(a, b Path) int { return cmp.Compare(a.Kind(), b.Kind()) })
	return out
}

// Steady is traffic on paths that goes on until Stop.
type Steady struct {
	paths   []Path
	names   []string
	clients map[string]*probe.Client
}

// SteadyResult is what became of one path's traffic.
type SteadyResult struct {
	Path Path
	probe.Tally
}

// Lossless reports whether every packet arrived: no answer is missing, and no connection ended.
func (s SteadyResult) Lossless() bool {
	return s.Stream.Lost+s.Stream.Breaks+s.Pings.Lost+s.Connections.Lost == 0
}

// Gap is the longest time without an answer.
func (s SteadyResult) Gap() time.Duration { return max(s.Stream.Gap, s.Pings.Gap, s.Connections.Gap) }

// StartSteady starts traffic on all paths. It is to be stopped.
func (r *Record) StartSteady(ctx context.Context, paths []Path, rates Rates) (*Steady, error) {
	s := &Steady{paths: paths, clients: map[string]*probe.Client{}}
	for _, p := range paths {
		if s.clients[p.From.Ref()] != nil {
			continue
		}
		c, err := probe.Dial(ctx, p.From.Control)
		if err != nil {
			s.close()
			return nil, fmt.Errorf("%s does not run: %w", p.From.Ref(), err)
		}
		s.clients[p.From.Ref()] = c
	}
	for _, p := range paths {
		name := probe.NewToken()
		t := probe.Traffic{
			Name: name, To: p.Address, Service: p.Service, Stream: rates.Stream, Pings: rates.Pings, Connections: rates.Connections, Patience: rates.Patience,
		}
		if !p.Ping {
			t.Pings = 0
		}
		if err := s.begin(ctx, p.From.Ref(), t); err != nil {
			_, stopErr := s.Stop(ctx)
			return nil, errors.Join(fmt.Errorf("%s: %w", p.From.Ref(), err), stopErr)
		}
		s.names = append(s.names, name)
	}
	return s, nil
}

// begin starts traffic from a workload.
func (s *Steady) begin(ctx context.Context, from string, t probe.Traffic) error {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	_, err := s.clients[from].Ask(ctx, probe.Request{Begin: &t})
	return err
}

// Look returns what became of the traffic so far.
func (s *Steady) Look(ctx context.Context) ([]SteadyResult, error) { return s.ask(ctx, false) }

// Stop ends the traffic, waits for the last answers, and returns what became of it.
func (s *Steady) Stop(ctx context.Context) ([]SteadyResult, error) {
	defer s.close()
	return s.ask(ctx, true)
}

func (s *Steady) close() {
	for _, c := range s.clients {
		c.Close()
	}
}

// ask looks at all paths at the same time.
func (s *Steady) ask(ctx context.Context, end bool) ([]SteadyResult, error) {
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	out := make([]SteadyResult, len(s.names))
	errs := make([]error, len(s.names))
	var wg sync.WaitGroup
	for i, name := range s.names {
		wg.Go(func() {
			from := s.paths[i].From.Ref()
			a, err := s.clients[from].Ask(ctx, probe.Request{Look: &probe.Look{Name: name, End: end}})
			switch {
			case err != nil:
				errs[i] = fmt.Errorf("%s: %w", from, err)
			case a.Tally == nil:
				errs[i] = fmt.Errorf("%s: the answer holds no tally", from)
			default:
				out[i] = SteadyResult{Path: s.paths[i], Tally: *a.Tally}
			}
		})
	}
	wg.Wait()
	return out, errors.Join(errs...)
}

// PrintSteady writes a table of results.
func PrintSteady(w io.Writer, results []SteadyResult) error {
	out := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(out, "FROM\tTO\tACROSS\tSTREAM\tPINGS\tCONNECTIONS\tLONGEST GAP\tLAST LOSS")
	for _, r := range results {
		where, _, _ := strings.Cut(r.Path.Kind(), ", container")
		where, _, _ = strings.Cut(where, ", vm")
		fmt.Fprintf(out, "%s\t%s %s\t%s\t%s\t%s\t%s\t%s\t%s\n", r.Path.From.Ref(), r.Path.To.Ref(), r.Path.Address, where,
			countText(r.Stream), countText(r.Pings), countText(r.Connections), r.Gap().Round(time.Millisecond),
			cmp.Or(r.Stream.Why, r.Pings.Why, r.Connections.Why, "-"))
	}
	return out.Flush()
}

// countText is "answered of sent", and what went wrong.
func countText(c probe.Count) string {
	if c.Sent == 0 && c.Breaks == 0 {
		return "-"
	}
	text := fmt.Sprintf("%d of %d", c.Answered, c.Sent)
	for _, n := range []struct {
		count int
		what  string
	}{{c.Lost, "lost"}, {c.Breaks, "broken"}, {c.Resent, "resent"}} {
		if n.count > 0 {
			text += fmt.Sprintf(", %d %s", n.count, n.what)
		}
	}
	return text
}
