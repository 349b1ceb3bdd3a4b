package host

import (
	"errors"
	"fmt"
	"os/exec"
	"strconv"

	"github.com/coreos/go-iptables/iptables"
)

// The chains of the guard, in the table filter.
const (
	guardTable   = "filter"
	guardInput   = "WEFT-INPUT"
	guardForward = "WEFT-FORWARD"
)

// Guard says what may pass through the kernel's WireGuard device besides what WireGuard itself checks.
type Guard struct {
	Device    string
	VXLANPort uint16
	ProbePort uint16
	// Relay says that packets may go from one tunnel to another.
	Relay bool
}

// rules returns what the chains hold, in order.
func (g Guard) rules() map[string][][]string {
	port := func(p uint16) []string {
		return []string{"-i", g.Device, "-p", "udp", "-m", "udp", "--dport", strconv.Itoa(int(p)), "-j", "RETURN"}
	}
	forward := [][]string{{"-i", g.Device, "-j", "DROP"}, {"-o", g.Device, "-j", "DROP"}}
	if g.Relay {
		forward = append([][]string{{"-i", g.Device, "-o", g.Device, "-j", "ACCEPT"}}, forward...)
	}
	return map[string][][]string{
		guardInput: {
			// Tunnel packets that didn't come out of WireGuard, whatever address they are for.
			{"!", "-i", g.Device, "-p", "udp", "-m", "udp", "--dport", strconv.Itoa(int(g.VXLANPort)), "-j", "DROP"},
			port(g.VXLANPort), port(g.ProbePort),
			{"-i", g.Device, "-p", "icmp", "-j", "RETURN"},
			{"-i", g.Device, "-j", "DROP"},
		},
		guardForward: forward,
	}
}

// SetGuard puts the guard into the node's packet filter, in place of an earlier one.
func (h *Host) SetGuard(g Guard) error {
	return h.onNode(func() error {
		filter, err := openFilter()
		if err != nil {
			return err
		}
		rules := g.rules()
		for _, c := range []struct{ chain, from string }{{guardInput, "INPUT"}, {guardForward, "FORWARD"}} {
			if err := fill(filter, c.chain, rules[c.chain]); err != nil {
				return fmt.Errorf("guard %s: %w", g.Device, err)
			}
			if err := filter.InsertUnique(guardTable, c.from, 1, "-j", c.chain); err != nil {
				return fmt.Errorf("guard %s: %w", g.Device, err)
			}
		}
		forwarding := "0"
		if g.Relay {
			forwarding = "1"
		}
		return setSysctl("ipv4", g.Device, "forwarding", forwarding)
	})
}

// fill makes a chain hold exactly the rules; one that does is left alone, so that no packet meets it half full.
func fill(filter *iptables.IPTables, chain string, rules [][]string) error {
	exists, err := filter.ChainExists(guardTable, chain)
	if err != nil {
		return err
	}
	if exists {
		have, err := filter.List(guardTable, chain)
		if err != nil {
			return err
		}
		if len(have) == len(rules)+1 { // the first line is the chain itself
			same := true
			for _, r := range rules {
				found, err := filter.Exists(guardTable, chain, r...)
				if err != nil {
					return err
				}
				same = same && found
			}
			if same {
				return nil
			}
		}
	}
	if err := filter.ClearChain(guardTable, chain); err != nil { // makes it, too
		return err
	}
	for _, r := range rules {
		if err := filter.Append(guardTable, chain, r...); err != nil {
			return err
		}
	}
	return nil
}

// ClearGuard takes the guard away. Without one, or without iptables, there is nothing to do.
func (h *Host) ClearGuard() error {
	return h.onNode(func() error {
		if _, err := exec.LookPath("iptables"); err != nil {
			return nil //nolint:nilerr // nothing was ever put there
		}
		filter, err := openFilter()
		if err != nil {
			return err
		}
		for _, c := range []struct{ chain, from string }{{guardInput, "INPUT"}, {guardForward, "FORWARD"}} {
			exists, err := filter.ChainExists(guardTable, c.chain)
			if err != nil {
				return fmt.Errorf("remove chain %s: %w", c.chain, err)
			}
			if !exists {
				continue
			}
			if err := errors.Join(filter.DeleteIfExists(guardTable, c.from, "-j", c.chain), filter.ClearAndDeleteChain(guardTable, c.chain)); err != nil {
				return fmt.Errorf("remove chain %s: %w", c.chain, err)
			}
		}
		return nil
	})
}

func openFilter() (*iptables.IPTables, error) {
	filter, err := iptables.New(iptables.IPFamily(iptables.ProtocolIPv4), iptables.Timeout(5))
	if err != nil {
		return nil, fmt.Errorf("the kernel's WireGuard needs a guard in the packet filter: install iptables: %w", err)
	}
	return filter, nil
}
