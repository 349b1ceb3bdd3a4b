package agent

import (
	"maps"
	"net/netip"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/weftfabric/weft/agent/drift"
	"github.com/weftfabric/weft/agent/hits"
	"github.com/weftfabric/weft/agent/ovs"
	"github.com/weftfabric/weft/agent/pipeline"
	"github.com/weftfabric/weft/fabric"
	"github.com/weftfabric/weft/plan"
)

// state is what the loop owns. Nothing outside the loop's goroutine touches it.
type state struct {
	node fabric.NodeName

	// plan is whole once havePlan is set; fresh says that it came from the controller in this run, not from disk.
	plan     plan.Node
	revision uint64
	havePlan bool
	fresh    bool
	index    planIndex
	// planProblem says why the plan on disk is not used; planTime is when the controller confirmed the plan last, until it
	// does in this run.
	planProblem string
	planTime    time.Time
	// waitUntil bounds how long a plan from disk waits for the controller's before it changes a switch that forwards.
	waitUntil time.Time

	// ovs is the last state of the database that was connected; ovsProblem says why there is no connection now.
	ovs        ovs.State
	ovsSeen    bool
	ovsChanges uint64 // counts what the database told
	ovsProblem string
	// bridgeReady says that the bridge was made as it must be in this run.
	bridgeReady bool
	// bridgeRight says that the database has told of a bridge that is as it must be, and of no other since.
	bridgeRight bool
	datapath    ovs.DatapathType

	// attachments are the records in the database by interface; damaged says why some can't be read.
	attachments map[string]attachment
	damaged     map[string]string
	// lost are attachments that the database has lost, by interface, until they are plugged again.
	lost map[string]attachment
	// reportDue says that the controller knows other attachments.
	reportDue bool
	// reserved are attachments on their way into the database, by interface.
	reserved map[string]attachment
	// leaving are the interfaces that are being unplugged: they have no flows any more.
	leaving map[string]bool
	// deleting are the links that were put aside, until they are deleted; deletionAwaited says that somebody waits for one.
	deleting        map[string]bool
	deletionAwaited bool
	// lastNumber is the last number that a port was to ask for.
	lastNumber uint32
	// locked are the interfaces that a request is working on.
	locked map[string]*lockToken
	// lastAddress is the last address that was given away, by network, subnet and family.
	lastAddress map[poolKey]netip.Addr
	// idleSince says since when no address of a leased block has been in use; returning are the blocks that are
	// being given back, of which nothing may be given away any more.
	idleSince map[leaseKey]time.Time
	returning map[leaseKey]bool
	// failedSince says since when the switch has not been able to open an interface.
	failedSince map[string]time.Time
	// goneSince says since when the link of an attachment has been missing; linksListed is when that was looked at.
	goneSince   map[string]time.Time
	linksListed time.Time
	// bindRefusals say why interfaces of somebody else aren't bound.
	bindRefusals map[string]bindRefusal
	// placing counts the requests that are binding a Port; until they are done, a Port without an attachment may
	// be about to get one.
	placing int
	// shields are the links of others that are shielded, with the port number that they had then; nil until the
	// kernel was asked.
	shields map[string]uint32
	// refused counts the questions of the switch that weren't answered; it is counted outside the loop.
	refused *atomic.Uint64
	// orphansRemoved says that what an earlier run left half done is gone.
	orphansRemoved bool

	// way is the node's encrypted way to others; wireguardPort is the port that the node was started with.
	way           way
	wireguardPort uint16

	// clientProblem says why a remote client isn't served.
	clientProblem  string
	clientRevision uint64 // of the plan that clients were told of

	// hits are the counts of rules; hitsChanged says that the saved ones are older, hitsSeen counts the readings, and
	// hitsProblem says why earlier counts aren't used.
	hits        *hits.Book
	hitsChanged bool
	hitsSeen    uint64
	hitsProblem string
	// cuts are the live connections that policy may forbid.
	cuts cutState

	flows flowState
	// drift is what others did to the flows; compared is when they were compared last with what the switch holds.
	drift      drift.Journal
	compared   time.Time
	controller string // "connected", or why not

	jobs    map[string]*job
	flights map[string]*flight
	waiters []*waiter
}

// newState returns the state of an agent that knows nothing yet.
func newState(node fabric.NodeName) *state {
	return &state{
		node: node, plan: plan.Node{Name: node}, attachments: map[string]attachment{}, damaged: map[string]string{},
		lost: map[string]attachment{}, reserved: map[string]attachment{}, leaving: map[string]bool{}, deleting: map[string]bool{}, locked: map[string]*lockToken{}, flights: map[string]*flight{}, bindRefusals: map[string]bindRefusal{}, lastAddress: map[poolKey]netip.Addr{},
		failedSince: map[string]time.Time{}, goneSince: map[string]time.Time{}, returning: map[leaseKey]bool{}, jobs: map[string]*job{},
		controller: notConnected, flows: newFlowState(), hits: hits.NewBook(), cuts: newCutState(),
	}
}

// setPlan takes over a whole plan.
func (s *state) setPlan(n plan.Node, revision uint64) {
	s.cuts.policyChanged(s.plan, n)
	s.plan, s.revision, s.havePlan = n, revision, true
	s.index = indexPlan(n)
	s.flows.dirty = true
}

// setOVS takes over what the database says.
func (s *state) setOVS(o ovs.State, now time.Time) {
	s.ovsProblem = o.Problem
	if !o.Connected {
		return // what was last known stays
	}
	if s.ovs.Bridge.Name != "" && o.Bridge.Name == "" {
		s.bridgeReady = false // somebody deleted it
	}
	if s.ovsSeen && o.Session != s.ovs.Session {
		s.keepLost(o)
		s.bridgeReady = false // it may be another database
	}
	s.flows.portsChanged(s.ovs.Interfaces, o.Interfaces)
	s.ovs, s.ovsSeen, s.flows.dirty = o, true, true
	s.ovsChanges++
	before := s.attachments
	s.attachments, s.damaged = map[string]attachment{}, map[string]string{}
	failed := map[string]time.Time{}
	for _, i := range o.Interfaces {
		a, ok, err := recordOf(i)
		switch {
		case err != nil:
			s.damaged[i.Name] = err.Error()
		case ok:
			s.attachments[i.Name] = a
		}
		if i.Error != "" {
			failed[i.Name] = now
			if since, ok := s.failedSince[i.Name]; ok {
				failed[i.Name] = since
			}
		}
	}
	s.failedSince = failed
	s.forgetFound()
	s.reportDue = s.reportDue || !maps.EqualFunc(before, s.attachments, attachment.equal)
}

// all returns the attachments of database and requests, in the order of their interfaces; a reservation comes
// before the record that it is about to replace. What the database has lost is among them.
func (s *state) all() []attachment {
	merged := maps.Clone(s.lost)
	maps.Copy(merged, s.attachments)
	maps.Copy(merged, s.reserved)
	return slices.SortedFunc(maps.Values(merged), func(a, b attachment) int { return strings.Compare(a.Interface, b.Interface) })
}

// resolve returns what the pipeline must know of an attachment, or why the plan doesn't tell it.
func (s *state) resolve(a attachment) (pipeline.Attachment, string) {
	out := pipeline.Attachment{Interface: a.Interface, MAC: a.MAC, Addresses: a.Addresses}
	if !a.Port.IsZero() {
		p, ok := s.index.ports[a.Port]
		if !ok {
			return out, "Port " + a.Port.String() + " is not bound to this node: it was bound elsewhere or deleted"
		}
		out.Network, out.Identity, out.MAC = p.Network, p.Identity, p.MAC
		if len(p.Addresses) > 0 {
			out.Addresses = p.Addresses
		}
		out.MTU = s.index.networks[s.index.refs[p.Network]].MTU
		return out, ""
	}
	n, ok := s.index.networks[a.Network]
	if !ok {
		return out, "network " + a.Network.String() + " is not part of this node's plan"
	}
	id, ok := s.index.identity(n.ID, a.Labels.Without(s.index.ignored))
	if !ok {
		return out, "labels " + a.Labels.String() + " have no identity in this node's plan"
	}
	out.Network, out.Identity, out.MTU = n.ID, id, n.MTU
	return out, ""
}

// input is what the flows have to be rendered from.
func (s *state) input() pipeline.Input {
	in := pipeline.Input{Plan: s.plan, AgentND: s.datapath == ovs.System, Closed: s.flows.closed()}
	if shut := s.flows.shut(); len(shut) > 0 {
		in.Plan.Identities = slices.DeleteFunc(slices.Clone(s.plan.Identities), func(i plan.Identity) bool { return slices.Contains(shut, i.Network) })
	}
	plugged := map[string]bool{}
	for _, i := range s.ovs.Interfaces {
		plugged[i.Name] = true
		number := s.flowNumber(i)
		if number == 0 || s.leaving[i.Name] {
			continue
		}
		if i.Name == tunnelPort {
			if s.wayStands() {
				in.TunnelPort = number
			}
			continue
		}
		a, ok := s.attachments[i.Name]
		if !ok || i.ExternalIDs[keyIfaceStatus] == statusInactive {
			continue
		}
		if a.Kind == kindBound && s.unfit(a, pluggedAs(i)) != "" {
			continue // it is about to be unbound
		}
		if p, problem := s.resolve(a); problem == "" {
			p.OFPort = number
			in.Attachments = append(in.Attachments, p)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(s.reserved)) {
		at := s.reserved[name]
		if p, problem := s.resolve(at); problem == "" && at.Number != 0 && !plugged[name] && !s.leaving[name] {
			p.OFPort = at.Number
			in.Attachments = append(in.Attachments, p)
		}
	}
	return in
}
