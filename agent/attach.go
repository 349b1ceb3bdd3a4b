package agent

import (
	"context"
	"errors"
	"fmt"

	"github.com/weftfabric/weft/agent/host"
	"github.com/weftfabric/weft/fabric"
	"github.com/weftfabric/weft/wire/cniwire"
)

// attach plugs a tap for a declared Port. The virtual machine that opens it must use the Port's MAC address.
func (a *Agent) attach(ctx context.Context, r cniwire.Attach) (*cniwire.Interface, error) {
	if err := checkIfName(r.Tap); err != nil {
		return nil, err
	}
	if _, err := fabric.ParsePortRef(r.Port.String()); err != nil {
		return nil, refuse(cniwire.CodeInvalid, "%v", err)
	}
	if r.Tap == tunnelPort {
		return nil, refuse(cniwire.CodeInvalid, "%s is the fabric's tunnel port: choose another name", r.Tap)
	}
	unlock, err := a.lock(ctx, r.Tap)
	if err != nil {
		return nil, err
	}
	defer unlock()
	if in, ok, err := a.attached(ctx, r); ok || err != nil {
		return in, err
	}
	at, err := a.reserve(ctx, attachment{Interface: r.Tap, Kind: kindTap, Port: r.Port, Name: r.Port.String()})
	if err != nil {
		return nil, err
	}
	defer a.release(r.Tap)
	in, userspace, err := a.describe(ctx, at)
	if err != nil {
		return nil, err
	}
	tap := host.Tap{Name: r.Tap, For: "port " + r.Port.String(), MTU: in.MTU, Userspace: userspace}
	if at.OwnsTap, err = a.cfg.Links.CreateTap(ctx, tap); err != nil {
		return nil, err
	}
	if err := a.plug(ctx, at); err != nil {
		return nil, errors.Join(err, a.unplug(ctx, at))
	}
	a.cfg.Logger.Info("attached", "port", r.Port, "tap", r.Tap, "addresses", in.Addresses, "identity", in.Identity)
	return in, nil
}

// attached answers an Attach whose tap is on the bridge already.
func (a *Agent) attached(ctx context.Context, r cniwire.Attach) (*cniwire.Interface, bool, error) {
	type found struct {
		have         attachment
		record, port bool
	}
	f, err := ask(ctx, a, func(s *state) (f found, err error) {
		f.have, f.record = s.attachments[r.Tap]
		_, f.port = s.ovs.Interface(r.Tap)
		return f, nil
	})
	switch {
	case err != nil || !f.port:
		return nil, false, err
	case !f.record:
		return nil, false, refuse(cniwire.CodeConflict, "somebody else has plugged %s into the bridge: set its external_ids:iface-id to %s, or unplug it", r.Tap, r.Port)
	case f.have.Port != r.Port || f.have.Kind != kindTap:
		return nil, false, refuse(cniwire.CodeConflict, "%s is attached for %s: detach that first, or choose another name", r.Tap, owner(f.have))
	}
	if err := a.waitEnforced(ctx, r.Tap); err != nil {
		return nil, false, err
	}
	in, _, err := a.describe(ctx, f.have)
	return in, err == nil, err
}

// detach unplugs the tap of a Port.
func (a *Agent) detach(ctx context.Context, r cniwire.Detach) error {
	if _, err := fabric.ParsePortRef(r.Port.String()); err != nil {
		return refuse(cniwire.CodeInvalid, "%v", err)
	}
	find := func(s *state) (attachment, error) {
		for _, at := range s.all() {
			switch {
			case at.Port != r.Port:
			case at.Kind == kindContainer:
				return at, refuse(cniwire.CodeConflict, "port %s belongs to %s: its runtime detaches it", r.Port, owner(at))
			case at.Kind == kindBound:
				return at, refuse(cniwire.CodeConflict, "interface %s of port %s was plugged by somebody else: unplug it there", at.Interface, r.Port)
			default:
				return at, nil
			}
		}
		return attachment{}, nil
	}
	at, err := ask(ctx, a, find)
	if err != nil || at.Interface == "" {
		return err
	}
	unlock, err := a.lock(ctx, at.Interface)
	if err != nil {
		return err
	}
	defer unlock()
	if at, err = ask(ctx, a, find); err != nil || at.Interface == "" {
		return err
	}
	return a.unplug(ctx, at)
}

// owner says for people whose an attachment is.
func owner(at attachment) string {
	switch {
	case at.Kind == kindContainer:
		return fmt.Sprintf("container %s, interface %s", at.Container.ContainerID, at.Container.IfName)
	case !at.Port.IsZero():
		return "port " + at.Port.String()
	}
	return "network " + at.Network.String()
}
