package flowlog

import (
	"net/netip"
	"time"

	"github.com/weftfabric/weft/firewall"
)

// The limits of a node's log. What the switch hands to the agent is limited before, by its meter.
const (
	recordsPerSecond = 50
	recordsAtOnce    = 200
	// sameAgain is how long packets of one kind are one record: a client repeats the first packet of a connection that
	// nobody answers.
	sameAgain = 10 * time.Second
	maxKinds  = 4096
)

// Kind is what packets have in common that need one record only.
type Kind struct {
	Rule             firewall.RuleID
	Reason           string
	Src, Dst         netip.Addr
	Protocol         firewall.Protocol
	SrcPort, DstPort uint16
	Type, Code       uint8
}

// Limiter says which packets get a record. The zero Limiter is ready; one goroutine owns it.
type Limiter struct {
	due   time.Time // until when what was written is paid for
	kinds map[Kind]*seen
}

type seen struct {
	since    time.Time
	repeated uint64
}

// Decision is what becomes of a packet.
type Decision uint8

// The decisions.
const (
	Write   Decision = iota + 1
	Repeat           // a record of its kind was written just now, and the next one counts it
	Limited          // there were too many
)

// Allow decides about a packet, and returns how many of its kind went unwritten since the last record.
func (l *Limiter) Allow(k Kind, now time.Time) (d Decision, repeated uint64) {
	before := l.kinds[k]
	if before != nil && now.Sub(before.since) < sameAgain {
		before.repeated++
		return Repeat, 0
	}
	if l.due.Before(now) {
		l.due = now
	}
	const pause = time.Second / recordsPerSecond
	if l.due.Sub(now) >= recordsAtOnce*pause {
		return Limited, 0
	}
	l.due = l.due.Add(pause)
	if before != nil {
		repeated = before.repeated
	}
	l.note(k, now)
	return Write, repeated
}

// note remembers that a record of a kind was written.
func (l *Limiter) note(k Kind, now time.Time) {
	if l.kinds == nil {
		l.kinds = make(map[Kind]*seen)
	}
	if len(l.kinds) >= maxKinds {
		for k, s := range l.kinds {
			if now.Sub(s.since) >= sameAgain {
				delete(l.kinds, k)
			}
		}
	}
	if len(l.kinds) < maxKinds { // else its repetitions get records of their own, which are limited
		l.kinds[k] = &seen{since: now}
	}
}
