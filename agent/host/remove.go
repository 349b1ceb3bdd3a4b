package host

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netlink/nl"
	"github.com/vishvananda/netns"
	"golang.org/x/sys/unix"
)

// The kernel deletes a link only after every processor has let go of it, which takes 10 to 20 ms however small the
// link, and as long for a hundred links that are deleted together. So the container's end is taken out of the way first,
// which takes no time, and the pairs go later, as one.

// deletionGroup is the group of links (ip-link(8), "group") that are to be deleted: "weft" in ASCII.
const deletionGroup = 0x77656674

// Retire sets the container's end of a pair down, and gives it the name of the node's end, so that the container can get
// another interface of its name at once. The error is os.ErrNotExist when the ends aren't where the place says.
func (h *Host) Retire(_ context.Context, p Place) error {
	container, err := h.openContainer(p.Namespace)
	if err != nil {
		return err
	}
	defer closeNS(&container)
	return h.onNode(func() error {
		node, err := linkNamed(p.HostName, "on the node")
		if err != nil {
			return err
		}
		if err := netns.Set(container); err != nil { // this thread is thrown away
			return fmt.Errorf("enter the container's network namespace: %w", err)
		}
		link, err := linkNamed(p.IfName, "in the container")
		if err != nil {
			return err
		}
		// Both ways: the path may be that of another container by now.
		if link.Attrs().Index != node.Attrs().ParentIndex || link.Attrs().ParentIndex != node.Attrs().Index {
			return fmt.Errorf("the container's interface %s isn't the other end of %s: %w", p.IfName, p.HostName, os.ErrNotExist)
		}
		if err := netlink.LinkSetDown(link); err != nil {
			return fmt.Errorf("set %s down: %w", p.IfName, err)
		}
		if err := netlink.LinkSetName(link, p.HostName); err != nil {
			return fmt.Errorf("rename %s to %s: %w", p.IfName, p.HostName, err)
		}
		return nil
	})
}

// Delete removes a link of the node, and with a veth's end the other end.
func (h *Host) Delete(ctx context.Context, name string) error {
	return h.DeleteAll(ctx, []string{name})
}

// DeleteAll removes links of the node as Delete does, those that the agent made together.
func (h *Host) DeleteAll(_ context.Context, names []string) error {
	return h.onNode(func() error {
		var links []netlink.Link
		var errs []error
		for _, name := range names {
			link, err := linkNamed(name, "on the node")
			switch {
			case err == nil:
				links = append(links, link)
			case !gone(err):
				errs = append(errs, err)
			}
		}
		if len(links) > 1 && deleteTogether(links) == nil {
			return errors.Join(errs...)
		}
		for _, link := range links {
			if err := netlink.LinkDel(link); err != nil && !errors.Is(err, unix.ENODEV) {
				errs = append(errs, fmt.Errorf("delete link %s: %w", link.Attrs().Name, err))
			}
		}
		return errors.Join(errs...)
	})
}

// deleteTogether deletes links of the agent by their group, unless somebody else uses that group.
func deleteTogether(links []netlink.Link) error {
	for _, link := range links {
		if !strings.HasPrefix(link.Attrs().Alias, Alias) {
			return fmt.Errorf("%s isn't a link of the agent", link.Attrs().Name)
		}
		if err := netlink.LinkSetGroup(link, deletionGroup); err != nil && !errors.Is(err, unix.ENODEV) {
			return fmt.Errorf("set the group of %s: %w", link.Attrs().Name, err)
		}
	}
	all, err := netlink.LinkList()
	if err != nil {
		return fmt.Errorf("list the node's links: %w", err)
	}
	for _, l := range all {
		if l.Attrs().Group == deletionGroup && !strings.HasPrefix(l.Attrs().Alias, Alias) {
			return fmt.Errorf("somebody else's link %s is in the group %#x", l.Attrs().Name, deletionGroup)
		}
	}
	request := nl.NewNetlinkRequest(unix.RTM_DELLINK, unix.NLM_F_ACK)
	request.AddData(nl.NewIfInfomsg(unix.AF_UNSPEC))
	request.AddData(nl.NewRtAttr(unix.IFLA_GROUP, nl.Uint32Attr(deletionGroup)))
	_, err = request.Execute(unix.NETLINK_ROUTE, 0)
	return err
}
