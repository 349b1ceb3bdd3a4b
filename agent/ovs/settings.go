package ovs

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/ovn-kubernetes/libovsdb/ovsdb"
)

// Settings is what the database says about the bridge that decides about packets beside its flows
// (ovs-vswitchd.conf.db(5)).
type Settings struct {
	FailMode    string
	OtherConfig map[string]string
	STP, RSTP   bool
	// Controllers are targets of connections that may change everything.
	Controllers []string
	Mirrors     []Mirror
	Exports     []Export
	// Evicting are tables out of which the switch may throw flows.
	Evicting []uint32
	// Tunnels are the interfaces of tunnel types, of all bridges of the switch.
	Tunnels []Interface
}

// Mirror copies packets.
type Mirror struct {
	Name   string
	All    bool   // those of all ports
	Ports  int    // of how many ports, otherwise
	Output string // the port or VLAN that gets them; empty: none
}

// Export tells others what the bridge forwards.
type Export struct {
	Kind    string // "netflow", "sflow" or "ipfix"
	Targets []string
}

// Settings reads the bridge's settings, all at one time.
func (d *DB) Settings(ctx context.Context) (out Settings, err error) {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	c, err := d.connection()
	if err != nil {
		return out, err
	}
	named := []string{"Mirror", "NetFlow", "sFlow", "IPFIX", "Controller", "Flow_Table", "Port", "Interface"}
	ops := []ovsdb.Operation{{Op: ovsdb.OperationSelect, Table: "Bridge", Where: []ovsdb.Condition{ovsdb.NewCondition("name", ovsdb.ConditionEqual, d.cfg.Bridge)}}}
	for _, t := range named {
		op := ovsdb.Operation{Op: ovsdb.OperationSelect, Table: t, Where: []ovsdb.Condition{}}
		if t == "Port" || t == "Interface" { // these are many, with statistics
			op.Columns = map[string][]string{"Port": {"_uuid", "name"}, "Interface": {"_uuid", "name", "type", "options"}}[t]
		}
		ops = append(ops, op)
	}
	results, err := c.Transact(ctx, ops...)
	if err == nil {
		_, err = ovsdb.CheckOperationResults(results, ops)
	}
	if err != nil {
		return out, fmt.Errorf("read the settings of bridge %s: %w", d.cfg.Bridge, err)
	}
	if len(results[0].Rows) != 1 {
		return out, fmt.Errorf("there is no bridge %s", d.cfg.Bridge)
	}
	tables := make(map[string]map[string]ovsdb.Row, len(named))
	for i, t := range named {
		tables[t] = byUUID(results[i+1].Rows)
	}
	return settingsOf(results[0].Rows[0], tables), nil
}

// settingsOf reads the rows that a bridge's row names; tables are by name and UUID.
func settingsOf(b ovsdb.Row, tables map[string]map[string]ovsdb.Row) Settings {
	out := Settings{FailMode: first(b["fail_mode"]), OtherConfig: stringMap(b["other_config"]), STP: isTrue(b["stp_enable"]), RSTP: isTrue(b["rstp_enable"])}
	for _, id := range texts(b["controller"]) {
		out.Controllers = append(out.Controllers, first(tables["Controller"][id]["target"]))
	}
	for _, id := range texts(b["mirrors"]) {
		m := tables["Mirror"][id]
		out.Mirrors = append(out.Mirrors, Mirror{
			Name: first(m["name"]), All: isTrue(m["select_all"]),
			Ports:  len(texts(m["select_src_port"])) + len(texts(m["select_dst_port"])),
			Output: mirrorOutput(m, tables["Port"]),
		})
	}
	for _, e := range []struct{ column, table, targets string }{{"netflow", "NetFlow", "targets"}, {"sflow", "sFlow", "targets"}, {"ipfix", "IPFIX", "targets"}} {
		for _, id := range texts(b[e.column]) {
			out.Exports = append(out.Exports, Export{e.column, slices.Sorted(slices.Values(texts(tables[e.table][id][e.targets])))})
		}
	}
	if m, ok := b["flow_tables"].(ovsdb.OvsMap); ok {
		for number, id := range m.GoMap {
			t := tables["Flow_Table"][text(id)]
			if first(t["overflow_policy"]) == "evict" && len(texts(t["flow_limit"])) > 0 {
				var n uint32
				if _, err := fmt.Sscan(text(number), &n); err == nil {
					out.Evicting = append(out.Evicting, n)
				}
			}
		}
	}
	for _, i := range tables["Interface"] {
		if kind := first(i["type"]); isTunnel(kind) {
			out.Tunnels = append(out.Tunnels, Interface{Name: first(i["name"]), Type: kind, Options: stringMap(i["options"])})
		}
	}
	slices.Sort(out.Controllers)
	slices.Sort(out.Evicting)
	slices.SortFunc(out.Mirrors, func(a, b Mirror) int { return strings.Compare(a.Name, b.Name) })
	slices.SortFunc(out.Tunnels, func(a, b Interface) int { return strings.Compare(a.Name, b.Name) })
	return out
}

func mirrorOutput(m ovsdb.Row, ports map[string]ovsdb.Row) string {
	if id := first(m["output_port"]); id != "" {
		return "port " + first(ports[id]["name"])
	}
	if vlan := first(m["output_vlan"]); vlan != "" {
		return "VLAN " + vlan
	}
	return ""
}

// isTunnel reports whether an interface type is one of the switch's tunnels.
func isTunnel(kind string) bool {
	return slices.Contains([]string{"vxlan", "geneve", "gre", "stt", "lisp", "erspan", "ip6erspan", "ip6gre", "bareudp", "srv6", "gtpu"}, kind)
}

func byUUID(rows []ovsdb.Row) map[string]ovsdb.Row {
	out := make(map[string]ovsdb.Row, len(rows))
	for _, r := range rows {
		out[first(r["_uuid"])] = r
	}
	return out
}

// texts returns the members of a column: a set of one comes as its member.
func texts(v any) []string {
	set, ok := v.(ovsdb.OvsSet)
	if !ok {
		if v == nil {
			return nil
		}
		return []string{text(v)}
	}
	var out []string
	for _, m := range set.GoSet {
		out = append(out, text(m))
	}
	return out
}

// first returns the only member of a column, or the empty string.
func first(v any) string {
	if all := texts(v); len(all) > 0 {
		return all[0]
	}
	return ""
}

func text(v any) string {
	if id, ok := v.(ovsdb.UUID); ok {
		return id.GoUUID
	}
	return fmt.Sprint(v)
}

func isTrue(v any) bool { return first(v) == "true" }

func stringMap(v any) map[string]string {
	m, ok := v.(ovsdb.OvsMap)
	if !ok {
		return nil
	}
	out := make(map[string]string, len(m.GoMap))
	for k, v := range maps.All(m.GoMap) {
		out[text(k)] = text(v)
	}
	return out
}
