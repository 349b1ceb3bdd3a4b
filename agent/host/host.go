package host

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"slices"
	"strings"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netns"
	"golang.org/x/sys/unix"

	"github.com/weftfabric/weft/fabric"
)

// Host is the node's kernel.
type Host struct {
	namespace string
	program   dropProgram // of all pairs; it goes with the process
}

// New returns a driver for the namespace that the switch's ports are in; empty means the process's own.
func New(namespace string) *Host { return &Host{namespace: namespace} }

// CreateVeth makes the pair where its ends belong, the container's down and without addresses: nothing passes before
// ConfigureVeth. The node's end of an earlier attempt is replaced. The errors are os.ErrNotExist when the namespace is
// not there, os.ErrExist when the container has an interface of that name.
func (h *Host) CreateVeth(ctx context.Context, v Veth) error {
	container, err := h.openContainer(v.Namespace)
	if err != nil {
		return err
	}
	defer closeNS(&container)
	err = h.addVeth(v, container)
	if errors.Is(err, unix.EEXIST) { // either end's name
		if err := h.Delete(ctx, v.HostName); err != nil {
			return err
		}
		if err := within(container, func() error { return absent(v.IfName) }); err != nil {
			return err
		}
		err = h.addVeth(v, container)
	}
	return err
}

// addVeth makes the pair in one step, and says on the node's end what it is for.
func (h *Host) addVeth(v Veth, container netns.NsHandle) error {
	return h.withNode(func(node *netlink.Handle) error {
		veth := &netlink.Veth{
			// Up from the start, since vswitchd may open it at once; it has no carrier before the container's end is up.
			LinkAttrs: netlink.LinkAttrs{Name: v.HostName, MTU: nodeMTU(v.MTU), Flags: net.FlagUp},
			PeerName:  v.IfName, PeerHardwareAddr: net.HardwareAddr(v.MAC[:]), PeerMTU: uint32(v.MTU), PeerNamespace: netlink.NsFd(container),
		}
		if err := node.LinkAdd(veth); err != nil {
			return fmt.Errorf("make veth %s: %w", v.HostName, err)
		}
		if err := node.LinkSetAlias(veth, Alias+v.For); err != nil {
			return errors.Join(fmt.Errorf("name the purpose of %s: %w", v.HostName, err), node.LinkDel(veth))
		}
		return nil
	})
}

// ConfigureVeth sets up both ends of a pair, the node's first: the container can send only once the node is shielded. A
// pair that can't be set up is deleted.
func (h *Host) ConfigureVeth(ctx context.Context, v Veth) (err error) {
	defer func() {
		if err != nil {
			err = errors.Join(err, h.Delete(context.WithoutCancel(ctx), v.HostName))
		}
	}()
	container, err := h.openContainer(v.Namespace)
	if err != nil {
		return err
	}
	defer closeNS(&container)
	return h.onNode(func() error {
		if err := h.prepareNodeEnd(v.HostName, v.Userspace); err != nil {
			return err
		}
		if err := ctx.Err(); err != nil {
			return err
		}
		if err := netns.Set(container); err != nil { // this thread is thrown away
			return fmt.Errorf("enter the container's network namespace: %w", err)
		}
		return configureInside(v)
	})
}

// absent reports as os.ErrExist that the present namespace has a link of that name.
func absent(name string) error {
	_, err := netlink.LinkByName(name)
	var missing netlink.LinkNotFoundError
	switch {
	case err == nil:
		return fmt.Errorf("the container has an interface %s already: %w", name, os.ErrExist)
	case errors.As(err, &missing):
		return nil
	}
	return fmt.Errorf("look for interface %s in the container: %w", name, err)
}

// configureInside gives the container's end its addresses and routes. It runs in the container's namespace.
func configureInside(v Veth) error {
	link, err := netlink.LinkByName(v.IfName)
	if err != nil {
		return fmt.Errorf("interface %s in the container: %w", v.IfName, err)
	}
	if slices.ContainsFunc(v.Addresses, func(p netip.Prefix) bool { return p.Addr().Is6() }) {
		if err := allowIPv6(v.IfName); err != nil {
			return err
		}
	}
	if v.Userspace {
		if err := disableTxChecksum(v.IfName); err != nil {
			return err
		}
	}
	for _, p := range v.Addresses {
		addr := &netlink.Addr{IPNet: ipNet(p)}
		if p.Addr().Is6() {
			// The fabric guarantees that the address is unique; waiting for the kernel's own detection would
			// make the address unusable for a second.
			addr.Flags = unix.IFA_F_NODAD
		}
		if err := netlink.AddrAdd(link, addr); err != nil {
			return fmt.Errorf("give %s the address %s: %w", v.IfName, p, err)
		}
	}
	if err := netlink.LinkSetUp(link); err != nil {
		return fmt.Errorf("set %s up: %w", v.IfName, err)
	}
	for _, gw := range v.Gateways {
		err := netlink.RouteAdd(&netlink.Route{LinkIndex: link.Attrs().Index, Dst: ipNet(defaultRoute(gw)), Gw: gw.AsSlice(), Protocol: unix.RTPROT_STATIC})
		// A container's second interface finds the first one's default route, which stays.
		if err != nil && !errors.Is(err, unix.EEXIST) {
			return fmt.Errorf("route through %s: %w", gw, err)
		}
	}
	return nil
}

// Inspect tells what the container has. The error is os.ErrNotExist when an end or the namespace is not there, or
// when the two are not a pair.
func (h *Host) Inspect(_ context.Context, p Place) (in Inside, err error) {
	container, err := h.openContainer(p.Namespace)
	if err != nil {
		return Inside{}, err
	}
	defer closeNS(&container)
	var peer int
	if err := h.onNode(func() error {
		link, err := linkNamed(p.HostName, "on the node")
		if err != nil {
			return err
		}
		peer = link.Attrs().ParentIndex
		return nil
	}); err != nil {
		return Inside{}, err
	}
	err = within(container, func() error {
		link, err := linkNamed(p.IfName, "in the container")
		if err != nil {
			return err
		}
		if link.Attrs().Index != peer {
			return fmt.Errorf("the container's interface %s isn't the other end of %s: %w", p.IfName, p.HostName, os.ErrNotExist)
		}
		in, err = inspect(link)
		return err
	})
	return in, err
}

// linkNamed finds a link of the present namespace; the error of a missing one is os.ErrNotExist.
func linkNamed(name, where string) (netlink.Link, error) {
	link, err := netlink.LinkByName(name)
	var missing netlink.LinkNotFoundError
	if errors.As(err, &missing) {
		return nil, fmt.Errorf("there is no interface %s %s: %w", name, where, os.ErrNotExist)
	}
	if err != nil {
		return nil, fmt.Errorf("look for interface %s %s: %w", name, where, err)
	}
	return link, nil
}

// inspect reads a link of the present namespace.
func inspect(link netlink.Link) (Inside, error) {
	attrs := link.Attrs()
	in := Inside{MTU: attrs.MTU, Up: attrs.Flags&net.FlagUp != 0}
	if len(attrs.HardwareAddr) == len(in.MAC) {
		in.MAC = fabric.MAC(attrs.HardwareAddr)
	}
	addrs, err := netlink.AddrList(link, netlink.FAMILY_ALL)
	if err != nil {
		return Inside{}, fmt.Errorf("list the addresses of %s: %w", attrs.Name, err)
	}
	for _, a := range addrs {
		if ip, ok := netip.AddrFromSlice(a.IP); ok && !ip.Unmap().IsLinkLocalUnicast() {
			ones, _ := a.Mask.Size()
			in.Addresses = append(in.Addresses, netip.PrefixFrom(ip.Unmap(), ones))
		}
	}
	routes, err := netlink.RouteList(link, netlink.FAMILY_ALL)
	if err != nil {
		return Inside{}, fmt.Errorf("list the routes of %s: %w", attrs.Name, err)
	}
	for _, r := range routes {
		if ones, _ := maskOf(r.Dst); ones == 0 && r.Gw != nil {
			if gw, ok := netip.AddrFromSlice(r.Gw); ok {
				in.Gateways = append(in.Gateways, gw.Unmap())
			}
		}
	}
	slices.SortFunc(in.Addresses, netip.Prefix.Compare)
	slices.SortFunc(in.Gateways, netip.Addr.Compare)
	return in, nil
}

// List returns the links of the node that the agent made, in the order of their names.
func (h *Host) List(context.Context) (out []Link, err error) {
	err = h.onNode(func() error {
		links, err := netlink.LinkList()
		if err != nil {
			return fmt.Errorf("list the node's links: %w", err)
		}
		for _, l := range links {
			if purpose, ok := strings.CutPrefix(l.Attrs().Alias, Alias); ok {
				out = append(out, Link{Name: l.Attrs().Name, For: purpose})
			}
		}
		return nil
	})
	slices.SortFunc(out, func(a, b Link) int { return strings.Compare(a.Name, b.Name) })
	return out, err
}

// ipNet converts a prefix, keeping the host's bits.
func ipNet(p netip.Prefix) *net.IPNet {
	return &net.IPNet{IP: p.Addr().AsSlice(), Mask: net.CIDRMask(p.Bits(), p.Addr().BitLen())}
}

// defaultRoute is the prefix of every address of the gateway's family.
func defaultRoute(gw netip.Addr) netip.Prefix {
	if gw.Is4() {
		return netip.PrefixFrom(netip.IPv4Unspecified(), 0)
	}
	return netip.PrefixFrom(netip.IPv6Unspecified(), 0)
}

// maskOf returns the length of a route's destination; netlink gives none for a default route at times.
func maskOf(dst *net.IPNet) (ones, bits int) {
	if dst == nil {
		return 0, 0
	}
	return dst.Mask.Size()
}
