// Command weft-controller runs weft's controller.
package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"github.com/weftfabric/weft/controller"
	"github.com/weftfabric/weft/controller/store"
	"github.com/weftfabric/weft/version"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	err := command().ExecuteContext(ctx)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "weft-controller:", err)
		os.Exit(1)
	}
}

// options are the flags as written.
type options struct {
	dataDir, listen, socket   string
	name                      string
	advertise, etcd           []string
	etcdCA, etcdCert, etcdKey string
	metrics, logLevel         string
	history                   time.Duration
}

func command() *cobra.Command {
	var o options
	c := &cobra.Command{
		Use:   "weft-controller",
		Short: "Compute the fabric, and tell every node its share",
		Long: `weft-controller stores what is declared, computes each node's plan, and streams it to the agents.

It needs no configuration: the first start makes the store and the certificate authority in the data directory,
and a certificate for remote admins in its folder admin/.`,
		Args: cobra.NoArgs, SilenceUsage: true, SilenceErrors: true, Version: version.Version,
		RunE: func(cmd *cobra.Command, _ []string) error {
			cfg, err := o.config()
			if err != nil {
				return err
			}
			told, err := listenMetrics(o, cfg.Log)
			if err != nil {
				return err
			}
			defer told.close()
			cfg.Offer = told.serve
			return controller.Run(cmd.Context(), cfg)
		},
	}
	c.AddCommand(backupCommand(&o), restoreCommand(&o))
	f, anywhere := c.Flags(), c.PersistentFlags()
	anywhere.StringVar(&o.dataDir, "data-dir", "/var/lib/weft", "directory of the embedded store and the admin certificate")
	f.StringVar(&o.listen, "listen", ":7600", "TCP address for nodes and remote admins; empty: none")
	f.StringVar(&o.socket, "socket", "/run/weft/controller.sock", "unix socket for local admins")
	f.StringSliceVar(&o.advertise, "advertise", nil, "names and addresses under which others reach the controller, for its certificate")
	f.StringVar(&o.name, "name", "", "name of this controller among others (default: the host's name)")
	anywhere.StringSliceVar(&o.etcd, "etcd", nil, "endpoints of an external etcd, such as https://10.0.0.5:2379; empty: embed one")
	anywhere.StringVar(&o.etcdCA, "etcd-ca", "", "file with the CA certificates of the external etcd")
	anywhere.StringVar(&o.etcdCert, "etcd-cert", "", "file with the client certificate for the external etcd")
	anywhere.StringVar(&o.etcdKey, "etcd-key", "", "file with the key of --etcd-cert")
	f.DurationVar(&o.history, "history", store.DefaultHistory, "how long the embedded store keeps past revisions, for \"weft audit --revision\"; at least 1m")
	f.StringVar(&o.metrics, "metrics", "", "IP address and port at which Prometheus may read metrics, such as 127.0.0.1:7601; plain HTTP, so one that only it reaches (default: none)")
	f.StringVar(&o.logLevel, "log-level", "info", "debug, info, warn or error")
	return c
}

func (o options) config() (controller.Config, error) {
	var level slog.Level
	if err := level.UnmarshalText([]byte(o.logLevel)); err != nil {
		return controller.Config{}, fmt.Errorf("--log-level %q: write debug, info, warn or error", o.logLevel)
	}
	if o.history < time.Minute {
		return controller.Config{}, fmt.Errorf("--history %s is less than a minute", o.history)
	}
	tlsConfig, err := o.etcdTLS()
	if err != nil {
		return controller.Config{}, err
	}
	return controller.Config{
		DataDir: filepath.Clean(o.dataDir), Listen: o.listen, Socket: o.socket, Advertise: o.advertise,
		Name: o.name, Etcd: o.etcd, EtcdTLS: tlsConfig, History: o.history, Log: slog.New(logHandler(level)), Version: version.Version,
	}, nil
}

// logHandler writes to standard error. Under systemd the journal has the time already.
func logHandler(level slog.Level) slog.Handler {
	opts := &slog.HandlerOptions{Level: level}
	if os.Getenv("JOURNAL_STREAM") != "" {
		opts.ReplaceAttr = func(groups []string, a slog.Attr) slog.Attr {
			if len(groups) == 0 && a.Key == slog.TimeKey {
				return slog.Attr{}
			}
			return a
		}
	}
	return slog.NewTextHandler(os.Stderr, opts)
}

func (o options) etcdTLS() (*tls.Config, error) {
	if o.etcdCA == "" && o.etcdCert == "" && o.etcdKey == "" {
		return nil, nil
	}
	if len(o.etcd) == 0 {
		return nil, errors.New("--etcd-ca, --etcd-cert and --etcd-key are for an external etcd: give --etcd too")
	}
	if (o.etcdCert == "") != (o.etcdKey == "") {
		return nil, errors.New("--etcd-cert and --etcd-key belong together: give both")
	}
	cfg := &tls.Config{MinVersion: tls.VersionTLS12}
	if o.etcdCA != "" {
		pem, err := os.ReadFile(o.etcdCA)
		if err != nil {
			return nil, fmt.Errorf("--etcd-ca: %w", err)
		}
		cfg.RootCAs = x509.NewCertPool()
		if !cfg.RootCAs.AppendCertsFromPEM(pem) {
			return nil, fmt.Errorf("--etcd-ca: %s holds no certificate in PEM form", o.etcdCA)
		}
	}
	if o.etcdCert != "" {
		cert, err := tls.LoadX509KeyPair(o.etcdCert, o.etcdKey)
		if err != nil {
			return nil, fmt.Errorf("--etcd-cert: %w", err)
		}
		cfg.Certificates = []tls.Certificate{cert}
	}
	return cfg, nil
}
