package lab

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"syscall"
	"time"

	"github.com/weftfabric/weft/lab/guest"
)

// Options say what lab to build.
type Options struct {
	Name     string
	Topology Topology
	// Nodes is the number of nodes; at least as many as the documents name.
	Nodes int
	// BinDir holds weft-controller, weft-agent, weft-cni and weft-lab-probe.
	BinDir string
	// GuestDir holds the kernel for virtual machines; needed where the topology has some.
	GuestDir string
	StateDir string
	// IPv6Underlay gives the nodes tunnel addresses of IPv6 instead of IPv4.
	IPv6Underlay bool
	// KernelDatapath has the kernel forward packets, where it has Open vSwitch's module.
	KernelDatapath bool
	// KernelCard leaves the nodes' network cards to the kernel where vswitchd forwards packets, too: encrypted tunnels need
	// no bridge below them, and plain ones don't work without it.
	KernelCard bool
	// SkipVMs leaves virtual machines out.
	SkipVMs bool
	// Progress receives a line for each step.
	Progress io.Writer
	// Now tells the time, for the progress.
	Now func() time.Time
}

// Up builds a lab, with all workloads attached and answering. When it fails, or the context is cancelled,
// nothing is left.
func Up(ctx context.Context, o Options) (*Record, error) {
	files, err := o.check()
	if err != nil {
		return nil, err
	}
	r, err := newRecord(o)
	if err != nil {
		return nil, err
	}
	if err := r.build(ctx, o, files); err != nil {
		return nil, errors.Join(err, r.remove(ctx))
	}
	r.Ready = true
	return r, r.save()
}

// check finds what is missing before anything is made.
func (o *Options) check() (guest.Files, error) {
	if err := checkLabName(o.Name); err != nil {
		return guest.Files{}, err
	}
	if os.Geteuid() != 0 {
		return guest.Files{}, fmt.Errorf("lab: network namespaces need root: run it with sudo")
	}
	var errs []error
	for _, tool := range []string{"ip", "ovs-vswitchd", "ovsdb-server", "ovsdb-tool", "ovs-vsctl", "ping"} {
		if _, err := exec.LookPath(tool); err != nil {
			errs = append(errs, fmt.Errorf("lab: %s is missing: install the packages openvswitch-switch, iproute2 and iputils-ping (or run `make deps`)", tool))
		}
	}
	for _, path := range []*string{&o.BinDir, &o.GuestDir, &o.StateDir} {
		abs, err := filepath.Abs(*path)
		if err != nil {
			return guest.Files{}, err
		}
		*path = abs
	}
	for _, program := range []string{"weft-controller", "weft-agent", "weft-cni", "weft-lab-probe"} {
		if _, err := os.Stat(filepath.Join(o.BinDir, program)); err != nil {
			errs = append(errs, fmt.Errorf("lab: %s is not in %s: run `make build`, or name its directory with --bin-dir", program, o.BinDir))
		}
	}
	if o.SkipVMs {
		o.Topology.Workloads = slices.DeleteFunc(slices.Clone(o.Topology.Workloads), func(w Workload) bool { return w.Spec.Type == VM })
	}
	files := guest.Files{Dir: o.GuestDir, Probe: filepath.Join(o.BinDir, "weft-lab-probe")}
	if o.hasVMs() {
		files.Busybox, _ = exec.LookPath("busybox")
		if _, err := exec.LookPath("qemu-system-x86_64"); err != nil {
			errs = append(errs, fmt.Errorf("lab: qemu-system-x86_64 is missing: install qemu-system-x86, or leave virtual machines out with --no-vms"))
		}
		errs = append(errs, files.Check())
	}
	for _, w := range o.Topology.Workloads {
		o.Nodes = max(o.Nodes, w.Spec.Node)
	}
	for _, d := range o.Topology.Nodes {
		o.Nodes = max(o.Nodes, d.index())
		if d.Spec.NAT && o.IPv6Underlay {
			errs = append(errs, fmt.Errorf("lab: %s is behind NAT, which is there for an underlay of IPv4 only", d.Metadata.Name))
		}
		if _, err := exec.LookPath("iptables"); d.Spec.NAT && err != nil {
			errs = append(errs, fmt.Errorf("lab: iptables is missing, and %s is behind NAT: install the package iptables (or run `make deps`)", d.Metadata.Name))
		}
	}
	if o.KernelCard && !o.KernelDatapath && !o.Topology.Intent.Settings().Encryption.Required {
		errs = append(errs, errors.New("lab: the network cards can't be the kernel's: vswitchd's plain tunnels leave by a bridge only; write encryption: {mode: wireguard, required: true} into the Fabric, or leave --card bridge"))
	}
	if o.Nodes < 1 || o.Nodes > MaxNodes {
		errs = append(errs, fmt.Errorf("lab: %d nodes are out of range 1-%d", o.Nodes, MaxNodes))
	}
	return files, errors.Join(errs...)
}

func (o *Options) hasVMs() bool {
	return slices.ContainsFunc(o.Topology.Workloads, func(w Workload) bool { return w.Spec.Type == VM })
}

// newRecord claims the lab's name: its directory appears in one step, with the record in it.
func newRecord(o Options) (*Record, error) {
	if err := os.MkdirAll(o.StateDir, 0o700); err != nil {
		return nil, err
	}
	draft, err := os.MkdirTemp(o.StateDir, ".new-")
	if err != nil {
		return nil, err
	}
	defer func() { _ = os.RemoveAll(draft) }() // gone already when all is well
	for _, sub := range []string{"log", "workload"} {
		if err := os.Mkdir(filepath.Join(draft, sub), 0o700); err != nil {
			return nil, err
		}
	}
	pid := os.Getpid()
	start, _ := startTime(pid)
	r := &Record{Name: o.Name, BinDir: o.BinDir, dir: draft, Starter: Process{Name: "weft lab", PID: pid, Start: start}}
	if err := r.save(); err != nil {
		return nil, err
	}
	r.dir = filepath.Join(o.StateDir, o.Name)
	err = os.Rename(draft, r.dir)
	if errors.Is(err, os.ErrExist) || errors.Is(err, syscall.ENOTEMPTY) {
		return nil, fmt.Errorf("lab %s exists: remove it with `weft lab down --name %s`, or choose another --name", o.Name, o.Name)
	}
	return r, err
}

// build makes everything, in the order of dependence.
func (r *Record) build(ctx context.Context, o Options, files guest.Files) error {
	say := newProgress(o.Progress, o.Now)
	ul := underlayOf(o)
	if err := r.makeNetworks(ctx); err != nil {
		return err
	}
	for i := 1; i <= o.Nodes; i++ {
		n, err := r.makeNode(ctx, i, ul, o.Topology.declared(i))
		if err != nil {
			return err
		}
		if err := r.startOVS(ctx, n, ul.mtu); err != nil {
			return err
		}
	}
	if err := r.warmUnderlay(ctx); err != nil {
		return err
	}
	say("%d nodes with Open vSwitch on an underlay %s of MTU %d", len(r.Nodes), ul.net, ul.mtu)

	if err := r.startController(ctx); err != nil {
		return err
	}
	say("controller answers at %s and %s", r.controllerAddr(), r.ControllerSocket())
	if err := r.startAgents(ctx); err != nil {
		return err
	}
	say("%d agents joined", len(r.Nodes))
	if err := r.apply(ctx, o.Topology); err != nil {
		return err
	}
	if err := r.WaitEnforced(ctx); err != nil {
		return err
	}
	say("topology applied: %d objects, enforced on every node", o.Topology.Intent.Len())
	return r.attachAll(ctx, o, files, say)
}

func (r *Record) startAgents(ctx context.Context) error {
	processes := make([]Process, len(r.Nodes))
	for i, n := range r.Nodes {
		p, err := r.startAgent(ctx, n)
		if err != nil {
			return err
		}
		processes[i] = p
	}
	for i, n := range r.Nodes {
		if err := r.waitAgent(ctx, n, processes[i]); err != nil {
			return err
		}
	}
	return nil
}

// attachAll attaches virtual machines first: they boot while the containers are attached.
func (r *Record) attachAll(ctx context.Context, o Options, files guest.Files, say progress) error {
	order := slices.Clone(o.Topology.Workloads)
	slices.SortStableFunc(order, func(a, b Workload) int {
		return boolOrder(a.Spec.Type == VM, b.Spec.Type == VM)
	})
	for _, w := range order {
		a, err := r.attach(ctx, w, files)
		if err != nil {
			return err
		}
		say("%s %s on %s: %s", w.Spec.Type, w.Ref(), a.Node, addressText(a))
	}
	for _, a := range r.Workloads {
		if err := r.waitWorkload(ctx, a); err != nil {
			return err
		}
	}
	slices.SortFunc(r.Workloads, compareRef)
	if err := r.WaitEnforced(ctx); err != nil {
		return err
	}
	if err := r.warmTunnels(ctx); err != nil {
		return err
	}
	say("%d workloads answer", len(r.Workloads))
	return nil
}
