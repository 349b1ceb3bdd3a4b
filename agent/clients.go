package agent

import (
	"context"
	"errors"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/weftfabric/weft/agent/clients"
	"github.com/weftfabric/weft/fabric"
	"github.com/weftfabric/weft/wire/cniwire"
	weftv1 "github.com/weftfabric/weft/wire/weftpb/weft/v1"
)

const (
	clientCheck = 5 * time.Second // between looks whether remote clients still are served as they were
	clientRetry = time.Second     // after a failure
)

// convergeClients has remote clients served as a new plan says.
func (a *Agent) convergeClients(s *state) {
	if a.cfg.Clients != nil && s.havePlan && s.clientRevision != s.revision {
		s.clientRevision = s.revision
		signal(a.clientsDue)
	}
}

// clientLoop serves the remote clients that the plan gives this node, and looks from time to time whether it still does.
func (a *Agent) clientLoop(ctx context.Context) {
	if a.cfg.Clients == nil {
		return
	}
	for ctx.Err() == nil {
		pause := clientCheck
		problem := ""
		if err := a.serveClients(ctx); err != nil {
			pause, problem = clientRetry, err.Error()
		}
		_ = a.do(ctx, func(s *state) { // fails only when the agent ends
			s.reportDue = s.reportDue || s.clientProblem != problem
			s.clientProblem = problem
		})
		select {
		case <-ctx.Done():
		case <-a.clientsDue:
		case <-time.After(pause):
		}
	}
}

// serveClients plugs a tap for each client as it does for virtual machines, takes away those of clients that have gone, and
// has the devices made behind them.
func (a *Agent) serveClients(ctx context.Context) error {
	type tap struct {
		name string
		port fabric.PortRef
	}
	var want []clients.Network
	gone, err := ask(ctx, a, func(s *state) (gone []tap, err error) {
		if !s.havePlan || !s.bridgeReady {
			return nil, nil
		}
		want = clients.Of(&s.plan)
		served := map[fabric.PortRef]bool{}
		for _, w := range want {
			for _, c := range w.Clients {
				served[c.Port] = true
			}
		}
		for _, at := range s.all() {
			if at.Kind == kindTap && at.Interface == clients.Tap(at.Port) && !served[at.Port] {
				gone = append(gone, tap{at.Interface, at.Port})
			}
		}
		return gone, nil
	})
	if err != nil {
		return err
	}
	var errs []error
	for _, w := range want {
		for _, c := range w.Clients {
			_, err := a.attach(ctx, cniwire.Attach{Port: c.Port, Tap: c.Tap})
			if err != nil {
				errs = append(errs, errors.New("remote client "+c.Port.String()+": "+err.Error()))
			}
		}
	}
	errs = append(errs, a.cfg.Clients.Apply(want)) // first: nobody reads a tap that goes
	for _, t := range gone {
		errs = append(errs, a.detach(ctx, cniwire.Detach{Port: t.port}))
	}
	return errors.Join(errs...)
}

// clientGateway is how remote clients reach the node; nil where it can't serve any.
func (a *Agent) clientGateway() *weftv1.ClientGateway {
	if a.cfg.Clients == nil {
		return nil
	}
	key := a.cfg.Clients.PublicKey()
	return &weftv1.ClientGateway{Key: key[:], Endpoint: a.cfg.ClientEndpoint}
}

// clientReport says how the remote clients are.
func (a *Agent) clientReport() []*weftv1.ClientSession {
	if a.cfg.Clients == nil {
		return nil
	}
	sessions, err := a.cfg.Clients.Sessions()
	if err != nil {
		return nil // a device that can't be read can't be configured either, and that is among the problems
	}
	var out []*weftv1.ClientSession
	for _, c := range sessions {
		m := &weftv1.ClientSession{Tenant: c.Port.Tenant, Name: c.Port.Name, ReceivedBytes: c.Received, SentBytes: c.Sent}
		if !c.Handshake.IsZero() {
			m.Handshake = timestamppb.New(c.Handshake)
		}
		if c.Endpoint.IsValid() {
			m.Endpoint = c.Endpoint.String()
		}
		out = append(out, m)
	}
	return out
}
