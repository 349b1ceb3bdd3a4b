package agent

import (
	"context"
	"errors"
	"fmt"

	"github.com/weftfabric/weft/wire/cniwire"
)

// collect detaches the containers of a configuration that the runtime doesn't name, and removes the links that were
// made and never plugged. An ADD under way is left alone: the runtime may know of it only when it is done. It goes on
// after failures, and reports all of them.
func (a *Agent) collect(ctx context.Context, r cniwire.GC) error {
	if r.Config == "" {
		return refuse(cniwire.CodeInvalid, "the name of the network configuration is missing: without it nothing can be told from what others have attached")
	}
	keep := make(map[cniwire.Attachment]bool, len(r.Keep))
	for _, k := range r.Keep {
		keep[k] = true
	}
	stale, err := ask(ctx, a, func(s *state) (out []attachment, err error) {
		if !s.ovsSeen || s.ovsProblem != "" {
			return nil, refuse(cniwire.CodeUnavailable, "what is attached is not known: Open vSwitch's database doesn't answer: %s", s.ovsProblem)
		}
		for _, at := range s.all() {
			_, making := s.reserved[at.Interface]
			if at.Kind == kindContainer && at.Config == r.Config && !keep[at.Container] && !making {
				out = append(out, at)
			}
		}
		return out, nil
	})
	if err != nil {
		return err
	}
	var errs []error
	for _, at := range stale {
		a.cfg.Logger.Info("removing an attachment that the runtime forgot", "container", at.Container.ContainerID, "interface", at.Container.IfName, "config", r.Config)
		if err := a.del(ctx, cniwire.Del{Attachment: at.Container}); err != nil {
			errs = append(errs, fmt.Errorf("container %s, interface %s: %w", at.Container.ContainerID, at.Container.IfName, err))
		}
	}
	return errors.Join(append(errs, a.removeOrphans(ctx))...)
}
