package host

import (
	"fmt"
	"net/netip"

	"github.com/vishvananda/netlink"
)

// LinkMTU returns the MTU of the node's link that has an address: the card's, or on the userspace datapath that of the bridge
// which has taken its place. It is 0 where no link has the address, as behind a translation that the node doesn't see.
func (h *Host) LinkMTU(a netip.Addr) (mtu int, err error) {
	err = h.onNode(func() error {
		all, err := netlink.AddrList(nil, netlink.FAMILY_ALL)
		if err != nil {
			return fmt.Errorf("list the node's addresses: %w", err)
		}
		for _, have := range all {
			if ip, ok := netip.AddrFromSlice(have.IP); !ok || ip.Unmap() != a.Unmap() {
				continue
			}
			link, err := netlink.LinkByIndex(have.LinkIndex)
			if err != nil {
				return fmt.Errorf("the link with the address %s: %w", a, err)
			}
			mtu = link.Attrs().MTU
			return nil
		}
		return nil
	})
	return mtu, err
}
