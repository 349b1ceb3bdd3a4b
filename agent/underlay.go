package agent

import (
	"context"
	"time"
)

// underlayCheck is the time between looks at the MTU of the link that carries the tunnels.
const underlayCheck = 10 * time.Second

// underlayMTU returns the MTU of the link that has the node's address, 0 before it was known. While the address is gone, what
// was known last stands: the way there is no wider for that.
func (a *Agent) underlayMTU() uint32 {
	if a.cfg.UnderlayMTU == nil {
		return 0
	}
	mtu, err := a.cfg.UnderlayMTU(a.cfg.VTEP)
	switch {
	case err != nil:
		a.cfg.Logger.Debug("read the underlay's MTU", "error", err)
	case mtu > 0:
		a.linkMTU.Store(uint32(mtu))
	}
	return a.linkMTU.Load()
}

// underlayLoop registers anew when the MTU of the link has changed: plans of this node and others follow from it.
func (a *Agent) underlayLoop(ctx context.Context) {
	if a.cfg.UnderlayMTU == nil {
		return
	}
	told := a.underlayMTU() // or more exactly, with the next registration
	for {
		select {
		case <-ctx.Done():
			return
		case <-time.After(underlayCheck):
		}
		now := a.underlayMTU()
		if now == told {
			continue
		}
		callCtx, cancel := context.WithTimeout(ctx, controllerTimeout)
		err := a.cfg.Controller.Register(callCtx, a.registration())
		cancel()
		if err != nil {
			a.cfg.Logger.Debug("register the underlay's MTU", "error", err)
			continue
		}
		a.cfg.Logger.Info("the underlay's link has another MTU", "mtu", now, "before", told)
		told = now
	}
}
