package lab

import (
	"context"
	"fmt"
	"path/filepath"
	"syscall"
)

// Part is something of a lab that can die and come back.
type Part string

// The parts; all but the controller belong to a node.
const (
	Agent      Part = "weft-agent"
	Controller Part = "weft-controller"
	Database   Part = "ovsdb-server"
	Switch     Part = "ovs-vswitchd"
	Link       Part = "link" // of the node to the underlay
)

// Kill ends a part without a warning: SIGKILL for a process, and for a link it goes down. It returns once it is gone.
func (r *Record) Kill(ctx context.Context, part Part, n Node) error {
	if part == Link {
		return r.setLink(ctx, n, "down")
	}
	processes := r.processesNamed(processName(part, n))
	if left := waitGone(signalAll(processes, syscall.SIGKILL), killTime); len(left) > 0 {
		return fmt.Errorf("process %d (%s) does not end", left[0].PID, left[0].Name)
	}
	return nil
}

// Revive starts a part again that was killed, and returns once it works by itself: the others may still have to find it.
func (r *Record) Revive(ctx context.Context, part Part, n Node) error {
	switch part {
	case Agent:
		p, err := r.runAgent(n)
		if err != nil {
			return err
		}
		return waitFor(ctx, p, agentStart, "an answer", func(ctx context.Context) bool {
			_, err := AgentStatus(ctx, n)
			return err == nil
		})
	case Controller:
		return r.startController(ctx)
	case Database:
		return r.startDatabase(ctx, n)
	case Switch:
		return r.reviveSwitch(ctx, n)
	case Link:
		return r.setLink(ctx, n, "up")
	}
	return fmt.Errorf("the lab has no part %q", part)
}

// UseBinaries makes the lab start controller and agents from another directory from now on, as an upgrade does.
func (r *Record) UseBinaries(dir string) error {
	abs, err := filepath.Abs(dir)
	if err != nil {
		return err
	}
	r.BinDir = abs
	return r.save()
}

// processName is the name of a part's process in the record.
func processName(part Part, n Node) string {
	if part == Controller {
		return string(part)
	}
	return string(n.Name) + "/" + string(part)
}

// setLink takes the node's wire to the underlay up or down, at the underlay's end.
func (r *Record) setLink(ctx context.Context, n Node, state string) error {
	return runIP(ctx, fmt.Sprintf("-n %s link set %s %s", r.underlayNamespace(), n.Name, state))
}

// reviveSwitch starts vswitchd. Should the device br-ul be a new one, it gets its address, as the node's operating
// system would do.
func (r *Record) reviveSwitch(ctx context.Context, n Node) error {
	if err := r.startSwitch(ctx, n); err != nil {
		return err
	}
	processes := r.processesNamed(processName(Switch, n))
	p := processes[len(processes)-1]
	err := waitFor(ctx, p, ovsStart, "its link to the underlay", func(ctx context.Context) bool {
		_, err := command(ctx, "ip", "-n", n.Namespace, "link", "show", n.underlayLink())
		return err == nil
	})
	if err != nil {
		return err
	}
	return n.addressUnderlay(ctx)
}
