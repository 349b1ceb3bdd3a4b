package lab

import (
	"encoding/json"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
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
	for table, columns := range map[string]string{
		"Bridge": `"name","_uuid","_version"`, "Port": `"name","_uuid","_version"`,
		"Interface": `"name","_uuid","type","options","external_ids","ofport","mtu_request"`,
	} {
		query := fmt.Sprintf(`["Open_vSwitch",{"op":"select","table":%q,"where":[],"columns":[%s]}]`, table, columns)
		answer, err := command(t.Context(), "ovsdb-client", "query", n.OVSDB(), query)
		if err != nil {
			t.Fatal(err)
		}
		out.text[table] = sortedRows(t, answer)
	}
	if out.text["links"], err = command(t.Context(), within(n.Namespace, "ip", "-d", "-o", "link", "show")...); err != nil {
		t.Fatal(err)
	}
	return out
}

// sortedRows returns the rows of an answer, which come in any order, a line each.
func sortedRows(t *testing.T, answer string) string {
	t.Helper()
	var results []struct{ Rows []json.RawMessage }
	if err := json.Unmarshal([]byte(answer), &results); err != nil || len(results) != 1 {
		t.Fatalf("ovsdb-client: %v: %s", err, answer)
	}
	var rows []string
	for _, row := range results[0].Rows {
		rows = append(rows, string(row))
	}
	slices.Sort(rows)
	return strings.Join(rows, "\n")
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
