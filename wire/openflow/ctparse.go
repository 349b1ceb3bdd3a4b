package openflow

import (
	"errors"
	"fmt"
	"net/netip"
	"strconv"
	"strings"
)

// parseCT reads the argument of the action ct.
func parseCT(arg string, depth int) (Action, error) {
	var c CT
	for _, part := range splitTop(arg) {
		name, value, err := splitAction(part)
		if err != nil {
			return nil, err
		}
		var n Value
		switch name {
		case "commit":
			c.Commit = true
		case "force":
			c.Force = true
		case "table":
			n, err = parseNumber(value, 8)
			c.Table, c.Recirc = uint8(n.Lo), true
		case "zone":
			if n, err = parseNumber(value, 16); err == nil {
				c.Zone = uint16(n.Lo)
			} else {
				c.ZoneSrc, err = parseSubfield(value)
			}
		case "nat":
			c.NAT, err = parseNAT(value)
		case "exec":
			if depth >= maxNesting {
				return nil, errors.New("ct within ct is not supported")
			}
			c.Exec, err = parseActions(value, depth+1)
		default:
			err = errors.New("not supported")
		}
		if err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
	}
	return c, c.check()
}

// check holds what ovs-actions(7) says of ct.
func (c CT) check() error {
	switch {
	case c.Force && !c.Commit:
		return errors.New("force needs commit")
	case len(c.Exec) > 0 && !c.Commit:
		return errors.New("exec needs commit")
	case c.Recirc && c.Table == 255:
		return errors.New("table 255 does not exist")
	case c.ZoneSrc.Field != 0 && c.ZoneSrc.Bits != 16:
		return fmt.Errorf("zone %s has %d bits, not 16", c.ZoneSrc, c.ZoneSrc.Bits)
	}
	for _, a := range c.Exec {
		switch a.(type) {
		case SetField, Move:
		default:
			return fmt.Errorf("exec may set and move only, not %s", actionText(a))
		}
	}
	return nil
}

// parseNAT reads the argument of nat within ct.
func parseNAT(arg string) (*NAT, error) {
	n := &NAT{}
	if arg == "" {
		return n, nil
	}
	kind, rng, _ := strings.Cut(arg, "=")
	switch kind {
	case "src":
		n.Src = true
	case "dst":
		n.Dst = true
	default:
		return nil, fmt.Errorf("%q is neither src nor dst", kind)
	}
	if strings.Contains(rng, ",") {
		return nil, errors.New("flags are not supported")
	}
	if rng == "" {
		return n, nil
	}
	addrs, ports := rng, ""
	if i := strings.LastIndex(rng, ":"); i >= 0 && (strings.HasSuffix(rng[:i], "]") || strings.Count(rng, ":") == 1) {
		addrs, ports = rng[:i], rng[i+1:]
	}
	lo, hi, _ := strings.Cut(addrs, "-")
	n.AddrMin, n.AddrMax = strings.Trim(lo, "[]"), strings.Trim(hi, "[]")
	if ports != "" {
		from, to, isRange := strings.Cut(ports, "-")
		a, err1 := strconv.ParseUint(from, 10, 16)
		b := uint64(0)
		var err2 error
		if isRange {
			b, err2 = strconv.ParseUint(to, 10, 16)
		}
		if err := errors.Join(err1, err2); err != nil {
			return nil, err
		}
		n.PortMin, n.PortMax = uint16(a), uint16(b)
	}
	return n, n.check()
}

// addrs returns the range's addresses; hi is the zero Addr for a single address.
func (n NAT) addrs() (lo, hi netip.Addr, err error) {
	if n.AddrMin == "" {
		return lo, hi, nil
	}
	if lo, err = netip.ParseAddr(n.AddrMin); err != nil {
		return lo, hi, err
	}
	if n.AddrMax != "" {
		hi, err = netip.ParseAddr(n.AddrMax)
	}
	if hi == lo {
		hi = netip.Addr{}
	}
	return lo, hi, err
}

// check holds the limits of struct nx_action_nat.
func (n NAT) check() error {
	lo, hi, err := n.addrs()
	switch {
	case err != nil:
		return err
	case n.Src && n.Dst:
		return errors.New("nat has either src or dst")
	case (n.AddrMin != "" || n.PortMin != 0) && !n.Src && !n.Dst:
		return errors.New("a range of nat needs src or dst")
	case n.AddrMin == "" && (n.AddrMax != "" || n.PortMin != 0), n.PortMin == 0 && n.PortMax != 0:
		return errors.New("a range of nat has an upper end without a lower one, or ports without an address")
	case lo.IsValid() && (lo.IsUnspecified() || lo.Zone() != ""):
		return fmt.Errorf("address %s can't be used by nat", lo)
	case hi.IsValid() && (hi.Is4() != lo.Is4() || hi.Less(lo) || hi.Zone() != ""), n.PortMax != 0 && n.PortMax < n.PortMin:
		return errors.New("the range of nat is not in order")
	}
	return nil
}
