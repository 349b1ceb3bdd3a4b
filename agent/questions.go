package agent

import (
	"context"
	"fmt"
	"net/netip"
	"slices"
	"time"

	"github.com/weftfabric/weft/agent/dhcp"
	"github.com/weftfabric/weft/agent/flowlog"
	"github.com/weftfabric/weft/agent/ovs"
	"github.com/weftfabric/weft/agent/pipeline"
	"github.com/weftfabric/weft/plan"
)

// What one port may ask: a client asks twice to get its address, and repeats itself every few seconds.
const (
	questionBurst = 20
	questionPause = 100 * time.Millisecond // for each one beyond the burst
)

// answerQuestions answers what the switch asks on one connection, until that ends. Questions that aren't answered
// are counted; clients repeat them.
func (a *Agent) answerQuestions(ctx context.Context, conn Questions) {
	limits := questionLimits{}
	var logLimit flowlog.Limiter
	for {
		q, err := conn.Next(ctx)
		if err != nil {
			return
		}
		if q.Purpose == pipeline.PurposeFlowLog {
			if err := a.logCopy(ctx, &logLimit, q); err != nil {
				a.cfg.Logger.Debug("a copied packet is not logged", "port", q.Port, "error", err)
			}
			continue
		}
		if !limits.allow(asker{q.Port, q.Purpose}, time.Now()) {
			a.refuse(q)
			continue
		}
		if err := a.answer(ctx, conn, q); err != nil {
			a.refuse(q)
			a.cfg.Logger.Debug("a question of the switch is not answered", "purpose", q.Purpose, "port", q.Port, "error", err)
		}
	}
}

// refuse counts a question that isn't answered. What is too large was counted when it was dropped.
func (a *Agent) refuse(q ovs.Question) {
	if q.Purpose != pipeline.PurposeTooLarge {
		a.refused.Add(1)
	}
}

// answer answers one question of the switch.
func (a *Agent) answer(ctx context.Context, conn Questions, q ovs.Question) error {
	var reply []byte
	var err error
	switch q.Purpose {
	case pipeline.PurposeDHCPv4:
		reply, err = a.answerDHCP(ctx, q)
	case pipeline.PurposeND:
		reply, err = ask(ctx, a, func(s *state) ([]byte, error) { return s.answerND(q) })
	case pipeline.PurposeTooLarge:
		reply, err = ask(ctx, a, func(s *state) ([]byte, error) { return s.answerTooLarge(q) })
	default:
		err = fmt.Errorf("the purpose %.40q is unknown", q.Purpose)
	}
	if err != nil || reply == nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, switchTimeout)
	defer cancel()
	return conn.Reply(ctx, q.Port, reply)
}

// answerDHCP returns the frame that answers a DHCP request, and nil where the protocol has no answer.
func (a *Agent) answerDHCP(ctx context.Context, q ovs.Question) ([]byte, error) {
	l, err := ask(ctx, a, func(s *state) (dhcp.Lease, error) { return s.dhcpLease(q.Port) })
	if err != nil {
		return nil, err
	}
	return dhcp.Answer(q.Packet, l)
}

// dhcpLease returns what DHCP tells the workload on a port. Only flows that a barrier has confirmed count: the
// number of a port that is gone may be somebody else's by now.
func (s *state) dhcpLease(port uint32) (dhcp.Lease, error) {
	for _, at := range s.flows.enforced {
		if at.OFPort != port {
			continue
		}
		n := s.index.networks[s.index.refs[at.Network]]
		for _, addr := range at.Addresses {
			if sub, ok := subnetWith(n, addr); ok && addr.Is4() {
				return dhcp.Lease{
					MAC: at.MAC, Address: netip.PrefixFrom(addr, sub.IPv4.Bits()), Gateway: sub.Gateway4, Router: s.plan.Settings.VirtualMAC,
					MTU: s.plan.Settings.MTU(n.MTU), DNS: sub.DNS, Routes: s.otherRanges(n, sub),
				}, nil
			}
		}
	}
	return dhcp.Lease{}, fmt.Errorf("nothing with an IPv4 address is attached to port %d", port)
}

// otherRanges returns the IPv4 ranges that a subnet's gateway leads to: the network's other subnets, and those of the
// networks peered with it.
func (s *state) otherRanges(n plan.Network, own plan.Subnet) []netip.Prefix {
	var out []netip.Prefix
	add := func(subnets []plan.Subnet) {
		for _, sub := range subnets {
			if sub.IPv4.IsValid() && sub.IPv4 != own.IPv4 {
				out = append(out, sub.IPv4)
			}
		}
	}
	add(n.Subnets)
	for _, id := range n.Peers {
		if p := s.index.networks[s.index.refs[id]]; slices.Contains(p.Peers, n.ID) {
			add(p.Subnets)
		}
	}
	return out
}

// asker is a port that asks for a purpose.
type asker struct {
	port    uint32
	purpose string
}

// questionLimits says, by asker, when its questions so far would be paid for at one each pause.
type questionLimits map[asker]time.Time

// allow reports whether an asker may ask now, so that one workload can't keep the agent from answering the others.
func (l questionLimits) allow(who asker, now time.Time) bool {
	due := l[who]
	if due.Before(now) {
		due = now
	}
	if due.Sub(now) >= questionBurst*questionPause {
		return false
	}
	l[who] = due.Add(questionPause)
	return true
}
