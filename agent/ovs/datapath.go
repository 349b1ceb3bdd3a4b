package ovs

import "fmt"

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
