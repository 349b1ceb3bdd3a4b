package host

import (
	"context"
	"fmt"
	"maps"
	"net/netip"
	"os"
	"slices"
	"strings"
	"sync"
)

// Fake is a Host without a kernel.
type Fake struct {
	mu         sync.Mutex
	namespaces map[string]bool
	veths      map[string]Veth // by the node's end
	down       map[string]bool // of the pairs
	taps       map[string]Tap
	fail       map[string]error // by the node's end
	shields    map[string]bool
}

// NewFake returns a node with containers' namespaces at the paths.
func NewFake(namespaces ...string) *Fake {
	f := &Fake{namespaces: map[string]bool{}, veths: map[string]Veth{}, down: map[string]bool{}, taps: map[string]Tap{}, fail: map[string]error{}, shields: map[string]bool{}}
	for _, n := range namespaces {
		f.namespaces[n] = true
	}
	return f
}

// Fail makes the creation of a link on the node fail from now on; nil ends that.
func (f *Fake) Fail(name string, err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.fail[name] = err
}

// RemoveNamespace does what the end of a container does: its links go.
func (f *Fake) RemoveNamespace(path string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	delete(f.namespaces, path)
	maps.DeleteFunc(f.veths, func(_ string, v Veth) bool { return v.Namespace == path })
}

// CreateVeth implements the contract of Host.CreateVeth.
func (f *Fake) CreateVeth(ctx context.Context, v Veth) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if !f.namespaces[v.Namespace] {
		return fmt.Errorf("network namespace: %w", &os.PathError{Op: "statfs", Path: v.Namespace, Err: os.ErrNotExist})
	}
	delete(f.veths, v.HostName)
	for _, o := range f.veths {
		if o.Namespace == v.Namespace && o.IfName == v.IfName {
			return fmt.Errorf("the container has an interface %s already: %w", v.IfName, os.ErrExist)
		}
	}
	if err := f.fail[v.HostName]; err != nil {
		return err
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	f.veths[v.HostName] = v
	f.down[v.HostName] = true
	return nil
}

// ConfigureVeth implements the contract of Host.ConfigureVeth.
func (f *Fake) ConfigureVeth(ctx context.Context, v Veth) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	err := ctx.Err()
	if have, ok := f.veths[v.HostName]; !ok || have.Place != v.Place {
		err = fmt.Errorf("there is no interface %s on the node: %w", v.HostName, os.ErrNotExist)
	}
	if err != nil {
		delete(f.veths, v.HostName)
		return err
	}
	f.veths[v.HostName] = v
	delete(f.down, v.HostName)
	return nil
}

// Retire implements the contract of Host.Retire.
func (f *Fake) Retire(_ context.Context, p Place) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	v, ok := f.veths[p.HostName]
	if !ok || v.Place != p {
		return fmt.Errorf("the container's interface %s isn't the other end of %s: %w", p.IfName, p.HostName, os.ErrNotExist)
	}
	v.IfName = v.HostName
	f.veths[p.HostName] = v
	f.down[p.HostName] = true
	return nil
}

// CreateTap implements the contract of Host.CreateTap.
func (f *Fake) CreateTap(_ context.Context, t Tap) (created bool, err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if _, ok := f.veths[t.Name]; ok {
		return false, fmt.Errorf("%s is a veth, not a tap: %w", t.Name, os.ErrExist)
	}
	if _, ok := f.taps[t.Name]; ok {
		return false, nil
	}
	if err := f.fail[t.Name]; err != nil {
		return false, err
	}
	f.taps[t.Name] = t
	return true, nil
}

// Delete implements the contract of Host.Delete.
func (f *Fake) Delete(ctx context.Context, name string) error {
	return f.DeleteAll(ctx, []string{name})
}

// DeleteAll implements the contract of Host.DeleteAll.
func (f *Fake) DeleteAll(_ context.Context, names []string) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, name := range names {
		delete(f.veths, name)
		delete(f.taps, name)
		delete(f.down, name)
	}
	return nil
}

// Inspect implements the contract of Host.Inspect.
func (f *Fake) Inspect(_ context.Context, p Place) (Inside, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	v, ok := f.veths[p.HostName]
	if !ok || v.Place != p {
		return Inside{}, fmt.Errorf("there is no interface %s in the container: %w", p.IfName, os.ErrNotExist)
	}
	in := Inside{MAC: v.MAC, MTU: v.MTU, Up: !f.down[p.HostName], Addresses: slices.Clone(v.Addresses), Gateways: slices.Clone(v.Gateways)}
	slices.SortFunc(in.Addresses, netip.Prefix.Compare)
	slices.SortFunc(in.Gateways, netip.Addr.Compare)
	return in, nil
}

// List implements the contract of Host.List.
func (f *Fake) List(context.Context) ([]Link, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	var out []Link
	for _, v := range f.veths {
		out = append(out, Link{Name: v.HostName, For: v.For})
	}
	for _, t := range f.taps {
		out = append(out, Link{Name: t.Name, For: t.For})
	}
	slices.SortFunc(out, func(a, b Link) int { return strings.Compare(a.Name, b.Name) })
	return out, nil
}

// Shield implements the contract of Host.Shield; every name stands for a link.
func (f *Fake) Shield(_ context.Context, name string) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if err := f.fail[name]; err != nil {
		return err
	}
	f.shields[name] = true
	return nil
}

// Unshield implements the contract of Host.Unshield.
func (f *Fake) Unshield(_ context.Context, name string) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	delete(f.shields, name)
	return nil
}

// Shielded implements the contract of Host.Shielded.
func (f *Fake) Shielded(context.Context) ([]string, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return slices.Sorted(maps.Keys(f.shields)), nil
}
