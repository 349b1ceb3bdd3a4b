package host

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"unsafe"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// prepareNodeEnd sets up a port's link on the node, and keeps the node's own network stack off it: the link
// belongs to the switch alone.
func (h *Host) prepareNodeEnd(name string, userspace bool) error {
	link, err := linkNamed(name, "on the node")
	if err != nil {
		return err
	}
	// 8: answer ARP for no address of the node.
	if err := setSysctl("ipv4", name, "arp_ignore", "8"); err != nil {
		return err
	}
	if err := setSysctl("ipv6", name, "disable_ipv6", "1"); err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	if userspace {
		if err := shield(link, &h.program); err != nil {
			return fmt.Errorf("keep the node's network stack off %s: %w", name, err)
		}
	}
	if err := netlink.LinkSetUp(link); err != nil {
		return fmt.Errorf("set %s up: %w", name, err)
	}
	return nil
}

// allowIPv6 lets a container's interface have IPv6 addresses, even where the runtime switched IPv6 off, and stops
// what the fabric doesn't serve: duplicate-address detection and router advertisements.
func allowIPv6(name string) error {
	for _, s := range [][2]string{{"accept_dad", "0"}, {"accept_ra", "0"}, {"disable_ipv6", "0"}} {
		if err := setSysctl("ipv6", name, s[0], s[1]); err != nil {
			return err
		}
	}
	return nil
}

// setSysctl sets an interface's setting in the present namespace; the kernel shows a thread its own.
func setSysctl(family, ifname, key, value string) error {
	path := filepath.Join("/proc/sys/net", family, "conf", ifname, key)
	if err := os.WriteFile(path, []byte(value), 0o644); err != nil {
		return fmt.Errorf("set %s to %s: %w", path, value, err)
	}
	return nil
}

// ethtoolValue is struct ethtool_value of linux/ethtool.h.
type ethtoolValue struct{ cmd, data uint32 }

// ethtoolRequest is struct ifreq with a pointer, as SIOCETHTOOL wants it.
type ethtoolRequest struct {
	name [unix.IFNAMSIZ]byte
	data unsafe.Pointer
	_    [16]byte // the rest of the union
}

// disableTxChecksum makes the interface compute checksums itself, and with them segmentation: the userspace
// datapath passes on what it gets, so a checksum that is left to hardware would never be computed.
func disableTxChecksum(name string) error {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return fmt.Errorf("open a socket for ethtool: %w", err)
	}
	defer func() { _ = unix.Close(fd) }()
	value := ethtoolValue{cmd: unix.ETHTOOL_STXCSUM, data: 0}
	request := ethtoolRequest{data: unsafe.Pointer(&value)}
	copy(request.name[:unix.IFNAMSIZ-1], name)
	_, _, errno := unix.Syscall(unix.SYS_IOCTL, uintptr(fd), unix.SIOCETHTOOL, uintptr(unsafe.Pointer(&request)))
	runtime.KeepAlive(&value)
	if errno != 0 {
		return fmt.Errorf("switch off transmit checksum offload of %s: %w", name, errno)
	}
	return nil
}
