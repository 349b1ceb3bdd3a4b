package openflow

import (
	"encoding/hex"
	"errors"
	"fmt"
	"strconv"
	"strings"
)

// ParseActions reads actions in the syntax of ovs-actions(7). "drop" is the empty list. An action that this
// package has no type for is refused by name.
func ParseActions(s string) ([]Action, error) {
	return parseActions(s, 0)
}

// maxNesting bounds how deep actions contain actions; "ct(exec(...))" is the only case.
const maxNesting = 1

func parseActions(s string, depth int) ([]Action, error) {
	parts := splitTop(s)
	if len(parts) == 1 && parts[0] == "drop" {
		return nil, nil
	}
	out := make([]Action, 0, len(parts))
	for _, p := range parts {
		a, err := parseAction(p, depth)
		if err != nil {
			return nil, fmt.Errorf("action %q: %w", p, err)
		}
		out = append(out, a)
	}
	return out, nil
}

// splitAction separates an action's name from its argument: "name", "name:arg", "name=arg", "name(arg)".
func splitAction(s string) (name, arg string, err error) {
	i := strings.IndexAny(s, ":=(")
	if i < 0 {
		return s, "", nil
	}
	name, arg = s[:i], s[i+1:]
	if s[i] == '(' {
		var ok bool
		if arg, ok = strings.CutSuffix(arg, ")"); !ok {
			return "", "", errors.New("a closing parenthesis is missing")
		}
	}
	return name, arg, nil
}

func parseAction(s string, depth int) (Action, error) {
	if larger, ok := strings.CutPrefix(s, "check_pkt_larger("); ok {
		return parseCheckLarger(larger)
	}
	name, arg, err := splitAction(s)
	if err != nil {
		return nil, err
	}
	switch name {
	case "output":
		if sub, err := parseSubfield(arg); err == nil {
			return OutputReg{sub}, nil
		}
		p, err := parsePort(arg)
		return Output{p}, err
	case "set_field":
		return parseSetField(arg)
	case "load":
		return parseLoad(arg)
	case "move":
		return parseMove(arg)
	case "push":
		sub, err := parseSubfield(arg)
		return Push{sub}, err
	case "pop":
		sub, err := parseSubfield(arg)
		return Pop{sub}, err
	case "resubmit":
		return parseResubmit(s, arg)
	case "ct":
		return parseCT(arg, depth)
	case "conjunction":
		return parseConjunction(arg)
	case "controller", "CONTROLLER":
		return parseController(arg)
	case "group":
		n, err := parseNumber(arg, 32)
		return Group{uint32(n.Lo)}, err
	case "meter":
		n, err := parseNumber(arg, 32)
		return Meter{uint32(n.Lo)}, err
	case "set_tunnel", "set_tunnel64":
		return parseSetField(arg + "->tun_id")
	case "mod_dl_src":
		return parseSetField(arg + "->eth_src")
	case "mod_dl_dst":
		return parseSetField(arg + "->eth_dst")
	case "mod_nw_src":
		return parseSetField(arg + "->ip_src")
	case "mod_nw_dst":
		return parseSetField(arg + "->ip_dst")
	}
	if arg == "" && name == s {
		switch name {
		case "ct_clear":
			return CTClear{}, nil
		case "dec_ttl":
			return DecTTL{}, nil
		}
		if p, err := parsePort(name); err == nil {
			return Output{p}, nil
		}
	}
	return nil, errors.New("this action is not supported")
}

// parseSubfield reads what Subfield.String writes, with any name of the field: "reg0[0..15]".
func parseSubfield(s string) (Subfield, error) {
	name, rest, ok := strings.Cut(s, "[")
	rng, closed := strings.CutSuffix(rest, "]")
	if !ok || !closed {
		return Subfield{}, fmt.Errorf("%q is not a subfield: write FIELD[], FIELD[n] or FIELD[n..m]", s)
	}
	f, ok := ParseField(name)
	if !ok {
		return Subfield{}, fmt.Errorf("field %q is unknown", name)
	}
	if rng == "" {
		return Whole(f), nil
	}
	from, to, isRange := strings.Cut(rng, "..")
	if !isRange {
		to = from
	}
	lo, err1 := strconv.Atoi(from)
	hi, err2 := strconv.Atoi(to)
	if err1 != nil || err2 != nil || lo < 0 || hi < lo || hi >= f.Bits() {
		return Subfield{}, fmt.Errorf("bits %q are not within the %d bits of %s", rng, f.Bits(), name)
	}
	return Subfield{f, uint8(lo), uint8(hi - lo + 1)}, nil
}

// cutArrow splits "a->b".
func cutArrow(s string) (from, to string, err error) {
	from, to, ok := strings.Cut(s, "->")
	if !ok {
		return "", "", errors.New(`"->" is missing`)
	}
	return from, to, nil
}

func parseSetField(arg string) (Action, error) {
	value, name, err := cutArrow(arg)
	if err != nil {
		return nil, err
	}
	f, ok := ParseField(name)
	if !ok {
		return nil, fmt.Errorf("field %q is unknown", name)
	}
	v, m, err := parseValue(f, value)
	if err == nil && m.IsZero() {
		err = errors.New("the mask selects no bit")
	}
	return SetField{f, v, m}, err
}

func parseLoad(arg string) (Action, error) {
	value, dst, err := cutArrow(arg)
	if err != nil {
		return nil, err
	}
	sub, err := parseSubfield(dst)
	if err != nil {
		return nil, err
	}
	v, err := parseNumber(value, int(sub.Bits))
	return SetField{sub.Field, v.shl(int(sub.Offset)), ones(int(sub.Bits)).shl(int(sub.Offset))}, err
}

func parseMove(arg string) (Action, error) {
	from, to, err := cutArrow(arg)
	if err != nil {
		return nil, err
	}
	src, err1 := parseSubfield(from)
	dst, err2 := parseSubfield(to)
	if err := errors.Join(err1, err2); err != nil {
		return nil, err
	}
	if src.Bits != dst.Bits {
		return nil, fmt.Errorf("%s has %d bits and %s has %d: make them equal", src, src.Bits, dst, dst.Bits)
	}
	return Move{src, dst}, nil
}

func parseResubmit(s, arg string) (Action, error) {
	port, table, _ := strings.Cut(arg, ",")
	if !strings.Contains(s, "(") || port != "" && port != "IN_PORT" && port != "in_port" {
		return nil, errors.New("resubmit with another port is not supported: write resubmit(,TABLE)")
	}
	n, err := strconv.ParseUint(table, 10, 8)
	if err != nil || n == 255 {
		return nil, fmt.Errorf("table %q is not a number from 0 to 254", table)
	}
	return Resubmit{uint8(n)}, nil
}

// parseCheckLarger reads "N)->FIELD[n]".
func parseCheckLarger(s string) (Action, error) {
	size, dst, ok := strings.Cut(s, ")->")
	if !ok {
		return nil, errors.New("write check_pkt_larger(OCTETS)->FIELD[n]")
	}
	n, err := parseNumber(size, 16)
	if err != nil {
		return nil, err
	}
	sub, err := parseSubfield(dst)
	if err != nil {
		return nil, err
	}
	a := CheckLarger{uint16(n.Lo), sub}
	return a, a.check()
}

func (a CheckLarger) check() error {
	if a.Dst.Bits != 1 {
		return fmt.Errorf("%s has %d bits: the result is a single one", a.Dst, a.Dst.Bits)
	}
	return a.Dst.check()
}

func parseConjunction(arg string) (Action, error) {
	id, clauses, ok := strings.Cut(strings.ReplaceAll(arg, " ", ""), ",")
	k, n, ok2 := strings.Cut(clauses, "/")
	if !ok || !ok2 {
		return nil, errors.New("write conjunction(ID,CLAUSE/COUNT)")
	}
	i, err1 := parseNumber(id, 32)
	clause, err2 := strconv.ParseUint(k, 10, 8)
	count, err3 := strconv.ParseUint(n, 10, 8)
	c := Conjunction{uint32(i.Lo), uint8(clause), uint8(count)}
	return c, errors.Join(err1, err2, err3, c.check())
}

// check holds the limits of nicira-ext.h: 2 to 64 clauses, counted from 1.
func (c Conjunction) check() error {
	if c.Count < 2 || c.Count > 64 || c.Clause < 1 || c.Clause > c.Count {
		return fmt.Errorf("clause %d of %d: a conjunction has 2 to 64 clauses, numbered from 1", c.Clause, c.Count)
	}
	return nil
}

func parseController(arg string) (Action, error) {
	var c Controller
	if arg == "" {
		return c, nil
	}
	if n, err := strconv.ParseUint(arg, 10, 16); err == nil {
		arg = fmt.Sprintf("max_len=%d", n)
	}
	for _, part := range splitTop(arg) {
		key, value, _ := strings.Cut(part, "=")
		var err error
		var n Value
		switch key {
		case "max_len":
			if n, err = parseNumber(value, 16); err == nil && n.IsZero() {
				err = errors.New("0 is not supported")
			}
			c.MaxLen = uint16(n.Lo)
		case "id":
			n, err = parseNumber(value, 16)
			c.ID = uint16(n.Lo)
		case "userdata":
			c.Userdata, err = hex.DecodeString(strings.ReplaceAll(value, ".", ""))
		case "pause":
			c.Pause = true
		case "meter_id":
			n, err = parseNumber(value, 32)
			c.Meter = uint32(n.Lo)
		default:
			err = errors.New("not supported")
		}
		if err != nil {
			return nil, fmt.Errorf("%s: %w", key, err)
		}
	}
	if c.MaxLen == wholePacket {
		c.MaxLen = 0
	}
	return c, nil
}
