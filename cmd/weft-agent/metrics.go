package main

import (
	"context"
	"fmt"
	"log/slog"
	"net"

	"github.com/weftfabric/weft/agent"
	"github.com/weftfabric/weft/agent/metrics"
	"github.com/weftfabric/weft/scrape"
)

// endpoint is where Prometheus reads metrics.
type endpoint struct {
	listener net.Listener // nil where nobody asked for it
	log      *slog.Logger
}

func newEndpoint(s settings) (endpoint, error) {
	e := endpoint{log: s.log}
	if !s.metrics.IsValid() {
		return e, nil
	}
	var err error
	if e.listener, err = scrape.Listen(s.metrics); err != nil {
		return endpoint{}, fmt.Errorf("--metrics: %w", err)
	}
	s.log.Info("metrics can be read", "at", "http://"+e.listener.Addr().String()+scrape.Path)
	return e, nil
}

func (e endpoint) serve(ctx context.Context, a *agent.Agent) error {
	if e.listener == nil {
		<-ctx.Done()
		return nil
	}
	return scrape.Serve(ctx, e.listener, scrape.Config[agent.Measurements]{Table: metrics.Table(), Read: a.Measure, Log: e.log})
}

func (e endpoint) close() {
	if e.listener != nil {
		_ = e.listener.Close() // serve has closed it, unless it was never reached
	}
}
