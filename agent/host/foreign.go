package host

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// Shield keeps the node's network stack off a link that somebody else has made and plugged, and touches nothing else
// of it. Doing so again is no error. A link that has filters of somebody else is left alone: which of them should win
// is not for the agent to say.
func (h *Host) Shield(_ context.Context, name string) error {
	return h.onNode(func() error {
		link, err := linkNamed(name, "on the node")
		if err != nil {
			return err
		}
		filters, err := ingressFilters(link)
		switch {
		case err != nil:
			return err
		case slices.ContainsFunc(filters, isShield):
			return nil
		case len(filters) > 0:
			return fmt.Errorf("keep the node's network stack off %s: it has traffic-control filters of somebody else: remove them", name)
		}
		if err := shield(link, &h.program); err != nil {
			return fmt.Errorf("keep the node's network stack off %s: %w", name, err)
		}
		return nil
	})
}

// Unshield undoes Shield. A link that is gone or has no shield is no error.
func (h *Host) Unshield(_ context.Context, name string) error {
	return h.onNode(func() error {
		link, err := linkNamed(name, "on the node")
		if gone(err) {
			return nil
		}
		if err != nil {
			return err
		}
		filters, err := ingressFilters(link)
		if err != nil {
			return err
		}
		for _, f := range filters {
			if !isShield(f) {
				continue
			}
			if err := netlink.FilterDel(f); err != nil && !errors.Is(err, unix.ENOENT) {
				return fmt.Errorf("remove the shield of %s: %w", name, err)
			}
		}
		return removeEmptyClsact(link)
	})
}

// Shielded returns the links that somebody else has made and that Shield was called for, in order.
func (h *Host) Shielded(context.Context) (out []string, err error) {
	err = h.onNode(func() error {
		links, err := netlink.LinkList()
		if err != nil {
			return fmt.Errorf("list the node's links: %w", err)
		}
		for _, l := range links {
			if strings.HasPrefix(l.Attrs().Alias, Alias) {
				continue
			}
			filters, err := ingressFilters(l)
			if err != nil {
				return err
			}
			if slices.ContainsFunc(filters, isShield) {
				out = append(out, l.Attrs().Name)
			}
		}
		return nil
	})
	slices.Sort(out)
	return out, err
}

// removeEmptyClsact removes a link's clsact queueing discipline unless it has filters.
func removeEmptyClsact(link netlink.Link) error {
	for _, hook := range []uint32{netlink.HANDLE_MIN_INGRESS, netlink.HANDLE_MIN_EGRESS} {
		filters, err := filtersOf(link, hook)
		if err != nil || len(filters) > 0 {
			return err
		}
	}
	qdiscs, err := netlink.QdiscList(link)
	if err != nil {
		return fmt.Errorf("list the queueing disciplines of %s: %w", link.Attrs().Name, err)
	}
	for _, q := range qdiscs {
		if q.Type() != "clsact" {
			continue
		}
		if err := netlink.QdiscDel(q); err != nil && !errors.Is(err, unix.ENOENT) {
			return fmt.Errorf("remove the clsact queueing discipline of %s: %w", link.Attrs().Name, err)
		}
	}
	return nil
}

func ingressFilters(link netlink.Link) ([]netlink.Filter, error) {
	return filtersOf(link, netlink.HANDLE_MIN_INGRESS)
}

// filtersOf returns the filters of one hook; a link without the hook has none.
func filtersOf(link netlink.Link, hook uint32) ([]netlink.Filter, error) {
	filters, err := netlink.FilterList(link, hook)
	switch {
	case err == nil:
		return filters, nil
	case errors.Is(err, unix.ENOENT), errors.Is(err, unix.EINVAL), errors.Is(err, unix.EOPNOTSUPP), errors.Is(err, unix.ENODEV):
		return nil, nil
	}
	return nil, fmt.Errorf("list the filters of %s: %w", link.Attrs().Name, err)
}

// isShield reports whether a filter is the agent's.
func isShield(f netlink.Filter) bool {
	b, ok := f.(*netlink.BpfFilter)
	return ok && b.Name == shieldName
}
