package openflow

import (
	"encoding/hex"
	"fmt"
	"net/netip"
	"strconv"
	"strings"
)

// String returns the subfield as ovs-ofctl writes it: NXM_NX_REG0[], NXM_NX_REG0[3], NXM_NX_REG0[0..15].
func (s Subfield) String() string {
	name := s.Field.info().nxm
	switch {
	case s.Offset == 0 && int(s.Bits) == s.Field.Bits():
		return name + "[]"
	case s.Bits == 1:
		return fmt.Sprintf("%s[%d]", name, s.Offset)
	}
	return fmt.Sprintf("%s[%d..%d]", name, s.Offset, int(s.Offset)+int(s.Bits)-1)
}

// FormatActions returns actions in the syntax of ovs-ofctl; no action is "drop".
func FormatActions(actions []Action) string {
	if len(actions) == 0 {
		return "drop"
	}
	return joinActions(actions)
}

func joinActions(actions []Action) string {
	parts := make([]string, len(actions))
	for i, a := range actions {
		parts[i] = actionText(a)
	}
	return strings.Join(parts, ",")
}

func actionText(a Action) string {
	switch a := a.(type) {
	case Output:
		switch {
		case a.Port == PortController:
			return "CONTROLLER:65535"
		case a.Port < maxPort:
			return "output:" + strconv.FormatUint(uint64(a.Port), 10)
		}
		return portText(a.Port)
	case OutputReg:
		return "output:" + a.Src.String()
	case SetField:
		return "set_field:" + valueText(a.Field, a.Value, a.Mask) + "->" + a.Field.String()
	case Move:
		return "move:" + a.Src.String() + "->" + a.Dst.String()
	case Push:
		return "push:" + a.Src.String()
	case Pop:
		return "pop:" + a.Dst.String()
	case Resubmit:
		return fmt.Sprintf("resubmit(,%d)", a.Table)
	case CT:
		return a.text()
	case CTClear:
		return "ct_clear"
	case Conjunction:
		return fmt.Sprintf("conjunction(%d,%d/%d)", a.ID, a.Clause, a.Count)
	case DecTTL:
		return "dec_ttl"
	case Controller:
		return a.text()
	case CheckLarger:
		return fmt.Sprintf("check_pkt_larger(%d)->%s", a.Octets, a.Dst)
	case Group:
		return fmt.Sprintf("group:%d", a.ID)
	case Meter:
		return fmt.Sprintf("meter:%d", a.ID)
	}
	return fmt.Sprintf("unknown-action(%T)", a)
}

func (a CT) text() string {
	var parts []string
	if a.Commit {
		parts = append(parts, "commit")
	}
	if a.Force {
		parts = append(parts, "force")
	}
	if a.Recirc {
		parts = append(parts, fmt.Sprintf("table=%d", a.Table))
	}
	if a.ZoneSrc.Field != 0 {
		parts = append(parts, "zone="+a.ZoneSrc.String())
	} else if a.Zone != 0 {
		parts = append(parts, fmt.Sprintf("zone=%d", a.Zone))
	}
	if a.NAT != nil {
		parts = append(parts, a.NAT.text())
	}
	if len(a.Exec) > 0 {
		parts = append(parts, "exec("+joinActions(a.Exec)+")")
	}
	return "ct(" + strings.Join(parts, ",") + ")"
}

func (n NAT) text() string {
	if !n.Src && !n.Dst {
		return "nat"
	}
	s := "nat(src"
	if n.Dst {
		s = "nat(dst"
	}
	addr := func(a string) string {
		if ip, err := netip.ParseAddr(a); err == nil && ip.Is6() && n.PortMin != 0 {
			return "[" + a + "]"
		}
		return a
	}
	if n.AddrMin != "" {
		s += "=" + addr(n.AddrMin)
		if n.AddrMax != "" && n.AddrMax != n.AddrMin {
			s += "-" + addr(n.AddrMax)
		}
		if n.PortMin != 0 {
			s += fmt.Sprintf(":%d", n.PortMin)
			if n.PortMax != 0 && n.PortMax != n.PortMin {
				s += fmt.Sprintf("-%d", n.PortMax)
			}
		}
	}
	return s + ")"
}

func (a Controller) text() string {
	maxLen := a.MaxLen
	if maxLen == 0 {
		maxLen = wholePacket
	}
	if a.ID == 0 && len(a.Userdata) == 0 && !a.Pause && a.Meter == 0 {
		return fmt.Sprintf("CONTROLLER:%d", maxLen)
	}
	var parts []string
	if maxLen != wholePacket {
		parts = append(parts, fmt.Sprintf("max_len=%d", maxLen))
	}
	if a.ID != 0 {
		parts = append(parts, fmt.Sprintf("id=%d", a.ID))
	}
	if len(a.Userdata) > 0 {
		octets := make([]string, len(a.Userdata))
		for i, b := range a.Userdata {
			octets[i] = hex.EncodeToString([]byte{b})
		}
		parts = append(parts, "userdata="+strings.Join(octets, "."))
	}
	if a.Pause {
		parts = append(parts, "pause")
	}
	if a.Meter != 0 {
		parts = append(parts, fmt.Sprintf("meter_id=%d", a.Meter))
	}
	return "controller(" + strings.Join(parts, ",") + ")"
}
