package host_test

import (
	"testing"

	"github.com/weftfabric/weft/agent/host"
)

func TestPacketBuffer(t *testing.T) {
	if size, err := host.PacketBuffer(); err != nil || size < 1<<10 {
		t.Errorf("%d bytes: %v", size, err)
	}
}
