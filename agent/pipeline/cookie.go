package pipeline

import (
	"github.com/weftfabric/weft/agent/dataplane"
	"github.com/weftfabric/weft/wire/openflow"
)

// Layout is the version of the tables, registers and cookies. It changes when flows of two versions can't stand
// in one switch.
const Layout = 1

// Cookie is what a flow's cookie tells about it. On the switch it is, from the top: 8 bits
// dataplane.CookieMark, 8 bits Layout, 16 bits kind or, from dropBase on, reason, 32 bits object.
type Cookie struct {
	// Kind says what the flow belongs to; a drop has none.
	Kind Kind
	// Drop is the reason of a flow that drops; zero for all others.
	Drop Reason
	// Object is a rule's id in the policy tables, a port number for what belongs to an attachment, a network's
	// number for what belongs to a network, an identity, or 0.
	Object uint32
}

// Kind is what a flow that doesn't drop belongs to.
type Kind uint16

// The kinds.
const (
	KindBase       Kind = iota + 1 // the layout itself
	KindPeer                       // another node
	KindNetwork                    // a network; Object is its number
	KindIdentity                   // a label set; Object is the identity
	KindAttachment                 // a workload's interface; Object is its port number
	KindRoute                      // a range of addresses; Object is the network's number
	KindRule                       // a row that decides; Object is the rule's id
	KindClause                     // a row that is a member of conjunctions; Object is the network's number
	KindQuestion                   // a row that hands packets to the agent; Object is the network's number, or 0
	KindTally                      // a row that counts what a rule decided; Object is the rule's id
)

// dropBase is the first value of the 16 bits that is a reason, not a kind.
const dropBase = 0x100

// Uint64 returns the cookie as the switch holds it.
func (c Cookie) Uint64() uint64 {
	what := uint64(c.Kind)
	if c.Drop != 0 {
		what = dropBase + uint64(c.Drop)
	}
	return dataplane.CookieMark<<56 | Layout<<48 | what<<32 | uint64(c.Object)
}

// ParseCookie reads a flow's cookie. It reports false for one that isn't the fabric's or of another layout.
func ParseCookie(v uint64) (Cookie, bool) {
	if !dataplane.Ours(v) || v>>48&0xff != Layout {
		return Cookie{}, false
	}
	c := Cookie{Object: uint32(v)}
	if what := uint16(v >> 32); what >= dropBase {
		c.Drop = Reason(what - dropBase)
	} else {
		c.Kind = Kind(what)
	}
	return c, true
}

// row is a flow before its cookie is a number.
type row struct {
	table    Table
	priority uint16
	cookie   Cookie
	match    []openflow.FieldMatch
	actions  []openflow.Action
}

func (r row) flow() openflow.Flow {
	return openflow.Flow{Table: uint8(r.table), Priority: r.priority, Match: openflow.NewMatch(r.match...), Cookie: r.cookie.Uint64(), Actions: r.actions}
}

// flowsOf collects the flows of one owner.
type flowsOf struct {
	kind   Kind
	object uint32
	flows  []openflow.Flow
}

// add appends a flow that goes on: actions decide where.
func (o *flowsOf) add(t Table, priority uint16, match []openflow.FieldMatch, actions ...openflow.Action) {
	o.flows = append(o.flows, row{t, priority, Cookie{Kind: o.kind, Object: o.object}, match, actions}.flow())
}

// drop appends a flow that drops for a reason.
func (o *flowsOf) drop(t Table, priority uint16, why Reason, match ...openflow.FieldMatch) {
	o.flows = append(o.flows, row{table: t, priority: priority, cookie: Cookie{Drop: why, Object: o.object}, match: match}.flow())
}

func when(ms ...openflow.FieldMatch) []openflow.FieldMatch { return ms }
