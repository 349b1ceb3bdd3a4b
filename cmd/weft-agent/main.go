// Command weft-agent runs weft's agent: it makes one node equal to its plan.
package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"os"
	"os/signal"
	"path/filepath"
	"runtime"
	"sync"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"github.com/weftfabric/weft/agent"
	"github.com/weftfabric/weft/agent/host"
	"github.com/weftfabric/weft/agent/overlay"
	"github.com/weftfabric/weft/agent/ovs"
	"github.com/weftfabric/weft/agent/socket"
	"github.com/weftfabric/weft/agent/uplink"
	"github.com/weftfabric/weft/fabric"
	"github.com/weftfabric/weft/scrape"
	"github.com/weftfabric/weft/version"
	"github.com/weftfabric/weft/wire/cniwire"
)

func main() {
	shareProcessors()
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	err := command().ExecuteContext(ctx)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "weft-agent:", err)
		os.Exit(1)
	}
}

// shareProcessors leaves half of the processors to vswitchd, which has as much to do for each packet as the WireGuard device in
// this process. A packet passes several goroutines, so with a thread for every processor the agent spends most of its time on
// waking threads that find nothing to do: more than twice as much time a packet, measured on two processors. GOMAXPROCS in
// the environment says otherwise (package runtime).
func shareProcessors() {
	if os.Getenv("GOMAXPROCS") == "" {
		runtime.GOMAXPROCS(max(1, runtime.GOMAXPROCS(0)/2))
	}
}

// options are the flags as written.
type options struct {
	controllers                []string
	token, node, vtep          string
	labels                     map[string]string
	stateDir, socket           string
	ovsdb, ovsRunDir, datapath string
	logLevel                   string
	wireguardDevice            string
	wireguardPort              uint16
	behindNAT                  bool
	keyLifetime                time.Duration
	resync                     time.Duration
	clientEndpoint             string
	metrics                    string
}

func command() *cobra.Command {
	var o options
	c := &cobra.Command{
		Use:   "weft-agent",
		Short: "Make this node equal to its plan",
		Long: `weft-agent plugs this node's workloads into Open vSwitch and keeps its flows as the controller plans them.

The first start needs a join token. Afterwards the node's key and certificate are in the state directory, beside
the last plan, with which the agent starts while the controller is away. When the agent stops, the switch goes on
forwarding.`,
		Args: cobra.NoArgs, SilenceUsage: true, SilenceErrors: true, Version: version.Version,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if o.token == "" {
				o.token = os.Getenv("WEFT_TOKEN") // not as the flag's default: --help would print it
			}
			s, err := o.settings()
			if err != nil {
				return err
			}
			return run(cmd.Context(), s)
		},
	}
	hostname, _ := os.Hostname() // a flag can tell what the system doesn't
	f := c.Flags()
	f.StringSliceVar(&o.controllers, "controller", nil, "the controller's URL, such as https://10.0.0.5:7600; several when there are, with commas or repeated")
	f.StringVar(&o.token, "token", "", "join token, for the first start (or WEFT_TOKEN in the environment)")
	f.StringVar(&o.node, "node", hostname, "this node's name")
	f.StringVar(&o.vtep, "vtep", "", "this node's tunnel address")
	f.StringToStringVar(&o.labels, "label", nil, "labels of the node, such as zone=a")
	f.StringVar(&o.stateDir, "state-dir", "/var/lib/weft-agent", "directory of the node's key, certificate and last plan")
	f.StringVar(&o.socket, "socket", cniwire.DefaultSocket, "unix socket for the CNI plugin and the weft command")
	f.StringVar(&o.ovsdb, "ovsdb", ovs.DefaultDatabase, "Open vSwitch's database")
	f.StringVar(&o.ovsRunDir, "ovs-rundir", "/run/openvswitch", "Open vSwitch's run directory")
	f.StringVar(&o.datapath, "datapath", "auto", "who forwards packets: auto, system (the kernel) or netdev (vswitchd)")
	f.StringVar(&o.wireguardDevice, "wireguard-device", overlay.DefaultDevice, "name of the WireGuard device; unique on the machine, in all network namespaces")
	f.Uint16Var(&o.wireguardPort, "wireguard-port", 0, "UDP port of WireGuard (default: what the fabric says)")
	f.StringVar(&o.clientEndpoint, "client-endpoint", "", "the address or name by which remote clients reach this node, where it is a gateway (default: --vtep)")
	f.BoolVar(&o.behindNAT, "nat", false, "other nodes can't reach this one's address: it speaks to them first, and keeps that alive")
	f.DurationVar(&o.resync, "resync", agent.DefaultResync, "about how often the switch's flows are compared with what they should be, besides whenever the switch tells that somebody changed some")
	f.DurationVar(&o.keyLifetime, "key-lifetime", 30*24*time.Hour, "how old a WireGuard key gets; 0 never changes it")
	f.StringVar(&o.metrics, "metrics", "", "IP address and port at which Prometheus may read metrics, such as 127.0.0.1:7602; plain HTTP, so one that only it reaches (default: none)")
	f.StringVar(&o.logLevel, "log-level", "info", "debug, info, warn or error")
	return c
}

// settings are the flags, parsed.
type settings struct {
	options
	vtep     netip.Addr
	datapath ovs.DatapathType
	metrics  netip.AddrPort
	log      *slog.Logger
}

// settings parses the flags, and reports all that is wrong with them.
func (o options) settings() (s settings, err error) {
	s.options = o
	var level slog.Level
	bad := func(flag string, err error) error {
		if err != nil {
			return fmt.Errorf("--%s: %w", flag, err)
		}
		return nil
	}
	var vtepErr, datapathErr, controllerErr error
	if s.vtep, vtepErr = netip.ParseAddr(o.vtep); vtepErr != nil {
		vtepErr = fmt.Errorf("%q is not an IP address: give the address that other nodes send tunnel packets to", o.vtep)
	}
	if len(o.controllers) == 0 {
		controllerErr = errors.New("it is missing: give the controller's URL, such as https://10.0.0.5:7600")
	}
	s.datapath, datapathErr = ovs.ParseDatapath(o.datapath)
	var resyncErr, metricsErr error
	s.metrics, metricsErr = scrape.ParseAddress(o.metrics)
	if o.resync < time.Second {
		resyncErr = fmt.Errorf("%v is too often: at least 1s", o.resync)
	}
	err = errors.Join(bad("controller", controllerErr), bad("vtep", vtepErr), bad("node", fabric.CheckName(o.node)),
		bad("datapath", datapathErr), bad("resync", resyncErr), bad("metrics", metricsErr), bad("log-level", level.UnmarshalText([]byte(o.logLevel))))
	s.log = slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: level}))
	return s, err
}

// run wires the parts together and lives until ctx ends.
func run(ctx context.Context, s settings) error {
	if err := os.MkdirAll(s.stateDir, 0o700); err != nil {
		return fmt.Errorf("make the state directory: %w", err)
	}
	told, err := newEndpoint(s)
	if err != nil {
		return err
	}
	defer told.close()
	listener, err := socket.Listen(s.socket)
	if err != nil {
		return err
	}
	defer func() { _ = listener.Close() }() // Serve has closed it, unless it was never reached
	member := uplink.Member{Servers: s.controllers, Node: fabric.NodeName(s.node), Token: s.token, Dir: s.stateDir, Logger: s.log, Now: time.Now}
	controller := uplink.New()
	defer controller.Close()
	db := ovs.New(ovs.Config{Database: s.ovsdb, Bridge: ovs.DefaultBridge, Logger: s.log})
	dialer := ovs.Dialer{RunDir: s.ovsRunDir, Bridge: ovs.DefaultBridge}
	way, err := newWay(s)
	if err != nil {
		return errors.Join(err, listener.Close())
	}
	defer way.close()
	remote, err := newClients(s)
	if err != nil {
		return errors.Join(err, listener.Close())
	}
	defer remote.Close()
	a := agent.New(agent.Config{
		Node: member.Node, VTEP: s.vtep, Labels: s.labels, Version: version.Version, Datapath: s.datapath,
		PlanFile: filepath.Join(s.stateDir, "plan"), HitsFile: filepath.Join(s.stateDir, "hits"), FlowLog: filepath.Join(s.stateDir, "flows.log"), Tracker: dialer, Database: db, Links: host.New(""), Controller: controller,
		Dial:   func(ctx context.Context) (agent.Flows, error) { return dialer.Connect(ctx) },
		Switch: dialer, Settings: db.Settings, Resync: s.resync, Expires: controller.Expires,
		KernelDatapath: host.KernelDatapath, PacketBuffer: host.PacketBuffer, Touch: agent.Touch, Logger: s.log,
		Clients: remote, ClientEndpoint: s.clientEndpoint, Overlay: way.manager, Paths: way.prober, WireGuardPort: s.wireguardPort, BehindNAT: s.behindNAT, UnderlayMTU: host.New("").LinkMTU, KeyLifetime: s.keyLifetime,
	})
	s.log.Info("starting", "node", member.Node, "version", version.Version, "controller", s.controllers, "vtep", s.vtep)
	return together(ctx,
		a.Run,
		db.Run,
		func(ctx context.Context) error { return socket.Serve(ctx, listener, a.Handle, s.log) },
		func(ctx context.Context) error { return member.Run(ctx, controller) },
		way.run,
		func(ctx context.Context) error { controller.TakeQuestions(ctx, a.Answer, s.log); return nil },
		func(ctx context.Context) error { return told.serve(ctx, a) },
	)
}

// together runs the parts until ctx ends or one of them fails, and returns when all have ended.
func together(ctx context.Context, parts ...func(context.Context) error) error {
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	errs := make([]error, len(parts))
	var wg sync.WaitGroup
	for i, part := range parts {
		wg.Go(func() {
			defer stop()
			errs[i] = part(ctx)
		})
	}
	wg.Wait()
	return errors.Join(errs...)
}
