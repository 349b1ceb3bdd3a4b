package wireguard

import (
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"sync"

	"golang.zx2c4.com/wireguard/conn"
	"golang.zx2c4.com/wireguard/device"
	"golang.zx2c4.com/wireguard/ipc"
)

// Embedded is a WireGuard device that runs in this process.
type Embedded struct {
	frames   *frames
	device   *device.Device
	listener net.Listener
	serving  sync.WaitGroup

	mu     sync.Mutex
	asking map[net.Conn]bool // open conversations on the control socket; nil once closed
}

// Start runs a device on a tap, which it takes over. Its control socket bears the name, which must be unique on the
// machine, in all network namespaces.
func Start(name string, tap *os.File, link Link, log *slog.Logger) (_ *Embedded, err error) {
	f, err := newFrames(name, tap, link)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("start WireGuard device %s: %w", name, err), tap.Close())
	}
	logger := &device.Logger{
		Verbosef: device.DiscardLogf,
		Errorf: func(format string, args ...any) {
			log.Warn("wireguard", "device", name, "message", fmt.Sprintf(format, args...))
		},
	}
	e := &Embedded{frames: f, device: device.NewDevice(f, conn.NewDefaultBind(), logger), asking: map[net.Conn]bool{}}
	defer func() {
		if err != nil {
			e.device.Close()
			err = fmt.Errorf("start WireGuard device %s: %w", name, err)
		}
	}()
	file, err := ipc.UAPIOpen(name)
	if err != nil {
		return nil, err
	}
	e.listener, err = ipc.UAPIListen(name, file)
	if err = errors.Join(err, file.Close()); err != nil {
		return nil, err
	}
	if err := e.device.Up(); err != nil {
		return nil, errors.Join(err, e.listener.Close())
	}
	e.serving.Go(e.serve)
	return e, nil
}

// serve answers wgctrl and wg(8).
func (e *Embedded) serve() {
	for {
		c, err := e.listener.Accept()
		if err != nil {
			return
		}
		e.mu.Lock()
		if e.asking != nil {
			e.asking[c] = true
			e.serving.Go(func() { e.answer(c) })
		} else {
			_ = c.Close()
		}
		e.mu.Unlock()
	}
}

// answer holds one conversation, which the other side may leave open.
func (e *Embedded) answer(c net.Conn) {
	e.device.IpcHandle(c) // closes it
	e.mu.Lock()
	defer e.mu.Unlock()
	delete(e.asking, c)
}

// Done is closed when the device has ended by itself, as when its tap was deleted.
func (e *Embedded) Done() <-chan struct{} { return e.device.Wait() }

// SetRelay says whether packets may pass from one peer to another from now on.
func (e *Embedded) SetRelay(relay bool) { e.frames.relays.Store(relay) }

// Renew begins a new session with each of these peers, unless that was tried within the last 5 seconds. The one that there is
// stays in use meanwhile. What goes wrong is logged.
func (e *Embedded) Renew(peers []Key) {
	for _, k := range peers {
		if p := e.device.LookupPeer(device.NoisePublicKey(k)); p != nil {
			_ = p.SendHandshakeInitiation(false) // it has logged it
		}
	}
}

// Restart begins new sessions with peers at once. Those that there are aren't used any more.
func (e *Embedded) Restart(peers []Key) {
	for _, k := range peers {
		if p := e.device.LookupPeer(device.NoisePublicKey(k)); p != nil {
			p.ExpireCurrentKeypairs()
		}
	}
	e.Renew(peers)
}

// Hold is to be called right before the node's key changes, and what it returns right after: packets to the destinations
// wait until the address beside each has answered under the new key, or a second. What it returns waits so long, too.
func (e *Embedded) Hold(waits map[netip.Addr]netip.Addr) (changed func()) {
	e.frames.hold(waits)
	return func() {
		done := make(chan struct{})
		if e.frames.spawn(func() { defer close(done); e.frames.askHeld() }) {
			<-done
		}
	}
}

// Counters returns what the device did besides delivering.
func (e *Embedded) Counters() Counters { return e.frames.counters() }

// Close ends the device; sessions with peers end with it.
func (e *Embedded) Close() error {
	err := e.listener.Close()
	e.mu.Lock()
	for c := range e.asking {
		_ = c.Close() // the other side may have done it
	}
	e.asking = nil
	e.mu.Unlock()
	e.device.Close()
	e.serving.Wait()
	return err
}
