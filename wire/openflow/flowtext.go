package openflow

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
)

// DefaultPriority is the priority of a flow whose text gives none.
const DefaultPriority = 32768

// String returns the flow as ovs-ofctl --no-stats dump-flows does, and as ovs-ofctl add-flow reads it:
//
//	cookie=0x77, table=10, priority=100,ip,nw_dst=10.0.0.0/24 actions=resubmit(,20)
func (f Flow) String() string {
	var b strings.Builder
	if f.Cookie != 0 {
		fmt.Fprintf(&b, "cookie=0x%x, ", f.Cookie)
	}
	if f.Table != 0 {
		fmt.Fprintf(&b, "table=%d, ", f.Table)
	}
	if f.IdleTimeout != 0 {
		fmt.Fprintf(&b, "idle_timeout=%d, ", f.IdleTimeout)
	}
	if f.HardTimeout != 0 {
		fmt.Fprintf(&b, "hard_timeout=%d, ", f.HardTimeout)
	}
	m := f.Match.String()
	if f.Priority != DefaultPriority {
		fmt.Fprintf(&b, "priority=%d", f.Priority)
		if m != "" {
			b.WriteByte(',')
		}
	}
	b.WriteString(m)
	if m != "" || f.Priority != DefaultPriority {
		b.WriteByte(' ')
	}
	return b.String() + "actions=" + FormatActions(f.Actions)
}

// ParseFlow reads a flow in the syntax of ovs-ofctl add-flow, and a line of dump-flows, whose statistics
// it leaves out.
func ParseFlow(s string) (Flow, error) {
	f, err := parseFlow(s)
	if err != nil {
		return Flow{}, fmt.Errorf("flow %q: %w", strings.TrimSpace(s), err)
	}
	return f, nil
}

func parseFlow(s string) (Flow, error) {
	head, actions, ok := cutActions(s)
	if !ok {
		return Flow{}, errors.New("actions=... is missing")
	}
	f := Flow{Priority: DefaultPriority}
	var p matchParser
	for _, part := range splitTop(head) {
		key, value, _ := strings.Cut(part, "=")
		number := func(bits int) uint64 {
			n, err := strconv.ParseUint(value, 0, bits)
			if err != nil {
				ok = false
			}
			return n
		}
		switch key {
		case "cookie":
			f.Cookie = number(64)
		case "table":
			f.Table = uint8(number(8))
			ok = ok && f.Table != 255
		case "priority":
			f.Priority = uint16(number(16))
		case "idle_timeout":
			f.IdleTimeout = uint16(number(16))
		case "hard_timeout":
			f.HardTimeout = uint16(number(16))
		case "duration", "n_packets", "n_bytes", "idle_age", "hard_age":
		case "send_flow_rem", "check_overlap", "reset_counts", "no_packet_counts", "no_byte_counts", "importance":
			return Flow{}, fmt.Errorf("%s is not supported", key)
		default:
			if err := p.add(part); err != nil {
				return Flow{}, err
			}
		}
		if !ok {
			return Flow{}, fmt.Errorf("%s: %q is not a number in range", key, value)
		}
	}
	var err error
	if f.Match, err = p.match(); err != nil {
		return Flow{}, err
	}
	f.Actions, err = ParseActions(actions)
	return f, err
}

// cutActions splits a flow's text at "actions=" or "action=", where it begins a part.
func cutActions(s string) (head, actions string, ok bool) {
	for _, key := range []string{"actions=", "action="} {
		for i := 0; ; {
			j := strings.Index(s[i:], key)
			if j < 0 {
				break
			}
			i += j
			if i == 0 || strings.ContainsRune(", \t\n", rune(s[i-1])) {
				return s[:i], s[i+len(key):], true
			}
			i += len(key)
		}
	}
	return "", "", false
}
