package ovs

import (
	"errors"
	"fmt"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// DatapathType is who forwards the bridge's packets. Its text is that of the bridge's datapath_type.
type DatapathType string

// The datapath types.
const (
	System DatapathType = "system" // the kernel's openvswitch module
	Netdev DatapathType = "netdev" // vswitchd itself, in user space
)

// ParseDatapath parses the type that a user asked for; "auto" gives the empty type.
func ParseDatapath(s string) (DatapathType, error) {
	switch d := DatapathType(s); {
	case s == "auto":
		return "", nil
	case d == System || d == Netdev:
		return d, nil
	}
	return "", fmt.Errorf("datapath %q is unknown: write auto, system or netdev", s)
}

// DetectDatapath returns System where the kernel offers Open vSwitch's datapath, that is where the generic
// netlink family ovs_datapath exists, and Netdev elsewhere.
func DetectDatapath() (DatapathType, error) {
	_, err := netlink.GenlFamilyGet("ovs_datapath")
	switch {
	case err == nil:
		return System, nil
	case errors.Is(err, unix.ENOENT):
		return Netdev, nil
	}
	return "", fmt.Errorf("ask the kernel for its Open vSwitch datapath: %w", err)
}
