package agent

import "fmt"

// enoughBuffer is the size, in bytes, from which on vswitchd's packet sockets hold what comes while another process has the
// processor: more than a thousand packets.
const enoughBuffer = 1 << 20

// tellBuffer says once that a node with the userspace datapath will lose packets when it is busy. That is a setting of the
// machine's, which is the operator's to change.
func (a *Agent) tellBuffer() {
	if a.cfg.PacketBuffer == nil {
		return
	}
	a.bufferTold.Do(func() {
		size, err := a.cfg.PacketBuffer()
		if err != nil || size >= enoughBuffer {
			return // who can't tell doesn't warn
		}
		a.cfg.Logger.Warn("vswitchd reads its ports from small buffers: a busy node loses packets, and TCP is slow. Install deploy/sysctl/90-weft-netdev.conf, and restart Open vSwitch",
			"net.core.rmem_default", size, "enough", fmt.Sprintf("%d or more", enoughBuffer))
	})
}
