package lab

import (
	"os"
	"slices"
	"time"

	"github.com/weftfabric/weft/agent/overlay"
)

// onKernel reports whether labs of tests have the kernel forward packets: WEFT_DATAPATH is system. The userspace datapath,
// which they use otherwise, is there on every kernel.
func onKernel() bool { return os.Getenv("WEFT_DATAPATH") == "system" }

// emulated reports whether the processor is an emulated one, on which all takes ten times as long and more.
func emulated() bool { return os.Getenv("WEFT_EMULATED") != "" }

// testPatience is how long tests wait for answers.
func testPatience() Patience {
	if emulated() {
		return Patience{Tries: 4, Timeout: 2500 * time.Millisecond, Parallel: 48}
	}
	return DefaultPatience()
}

// testRates are those of steady traffic in tests: as much as the machine carries.
func testRates() Rates {
	if emulated() {
		return Rates{Stream: 500 * time.Millisecond, Pings: 200 * time.Millisecond, Connections: 3 * time.Second, Patience: 12 * time.Second}
	}
	return DefaultRates()
}

// testPaths are those of steady traffic in tests: one of each kind, or of those across nodes as many as the machine carries.
func testPaths(paths []Path) []Path {
	all := OneOfEach(paths)
	if !emulated() {
		return all
	}
	return slices.DeleteFunc(all, func(p Path) bool { return p.From.Node == p.To.Node || !p.Ping })[:1]
}

// tunnelLink names the link that has a node's tunnel address where the fabric is encrypted.
func (r *Record) tunnelLink(n Node) string {
	if n.Kernel {
		return r.wireguardDevice(n)
	}
	return overlay.DefaultBridge
}
