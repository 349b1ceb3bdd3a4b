package ovs

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"slices"
)

// DefaultDatabase is where ovsdb-server listens on most systems.
const DefaultDatabase = "unix:/run/openvswitch/db.sock"

// DefaultBridge is the integration bridge that the agent owns.
const DefaultBridge = "br-int"

// ErrNotConnected says that ovsdb-server does not answer at present; the driver keeps trying.
var ErrNotConnected = errors.New("the database of Open vSwitch doesn't answer: is ovsdb-server running?")

// State is what the database says about the bridge.
type State struct {
	// Connected says whether the rest is current; else Problem says why not, and the rest is empty.
	Connected bool
	Problem   string
	// Session counts the connections: behind a new one there may be another database.
	Session uint64
	// Version is Open vSwitch's version, as vswitchd wrote it.
	Version string
	// Bridge is the integration bridge; its Name is empty while there is none.
	Bridge Bridge
	// Interfaces are those of the bridge in the order of their names, its own local port left out.
	Interfaces []Interface
}

// Interface returns the bridge's interface of that name.
func (s State) Interface(name string) (Interface, bool) {
	for _, i := range s.Interfaces {
		if i.Name == name {
			return i, true
		}
	}
	return Interface{}, false
}

// Bridge is the bridge's row.
type Bridge struct {
	Name     string
	Datapath DatapathType
	// DatapathID is empty until vswitchd has made the bridge.
	DatapathID string
	// FailMode says what it does without flows; empty is standalone.
	FailMode    string
	Protocols   []string
	OtherConfig map[string]string
}

// Unlike says what about the bridge isn't as EnsureBridge makes it for the spec: nothing but the type of its datapath, which
// that changes only in one direction, is left out.
func (b Bridge) Unlike(spec BridgeSpec) []string {
	var out []string
	if mode := cmp.Or(b.FailMode, failStandalone); mode != spec.failMode() {
		out = append(out, "fail_mode "+mode)
	}
	for _, p := range wantedProtocols {
		if !slices.Contains(b.Protocols, p) {
			out = append(out, "no "+p)
		}
	}
	for _, k := range slices.Sorted(maps.Keys(spec.OtherConfig)) {
		if v := b.OtherConfig[k]; v != spec.OtherConfig[k] {
			out = append(out, fmt.Sprintf("other_config:%s %q", k, v))
		}
	}
	return out
}

// Interface is an interface of the bridge.
type Interface struct {
	Name string
	Type string // "" for a device of the system, "internal", "vxlan"
	// OFPort is the port number in OpenFlow; 0 until vswitchd has given one, or when it could not.
	OFPort uint32
	// Requested is the number that vswitchd was asked to give; 0 when it was left to it. It gives another one only when
	// that is taken.
	Requested uint32
	// Error is why vswitchd could not open the device; empty when it could.
	Error       string
	Options     map[string]string
	ExternalIDs map[string]string
}

// BridgeSpec is how the bridge has to be. Settings that it doesn't name stay as they are.
type BridgeSpec struct {
	Datapath DatapathType
	// Standalone makes a learning switch of a bridge without flows, instead of one that drops everything.
	Standalone bool
	// OtherConfig are the keys of other_config that must have these values.
	OtherConfig map[string]string
}

// PortSpec is how a port of the bridge has to be.
type PortSpec struct {
	Name string
	Type string
	// Number is the port number that a new port asks for; 0 leaves it to vswitchd.
	Number uint32
	// Options replace the interface's options.
	Options map[string]string
	// ExternalIDs are set; other keys of the interface stay as they are.
	ExternalIDs map[string]string
}
