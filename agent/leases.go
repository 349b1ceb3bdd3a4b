package agent

import (
	"context"
	"net/netip"
	"slices"
	"time"

	"github.com/weftfabric/weft/plan"
	weftv1 "github.com/weftfabric/weft/wire/weftpb/weft/v1"
)

// idleLeaseTime is how long a block stays leased without an address in use. With its last block a node stops
// hosting a network; coming back costs a question to the controller.
const idleLeaseTime = 10 * time.Minute

// leaseKey names a block that this node leases.
type leaseKey struct {
	pool  poolKey
	block netip.Prefix
}

// convergeLeases gives blocks back of which no address has been in use for a while.
func (a *Agent) convergeLeases(s *state, now time.Time) {
	if !s.fresh || s.controller != connected {
		return
	}
	idle := map[leaseKey]time.Time{}
	all := s.all()
	for _, r := range s.plan.Routes {
		if !r.Lease || r.Node != s.node || s.blockInUse(r, all) {
			continue
		}
		k := leaseKey{poolKey{r.Network, r.Subnet, familyOf(r.Prefix.Addr())}, r.Prefix}
		idle[k] = now
		if since, ok := s.idleSince[k]; ok {
			idle[k] = since
		}
		if now.Sub(idle[k]) < idleLeaseTime {
			continue
		}
		s.returning[k] = true
		network := s.index.refs[r.Network]
		a.start(s, now, "release block "+r.Prefix.String()+" of network "+network.String(), func(ctx context.Context) error {
			err := a.cfg.Controller.ReleaseBlock(ctx, &weftv1.ReleaseBlockRequest{Network: network.String(), Prefix: r.Prefix.String()})
			return fromController("release block "+r.Prefix.String(), err)
		})
	}
	s.idleSince = idle
	for k := range s.returning {
		if _, ok := idle[k]; !ok {
			delete(s.returning, k)
		}
	}
}

// blockInUse reports whether one of all attachments has an address of a block.
func (s *state) blockInUse(r plan.Route, all []attachment) bool {
	for _, at := range all {
		if !slices.ContainsFunc(at.Addresses, r.Prefix.Contains) {
			continue
		}
		if p, problem := s.resolve(at); problem != "" || p.Network == r.Network {
			return true
		}
	}
	return false
}
