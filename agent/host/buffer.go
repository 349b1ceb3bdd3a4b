package host

import (
	"fmt"
	"os"
	"strconv"
	"strings"
)

// PacketBuffer returns the size, in bytes, of the buffer that a new socket for packets gets unless it asks for another
// (socket(7), rmem_default). The packet sockets of vswitchd don't ask.
func PacketBuffer() (int, error) {
	text, err := os.ReadFile("/proc/sys/net/core/rmem_default")
	if err != nil {
		return 0, err
	}
	size, err := strconv.Atoi(strings.TrimSpace(string(text)))
	if err != nil {
		return 0, fmt.Errorf("net.core.rmem_default: %w", err)
	}
	return size, nil
}
