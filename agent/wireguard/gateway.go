package wireguard

import (
	"bufio"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net/netip"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.zx2c4.com/wireguard/conn"
	"golang.zx2c4.com/wireguard/device"

	"github.com/weftfabric/weft/fabric"
)

// RemoteClient is a machine whose port is a tap of this node.
type RemoteClient struct {
	Key       Key
	MAC       fabric.MAC
	Addresses []netip.Addr
	// Tap is the name of the port's interface.
	Tap string
}

// Gateway serves the remote clients of one network in this process: what a client sends from its own addresses leaves its tap as
// frames, and frames of the tap go to the client. It has no control socket. Its methods are for one goroutine.
type Gateway struct {
	taps   *taps
	device *device.Device
	// private, listen and peers are what the device was told.
	private Key
	listen  uint16
	peers   map[Key][]netip.Addr
}

// StartGateway runs a device without clients. The router is the MAC address to which clients' frames go; the name is
// for messages.
func StartGateway(name string, router fabric.MAC, mtu int, log *slog.Logger) (*Gateway, error) {
	t, err := newTaps(name, router, mtu)
	if err != nil {
		return nil, err
	}
	logger := &device.Logger{
		Verbosef: device.DiscardLogf,
		Errorf: func(format string, args ...any) {
			log.Warn("wireguard", "device", name, "message", fmt.Sprintf(format, args...))
		},
	}
	return &Gateway{taps: t, device: device.NewDevice(t, conn.NewDefaultBind(), logger), peers: map[Key][]netip.Addr{}}, nil
}

// Configure makes the gateway serve these clients at a UDP port, and no others. It opens with open the taps that it doesn't have;
// sessions of clients that stay go on.
func (g *Gateway) Configure(private Key, listen uint16, clients []RemoteClient, open func(tap string) (*os.File, error)) error {
	var errs []error
	for _, c := range clients {
		if g.taps.has(c.Tap) {
			continue
		}
		file, err := open(c.Tap)
		if err == nil {
			err = g.taps.add(c.Tap, file)
		}
		errs = append(errs, err)
	}
	g.taps.assign(clients)
	var b strings.Builder
	if private != g.private {
		fmt.Fprintf(&b, "private_key=%s\n", hexKey(private))
	}
	if listen != g.listen {
		fmt.Fprintf(&b, "listen_port=%d\n", listen)
	}
	want := make(map[Key][]netip.Addr, len(clients))
	for _, c := range clients {
		want[c.Key] = c.Addresses
	}
	for _, k := range slices.SortedFunc(maps.Keys(g.peers), compareKeys) {
		if _, stays := want[k]; !stays {
			fmt.Fprintf(&b, "public_key=%s\nremove=true\n", hexKey(k))
		}
	}
	for _, k := range slices.SortedFunc(maps.Keys(want), compareKeys) {
		if have, ok := g.peers[k]; ok && slices.Equal(have, want[k]) {
			continue
		}
		fmt.Fprintf(&b, "public_key=%s\nreplace_allowed_ips=true\n", hexKey(k))
		for _, a := range want[k] {
			fmt.Fprintf(&b, "allowed_ip=%s\n", netip.PrefixFrom(a, a.BitLen()))
		}
	}
	if b.Len() > 0 {
		if err := g.device.IpcSet(b.String()); err != nil {
			g.private, g.listen, g.peers = Key{}, 0, map[Key][]netip.Addr{} // some of it may be set: tell all again
			errs = append(errs, fmt.Errorf("configure WireGuard device %s: %w", g.taps.name, err))
		} else {
			g.private, g.listen, g.peers = private, listen, want
		}
	}
	if err := g.device.Up(); err != nil {
		errs = append(errs, fmt.Errorf("listen at UDP port %d for remote clients: %w", listen, err))
	}
	return errors.Join(errs...)
}

// Peers returns what the device knows of its clients, in the order of their keys.
func (g *Gateway) Peers() ([]PeerStatus, error) {
	text, err := g.device.IpcGet()
	if err != nil {
		return nil, fmt.Errorf("read WireGuard device %s: %w", g.taps.name, err)
	}
	var out []PeerStatus
	for lines := bufio.NewScanner(strings.NewReader(text)); lines.Scan(); {
		key, value, _ := strings.Cut(lines.Text(), "=")
		if key == "public_key" {
			var k Key
			if _, err := hex.Decode(k[:], []byte(value)); err != nil {
				return nil, fmt.Errorf("read WireGuard device %s: %w", g.taps.name, err)
			}
			out = append(out, PeerStatus{Key: k})
		}
		if len(out) == 0 {
			continue
		}
		p := &out[len(out)-1]
		n, _ := strconv.ParseUint(value, 10, 63) // of the numbers
		switch key {
		case "endpoint":
			p.Endpoint, _ = netip.ParseAddrPort(value)
		case "last_handshake_time_sec":
			if n > 0 {
				p.Handshake = time.Unix(int64(n), 0)
			}
		case "rx_bytes":
			p.Received = n
		case "tx_bytes":
			p.Sent = n
		case "allowed_ip":
			if a, err := netip.ParsePrefix(value); err == nil {
				p.Allowed = append(p.Allowed, a)
			}
		}
	}
	slices.SortFunc(out, func(a, b PeerStatus) int { return compareKeys(a.Key, b.Key) })
	return out, nil
}

// Done is closed when the device has ended by itself.
func (g *Gateway) Done() <-chan struct{} { return g.device.Wait() }

// Close ends the device and the sessions. The taps stay, and carry nothing.
func (g *Gateway) Close() { g.device.Close() }

func hexKey(k Key) string { return hex.EncodeToString(k[:]) }

func compareKeys(a, b Key) int { return slices.Compare(a[:], b[:]) }
