package openflow

import (
	"cmp"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"
)

// GroupType says how a group chooses among its buckets. The zero GroupType is invalid.
type GroupType uint8

// The types of groups (OpenFlow 1.5.1, section 5.10.1).
const (
	GroupAll          GroupType = iota + 1 // a copy of the packet to every bucket
	GroupSelect                            // one bucket, by a hash of the packet and the weights
	GroupIndirect                          // the only bucket
	GroupFastFailover                      // the first bucket whose watched port or group is up
)

// groupTypeNames are those of ovs-ofctl; the type on the wire is the index.
var groupTypeNames = []string{"all", "select", "indirect", "ff"}

// String returns the name that ovs-ofctl uses.
func (t GroupType) String() string {
	if t < GroupAll || t > GroupFastFailover {
		return "invalid"
	}
	return groupTypeNames[t-1]
}

// GroupDesc is a group as data.
type GroupDesc struct {
	ID      uint32
	Type    GroupType
	Buckets []Bucket
	// Selection says how a select group chooses; the zero Selection leaves it to the switch.
	Selection Selection
}

// Selection is the method of a select group: "hash" over Fields, or "dp_hash" with Param (ovs-ofctl(8),
// "selection_method").
type Selection struct {
	Method string
	Param  uint64
	Fields Match // each with the mask of the bits that count; the values don't
}

// Bucket is one alternative of a group.
type Bucket struct {
	ID         uint32
	Weight     uint16 // of a select group
	WatchPort  uint32 // of a fast failover group, 0 for none
	WatchGroup uint32 // of a fast failover group, 0 for none
	Actions    []Action
}

// Canonical returns the group in the form in which the switch returns it.
func (g GroupDesc) Canonical() GroupDesc {
	buckets := g.Buckets
	g.Buckets = nil
	for _, k := range buckets {
		k.Actions = canonicalActions(k.Actions)
		if g.Type != GroupSelect {
			k.Weight = 0
		}
		g.Buckets = append(g.Buckets, k)
	}
	fields := g.Selection.Fields
	g.Selection.Fields = nil
	for _, f := range fields {
		g.Selection.Fields = append(g.Selection.Fields, FieldMatch{Field: f.Field, Mask: f.Mask})
	}
	slices.SortFunc(g.Selection.Fields, func(a, b FieldMatch) int { return cmp.Compare(a.Field, b.Field) })
	return g
}

// Equal reports whether two groups are the same, whatever their form.
func (g GroupDesc) Equal(h GroupDesc) bool { return reflect.DeepEqual(g.Canonical(), h.Canonical()) }

// String returns the group as ovs-ofctl dump-groups does.
func (g GroupDesc) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "group_id=%d,type=%s", g.ID, g.Type)
	if s := g.Selection; s.Method != "" {
		fmt.Fprintf(&b, ",selection_method=%s", s.Method)
		if s.Param != 0 {
			fmt.Fprintf(&b, ",selection_method_param=%d", s.Param)
		}
		for i, f := range s.Fields {
			b.WriteString(map[bool]string{true: ",fields(", false: ","}[i == 0] + f.Field.String())
			if f.Mask != ones(f.Field.Bits()) {
				b.WriteString("=" + valueText(f.Field, f.Mask, ones(f.Field.Bits())))
			}
		}
		if len(s.Fields) > 0 {
			b.WriteByte(')')
		}
	}
	for _, k := range g.Buckets {
		fmt.Fprintf(&b, ",bucket=bucket_id:%d,", k.ID)
		if g.Type == GroupSelect && k.Weight != 1 {
			fmt.Fprintf(&b, "weight:%d,", k.Weight)
		}
		if k.WatchPort != 0 {
			fmt.Fprintf(&b, "watch_port:%s,", portText(k.WatchPort))
		}
		if k.WatchGroup != 0 {
			fmt.Fprintf(&b, "watch_group:%d,", k.WatchGroup)
		}
		b.WriteString("actions=" + FormatActions(k.Actions))
	}
	return b.String()
}

// GroupMod changes a group: Add, Modify, AddOrModify or Delete, of which the last needs the ID alone.
type GroupMod struct {
	Command Command
	Group   GroupDesc
}

// groupCommands numbers the commands (OpenFlow 1.5.1, section 7.3.4.3, and Open vSwitch's add-or-mod).
var groupCommands = map[Command]uint16{Add: 0, Modify: 1, Delete: 2, AddOrModify: 0x8000}

const (
	allBuckets       = 0xffffffff
	maxBucketID      = 0xffffff00
	maxGroupID       = 0xffffff00
	bucketWeight     = 0
	bucketWatchPort  = 1
	bucketWatchGroup = 2
	experimenterProp = 0xffff
	// ntr is the experimenter of the selection method (OVS openflow/netronome-ext.h).
	ntr                = 0x0000154d
	ntrSelectionMethod = 1
	ntrMethodLen       = 16
)

// String returns the command and the group.
func (m GroupMod) String() string {
	if m.Command == Delete {
		return fmt.Sprintf("%s group %d", m.Command, m.Group.ID)
	}
	return fmt.Sprintf("%s group %q", m.Command, m.Group.String())
}

// append appends struct ofp_group_mod: command(2) type(1) pad(1) group(4) bucket_array_len(2) pad(2)
// command_bucket_id(4) buckets properties.
func (m GroupMod) append(b []byte, xid uint32) ([]byte, error) {
	command, ok := groupCommands[m.Command]
	g := m.Group
	if !ok {
		return nil, fmt.Errorf("groups have no %s", m.Command)
	}
	if m.Command == Delete {
		g = GroupDesc{ID: g.ID, Type: GroupAll}
	}
	if err := g.check(); err != nil {
		return nil, err
	}
	return appendMessage(b, msgGroupMod, xid, func(b []byte) ([]byte, error) {
		b = append(be.AppendUint16(b, command), byte(g.Type-1), 0)
		b = be.AppendUint32(b, g.ID)
		at := len(b)
		b = be.AppendUint32(append(b, 0, 0, 0, 0), allBuckets)
		start := len(b)
		for _, k := range g.Buckets {
			var err error
			if b, err = k.append(b, g.Type); err != nil {
				return nil, fmt.Errorf("bucket %d: %w", k.ID, err)
			}
		}
		be.PutUint16(b[at:], uint16(min(len(b)-start, maxMessage)))
		return g.Selection.append(b)
	})
}

func (g GroupDesc) check() error {
	switch {
	case g.ID > maxGroupID:
		return fmt.Errorf("group %#x: numbers go up to %#x", g.ID, maxGroupID)
	case g.Type < GroupAll || g.Type > GroupFastFailover:
		return fmt.Errorf("group %d: its type is missing", g.ID)
	case g.Type != GroupSelect && g.Selection.Method != "":
		return fmt.Errorf("group %d: only a select group has a selection method", g.ID)
	}
	seen := make(map[uint32]bool, len(g.Buckets))
	for _, k := range g.Buckets {
		if seen[k.ID] || k.ID > maxBucketID {
			return fmt.Errorf("group %d: bucket number %d is out of range or given twice", g.ID, k.ID)
		}
		seen[k.ID] = true
	}
	return nil
}

// append appends struct ofp_bucket: len(2) action_array_len(2) bucket_id(4) actions properties.
func (k Bucket) append(b []byte, t GroupType) ([]byte, error) {
	start := len(b)
	b = be.AppendUint32(append(b, 0, 0, 0, 0), k.ID)
	b, err := appendActions(b, k.Actions)
	if err != nil {
		return nil, err
	}
	be.PutUint16(b[start+2:], uint16(len(b)-start-8))
	if t == GroupSelect {
		b = append(be.AppendUint16(be.AppendUint16(be.AppendUint16(b, bucketWeight), 8), k.Weight), 0, 0)
	}
	if k.WatchPort != 0 {
		b = be.AppendUint32(be.AppendUint16(be.AppendUint16(b, bucketWatchPort), 8), k.WatchPort)
	}
	if k.WatchGroup != 0 {
		b = be.AppendUint32(be.AppendUint16(be.AppendUint16(b, bucketWatchGroup), 8), k.WatchGroup)
	}
	if len(b)-start > maxMessage {
		return nil, errors.New("its actions are too long")
	}
	be.PutUint16(b[start:], uint16(len(b)-start))
	return b, nil
}

// append appends the property of the selection method: type(2) length(2) experimenter(4) exp_type(4) pad(4)
// method(16) param(8) fields, each with the mask as its value.
func (s Selection) append(b []byte) ([]byte, error) {
	switch {
	case s.Method == "" && (s.Param != 0 || len(s.Fields) > 0):
		return nil, errors.New("a selection has a parameter or fields, but no method")
	case s.Method == "":
		return b, nil
	case len(s.Method) >= ntrMethodLen:
		return nil, fmt.Errorf("selection method %q is too long", s.Method)
	}
	start := len(b)
	b = be.AppendUint32(be.AppendUint16(be.AppendUint16(b, experimenterProp), 0), ntr)
	b = be.AppendUint32(be.AppendUint32(b, ntrSelectionMethod), 0)
	b = append(append(b, s.Method...), zeros[:ntrMethodLen-len(s.Method)]...)
	b = be.AppendUint64(b, s.Param)
	for _, f := range s.Fields {
		if !f.Field.Valid() || f.Mask.IsZero() {
			return nil, errors.New("a field of the selection is unknown or has no mask")
		}
		b = appendHeader(b, f.Field, false)
		b = appendNumber(b, f.Mask, int(f.Field.info().size))
	}
	be.PutUint16(b[start+2:], uint16(len(b)-start))
	return pad(b, start), nil
}

// group reads struct ofp_group_desc: length(2) type(1) pad(1) group(4) bucket_list_len(2) pad(6) buckets
// properties.
func (c *cursor) group() (GroupDesc, error) {
	n := int(c.u16())
	body := cursor{b: c.take(n - 2)}
	g := GroupDesc{Type: GroupType(body.u8()) + 1}
	body.skip(1)
	g.ID = body.u32()
	bn := int(body.u16())
	body.skip(6)
	buckets := cursor{b: body.take(bn)}
	if c.bad || body.bad || g.Type > GroupFastFailover || g.Type == 0 {
		return g, errShort
	}
	for len(buckets.b) > 0 {
		k, err := buckets.bucket()
		if err != nil {
			return g, fmt.Errorf("group %d: %w", g.ID, err)
		}
		if g.Type != GroupSelect {
			k.Weight = 0
		}
		g.Buckets = append(g.Buckets, k)
	}
	props, err := body.properties()
	if err != nil {
		return g, err
	}
	for _, p := range props {
		if g.Selection, err = p.selection(); err != nil {
			return g, fmt.Errorf("group %d: %w", g.ID, err)
		}
	}
	return g, nil
}

func (c *cursor) bucket() (Bucket, error) {
	n, an := int(c.u16()), int(c.u16())
	body := cursor{b: c.take(n - 4)}
	k := Bucket{ID: body.u32()}
	actions := cursor{b: body.take(an)}
	if c.bad || body.bad {
		return k, errShort
	}
	var err error
	if k.Actions, err = actions.actions(0); err != nil {
		return k, err
	}
	props, err := body.properties()
	if err != nil {
		return k, err
	}
	for _, p := range props {
		v := cursor{b: p.body}
		switch p.kind {
		case bucketWeight:
			k.Weight = v.u16()
		case bucketWatchPort:
			if k.WatchPort = v.u32(); k.WatchPort == PortAny {
				k.WatchPort = 0
			}
		case bucketWatchGroup:
			if k.WatchGroup = v.u32(); k.WatchGroup == anyGroup {
				k.WatchGroup = 0
			}
		default:
			return k, fmt.Errorf("bucket property %d is not supported", p.kind)
		}
		if v.bad {
			return k, errShort
		}
	}
	return k, nil
}

func (p property) selection() (s Selection, err error) {
	c := cursor{b: p.body}
	if p.kind != experimenterProp || c.u32() != ntr || c.u32() != ntrSelectionMethod {
		return s, errors.New("a property of the group is not supported")
	}
	c.skip(4)
	s.Method = strings.TrimRight(string(c.take(ntrMethodLen)), "\x00")
	s.Param = c.u64()
	for len(c.b) > 0 && !c.bad {
		fm, err := c.oxm().fieldMatch()
		if err != nil {
			return s, err
		}
		s.Fields = append(s.Fields, FieldMatch{Field: fm.Field, Mask: fm.Value})
	}
	slices.SortFunc(s.Fields, func(a, b FieldMatch) int { return cmp.Compare(a.Field, b.Field) })
	return s, c.err()
}
