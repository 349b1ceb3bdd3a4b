package api

import (
	"crypto/tls"
	"log/slog"
	"net/http"
	"time"

	"connectrpc.com/connect"

	"github.com/weftfabric/weft/controller/health"
	"github.com/weftfabric/weft/controller/observe"
	"github.com/weftfabric/weft/controller/pki"
	"github.com/weftfabric/weft/controller/planner"
	"github.com/weftfabric/weft/controller/store"
	"github.com/weftfabric/weft/topology"
	"github.com/weftfabric/weft/wire/weftpb/weft/v1/weftv1connect"
)

const (
	// callTimeout bounds every call that is not a stream.
	callTimeout = 30 * time.Second
	// maxRequest is the largest message of a caller: the sources of an apply, and some room.
	maxRequest = topology.MaxTotalSize + 1<<20
	// maxNodeRequest is the largest message of a node, or of somebody who wants to be one.
	maxNodeRequest = 4 << 20
)

// Config is what the services work on.
type Config struct {
	Store   *store.Store
	Planner *planner.Planner
	History *History
	CA      *pki.CA
	Observe *observe.Router
	Log     *slog.Logger
	Version string
	// StoreName says where the state is, for people: "embedded", or the endpoints.
	StoreName string
	Now       func() time.Time
	// Changes counts what users asked to be changed.
	Changes *Changes
}

// LocalHandler serves the unix socket: everything that admins may do.
func LocalHandler(cfg Config) http.Handler {
	mux := http.NewServeMux()
	mux.Handle(intentHandler(cfg))
	mux.Handle(auditHandler(cfg))
	mux.Handle(observeHandler(cfg))
	return local(mux)
}

// RemoteHandler serves TCP. Its TLS layer must verify client certificates, where one is given, against the CA.
func RemoteHandler(cfg Config) http.Handler {
	mux := http.NewServeMux()
	mux.Handle(intentHandler(cfg))
	mux.Handle(auditHandler(cfg))
	mux.Handle(observeHandler(cfg))
	peerPath, peers := weftv1connect.NewPeerServiceHandler(&peerService{cfg}, options(maxNodeRequest))
	mux.Handle(peerPath, guarded(peersOnly, peers))
	path, nodes := weftv1connect.NewNodeServiceHandler(&nodeService{Config: cfg, streams: newStreams(), judge: &health.Judge{}, absences: &health.Absences{}, links: &linkBatch{update: cfg.Store.Update}}, options(maxNodeRequest))
	mux.Handle(path, guarded(inContact(cfg.Store, membersOnly(cfg.Store)), nodes))
	// Anybody may ask to join: the token decides.
	mux.Handle(weftv1connect.NewJoinServiceHandler(&joinService{cfg}, options(maxNodeRequest)))
	return remote(mux)
}

func intentHandler(cfg Config) (string, http.Handler) {
	path, h := weftv1connect.NewIntentServiceHandler(&intentService{cfg}, options(maxRequest))
	return path, guarded(inContact(cfg.Store, adminsOnly), h)
}

func observeHandler(cfg Config) (string, http.Handler) {
	path, h := weftv1connect.NewObserveServiceHandler(&observeService{cfg}, options(maxRequest))
	return path, guarded(inContact(cfg.Store, adminsOnly), h)
}

func options(maxBytes int) connect.HandlerOption {
	return connect.WithHandlerOptions(connect.WithInterceptors(connect.UnaryInterceptorFunc(withDeadline)), connect.WithReadMaxBytes(maxBytes))
}

// Server returns an HTTP server for one of the handlers. Without a TLS configuration it speaks HTTP/2 without
// TLS beside HTTP/1.1. A caller that stops reading is disconnected by the write and ping timeouts, so that
// it can't hold a stream for ever.
func Server(h http.Handler, tlsConfig *tls.Config, log *slog.Logger) *http.Server {
	protocols := new(http.Protocols)
	protocols.SetHTTP1(true)
	protocols.SetHTTP2(true)
	protocols.SetUnencryptedHTTP2(tlsConfig == nil)
	return &http.Server{
		Handler: h, TLSConfig: tlsConfig, Protocols: protocols,
		ReadHeaderTimeout: 10 * time.Second, IdleTimeout: 2 * time.Minute, MaxHeaderBytes: 64 << 10,
		HTTP2: &http.HTTP2Config{
			MaxConcurrentStreams: 250,
			SendPingTimeout:      15 * time.Second, PingTimeout: 10 * time.Second, WriteByteTimeout: 30 * time.Second,
		},
		ErrorLog: slog.NewLogLogger(log.Handler(), slog.LevelDebug),
	}
}
