package host

import (
	"errors"
	"fmt"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// KernelDatapath reports whether the kernel offers Open vSwitch's datapath: it does where the generic netlink family
// ovs_datapath exists (linux/openvswitch.h).
func KernelDatapath() (bool, error) {
	_, err := netlink.GenlFamilyGet("ovs_datapath")
	switch {
	case err == nil:
		return true, nil
	case errors.Is(err, unix.ENOENT):
		return false, nil
	}
	return false, fmt.Errorf("ask the kernel for its Open vSwitch datapath: %w", err)
}
