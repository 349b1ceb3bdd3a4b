package overlay

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"os"
	"sync"
	"time"

	"github.com/weftfabric/weft/agent/host"
	"github.com/weftfabric/weft/agent/ovs"
	"github.com/weftfabric/weft/agent/paths"
	"github.com/weftfabric/weft/agent/wireguard"
	"github.com/weftfabric/weft/fabric"
)

// DefaultBridge is the bridge that has the tunnel address where vswitchd forwards packets.
const DefaultBridge = "weft-vtep"

// DefaultDevice is the WireGuard device's name.
const DefaultDevice = "weft-wg"

// Config is what a Manager works with.
type Config struct {
	Device  string // the WireGuard device; unique on the machine, in all network namespaces
	Bridge  string
	KeyFile string

	Database Database // of Bridge
	Links    Links
	// Down returns the other ends of tunnels that carry nothing, as far as that is measured; nil: nobody measures.
	Down   func() []fabric.NodeName
	Logger *slog.Logger
}

// Database changes the bridge of the tunnel address; ovs.DB is one.
type Database interface {
	EnsureBridge(context.Context, ovs.BridgeSpec) error
	DeleteBridge(context.Context) error
	AddPort(context.Context, ovs.PortSpec) error
}

// Links are the node's; host.Host is one.
type Links interface {
	OpenTap(name string, mtu int) (*os.File, error)
	SetAddresses(name string, addresses []netip.Prefix, mtu int) error
	KernelWireGuard(name string) error
	SetGuard(host.Guard) error
	ClearGuard() error
	Delete(ctx context.Context, name string) error
}

// Manager keeps a node's encrypted way as it has to be. Its methods may be called at once.
type Manager struct {
	cfg Config

	// mac is the bridge's. It is drawn anew for each run and leaves the node by no packet, because it has to stay unknown: where
	// the node's network card is a port of a bridge of Open vSwitch too, vswitchd takes VXLAN from there as well if it is
	// addressed to this bridge, by IP and MAC address (ofproto/ofproto-dpif-xlate.c, terminate_native_tunnel).
	mac fabric.MAC

	mu       sync.Mutex
	keys     wireguard.Keys
	control  *wireguard.Device
	embedded *wireguard.Embedded // nil where the kernel does it
	link     wireguard.Link      // of embedded
	want     Want
	// cleared says that there is nothing left of an earlier way.
	cleared bool
	// moved are the tunnels whose other end uses its next key by now, with that key.
	moved map[fabric.NodeName]wireguard.Key
	// awaiting is when the first of the rotations began that are still awaited; zero without any.
	awaiting time.Time
	// silent says since when peers have been without a first handshake, or since the last try.
	silent map[wireguard.Key]time.Time
	// wake makes Run look at once.
	wake chan struct{}
}

// New returns a Manager with the node's keys, which are made when there are none.
func New(cfg Config) (*Manager, error) {
	keys, err := wireguard.LoadKeys(cfg.KeyFile)
	if err != nil {
		return nil, err
	}
	control, err := wireguard.Open(cfg.Device)
	if err != nil {
		return nil, err
	}
	return &Manager{cfg: cfg, mac: drawMAC(), keys: keys, control: control, moved: map[fabric.NodeName]wireguard.Key{}, wake: make(chan struct{}, 1)}, nil
}

// drawMAC returns a unicast address that is locally administered; its 46 other bits are random.
func drawMAC() fabric.MAC {
	var mac fabric.MAC
	_, _ = rand.Read(mac[:]) // it never fails
	mac[0] = mac[0]&^0x01 | 0x02
	return mac
}

// PublicKeys returns the key that the node uses, and the one that it is about to use.
func (m *Manager) PublicKeys() (current, next fabric.PublicKey) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.keys.Next != (wireguard.Key{}) {
		next = fabric.PublicKey(m.keys.Next.PublicKey())
	}
	return fabric.PublicKey(m.keys.Current.PublicKey()), next
}

// Apply makes the way equal to want. It may be called again at any time, to repair what somebody has changed; the
// way stands once it returns nil.
func (m *Manager) Apply(ctx context.Context, want Want) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if !want.Encrypts() {
		m.want = want
		return m.clear(ctx, want.Kernel)
	}
	m.cleared = false
	carrier := m.ensureBridge
	if want.Kernel {
		carrier = m.ensureKernel
	}
	if err := carrier(ctx, want); err != nil {
		return err
	}
	for _, t := range want.Tunnels {
		if t.Next.Key != m.moved[t.Name] {
			delete(m.moved, t.Name)
		}
	}
	if err := m.control.Configure(want.config(m.keys, m.moved)); err != nil {
		return err
	}
	m.want = want
	select {
	case m.wake <- struct{}{}:
	default:
	}
	return nil
}

// ensureBridge makes the bridge with the tunnel address, and behind it the device that runs in this process.
func (m *Manager) ensureBridge(ctx context.Context, want Want) error {
	spec := ovs.BridgeSpec{Datapath: ovs.Netdev, Standalone: true, OtherConfig: map[string]string{
		"hwaddr": m.mac.String(), "disable-in-band": "true",
	}}
	if err := m.cfg.Database.EnsureBridge(ctx, spec); err != nil {
		return err
	}
	link := want.Link
	link.MAC = m.mac
	if err := m.ensureEmbedded(link); err != nil {
		return err
	}
	if err := m.cfg.Database.AddPort(ctx, ovs.PortSpec{Name: m.cfg.Device}); err != nil {
		return err
	}
	return m.cfg.Links.SetAddresses(m.cfg.Bridge, addresses(want.Link), want.Link.MTU)
}

// ensureEmbedded runs the device in this process; one with other addresses or another MTU is replaced.
func (m *Manager) ensureEmbedded(link wireguard.Link) error {
	if m.embedded != nil {
		select {
		case <-m.embedded.Done():
			m.cfg.Logger.Warn("the WireGuard device ended and is started again", "device", m.cfg.Device)
		default:
			was := m.link
			if was.Relay = link.Relay; was == link {
				// The sessions stay: a peer behind NAT would take 15 seconds to notice that its own is gone.
				m.embedded.SetRelay(link.Relay)
				m.link = link
				return nil
			}
		}
		if err := m.stopEmbedded(); err != nil {
			return err
		}
	}
	tap, err := m.cfg.Links.OpenTap(m.cfg.Device, link.MTU)
	if err != nil {
		return err
	}
	m.embedded, err = wireguard.Start(m.cfg.Device, tap, link, m.cfg.Logger)
	if err != nil {
		return err
	}
	m.link = link
	return nil
}

func (m *Manager) stopEmbedded() error {
	e := m.embedded
	m.embedded = nil
	if e == nil {
		return nil
	}
	return e.Close()
}

// ensureKernel makes the kernel's device with the tunnel address.
//
// A peer's packets come out of it as they are, so the packet filter keeps them to what the embedded device carries, and
// tunnel packets that came another way out.
func (m *Manager) ensureKernel(_ context.Context, want Want) error {
	if err := m.cfg.Links.KernelWireGuard(m.cfg.Device); err != nil {
		return err
	}
	guard := host.Guard{Device: m.cfg.Device, VXLANPort: want.VXLANPort, ProbePort: paths.Port, Relay: want.Link.Relay}
	if err := m.cfg.Links.SetGuard(guard); err != nil {
		return err
	}
	return m.cfg.Links.SetAddresses(m.cfg.Device, addresses(want.Link), want.Link.MTU)
}

// addresses returns the node's addresses within the tunnels. The first one's prefix makes the route.
func addresses(link wireguard.Link) []netip.Prefix {
	out := []netip.Prefix{netip.PrefixFrom(link.VTEP, link.VTEPs.Bits())}
	if link.Probe.IsValid() {
		out = append(out, netip.PrefixFrom(link.Probe, link.Probe.BitLen()))
	}
	return out
}

// clear removes the way. What an earlier run of the agent may have left goes too.
func (m *Manager) clear(ctx context.Context, kernel bool) error {
	if m.cleared {
		return nil
	}
	err := errors.Join(m.stopEmbedded(), m.cfg.Database.DeleteBridge(ctx), m.cfg.Links.Delete(ctx, m.cfg.Device))
	if kernel {
		err = errors.Join(err, m.cfg.Links.ClearGuard())
	}
	if err != nil {
		return fmt.Errorf("remove the encrypted way: %w", err)
	}
	m.cleared = true
	return nil
}

// Close ends the device that runs in this process. Nothing else changes: packets for tunnel addresses are dropped
// until the next run, or go on where the kernel has the device.
func (m *Manager) Close() error {
	m.mu.Lock()
	defer m.mu.Unlock()
	return errors.Join(m.stopEmbedded(), m.control.Close())
}
