package openflow

import (
	"errors"
	"fmt"
)

// Command says what a mod does. The zero Command is invalid.
type Command uint8

// The commands. Groups and meters know Add, Modify and Delete; AddOrModify is for groups alone.
const (
	// Add adds the object. A flow with the same table, priority and match is replaced, and goes on with its
	// counters; a group or a meter with the same number is an error.
	Add Command = iota + 1
	// Modify changes the actions of all flows that the match covers, or one group or meter.
	Modify
	// ModifyStrict changes the actions of the one flow with this table, priority and match.
	ModifyStrict
	// Delete removes all flows that the match covers, or one group or meter; removing nothing succeeds.
	Delete
	// DeleteStrict removes the one flow with this table, priority and match.
	DeleteStrict
	// AddOrModify adds a group or replaces it.
	AddOrModify
)

// String returns the name of the command.
func (c Command) String() string {
	switch c {
	case Add:
		return "add"
	case Modify:
		return "modify"
	case ModifyStrict:
		return "modify strictly"
	case Delete:
		return "delete"
	case DeleteStrict:
		return "delete strictly"
	case AddOrModify:
		return "add or modify"
	}
	return "invalid command"
}

// Mod is one change of the switch: a FlowMod, a GroupMod or a MeterMod. The set is closed.
type Mod interface {
	// String says what the mod does, for messages.
	String() string
	append(b []byte, xid uint32) ([]byte, error)
}

// AllTables is the Table of a FlowMod that deletes from every table, and of a filter of all tables.
const AllTables uint8 = 0xff

// FlowMod changes flows. With CookieMask, Modify and Delete are limited to flows whose cookie equals
// Flow.Cookie in the bits of the mask; Modify keeps the flows' cookies.
type FlowMod struct {
	Command    Command
	Flow       Flow
	CookieMask uint64
}

// flowCommands numbers the commands (enum ofp_flow_mod_command).
var flowCommands = map[Command]byte{Add: 0, Modify: 1, ModifyStrict: 2, Delete: 3, DeleteStrict: 4}

// noBuffer is the number of no buffered packet; anyGroup that of any group.
const (
	noBuffer = 0xffffffff
	anyGroup = 0xffffffff
)

// String returns the command and the flow.
func (m FlowMod) String() string {
	s := fmt.Sprintf("%s flow %q", m.Command, m.Flow.String())
	if m.CookieMask != 0 {
		s += fmt.Sprintf(" (cookie mask 0x%x)", m.CookieMask)
	}
	return s
}

// append appends struct ofp_flow_mod: cookie(8) mask(8) table(1) command(1) idle(2) hard(2) priority(2)
// buffer(4) out_port(4) out_group(4) flags(2) importance(2) match instructions.
func (m FlowMod) append(b []byte, xid uint32) ([]byte, error) {
	command, ok := flowCommands[m.Command]
	switch {
	case !ok:
		return nil, fmt.Errorf("flows have no %s", m.Command)
	case m.CookieMask != 0 && m.Command == Add:
		return nil, errors.New("adding a flow takes no cookie mask")
	case m.Flow.Table == AllTables && m.Command != Delete && m.Command != DeleteStrict:
		return nil, errors.New("table 255 does not exist")
	}
	return appendMessage(b, msgFlowMod, xid, func(b []byte) ([]byte, error) {
		f := m.Flow
		b = be.AppendUint64(be.AppendUint64(b, f.Cookie), m.CookieMask)
		b = append(b, f.Table, command)
		b = be.AppendUint16(be.AppendUint16(be.AppendUint16(b, f.IdleTimeout), f.HardTimeout), f.Priority)
		b = be.AppendUint32(be.AppendUint32(be.AppendUint32(b, noBuffer), PortAny), anyGroup)
		b = append(b, 0, 0, 0, 0)
		b, err := appendMatch(b, f.Match)
		if err != nil || m.Command == Delete || m.Command == DeleteStrict {
			return b, err
		}
		return appendInstructions(b, f.Actions)
	})
}

// Instructions of a flow: its actions are applied at once (OFPIT_APPLY_ACTIONS).
const instrApply = 4

func appendInstructions(b []byte, actions []Action) ([]byte, error) {
	if len(actions) == 0 {
		return b, nil
	}
	start := len(b)
	b, err := appendActions(append(b, 0, instrApply, 0, 0, 0, 0, 0, 0), actions)
	if err != nil {
		return nil, err
	}
	be.PutUint16(b[start+2:], uint16(len(b)-start))
	return b, nil
}

// instructions reads the rest of the cursor as instructions.
func (c *cursor) instructions() ([]Action, error) {
	var out []Action
	for len(c.b) > 0 {
		kind, n := c.u16(), int(c.u16())
		body := cursor{b: c.take(n - 4)}
		body.skip(4)
		if c.bad || body.bad {
			return nil, errShort
		}
		if kind != instrApply {
			return nil, fmt.Errorf("instruction %d is not supported", kind)
		}
		actions, err := body.actions(0)
		if err != nil {
			return nil, err
		}
		out = append(out, actions...)
	}
	return out, nil
}
