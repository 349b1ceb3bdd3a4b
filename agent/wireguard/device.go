package wireguard

import (
	"fmt"
	"net/netip"
	"slices"
	"time"

	"golang.zx2c4.com/wireguard/wgctrl"
	"golang.zx2c4.com/wireguard/wgctrl/wgtypes"
)

// Device controls one WireGuard device, the kernel's or an Embedded one, by its name. It is for one goroutine.
type Device struct {
	name   string
	client *wgctrl.Client
	told   Config
}

// Open returns the control of the device of that name, which need not exist yet.
func Open(name string) (*Device, error) {
	c, err := wgctrl.New()
	if err != nil {
		return nil, fmt.Errorf("open the control of WireGuard devices: %w", err)
	}
	return &Device{name: name, client: c}, nil
}

// Close gives the control back; the device stays as it is.
func (d *Device) Close() error { return d.client.Close() }

// Configure makes the device equal to want, and touches only what differs from it.
func (d *Device) Configure(want Config) error {
	have, err := d.client.Device(d.name)
	if err != nil {
		return fmt.Errorf("read WireGuard device %s: %w", d.name, err)
	}
	c, changed := change(have, d.told, want)
	if changed {
		if err := d.client.ConfigureDevice(d.name, c); err != nil {
			return fmt.Errorf("configure WireGuard device %s: %w", d.name, err)
		}
	}
	d.told = want
	d.told.Peers = slices.Clone(want.Peers)
	return nil
}

// Forget removes peers with their sessions; the next Configure makes them again.
func (d *Device) Forget(keys []Key) error {
	var c wgtypes.Config
	for _, k := range keys {
		c.Peers = append(c.Peers, wgtypes.PeerConfig{PublicKey: k, Remove: true})
	}
	if err := d.client.ConfigureDevice(d.name, c); err != nil {
		return fmt.Errorf("configure WireGuard device %s: %w", d.name, err)
	}
	return nil
}

// Status is what a device is doing.
type Status struct {
	// Kind is how the device is run: "Linux kernel" or "userspace".
	Kind   string
	Public Key
	Port   uint16
	Peers  []PeerStatus // in the order of their keys
}

// PeerStatus is what a device knows of a peer.
type PeerStatus struct {
	Key Key
	// Endpoint is where the peer was heard from last, or where it is supposed to be.
	Endpoint netip.AddrPort
	// Handshake is the time of the last one; zero when there was none yet. A session whose last handshake is older than 3
	// minutes carries nothing (WireGuard whitepaper, section 6.1: Reject-After-Time).
	Handshake          time.Time
	Received, Sent     uint64 // bytes
	Allowed            []netip.Prefix
	PersistentInterval time.Duration
}

// Status asks the device.
func (d *Device) Status() (Status, error) {
	have, err := d.client.Device(d.name)
	if err != nil {
		return Status{}, fmt.Errorf("read WireGuard device %s: %w", d.name, err)
	}
	s := Status{Kind: have.Type.String(), Public: have.PublicKey, Port: uint16(have.ListenPort)}
	for _, p := range have.Peers {
		ps := PeerStatus{Key: p.PublicKey, Handshake: p.LastHandshakeTime, Received: uint64(p.ReceiveBytes), Sent: uint64(p.TransmitBytes),
			Allowed: prefixes(p.AllowedIPs), PersistentInterval: p.PersistentKeepaliveInterval}
		if p.Endpoint != nil {
			ps.Endpoint = addrPort(p.Endpoint)
		}
		s.Peers = append(s.Peers, ps)
	}
	slices.SortFunc(s.Peers, func(a, b PeerStatus) int { return slices.Compare(a.Key[:], b.Key[:]) })
	return s, nil
}
