package agent_test

import (
	"bytes"
	"log/slog"
	"strings"
	"testing"

	"github.com/weftfabric/weft/agent/ovs"
)

// TestSmallBuffers: a node whose switch will lose packets says so, once, on the userspace datapath only.
func TestSmallBuffers(t *testing.T) {
	for _, row := range []struct {
		name     string
		datapath ovs.DatapathType
		size     int
		want     int
	}{
		{"small", ovs.Netdev, 212992, 1},
		{"large", ovs.Netdev, 4 << 20, 0},
		{"small, and the kernel forwards", ovs.System, 212992, 0},
	} {
		t.Run(row.name, func(t *testing.T) {
			r := newRig(t)
			var log bytes.Buffer
			r.cfg.Logger = slog.New(slog.NewTextHandler(&log, nil))
			r.cfg.Datapath = row.datapath
			r.cfg.KernelDatapath = func() (bool, error) { return true, nil }
			r.cfg.PacketBuffer = func() (int, error) { return row.size, nil }
			r.run()
			r.ready()
			r.stop()
			if got := strings.Count(log.String(), "small buffers"); got != row.want {
				t.Errorf("said %d times, want %d:\n%s", got, row.want, log.String())
			}
		})
	}
}
