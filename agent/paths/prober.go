package paths

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"net"
	"net/netip"
	"slices"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/weftfabric/weft/fabric"
)

// Port is the UDP port of probes, from and to.
const Port = 6783

const (
	interval    = 300 * time.Millisecond
	maxRate     = 1000 // probes a second of a node, to all targets
	maxDatagram = 9216
	listenRetry = 500 * time.Millisecond
)

// Target is another node.
type Target struct {
	Name    fabric.NodeName
	Address netip.Addr
	// MTU is the largest packet that the way should carry, in bytes.
	MTU int
}

// Measured is a target with what is known of the way to it.
type Measured struct {
	Target
	Path
}

// Prober measures the ways to its targets. Its methods may be called at once.
type Prober struct {
	changed chan struct{}

	mu       sync.Mutex
	local    netip.Addr
	renewed  chan struct{} // closed when local has changed
	targets  map[netip.Addr]*target
	sequence uint32
}

type target struct {
	Target
	meter *Meter
}

// New returns a Prober without targets.
func New() *Prober {
	return &Prober{changed: make(chan struct{}, 1), renewed: make(chan struct{}), targets: map[netip.Addr]*target{}}
}

// Changed yields a value after one or several paths went up or down, or are known to carry another size than before.
func (p *Prober) Changed() <-chan struct{} { return p.changed }

// SetTargets says from which address to measure what. Paths that stay keep what is known of them.
func (p *Prober) SetTargets(local netip.Addr, targets []Target) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.local != local {
		p.local = local
		p.targets = map[netip.Addr]*target{}
		close(p.renewed)
		p.renewed = make(chan struct{})
	}
	next := make(map[netip.Addr]*target, len(targets))
	for _, t := range targets {
		if was, ok := p.targets[t.Address]; ok && was.Name == t.Name {
			if was.MTU != t.MTU {
				was.Target = t
				was.meter.Expect(t.MTU)
			}
			next[t.Address] = was
			continue
		}
		next[t.Address] = &target{Target: t, meter: NewMeter(t.MTU)}
	}
	p.targets = next
}

// Paths returns what is known, in the order of the targets' names.
func (p *Prober) Paths() []Measured {
	p.mu.Lock()
	defer p.mu.Unlock()
	out := make([]Measured, 0, len(p.targets))
	for _, t := range p.targets {
		out = append(out, Measured{t.Target, t.meter.Path()})
	}
	slices.SortFunc(out, func(a, b Measured) int {
		return cmp.Or(cmp.Compare(a.Name, b.Name), a.Address.Compare(b.Address))
	})
	return out
}

// Run measures until ctx ends. While the local address isn't there, all probes count as not sent: nothing is
// known of the paths then.
func (p *Prober) Run(ctx context.Context) error {
	for ctx.Err() == nil {
		p.mu.Lock()
		local, renewed := p.local, p.renewed
		p.mu.Unlock()
		var retry <-chan time.Time
		if local.IsValid() {
			_ = p.session(ctx, local, renewed) // it ends when the address changes or goes; what follows is to try again
			retry = time.After(listenRetry)
		}
		select {
		case <-ctx.Done():
		case <-renewed:
		case <-retry:
		}
	}
	return nil
}

// session is the life of one socket.
func (p *Prober) session(ctx context.Context, local netip.Addr, renewed <-chan struct{}) (err error) {
	conn, err := listen(ctx, local)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var reader sync.WaitGroup
	reader.Go(func() { cancel(p.read(conn)) })
	defer reader.Wait()
	defer func() { err = errors.Join(err, conn.Close()) }()
	for {
		p.send(conn)
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-renewed:
			return nil
		case <-time.After(p.interval()):
		}
	}
}

// interval returns the time between two probes to one target.
func (p *Prober) interval() time.Duration {
	p.mu.Lock()
	defer p.mu.Unlock()
	return max(interval, time.Duration(len(p.targets))*time.Second/maxRate)
}

// send gives up old probes, and sends each target a new one.
func (p *Prober) send(conn *net.UDPConn) {
	type outgoing struct {
		to   netip.Addr
		data []byte
	}
	var out []outgoing
	p.mu.Lock()
	now := time.Now()
	fell := false
	for _, a := range slices.SortedFunc(maps.Keys(p.targets), netip.Addr.Compare) {
		m := p.targets[a].meter
		fell = m.Expire(now) || fell
		p.sequence++
		size := m.Size()
		m.Sent(p.sequence, size, now)
		out = append(out, outgoing{a, question(p.sequence, size, a)})
	}
	p.mu.Unlock()
	if fell {
		p.tell()
	}
	for _, o := range out {
		_, _ = conn.WriteToUDPAddrPort(o.data, netip.AddrPortFrom(o.to, Port)) // a probe that can't be sent is lost, and counted so
	}
}

// read answers questions, and takes answers, until the socket fails.
func (p *Prober) read(conn *net.UDPConn) error {
	b := make([]byte, maxDatagram)
	for {
		n, from, err := conn.ReadFromUDPAddrPort(b)
		if errors.Is(err, net.ErrClosed) {
			return err
		}
		if err != nil {
			if errors.Is(err, syscall.ECONNREFUSED) {
				continue // the other end's agent isn't there: its probe is lost
			}
			return err
		}
		kind, sequence, ok := parse(b[:n])
		switch {
		case !ok:
		case kind == kindQuestion:
			answer(b[:n])
			_, _ = conn.WriteToUDPAddrPort(b[:n], from)
		case kind == kindAnswer:
			p.take(from.Addr().Unmap(), sequence)
		}
	}
}

func (p *Prober) take(from netip.Addr, sequence uint32) {
	p.mu.Lock()
	t, ok := p.targets[from]
	rose := ok && t.meter.Answered(sequence, time.Now())
	p.mu.Unlock()
	if rose {
		p.tell()
	}
}

func (p *Prober) tell() {
	select {
	case p.changed <- struct{}{}:
	default:
	}
}

// listen opens the socket; its packets are never fragmented, so that large probes measure what passes whole
// (ip(7), IP_MTU_DISCOVER; ipv6(7)).
func listen(ctx context.Context, local netip.Addr) (*net.UDPConn, error) {
	network, level, option, value := "udp4", unix.IPPROTO_IP, unix.IP_MTU_DISCOVER, unix.IP_PMTUDISC_PROBE
	if local.Is6() {
		network, level, option, value = "udp6", unix.IPPROTO_IPV6, unix.IPV6_MTU_DISCOVER, unix.IPV6_PMTUDISC_PROBE
	}
	lc := net.ListenConfig{Control: func(_, _ string, c syscall.RawConn) (err error) {
		ctl := c.Control(func(fd uintptr) { err = unix.SetsockoptInt(int(fd), level, option, value) })
		return errors.Join(err, ctl)
	}}
	c, err := lc.ListenPacket(ctx, network, netip.AddrPortFrom(local, Port).String())
	if err != nil {
		return nil, fmt.Errorf("listen for probes: %w", err)
	}
	return c.(*net.UDPConn), nil // what ListenPacket returns for UDP
}
