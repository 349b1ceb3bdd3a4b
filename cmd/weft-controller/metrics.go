package main

import (
	"context"
	"fmt"
	"log/slog"
	"net"

	"github.com/weftfabric/weft/controller"
	"github.com/weftfabric/weft/controller/metrics"
	"github.com/weftfabric/weft/scrape"
)

// endpoint is where Prometheus reads metrics.
type endpoint struct {
	listener net.Listener // nil where nobody asked for it
	also     []string     // metrics of libraries
	log      *slog.Logger
}

func listenMetrics(o options, log *slog.Logger) (endpoint, error) {
	e := endpoint{log: log}
	if len(o.etcd) == 0 {
		e.also = metrics.OfEtcd()
	}
	address, err := scrape.ParseAddress(o.metrics)
	if err == nil && address.IsValid() {
		e.listener, err = scrape.Listen(address)
	}
	if err != nil {
		return endpoint{}, fmt.Errorf("--metrics: %w", err)
	}
	if e.listener != nil {
		log.Info("metrics can be read", "at", "http://"+e.listener.Addr().String()+scrape.Path)
	}
	return e, nil
}

func (e endpoint) serve(ctx context.Context, measure func(context.Context) (controller.Measurements, error)) error {
	if e.listener == nil {
		return nil
	}
	return scrape.Serve(ctx, e.listener, scrape.Config[controller.Measurements]{Table: metrics.Table(), Read: measure, Also: e.also, Log: e.log})
}

func (e endpoint) close() {
	if e.listener != nil {
		_ = e.listener.Close() // serve has closed it, unless it was never reached
	}
}
