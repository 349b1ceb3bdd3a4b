package host

import (
	"errors"
	"fmt"
	"net/netip"
	"os"
	"slices"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// overlayAlias is the alias of the links that carry tunnel packets. It doesn't begin with Alias: they are no workload's.
const overlayAlias = "weft overlay"

// OpenTap opens a tap for frames between the switch and this process, and makes it when it isn't there. It is
// persistent, so that a port of the switch survives the process; nothing passes meanwhile.
func (h *Host) OpenTap(name string, mtu int) (tap *os.File, err error) {
	err = h.onNode(func() error {
		tap, err = openTap(name)
		if err != nil {
			return err
		}
		link, err := linkNamed(name, "on the node")
		if err != nil {
			return err
		}
		if err := netlink.LinkSetMTU(link, mtu); err != nil {
			return fmt.Errorf("set the MTU of %s: %w", name, err)
		}
		if err := netlink.LinkSetAlias(link, overlayAlias); err != nil {
			return fmt.Errorf("name the purpose of %s: %w", name, err)
		}
		return h.prepareNodeEnd(name, true)
	})
	if err != nil && tap != nil {
		err = errors.Join(err, tap.Close())
		tap = nil
	}
	return tap, err
}

// openTap opens the device for Go's poller, which takes a tap only once it has its name
// (Documentation/networking/tuntap.rst).
func openTap(name string) (tap *os.File, err error) {
	fd, err := unix.Open("/dev/net/tun", unix.O_RDWR|unix.O_CLOEXEC|unix.O_NONBLOCK, 0)
	if err != nil {
		return nil, fmt.Errorf("open /dev/net/tun: %w", err)
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, unix.Close(fd))
		}
	}()
	request, err := unix.NewIfreq(name)
	if err != nil {
		return nil, fmt.Errorf("tap %q: %w", name, err)
	}
	request.SetUint16(unix.IFF_TAP | unix.IFF_NO_PI)
	if err := unix.IoctlIfreq(fd, unix.TUNSETIFF, request); err != nil {
		return nil, fmt.Errorf("open tap %s: %w", name, err)
	}
	if err := unix.IoctlSetInt(fd, unix.TUNSETPERSIST, 1); err != nil {
		return nil, fmt.Errorf("make tap %s persistent: %w", name, err)
	}
	return os.NewFile(uintptr(fd), "/dev/net/tun"), nil
}

// SetAddresses gives a link of the node exactly these IPv4 addresses, and sets it up. A link that isn't there is
// os.ErrNotExist.
func (h *Host) SetAddresses(name string, addresses []netip.Prefix, mtu int) error {
	return h.onNode(func() error {
		link, err := linkNamed(name, "on the node")
		if err != nil {
			return err
		}
		if err := setAddresses(link, addresses); err != nil {
			return err
		}
		if link.Attrs().MTU != mtu {
			if err := netlink.LinkSetMTU(link, mtu); err != nil {
				return fmt.Errorf("set the MTU of %s: %w", name, err)
			}
		}
		if err := netlink.LinkSetUp(link); err != nil {
			return fmt.Errorf("set %s up: %w", name, err)
		}
		return nil
	})
}

func setAddresses(link netlink.Link, addresses []netip.Prefix) error {
	name := link.Attrs().Name
	have, err := netlink.AddrList(link, netlink.FAMILY_V4)
	if err != nil {
		return fmt.Errorf("list the addresses of %s: %w", name, err)
	}
	missing := slices.Clone(addresses)
	for _, a := range have {
		if i := slices.IndexFunc(missing, func(p netip.Prefix) bool { return p.String() == a.IPNet.String() }); i >= 0 {
			missing = slices.Delete(missing, i, i+1)
			continue
		}
		if err := netlink.AddrDel(link, &a); err != nil {
			return fmt.Errorf("take address %s from %s: %w", a.IPNet, name, err)
		}
	}
	for _, p := range missing {
		if err := netlink.AddrAdd(link, &netlink.Addr{IPNet: ipNet(p)}); err != nil {
			return fmt.Errorf("give %s the address %s: %w", name, p, err)
		}
	}
	return nil
}

// KernelWireGuard makes the kernel's WireGuard device of that name, unless it is there. errors.ErrUnsupported says that
// the kernel has no WireGuard.
func (h *Host) KernelWireGuard(name string) error {
	return h.onNode(func() error {
		link, err := linkNamed(name, "on the node")
		switch {
		case err == nil && link.Type() == "wireguard":
			return nil
		case err == nil:
			return fmt.Errorf("%s is a %s, not a WireGuard device: %w", name, link.Type(), os.ErrExist)
		case !gone(err):
			return err
		}
		err = netlink.LinkAdd(&netlink.Wireguard{LinkAttrs: netlink.LinkAttrs{Name: name, Alias: overlayAlias}})
		if errors.Is(err, unix.EOPNOTSUPP) {
			return fmt.Errorf("the kernel has no WireGuard: %w", errors.ErrUnsupported)
		}
		if err != nil {
			return fmt.Errorf("make WireGuard device %s: %w", name, err)
		}
		return nil
	})
}
