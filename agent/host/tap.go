package host

import (
	"context"
	"errors"
	"fmt"
	"os"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// CreateTap makes a persistent tap of one queue, set up and without a carrier until a virtual machine opens it. A
// tap that is there already is taken as it is, and created is false; a link of another kind is os.ErrExist.
func (h *Host) CreateTap(_ context.Context, t Tap) (created bool, err error) {
	err = h.onNode(func() error {
		link, err := linkNamed(t.Name, "on the node")
		switch {
		case err == nil && link.Type() != "tuntap":
			return fmt.Errorf("%s is a %s, not a tap: %w", t.Name, link.Type(), os.ErrExist)
		case err == nil:
			return nil
		case !gone(err):
			return err
		}
		if err := makeTap(t.Name); err != nil {
			return err
		}
		created = true
		return h.finishTap(t)
	})
	if err != nil && created {
		err = errors.Join(err, h.Delete(context.Background(), t.Name))
		created = false
	}
	return created, err
}

// OpenPort opens the tap of a port, for a virtual machine or a remote client that lives in this process.
func (h *Host) OpenPort(name string) (tap *os.File, err error) {
	err = h.onNode(func() error {
		if _, err := linkNamed(name, "on the node"); err != nil {
			return err
		}
		tap, err = openTap(name)
		return err
	})
	return tap, err
}

// makeTap makes the device (Documentation/networking/tuntap.rst). It outlives its descriptor.
func makeTap(name string) (err error) {
	fd, err := unix.Open("/dev/net/tun", unix.O_RDWR|unix.O_CLOEXEC, 0)
	if err != nil {
		return fmt.Errorf("open /dev/net/tun: %w", err)
	}
	defer func() { err = errors.Join(err, unix.Close(fd)) }()
	request, err := unix.NewIfreq(name)
	if err != nil {
		return fmt.Errorf("tap %q: %w", name, err)
	}
	request.SetUint16(unix.IFF_TAP | unix.IFF_NO_PI | unix.IFF_TUN_EXCL)
	if err := unix.IoctlIfreq(fd, unix.TUNSETIFF, request); err != nil {
		return fmt.Errorf("make tap %s: %w", name, err)
	}
	if err := unix.IoctlSetInt(fd, unix.TUNSETPERSIST, 1); err != nil {
		return fmt.Errorf("make tap %s persistent: %w", name, err)
	}
	return nil
}

// finishTap configures a new tap of the present namespace.
func (h *Host) finishTap(t Tap) error {
	link, err := linkNamed(t.Name, "on the node")
	if err != nil {
		return err
	}
	if err := netlink.LinkSetMTU(link, nodeMTU(t.MTU)); err != nil {
		return fmt.Errorf("set the MTU of %s: %w", t.Name, err)
	}
	if err := netlink.LinkSetAlias(link, Alias+t.For); err != nil {
		return fmt.Errorf("name the purpose of %s: %w", t.Name, err)
	}
	return h.prepareNodeEnd(t.Name, t.Userspace)
}
