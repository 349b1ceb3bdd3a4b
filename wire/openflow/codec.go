package openflow

// MarshalMatch returns the binary form of a match, struct ofp_match with its padding. It fails on values
// outside of their masks, and on masks that are empty or too wide.
func MarshalMatch(m Match) ([]byte, error) { return appendMatch(nil, m) }

// UnmarshalMatch reads the binary form of a match, which is all of b. A field that this package doesn't
// have is refused.
func UnmarshalMatch(b []byte) (Match, error) {
	c := cursor{b: b}
	m, err := c.match()
	if err == nil && len(c.b) > 0 {
		err = errTrailing
	}
	return m, err
}

// MarshalActions returns the binary form of actions. It fails on actions that can't be expressed: a subfield
// outside of its field, a table that doesn't exist, and so on.
func MarshalActions(actions []Action) ([]byte, error) { return appendActions(nil, actions) }

// UnmarshalActions reads the binary form of actions, which is all of b. An action that this package has no
// type for is refused.
func UnmarshalActions(b []byte) ([]Action, error) {
	c := cursor{b: b}
	return c.actions(0)
}

// MarshalMod returns the OpenFlow message that makes a change, with the given transaction number.
func MarshalMod(m Mod, xid uint32) ([]byte, error) { return m.append(nil, xid) }

// MarshalConnections returns the message that flushes connections.
func MarshalConnections(w Connections, xid uint32) ([]byte, error) { return w.append(nil, xid) }
