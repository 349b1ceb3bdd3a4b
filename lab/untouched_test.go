package lab

import (
	"path/filepath"
	"testing"
	"time"

	"github.com/weftfabric/weft/agent/dataplane"
	"github.com/weftfabric/weft/wire/openflow"
)

// untouched is what shows whether anybody has touched a node's switch, database or links.
type untouched struct {
	flows map[dataplane.Key]openflow.FlowStats
	// text holds the versions of the database's rows, which every write changes, and the links.
	text map[string]string
}

// rightThings reads what a restarted agent must leave alone. Rows of interfaces change with their counters: their
// configuration is compared.
func rightThings(t *testing.T, n Node) untouched {
	t.Helper()
	conn, err := openflow.Dial(t.Context(), filepath.Join(n.OVSDir(), "br-int.mgmt"))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	stats, err := conn.DumpFlows(t.Context(), openflow.FlowFilter{Table: openflow.AllTables})
	if err != nil {
		t.Fatal(err)
	}
	out := untouched{flows: map[dataplane.Key]openflow.FlowStats{}, text: map[string]string{}}
	for _, s := range stats {
		out.flows[dataplane.KeyOf(s.Flow)] = s
	}
	for what, args := range map[string][]string{
		"bridges":    {"--columns=name,_uuid,_version", "list", "Bridge"},
		"ports":      {"--columns=name,_uuid,_version", "list", "Port"},
		"interfaces": {"--columns=name,_uuid,type,options,external_ids,ofport,mtu_request", "list", "Interface"},
	} {
		if out.text[what], err = n.vsctl(t.Context(), args...); err != nil {
			t.Fatal(err)
		}
	}
	if out.text["links"], err = command(t.Context(), within(n.Namespace, "ip", "-d", "-o", "link", "show")...); err != nil {
		t.Fatal(err)
	}
	return out
}

// wantUntouched compares. A flow that was replaced, even by an equal one, is younger and has counted less.
func wantUntouched(t *testing.T, before, after untouched) {
	t.Helper()
	for what, text := range before.text {
		if after.text[what] != text {
			t.Errorf("%s were touched; before:\n%s\nafter:\n%s", what, text, after.text[what])
		}
	}
	if len(after.flows) != len(before.flows) {
		t.Errorf("%d flows before, %d after", len(before.flows), len(after.flows))
	}
	for k, old := range before.flows {
		now, ok := after.flows[k]
		if !ok || now.Duration < old.Duration+time.Millisecond || now.Packets < old.Packets {
			t.Errorf("flow %s was touched: %v old and %d packets before, %v and %d after", old.Flow, old.Duration, old.Packets, now.Duration, now.Packets)
		}
	}
}
