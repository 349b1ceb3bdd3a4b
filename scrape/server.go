package scrape

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"slices"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	dto "github.com/prometheus/client_model/go"
	"golang.org/x/net/netutil"
)

// The bounds of an endpoint. A Prometheus keeps its connection, and asks one thing at a time on it.
const (
	maxConnections  = 16 // further ones wait
	readerTimeout   = 5 * time.Second
	writeTimeout    = 30 * time.Second
	idleTimeout     = 2 * time.Minute
	maxHeader       = 16 << 10
	shutdownTimeout = 200 * time.Millisecond
)

// Path is where an endpoint answers.
const Path = "/metrics"

// Config is what an endpoint tells.
type Config[S any] struct {
	Table Table[S]
	// Read returns the state. While it fails, so do scrapes: numbers that nobody vouches for are worse than none.
	Read func(context.Context) (S, error)
	// Also names metrics that a library keeps in the client's default registry and that are told, too.
	Also []string
	Log  *slog.Logger
}

// Serve answers scrapes until ctx ends, closes the listener, and returns when all connections have ended. Beside the table's
// metrics it tells those of the process and of Go's runtime.
func Serve[S any](ctx context.Context, l net.Listener, cfg Config[S]) error {
	h, err := cfg.handler()
	if err != nil {
		return errors.Join(err, l.Close())
	}
	s := &http.Server{
		Handler: h, BaseContext: func(net.Listener) context.Context { return ctx },
		ReadTimeout: readerTimeout, WriteTimeout: writeTimeout, IdleTimeout: idleTimeout, MaxHeaderBytes: maxHeader,
		ErrorLog: slog.NewLogLogger(cfg.Log.Handler(), slog.LevelDebug),
	}
	ended := make(chan error, 1)
	go func() { ended <- s.Serve(netutil.LimitListener(l, maxConnections)) }()
	select {
	case err := <-ended:
		return fmt.Errorf("serve metrics: %w", err)
	case <-ctx.Done():
	}
	ending, cancel := context.WithTimeout(context.WithoutCancel(ctx), shutdownTimeout)
	defer cancel()
	if err := s.Shutdown(ending); err != nil {
		_ = s.Close() // who says or reads nothing is cut off
	}
	<-ended
	return nil
}

func (cfg Config[S]) handler() (http.Handler, error) {
	process := prometheus.NewRegistry()
	for _, c := range []prometheus.Collector{collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{})} {
		if err := process.Register(c); err != nil {
			return nil, err
		}
	}
	src, log := newSource(cfg.Read), slog.NewLogLogger(cfg.Log.Handler(), slog.LevelDebug)
	mux := http.NewServeMux()
	mux.HandleFunc("GET "+Path, func(w http.ResponseWriter, r *http.Request) {
		state, err := src.state(r.Context())
		own := prometheus.NewRegistry()
		if err == nil {
			err = own.Register(Of(cfg.Table, state))
		}
		if err != nil {
			http.Error(w, err.Error(), http.StatusServiceUnavailable)
			return
		}
		all := prometheus.Gatherers{own, process, others(cfg.Also)}
		promhttp.HandlerFor(all, promhttp.HandlerOpts{ErrorLog: log, ErrorHandling: promhttp.HTTPErrorOnError}).ServeHTTP(w, r)
	})
	return mux, nil
}

// others gathers the metrics of these names from the default registry.
func others(names []string) prometheus.Gatherer {
	return prometheus.GathererFunc(func() ([]*dto.MetricFamily, error) {
		if len(names) == 0 {
			return nil, nil
		}
		all, err := prometheus.DefaultGatherer.Gather()
		return slices.DeleteFunc(all, func(f *dto.MetricFamily) bool { return !slices.Contains(names, f.GetName()) }), err
	})
}
