package lab

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/weftfabric/weft/cni"
	"github.com/weftfabric/weft/wire/cniwire"
)

// attachHollow attaches what is declared as a virtual machine where a guest would be too slow: its tap is held by this
// process, which passes frames on to a tap in a namespace, the kernel of which speaks for the machine. To the node it is one.
func attachHollow(t *testing.T, r *Record, w Workload) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), attachTime)
	defer cancel()
	n := *r.NodeNamed(fmt.Sprintf("node%d", w.Spec.Node))
	tap := fmt.Sprintf("tap%d", len(r.Workloads))
	resp, err := cni.Ask(ctx, n.AgentSocket(), cniwire.Request{Attach: &cniwire.Attach{Port: w.portRef(), Tap: tap}})
	if err != nil || resp.Interface == nil {
		t.Fatalf("attach %s: %v", w.Ref(), err)
	}
	i := resp.Interface
	a := Attached{
		Workload: w, Node: string(n.Name), Interface: i.HostName, MAC: i.MAC, MTU: i.MTU, Addresses: i.Addresses, Gateways: i.Gateways,
		Namespace: r.namespaceName("vm." + w.Metadata.Tenant + "." + w.Metadata.Name),
		Control:   filepath.Join(r.dir, "workload", fmt.Sprintf("%d.sock", len(r.Workloads))),
	}
	if err := r.makeNamespace(ctx, a.Namespace, "ipv4/ping_group_range=0 0"); err != nil {
		t.Fatal(err)
	}
	join(t, openTap(t, n.Namespace, tap), openTap(t, a.Namespace, "eth0"))
	lines := []string{fmt.Sprintf("-n %s link set eth0 address %s mtu %d up", a.Namespace, a.MAC, a.MTU)}
	for _, addr := range a.Addresses {
		lines = append(lines, strings.TrimSpace(fmt.Sprintf("-n %s addr add %s dev eth0 %s", a.Namespace, addr, map[bool]string{true: "nodad"}[addr.Addr().Is6()])))
	}
	for _, gw := range a.Gateways {
		lines = append(lines, fmt.Sprintf("-n %s route add default via %s dev eth0", a.Namespace, gw))
	}
	if err := runIP(ctx, lines...); err != nil {
		t.Fatal(err)
	}
	p, err := r.start(spec{name: "workload/" + w.Ref(), namespace: a.Namespace, args: []string{
		filepath.Join(r.BinDir, "weft-lab-probe"), "-name", w.Ref(), "-listen", strings.Join(w.listenText(), ","), "-socket", a.Control}})
	if err != nil {
		t.Fatal(err)
	}
	if err := waitFor(ctx, p, probeStart, "its socket", exists(a.Control)); err != nil {
		t.Fatal(err)
	}
	r.Workloads = append(r.Workloads, a)
	if err := errors.Join(r.save(), r.WaitEnforced(ctx)); err != nil {
		t.Fatal(err)
	}
}

// openTap opens a tap in a namespace, and makes it when it isn't there.
func openTap(t *testing.T, namespace, name string) *os.File {
	t.Helper()
	opened := make(chan error, 1)
	var tap *os.File
	go func() {
		runtime.LockOSThread() // never unlocked: the thread ends with the goroutine
		ns, err := os.Open(filepath.Join(netnsDir, namespace))
		if err == nil {
			err = errors.Join(unix.Setns(int(ns.Fd()), unix.CLONE_NEWNET), ns.Close())
		}
		var fd int
		if err == nil {
			fd, err = unix.Open("/dev/net/tun", unix.O_RDWR|unix.O_CLOEXEC|unix.O_NONBLOCK, 0)
		}
		var request *unix.Ifreq
		if err == nil {
			request, err = unix.NewIfreq(name)
		}
		if err == nil {
			request.SetUint16(unix.IFF_TAP | unix.IFF_NO_PI)
			err = unix.IoctlIfreq(fd, unix.TUNSETIFF, request)
			tap = os.NewFile(uintptr(fd), name)
		}
		opened <- err
	}()
	if err := <-opened; err != nil {
		t.Fatalf("open %s in %s: %v", name, namespace, err)
	}
	return tap
}

// join passes frames from one tap to the other, both ways, until the test ends.
func join(t *testing.T, a, b *os.File) {
	pass := func(from, to *os.File) {
		frame := make([]byte, 0xffff)
		for {
			n, err := from.Read(frame)
			if errors.Is(err, os.ErrClosed) {
				return
			}
			if err == nil {
				_, _ = to.Write(frame[:n]) // a link that is down takes none
			}
		}
	}
	done := make(chan struct{}, 2)
	for _, ends := range [][2]*os.File{{a, b}, {b, a}} {
		go func() {
			pass(ends[0], ends[1])
			done <- struct{}{}
		}()
	}
	t.Cleanup(func() {
		for _, f := range []*os.File{a, b} {
			_ = f.Close() // ends a reader
		}
		<-done
		<-done
	})
}
