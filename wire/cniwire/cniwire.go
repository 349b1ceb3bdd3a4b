// Package cniwire is what the CNI plugin and the weft command say to the agent of their node: one JSON
// request and one JSON response per connection to a unix socket, each ended by a newline.
//
// It imports fabric only, so that the plugin's binary stays small.
package cniwire

import (
	"net/netip"
	"time"

	"github.com/weftfabric/weft/fabric"
)

// DefaultSocket is where the agent listens.
const DefaultSocket = "/run/weft/agent.sock"

// MaxMessage is the largest request or response, in bytes.
const MaxMessage = 1 << 20

// Request is one question. Exactly one of the pointers is set.
type Request struct {
	Add    *Add    `json:"add,omitempty"`    // attach a container's interface
	Del    *Del    `json:"del,omitempty"`    // detach it; detaching what is not there succeeds
	Check  *Check  `json:"check,omitempty"`  // is it as Add left it?
	Attach *Attach `json:"attach,omitempty"` // plug a tap for a declared Port
	Detach *Detach `json:"detach,omitempty"` // unplug it
	GC     *GC     `json:"gc,omitempty"`     // detach the containers that the runtime doesn't know any more
	Status *Status `json:"status,omitempty"` // what is the agent's state?
}

// Attachment names one interface of one container: what CNI says must be unique.
type Attachment struct {
	ContainerID string `json:"containerID"`
	IfName      string `json:"ifName"`
}

// Add asks for an interface IfName in the network namespace Netns.
type Add struct {
	Attachment
	Netns string `json:"netns"`
	// Port names a declared Port; else Network, Subnet and Labels describe the workload.
	Port    fabric.PortRef    `json:"port,omitzero"`
	Network fabric.NetworkRef `json:"network,omitzero"`
	Subnet  string            `json:"subnet,omitempty"`
	Labels  fabric.Labels     `json:"labels,omitempty"`
	// Name is for people: the pod's or the container's name.
	Name string `json:"name,omitempty"`
	// Config is the name of the runtime's network configuration: what a GC of that configuration is about.
	Config string `json:"config,omitempty"`
	// MAC and Addresses are asked for by the runtime; zero and empty leave them to the agent.
	MAC       fabric.MAC   `json:"mac,omitzero"`
	Addresses []netip.Addr `json:"addresses,omitempty"`
}

// Del asks to detach an interface. Netns may be empty or gone.
type Del struct {
	Attachment
	Netns string `json:"netns,omitempty"`
}

// Check asks whether the interface is as Add left it.
type Check struct {
	Attachment
	Netns string `json:"netns"`
	// Addresses and MAC are those of the result that the runtime remembers.
	Addresses []netip.Prefix `json:"addresses,omitempty"`
	MAC       fabric.MAC     `json:"mac,omitzero"`
}

// Attach asks for a tap for a declared Port, to be used by a VM. The agent makes the tap when Tap does not
// exist, and plugs it into br-int.
type Attach struct {
	Port fabric.PortRef `json:"port"`
	Tap  string         `json:"tap"`
}

// Detach asks to unplug the tap of a Port, and removes the tap if the agent made it.
type Detach struct {
	Port fabric.PortRef `json:"port"`
}

// GC asks to detach every container that was attached by the network configuration Config and is not in Keep. Those
// of other configurations, and those that no configuration is known of, stay.
type GC struct {
	Config string       `json:"config"`
	Keep   []Attachment `json:"keep"`
}

// Status asks for the agent's state.
type Status struct {
	// Brief leaves out what the switch has to be asked for: the counters are those of the last time.
	Brief bool `json:"brief,omitempty"`
}

// Response is one answer: Error, or the part that belongs to the request.
type Response struct {
	Error     *Error       `json:"error,omitempty"`
	Interface *Interface   `json:"interface,omitempty"` // to Add and Attach
	Status    *AgentStatus `json:"status,omitempty"`    // to Status
}

// Code classifies an error.
type Code string

// The codes.
const (
	CodeInvalid     Code = "invalid"     // the request can't ever succeed as it is
	CodeNotFound    Code = "not-found"   // network, port or attachment does not exist
	CodeConflict    Code = "conflict"    // address, MAC, port or interface is in use
	CodeExhausted   Code = "exhausted"   // no address is left
	CodeUnavailable Code = "unavailable" // try again: switch or controller doesn't answer
	CodeInternal    Code = "internal"
)

// Error is why a request failed; Message says what to do.
type Error struct {
	Code    Code   `json:"code"`
	Message string `json:"message"`
}

// Error implements error.
func (e *Error) Error() string { return e.Message }

// Interface is an attached interface as the workload sees it.
type Interface struct {
	MAC       fabric.MAC     `json:"mac"`
	MTU       int            `json:"mtu"`
	Addresses []netip.Prefix `json:"addresses"` // with the subnet's prefix length
	Gateways  []netip.Addr   `json:"gateways"`  // one for each family
	HostName  string         `json:"hostName"`  // the host's end of the veth, or the tap
	Network   string         `json:"network"`   // tenant/name
	Identity  string         `json:"identity"`
}

// AgentStatus is the agent's state, for people and for the CNI plugin's STATUS.
type AgentStatus struct {
	Node        string            `json:"node"`
	Version     string            `json:"version"`
	Ready       bool              `json:"ready"`
	Reason      string            `json:"reason,omitempty"` // why not ready
	Datapath    string            `json:"datapath"`         // system or netdev
	Controller  string            `json:"controller"`       // connected, or why not
	Revision    uint64            `json:"revision"`         // of the plan that the switch enforces
	Attachments int               `json:"attachments"`
	Flows       int               `json:"flows"`
	Drops       map[string]uint64 `json:"drops,omitempty"` // packets by reason
	// Questions are the packets that the switch had for the agent, by purpose, those that a meter kept back included.
	Questions map[string]uint64 `json:"questions,omitempty"`

	Plan     *PlanStatus `json:"plan,omitempty"`     // missing while the agent has none
	Problems []string    `json:"problems,omitempty"` // what is not as it should be
}

// PlanStatus says which plan the agent works by.
type PlanStatus struct {
	Revision uint64 `json:"revision"`
	// FromDisk says that the controller has not confirmed the plan in this run of the agent.
	FromDisk bool `json:"fromDisk,omitempty"`
	// Confirmed is when the controller confirmed it last: now, while the agent is connected to it.
	Confirmed time.Time `json:"confirmed,omitzero"`
}
