// Package clients serves the remote clients whose gateway the node is: an embedded WireGuard device for each network, since
// addresses of different networks may be the same, and behind it the taps that are the clients' ports.
//
// The taps are plugged by package agent as those of virtual machines are, so a client's packets pass the same guards
// and policies as any workload's. Nothing here decides what may pass but WireGuard, by keys and source addresses.
package clients

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"os"
	"slices"
	"sync"

	"github.com/weftfabric/weft/agent/wireguard"
	"github.com/weftfabric/weft/fabric"
	"github.com/weftfabric/weft/plan"
)

// Network is a network with clients on this node.
type Network struct {
	ID     fabric.NetworkID
	Ref    fabric.NetworkRef
	Listen uint16
	Router fabric.MAC
	MTU    int
	// Clients are in the order of their ports.
	Clients []Client
}

// Client is a client and the port that it is.
type Client struct {
	Port fabric.PortRef
	wireguard.RemoteClient
}

// Of returns what a plan asks for, in order.
func Of(n *plan.Node) []Network {
	var out []Network
	for _, p := range n.Ports {
		if p.Client.Key.IsZero() || p.Client.Listen == 0 {
			continue
		}
		i := slices.IndexFunc(out, func(w Network) bool { return w.ID == p.Network })
		if i < 0 {
			i = len(out)
			out = append(out, Network{ID: p.Network, Listen: p.Client.Listen, Router: n.Settings.VirtualMAC})
			for _, w := range n.Networks {
				if w.ID == p.Network {
					out[i].Ref, out[i].MTU = w.Ref, n.Settings.MTU(w.MTU)
				}
			}
		}
		out[i].Clients = append(out[i].Clients, Client{p.Ref, wireguard.RemoteClient{
			Key: wireguard.Key(p.Client.Key), MAC: p.MAC, Addresses: p.Addresses, Tap: Tap(p.Ref),
		}})
	}
	slices.SortFunc(out, func(a, b Network) int { return int(a.ID) - int(b.ID) })
	return out
}

// Tap returns the name of the interface of a client's port.
func Tap(ref fabric.PortRef) string {
	sum := sha256.Sum256([]byte("client\x00" + ref.String()))
	return "weftc" + hex.EncodeToString(sum[:])[:10] // at most 15 bytes, as the kernel has it
}

// Session is what a gateway knows of a client.
type Session struct {
	Port fabric.PortRef
	wireguard.PeerStatus
}

// Manager runs the devices. Its methods may be called at once.
type Manager struct {
	key  wireguard.Key
	open func(tap string) (*os.File, error)
	log  *slog.Logger

	mu      sync.Mutex
	running map[fabric.NetworkID]*running
}

type running struct {
	*wireguard.Gateway
	want Network
}

// New returns a Manager with the node's key for clients, which is made when there is none. Open opens the tap of a port.
func New(keyFile string, open func(tap string) (*os.File, error), log *slog.Logger) (*Manager, error) {
	keys, err := wireguard.LoadKeys(keyFile)
	if err != nil {
		return nil, err
	}
	return &Manager{key: keys.Current, open: open, log: log, running: map[fabric.NetworkID]*running{}}, nil
}

// PublicKey returns the key by which clients know the node.
func (m *Manager) PublicKey() fabric.PublicKey { return fabric.PublicKey(m.key.PublicKey()) }

// Apply serves the clients of these networks, and no others. It may be called again at any time, to repair what has ended.
func (m *Manager) Apply(want []Network) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	wanted := make(map[fabric.NetworkID]bool, len(want))
	for _, w := range want {
		wanted[w.ID] = true
	}
	for id, r := range m.running {
		if !wanted[id] || r.ended() {
			r.Close()
			delete(m.running, id)
		}
	}
	var errs []error
	for _, w := range want {
		if err := m.serve(w); err != nil {
			errs = append(errs, fmt.Errorf("remote clients of network %s: %w", w.Ref, err))
		}
	}
	return errors.Join(errs...)
}

func (m *Manager) serve(w Network) error {
	r := m.running[w.ID]
	if r != nil && (r.want.Router != w.Router || r.want.MTU != w.MTU) {
		r.Close()
		r = nil
	}
	if r == nil {
		g, err := wireguard.StartGateway("clients of "+w.Ref.String(), w.Router, w.MTU, m.log)
		if err != nil {
			return err
		}
		r = &running{Gateway: g}
		m.running[w.ID] = r
	}
	r.want = w
	remote := make([]wireguard.RemoteClient, 0, len(w.Clients))
	for _, c := range w.Clients {
		remote = append(remote, c.RemoteClient)
	}
	return r.Configure(m.key, w.Listen, remote, m.open)
}

func (r *running) ended() bool {
	select {
	case <-r.Done():
		return true
	default:
		return false
	}
}

// Sessions returns what is known of the clients, in the order of their ports.
func (m *Manager) Sessions() ([]Session, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	var out []Session
	for _, id := range slices.Sorted(maps.Keys(m.running)) {
		r := m.running[id]
		peers, err := r.Peers()
		if err != nil {
			return nil, err
		}
		for _, c := range r.want.Clients {
			for _, p := range peers {
				if p.Key == c.Key {
					out = append(out, Session{c.Port, p})
				}
			}
		}
	}
	slices.SortFunc(out, func(a, b Session) int { return a.Port.Compare(b.Port) })
	return out, nil
}

// Close ends the devices; the clients' ports stay, and carry nothing until the next run.
func (m *Manager) Close() {
	m.mu.Lock()
	defer m.mu.Unlock()
	for id, r := range m.running {
		r.Close()
		delete(m.running, id)
	}
}
