package agent

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/weftfabric/weft/agent/ovs"
	"github.com/weftfabric/weft/fabric"
	"github.com/weftfabric/weft/wire/cniwire"
)

// bindRetry is the pause before an interface is looked at again that can't be bound as it is.
const bindRetry = time.Minute

// bindRefusal is why an interface of somebody else isn't bound.
type bindRefusal struct {
	plugged plugged
	reason  string
	until   time.Time
}

// plugged is what somebody else says of an interface that they put on the bridge.
type plugged struct {
	id  string
	mac string
}

// pluggedAs reads an interface's external_ids; id is empty when it must not be bound.
func pluggedAs(i ovs.Interface) plugged {
	if i.ExternalIDs[keyIfaceStatus] == statusInactive {
		return plugged{}
	}
	return plugged{id: i.ExternalIDs[keyIfaceID], mac: i.ExternalIDs[keyAttachedMAC]}
}

// convergeBindings binds what others have plugged, unbinds what they took back, and releases Ports whose interface
// is gone.
func (a *Agent) convergeBindings(s *state, now time.Time) {
	maps.DeleteFunc(s.bindRefusals, func(name string, r bindRefusal) bool {
		i, ok := s.ovs.Interface(name)
		return !ok || pluggedAs(i) != r.plugged || now.After(r.until)
	})
	for _, i := range s.ovs.Interfaces {
		at, recorded := s.attachments[i.Name]
		_, reserved := s.reserved[i.Name]
		if i.Name == tunnelPort || recorded && at.Kind != kindBound || reserved || s.locked[i.Name] != nil {
			continue
		}
		p := pluggedAs(i)
		if recorded {
			if reason := s.unfit(at, p); reason != "" {
				a.start(s, now, "unbind "+i.Name, func(ctx context.Context) error {
					return a.cfg.Database.SetExternalIDs(ctx, i.Name, forgotten())
				})
			}
			continue
		}
		if p.id == "" {
			continue
		}
		if _, refused := s.bindRefusals[i.Name]; refused {
			continue
		}
		a.start(s, now, "bind "+i.Name, func(ctx context.Context) error { return a.bind(ctx, i.Name, p) })
	}
	a.releasePorts(s, now)
}

// unfit says why a bound interface must not stay bound.
func (s *state) unfit(at attachment, p plugged) string {
	port, known := s.index.ports[at.Port]
	switch {
	case p.id != at.BoundID:
		return "it was bound as " + at.BoundID
	case known && p.mac != "" && !strings.EqualFold(p.mac, port.MAC.String()):
		return "its MAC address is " + p.mac
	}
	return ""
}

// releasePorts gives back the Ports that are bound here and have no interface. It waits for a plan of this run:
// before that, somebody else may have the Port.
func (a *Agent) releasePorts(s *state, now time.Time) {
	if !s.fresh || s.controller != connected || s.placing > 0 {
		return
	}
	for _, p := range s.plan.Ports {
		if p.Client.Key.IsZero() && !s.portUsed(p.Ref) { // clients are the controller's to place
			a.start(s, now, releaseJob(p.Ref), func(ctx context.Context) error { return a.releasePort(ctx, p.Ref) })
		}
	}
}

// releaseJob is the name of the job that gives a Port back. While it runs nobody reserves the Port: it would be
// taken from under an interface.
func releaseJob(ref fabric.PortRef) string { return "release port " + ref.String() }

// portUsed reports whether an interface has a Port, or is about to get it.
func (s *state) portUsed(ref fabric.PortRef) bool {
	return slices.ContainsFunc(s.all(), func(at attachment) bool { return at.Port == ref })
}

// releasePort gives a Port back, unless it has found an interface meanwhile, and returns once the plan lacks it.
func (a *Agent) releasePort(ctx context.Context, ref fabric.PortRef) error {
	unused, err := ask(ctx, a, func(s *state) (bool, error) { return s.placing == 0 && !s.portUsed(ref), nil })
	if err != nil || !unused {
		return err
	}
	if err := a.cfg.Controller.ReleasePort(ctx, ref); err != nil {
		return fromController(releaseJob(ref), err)
	}
	return a.waitFor(ctx, wait{For: "the plan without port " + ref.String(), Timeout: planTimeout, Condition: func(s *state) (bool, error) {
		_, there := s.index.ports[ref]
		return !there, nil
	}})
}

// needReleased waits for the end of a release that is under way.
func (a *Agent) needReleased(ref fabric.PortRef) *need {
	what := "wait for the " + releaseJob(ref)
	met := func(s *state) bool { return !s.isReleasing(ref) }
	return &need{what, met, func(ctx context.Context) error {
		return a.waitFor(ctx, wait{For: releaseJob(ref), Timeout: jobTimeout, Condition: func(s *state) (bool, error) { return met(s), nil }})
	}}
}

// isReleasing reports whether a Port is being given back.
func (s *state) isReleasing(ref fabric.PortRef) bool {
	j := s.jobs[releaseJob(ref)]
	return j != nil && j.running
}

// bind binds an interface that somebody else has plugged to the Port that its iface-id names, and records that in
// its external_ids.
func (a *Agent) bind(ctx context.Context, name string, p plugged) error {
	unlock, err := a.lock(ctx, name)
	if err != nil {
		return err
	}
	defer unlock()
	err = a.bindLocked(ctx, name, p)
	if err == nil || !isCode(err, cniwire.CodeInvalid) {
		return err
	}
	return a.do(ctx, func(s *state) {
		s.bindRefusals[name] = bindRefusal{plugged: p, reason: err.Error(), until: time.Now().Add(bindRetry)}
	})
}

// bindLocked binds an interface that the caller has locked. An error with CodeInvalid stays until somebody
// changes the interface or the Port.
func (a *Agent) bindLocked(ctx context.Context, name string, p plugged) error {
	want := attachment{Interface: name, Kind: kindBound, BoundID: p.id, Name: p.id}
	if p.mac != "" {
		mac, err := fabric.ParseMAC(p.mac)
		if err != nil {
			return refuse(cniwire.CodeInvalid, "external_ids:%s: %v", keyAttachedMAC, err)
		}
		want.MAC = mac
	}
	// From the controller's answer to the reservation nobody may take the Port for one without an interface.
	if err := a.do(ctx, func(s *state) { s.placing++ }); err != nil {
		return err
	}
	defer func() { _ = a.do(a.life, func(s *state) { s.placing-- }) }() // fails only when the agent ends
	ref, err := a.portNamed(ctx, want)
	if err != nil {
		return err
	}
	want.Port = ref
	at, err := a.reserve(ctx, want)
	if err != nil {
		return err
	}
	defer a.release(name)
	if err := a.cfg.Database.SetExternalIDs(ctx, name, at.externalIDs()); err != nil {
		return err
	}
	a.cfg.Logger.Info("bound", "interface", name, "port", ref, "addresses", at.Addresses)
	return a.waitFor(ctx, wait{For: "the record of " + name, Timeout: jobTimeout, Condition: func(s *state) (bool, error) {
		_, bound := s.attachments[name]
		_, there := s.ovs.Interface(name)
		return bound || !there, nil
	}})
}

// portNamed returns the Port that an iface-id stands for: "tenant/name", "tenant.name", or a UID. Only a UID that
// is not of a Port of this node has to be asked for.
func (a *Agent) portNamed(ctx context.Context, want attachment) (fabric.PortRef, error) {
	id := want.BoundID
	if ref, err := fabric.ParsePortRef(strings.Replace(id, ".", "/", 1)); err == nil {
		return ref, nil
	}
	if !isUID(id) {
		return fabric.PortRef{}, refuse(cniwire.CodeInvalid, "external_ids:%s is %.80q, which names no Port: write tenant/name or the Port's UID", keyIfaceID, id)
	}
	id = strings.ToLower(id)
	ref, err := ask(ctx, a, func(s *state) (fabric.PortRef, error) { return s.index.uids[id], nil })
	if err != nil || !ref.IsZero() {
		return ref, err
	}
	ref, err = a.cfg.Controller.BindPort(ctx, bindRequest(id, want))
	return ref, fromController(fmt.Sprintf("bind port %s", id), err)
}

// isUID reports whether s has the form of a UUID (RFC 9562, section 4).
func isUID(s string) bool {
	if len(s) != 36 {
		return false
	}
	for i, c := range s {
		dash := i == 8 || i == 13 || i == 18 || i == 23
		if dash != (c == '-') || !dash && !strings.ContainsRune("0123456789abcdefABCDEF", c) {
			return false
		}
	}
	return true
}

// forgotten removes the agent's record from an interface's external_ids.
func forgotten() map[string]string {
	ids := map[string]string{}
	for _, k := range []string{keyKind, keyPort, keyNetwork, keySubnet, keyLabels, keyAddresses, keyContainer, keyIfName, keyNetns, keyName, keyConfig, keyOwnsTap, keyBoundID} {
		ids[k] = ""
	}
	return ids
}
