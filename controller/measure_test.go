package controller_test

import (
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	weftv1 "github.com/weftfabric/weft/wire/weftpb/weft/v1"
)

// tells waits until a scrape has these lines.
func (f *fixture) tells(lines ...string) {
	f.t.Helper()
	transport := &http.Transport{DisableKeepAlives: true}
	for deadline := time.Now().Add(patience); ; time.Sleep(20 * time.Millisecond) {
		req, err := http.NewRequestWithContext(f.ctx(), http.MethodGet, f.metrics, nil)
		if err != nil {
			f.t.Fatal(err)
		}
		resp, err := transport.RoundTrip(req)
		if err != nil {
			f.t.Fatal(err)
		}
		body, err := io.ReadAll(resp.Body)
		_ = resp.Body.Close()
		if err != nil || resp.StatusCode != http.StatusOK {
			f.t.Fatalf("%s %s: %v", resp.Status, body, err)
		}
		missing := ""
		for _, want := range lines {
			if !strings.Contains("\n"+string(body), "\n"+want) {
				missing = want
			}
		}
		if missing == "" {
			return
		}
		if time.Now().After(deadline) {
			f.t.Fatalf("no %q in\n%s", missing, body)
		}
	}
}

func TestMetrics(t *testing.T) {
	t.Parallel()
	f := start(t)
	f.tells(`weft_controller_nodes{state="connected"} 0`, "weft_controller_etcd_connected 1", "weft_controller_plan_streams 0", "weft_controller_objects 0",
		"etcd_mvcc_db_total_size_in_bytes ", "etcd_server_quota_backend_bytes ", "etcd_disk_wal_fsync_duration_seconds_count ", "weft_controller_info{")
	f.apply(acme + encryptedFabric)
	f.tryApply(&weftv1.ApplyRequest{Files: files(acme + acmePolicy), DryRun: true}) // changes nothing, and doesn't count
	f.tryApply(&weftv1.ApplyRequest{Files: files("kind: Nonsense")})
	f.tells(`weft_controller_changes_total{outcome="made"} 1`, `weft_controller_changes_total{outcome="refused"} 1`, `weft_controller_changes_total{outcome="failed"} 0`)

	n1, n2, n3 := f.agentWith("n1", keyed("192.0.2.1", 1)), f.agentWith("n2", keyed("192.0.2.2", 2)), f.agentWith("n3", keyed("192.0.2.3", 3))
	for _, a := range []*agent{n1, n2, n3} {
		a.lease("acme/prod")
	}
	f.tells(`weft_controller_nodes{state="connected"} 3`, "weft_controller_nodes_behind 0", "weft_controller_plan_streams 3", "weft_controller_failed_links 0", "weft_controller_relayed_pairs 0")

	n1.tunnels(map[string]weftv1.TunnelHealth_State{"n2": weftv1.TunnelHealth_STATE_DOWN})
	f.tells("weft_controller_failed_links 1", "weft_controller_relayed_pairs 1")

	n3.setMute(true)
	f.apply(acme + encryptedFabric + acmePolicy)
	f.tells("weft_controller_nodes_behind 1")
	n2.leave()
	f.tells(`weft_controller_nodes{state="connected"} 2`, `weft_controller_nodes{state="disconnected"} 1`, "weft_controller_plan_streams 2")
}
