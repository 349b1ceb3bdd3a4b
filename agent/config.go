package agent

import (
	"context"
	"log/slog"
	"net/netip"
	"time"

	"github.com/weftfabric/weft/agent/clients"
	"github.com/weftfabric/weft/agent/dataplane"
	"github.com/weftfabric/weft/agent/host"
	"github.com/weftfabric/weft/agent/ovs"
	"github.com/weftfabric/weft/fabric"
	"github.com/weftfabric/weft/wire/openflow"
	weftv1 "github.com/weftfabric/weft/wire/weftpb/weft/v1"
)

// Config is what an agent is made of.
type Config struct {
	Node     fabric.NodeName
	VTEP     netip.Addr
	Labels   fabric.Labels // of the node
	Version  string
	Datapath ovs.DatapathType // empty: found out
	// HitsFile keeps the counts of rules between runs, FlowLog the log of connections; empty keeps none.
	HitsFile, FlowLog string
	// PlanFile is where the last plan is kept between runs; empty keeps none.
	PlanFile string

	Database   Database
	Dial       func(context.Context) (Flows, error) // an OpenFlow connection to the bridge
	Resync     time.Duration                        // between comparisons with the switch; 0: DefaultResync
	Links      Links
	Controller Controller
	// Switch is asked for users; without it, what they ask about the switch gets no answer.
	Switch Switch
	// Settings reads the bridge's settings for them; without it they aren't told.
	Settings func(context.Context) (ovs.Settings, error)
	// Tracker tells of live connections; without it none is cut when policy changes.
	Tracker Tracker
	// KernelDatapath reports whether the kernel can forward the bridge's packets.
	KernelDatapath func() (bool, error)
	// PacketBuffer returns the size of a new packet socket's buffer, in bytes; nil where nobody can tell.
	PacketBuffer func() (int, error)
	// Touch makes the neighbour of a tunnel peer known; nil leaves that to the first packet. See the function Touch.
	Touch func(ctx context.Context, from, to netip.Addr) error
	// Overlay and Paths serve encrypted tunnels; nil where the node can't have any.
	Overlay Overlay
	Paths   Paths
	// Clients serves remote clients; nil where the node can't. ClientEndpoint is the address or name by which they reach
	// the node; empty stands for the VTEP.
	Clients        Clients
	ClientEndpoint string
	// WireGuardPort is the UDP port of the tunnels; 0 takes the fabric's. BehindNAT says that others can't reach it.
	WireGuardPort uint16
	BehindNAT     bool
	// UnderlayMTU returns the MTU of the link that has an address, 0 if none has it; nil where nobody can tell.
	UnderlayMTU func(netip.Addr) (int, error)
	// KeyLifetime is how old a WireGuard key gets; 0 keeps it until somebody asks for another.
	KeyLifetime time.Duration
	// Expires tells when the node's certificate expires, zero without one; nil where there is none.
	Expires func() time.Time
	Logger  *slog.Logger
}

// Database is Open vSwitch's database; ovs.DB is one.
type Database interface {
	Updates() <-chan ovs.State
	EnsureBridge(context.Context, ovs.BridgeSpec) error
	Ports
}

// Clients serve the remote clients whose gateway the node is; clients.Manager is one.
type Clients interface {
	Apply([]clients.Network) error
	PublicKey() fabric.PublicKey
	Sessions() ([]clients.Session, error)
}

// Ports changes the bridge's ports.
type Ports interface {
	AddPort(context.Context, ovs.PortSpec) error
	SetExternalIDs(ctx context.Context, name string, ids map[string]string) error
	DeletePort(ctx context.Context, name string) error
}

// Flows is an OpenFlow connection; ovs.Flows is one. After an error of any of its calls but ovs.RefusedError it is of no use.
type Flows interface {
	// Ports returns the names of the switch's ports by their numbers.
	Ports(context.Context) (map[uint32]string, error)
	// Dump returns the flows of the switch.
	Dump(context.Context) ([]ovs.Flow, error)
	// Apply changes flows, all or none, and returns once a barrier has confirmed them. The error is an ovs.RefusedError
	// when the switch refused them.
	Apply(context.Context, []dataplane.Op) error
	// Forget removes connections from the switch's tracker.
	Forget(context.Context, []openflow.Connections) error
	// Changes tells when somebody else changes flows. The error says that the switch can't tell.
	Changes(context.Context) (<-chan struct{}, error)
	// RestorePorts clears what others have set about ports of the fabric, and tells what that was.
	RestorePorts(ctx context.Context, ours func(name string) bool) ([]string, error)
	// RestoreFragments undoes what others have set about fragments, and tells what that was.
	RestoreFragments(context.Context) (string, error)
	// PortChanges waits for ports of the switch to change. It fails once the connection has ended.
	PortChanges(context.Context) ([]openflow.PortChange, error)
	Questions
	Counters
	// Done is closed when the connection has ended.
	Done() <-chan struct{}
	Close() error
}

// Questions are the packets that the switch hands to the agent.
type Questions interface {
	// Next waits for the next one. It fails once the connection has ended.
	Next(context.Context) (ovs.Question, error)
	// Reply sends a frame out of a port, past all flows.
	Reply(ctx context.Context, port uint32, frame []byte) error
}

// Links makes and inspects the node's links; host.Host is one.
type Links interface {
	// CreateVeth makes a container's pair, and ConfigureVeth sets it up.
	CreateVeth(context.Context, host.Veth) error
	ConfigureVeth(context.Context, host.Veth) error
	// Retire puts the container's end of a pair aside.
	Retire(context.Context, host.Place) error
	CreateTap(context.Context, host.Tap) (created bool, err error)
	Inspect(context.Context, host.Place) (host.Inside, error)
	Delete(ctx context.Context, name string) error
	DeleteAll(ctx context.Context, names []string) error
	List(context.Context) ([]host.Link, error)
	Shields
}

// Shields keep the node's network stack off links that others have made.
type Shields interface {
	Shield(ctx context.Context, name string) error
	Unshield(ctx context.Context, name string) error
	Shielded(context.Context) ([]string, error)
}

// Controller is what the agent asks of the controller: NodeService without its envelopes. Errors carry their
// Connect code.
type Controller interface {
	// Watch calls update with each update until it, or the stream, fails.
	Watch(ctx context.Context, have *weftv1.WatchPlanRequest, update func(*weftv1.PlanUpdate) error) error
	Calls
}

// Calls are the controller's single questions.
type Calls interface {
	Register(context.Context, *weftv1.RegisterRequest) error
	Announce(context.Context, *weftv1.RegisterRequest) (known bool, err error)
	Report(context.Context, *weftv1.ReportRequest) error
	LeaseBlock(context.Context, *weftv1.LeaseBlockRequest) (netip.Prefix, error)
	ReleaseBlock(context.Context, *weftv1.ReleaseBlockRequest) error
	ResolveIdentity(context.Context, *weftv1.ResolveIdentityRequest) (fabric.Identity, error)
	BindPort(context.Context, *weftv1.BindPortRequest) (fabric.PortRef, error)
	ReleasePort(context.Context, fabric.PortRef) error
}

const (
	tunnelPort     = "weft-vxlan" // the VXLAN port's name
	statusInactive = "inactive"   // the iface-status of an interface that must not be bound

	requestTimeout    = 30 * time.Second // of a request on the socket, as a whole
	enforceTimeout    = 15 * time.Second // from the plugged port to the confirmed flows
	controllerTimeout = 15 * time.Second // of one call of the controller
	planTimeout       = 10 * time.Second // from the controller's answer to the plan that holds it
	jobTimeout        = 15 * time.Second
	dialTimeout       = 5 * time.Second
	switchTimeout     = 20 * time.Second // of one bundle or dump
	statusTimeout     = 2 * time.Second  // for fresh counters
	resyncInterval    = 30 * time.Second // between comparisons with the switch
	reportInterval    = 10 * time.Second
	minBackoff        = 200 * time.Millisecond
	maxBackoff        = 15 * time.Second
	startTime         = time.Minute      // in which the controller may be starting too,
	maxStartBackoff   = 2 * time.Second  // so that it is asked more often
	jobCooldown       = time.Second      // before a job that succeeded may run again
	deadLinkTime      = 60 * time.Second // after which the port of a link that is gone is removed
	maxProblems       = 100              // in a report
)
