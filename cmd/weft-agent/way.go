package main

import (
	"context"
	"log/slog"
	"path/filepath"

	"github.com/weftfabric/weft/agent/host"
	"github.com/weftfabric/weft/agent/overlay"
	"github.com/weftfabric/weft/agent/ovs"
	"github.com/weftfabric/weft/agent/paths"
	"github.com/weftfabric/weft/fabric"
)

// way are the parts that serve encrypted tunnels.
type way struct {
	database *ovs.DB // of the bridge with the tunnel address
	manager  *overlay.Manager
	prober   *paths.Prober
	log      *slog.Logger
}

func newWay(s settings) (way, error) {
	w := way{prober: paths.New(), log: s.log}
	w.database = ovs.New(ovs.Config{Database: s.ovsdb, Bridge: overlay.DefaultBridge, Logger: s.log})
	var err error
	w.manager, err = overlay.New(overlay.Config{
		Device: s.wireguardDevice, Bridge: overlay.DefaultBridge, KeyFile: filepath.Join(s.stateDir, "wireguard.key"),
		Database: w.database, Links: host.New(""), Down: w.down, Logger: s.log,
	})
	return w, err
}

// down returns the nodes to which no probe gets through.
func (w way) down() (names []fabric.NodeName) {
	for _, m := range w.prober.Paths() {
		if !m.Up {
			names = append(names, m.Name)
		}
	}
	return names
}

func (w way) run(ctx context.Context) error {
	return together(ctx, w.database.Run, w.manager.Run, w.prober.Run)
}

func (w way) close() {
	if err := w.manager.Close(); err != nil {
		w.log.Warn("end WireGuard", "error", err)
	}
}
