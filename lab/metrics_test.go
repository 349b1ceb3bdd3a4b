package lab

import (
	"net/netip"
	"strings"
	"testing"
	"time"
)

// wantMetric waits until a node, or the controller for the zero Node, tells a value.
func wantMetric(t *testing.T, r *Record, n Node, line string) {
	t.Helper()
	namespace, at := n.Namespace, netip.AddrPortFrom(n.Management, agentMetrics)
	if n.Name == "" {
		namespace, at = r.controllerNamespace(), netip.AddrPortFrom(r.controllerAddr().Addr(), controllerMetrics)
	}
	for deadline := time.Now().Add(20 * time.Second); ; time.Sleep(20 * time.Millisecond) {
		text, err := command(t.Context(), within(namespace, "busybox", "wget", "-q", "-O", "-", "http://"+at.String()+"/metrics")...)
		if err == nil && strings.Contains(text, "\n"+line+"\n") {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("no %q: %v\n%s", line, err, text)
		}
	}
}
