package agent

import (
	"context"
	"errors"
	"os"
	"slices"
	"time"

	"github.com/weftfabric/weft/agent/host"
	"github.com/weftfabric/weft/agent/ovs"
	"github.com/weftfabric/weft/wire/cniwire"
)

// undoTimeout bounds what cleans up after a request that failed.
const undoTimeout = 10 * time.Second

// add attaches a container's interface. It returns once a barrier has confirmed the flows; after an error nothing
// of it is left.
func (a *Agent) add(ctx context.Context, r cniwire.Add) (*cniwire.Interface, error) {
	if err := checkAdd(r); err != nil {
		return nil, err
	}
	name := hostName(r.Attachment)
	unlock, err := a.lock(ctx, name)
	if err != nil {
		return nil, err
	}
	defer unlock()
	want := attachment{
		Interface: name, Kind: kindContainer, Port: r.Port, Network: r.Network, Subnet: r.Subnet, Labels: r.Labels, MAC: r.MAC,
		Addresses: r.Addresses, Container: r.Attachment, Netns: r.Netns, Name: r.Name, Config: r.Config,
	}
	if err := a.awaitDeleted(ctx, name); err != nil {
		return nil, err
	}
	if err := a.knowAttachments(ctx); err != nil {
		return nil, err
	}
	if have, ok, err := a.existing(ctx, name); err != nil {
		return nil, err
	} else if ok {
		in, left, err := a.addAgain(ctx, have, want)
		if !left {
			return in, err
		}
		a.cfg.Logger.Info("removing what is left of an attachment whose link is gone", "container", r.ContainerID, "interface", r.IfName)
		if err := a.unplug(ctx, have); err != nil {
			return nil, err
		}
	}
	if want.MAC.IsZero() && want.Port.IsZero() {
		want.MAC = containerMAC(r.Attachment)
	}
	at, err := a.reserve(ctx, want)
	if err != nil {
		return nil, err
	}
	defer a.release(name)
	in, err := a.connect(ctx, at)
	if err != nil {
		return nil, errors.Join(err, a.unplug(ctx, at))
	}
	a.cfg.Logger.Info("attached", "container", r.ContainerID, "interface", r.IfName, "network", in.Network, "addresses", in.Addresses, "identity", in.Identity)
	return in, nil
}

// connect makes a container's pair and plugs it into the bridge. Both ends are set up while the switch takes the port and
// its flows. It returns when all of it is done; what it has made stays after an error.
func (a *Agent) connect(ctx context.Context, at attachment) (*cniwire.Interface, error) {
	in, userspace, err := a.describe(ctx, at)
	if err != nil {
		return nil, err
	}
	veth := host.Veth{
		Place: placeOf(at), For: purpose(at.Container, at.Name), MAC: in.MAC, MTU: in.MTU, Addresses: in.Addresses,
		Gateways: in.Gateways, Userspace: userspace,
	}
	if err := a.cfg.Links.CreateVeth(ctx, veth); err != nil {
		return nil, err
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	configured := make(chan error, 1)
	go func() {
		err := a.cfg.Links.ConfigureVeth(ctx, veth)
		if err != nil {
			cancel() // there is nothing to plug
		}
		configured <- err
	}()
	err = a.plug(ctx, at)
	if failed := <-configured; failed != nil {
		return nil, failed
	}
	return in, err
}

// describe returns an attachment as its workload sees it, and whether vswitchd forwards the packets itself.
func (a *Agent) describe(ctx context.Context, at attachment) (in *cniwire.Interface, userspace bool, err error) {
	in, err = ask(ctx, a, func(s *state) (*cniwire.Interface, error) {
		in, _, err := s.describe(at)
		userspace = s.datapath != ovs.System // unknown: the slower setting is right for both
		return in, err
	})
	return in, userspace, err
}

// plug plugs a link into the bridge, and waits until its flows are confirmed.
func (a *Agent) plug(ctx context.Context, at attachment) error {
	spec := ovs.PortSpec{Name: at.Interface, Number: at.Number, ExternalIDs: withoutEmpty(at.externalIDs())}
	if err := a.cfg.Database.AddPort(ctx, spec); err != nil {
		return err
	}
	return a.waitEnforced(ctx, at.Interface)
}

// waitEnforced returns once a barrier has confirmed an interface's flows.
func (a *Agent) waitEnforced(ctx context.Context, name string) error {
	return a.waitFor(ctx, wait{For: "the switch to confirm the flows of " + name, Timeout: enforceTimeout, Condition: func(s *state) (bool, error) {
		i, ok := s.ovs.Interface(name)
		if !ok {
			return false, nil
		}
		if i.Error != "" {
			return false, refuse(cniwire.CodeInternal, "Open vSwitch can't use interface %s: %s", name, i.Error)
		}
		if reason := s.flows.refusedPort(s.flowNumber(i)); reason != "" {
			return false, refuse(cniwire.CodeInternal, "the switch refuses a flow of interface %s: %s", name, reason)
		}
		return s.isEnforced(name), nil
	}})
}

// knowAttachments waits until the database has told what is attached: before that, an address in use looks free to an
// agent that has just started. It waits for the bridge, too, where a database without one has just appeared.
func (a *Agent) knowAttachments(ctx context.Context) error {
	return a.waitFor(ctx, wait{For: "Open vSwitch's database to tell what is attached", Timeout: jobTimeout, Condition: func(s *state) (bool, error) {
		return s.ovsSeen && (s.ovsProblem != "" || s.bridgeReady && s.ovs.Bridge.Name != ""), nil
	}})
}

// existing returns the record of an interface.
func (a *Agent) existing(ctx context.Context, name string) (at attachment, ok bool, err error) {
	err = a.do(ctx, func(s *state) { at, ok = s.attachments[name] })
	return at, ok, err
}

// addAgain answers an ADD of something that is attached already. It reports left when only the record is left of it:
// the container's end is gone, as after a reboot of the node, and the runtime begins anew.
func (a *Agent) addAgain(ctx context.Context, have, want attachment) (in *cniwire.Interface, left bool, err error) {
	if _, err := a.cfg.Links.Inspect(ctx, placeOf(have)); errors.Is(err, os.ErrNotExist) {
		return nil, true, nil
	} else if err != nil {
		return nil, false, err
	}
	same := have.Netns == want.Netns && have.Port == want.Port && (want.Subnet == "" || have.Subnet == want.Subnet) &&
		have.Labels.String() == want.Labels.String() && (want.MAC.IsZero() || have.MAC == want.MAC)
	if want.Port.IsZero() {
		same = same && have.Network == want.Network
	}
	for _, addr := range want.Addresses {
		same = same && slices.Contains(have.Addresses, addr)
	}
	if !same {
		return nil, false, refuse(cniwire.CodeConflict, "container %s has an interface %s that was attached otherwise: detach it first", have.Container.ContainerID, have.Container.IfName)
	}
	if err := a.waitEnforced(ctx, have.Interface); err != nil {
		return nil, false, err
	}
	in, _, err = a.describe(ctx, have)
	return in, false, err
}

// placeOf returns where the ends of a container's pair are.
func placeOf(at attachment) host.Place {
	return host.Place{HostName: at.Interface, Namespace: at.Netns, IfName: at.Container.IfName}
}

// withoutEmpty returns the keys that have a value.
func withoutEmpty(ids map[string]string) map[string]string {
	out := map[string]string{}
	for k, v := range ids {
		if v != "" {
			out[k] = v
		}
	}
	return out
}
