package host

import (
	"errors"
	"fmt"
	"os"
	"runtime"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netns"
	"golang.org/x/sys/unix"
)

// within runs f in a network namespace, on a thread of its own. The thread is thrown away: the goroutine ends
// while it is locked, so that no other goroutine can find itself in the wrong namespace.
func within(ns netns.NsHandle, f func() error) error {
	done := make(chan error, 1)
	go func() {
		runtime.LockOSThread()
		if err := netns.Set(ns); err != nil {
			done <- fmt.Errorf("enter the network namespace: %w", err)
			return
		}
		done <- f()
	}()
	return <-done
}

// open opens a network namespace by its path. The error of a path that isn't there is os.ErrNotExist.
func open(path string) (netns.NsHandle, error) {
	var fs unix.Statfs_t
	if err := unix.Statfs(path, &fs); err != nil {
		return -1, fmt.Errorf("network namespace: %w", &os.PathError{Op: "statfs", Path: path, Err: err})
	}
	if fs.Type != unix.NSFS_MAGIC && fs.Type != unix.PROC_SUPER_MAGIC {
		return -1, fmt.Errorf("%s is not a network namespace", path)
	}
	ns, err := netns.GetFromPath(path)
	if err != nil {
		return -1, fmt.Errorf("network namespace: %w", &os.PathError{Op: "open", Path: path, Err: err})
	}
	return ns, nil
}

// openNode opens the namespace that the switch's ports are in.
func (h *Host) openNode() (netns.NsHandle, error) {
	if h.namespace != "" {
		return open(h.namespace)
	}
	// Not by the thread: it may end before it is looked at, when the goroutine has moved on to another one.
	ns, err := netns.GetFromPath("/proc/self/ns/net")
	if err != nil {
		return -1, fmt.Errorf("open the agent's own network namespace: %w", err)
	}
	return ns, nil
}

// onNode runs f in the namespace of the switch's ports.
func (h *Host) onNode(f func() error) error {
	ns, err := h.openNode()
	if err != nil {
		return err
	}
	defer closeNS(&ns)
	return within(ns, f)
}

// withNode runs f with a netlink socket in the namespace of the switch's ports: what needs no file of that namespace
// needs no thread in it.
func (h *Host) withNode(f func(*netlink.Handle) error) error {
	ns := netns.None()
	if h.namespace != "" {
		var err error
		if ns, err = open(h.namespace); err != nil {
			return err
		}
		defer closeNS(&ns)
	}
	node, err := netlink.NewHandleAt(ns, unix.NETLINK_ROUTE)
	if err != nil {
		return fmt.Errorf("open a netlink socket on the node: %w", err)
	}
	defer node.Close()
	return f(node)
}

// openContainer opens a container's namespace, and refuses the node's own, where an interface for a
// container would be an interface of the node.
func (h *Host) openContainer(path string) (netns.NsHandle, error) {
	ns, err := open(path)
	if err != nil {
		return -1, err
	}
	node, err := h.openNode()
	if err != nil {
		closeNS(&ns)
		return -1, err
	}
	defer closeNS(&node)
	if ns.Equal(node) {
		closeNS(&ns)
		return -1, fmt.Errorf("%s is the node's own network namespace: a container on the host's network needs no interface", path)
	}
	return ns, nil
}

// closeNS closes a namespace's descriptor; nothing is lost when that fails.
func closeNS(ns *netns.NsHandle) { _ = ns.Close() }

// gone reports whether an error says that the thing is not there, which ends a deletion well.
func gone(err error) bool { return errors.Is(err, os.ErrNotExist) }
