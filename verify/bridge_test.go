package verify_test

import (
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/weftfabric/weft/agent/pipeline"
	"github.com/weftfabric/weft/verify"
	"github.com/weftfabric/weft/wire/openflow"
)

// goodBridge is a bridge as the agent makes it.
func goodBridge() verify.Bridge {
	return verify.Bridge{
		Name: "br-int", FailMode: "secure", OtherConfig: map[string]string{"disable-in-band": "true", "hwaddr": "02:00:00:00:00:01"}, Fragments: "normal",
		Tunnels: []verify.Tunnel{{Name: "weft-vxlan", Type: "vxlan", Options: map[string]string{"remote_ip": "flow", "key": "flow", "dst_port": "4789", "local_ip": "192.0.2.1"}}},
		Meters:  pipeline.Meters(),
	}
}

// TestBridge changes a setting of the bridge at a time: those that let packets go another way than flows say are found, each
// with what undoes it, and others aren't.
func TestBridge(t *testing.T) {
	in := inputOf(golden(t, "two-tenants"))
	if len(in.Plan.Peers) == 0 {
		t.Fatal("the node has no peer")
	}
	peer := in.Plan.Peers[0].VTEP.String()
	option := func(key, value string) func(*verify.Bridge) {
		return func(b *verify.Bridge) { b.Tunnels[0].Options[key] = value }
	}
	another := func(kind string, options ...string) func(*verify.Bridge) {
		return func(b *verify.Bridge) {
			o := map[string]string{}
			for i := 0; i < len(options); i += 2 {
				o[options[i]] = options[i+1]
			}
			b.Tunnels = append(b.Tunnels, verify.Tunnel{Name: "other", Type: kind, Options: o})
		}
	}
	meter := func(edit func(*openflow.MeterDesc)) func(*verify.Bridge) {
		return func(b *verify.Bridge) {
			i := slices.IndexFunc(b.Meters, func(m openflow.MeterDesc) bool { return m.ID == 0x100 })
			edit(&b.Meters[i])
		}
	}
	for _, tt := range []struct {
		name   string
		edit   func(*verify.Bridge)
		region string // of the finding; empty: there is none
	}{
		{"as it was made", func(*verify.Bridge) {}, ""},
		{"standalone", func(b *verify.Bridge) { b.FailMode = "standalone" }, "fail mode"},
		{"no fail mode", func(b *verify.Bridge) { b.FailMode = "" }, "fail mode"},
		{"a controller", func(b *verify.Bridge) { b.Controllers = []string{"tcp:192.0.2.9:6653"} }, "controller tcp:192.0.2.9:6653"},
		{"in band", func(b *verify.Bridge) { b.OtherConfig["disable-in-band"] = "false" }, "other_config:disable-in-band"},
		{"in band by default", func(b *verify.Bridge) { b.OtherConfig = nil }, "other_config:disable-in-band"},
		{"another setting", func(b *verify.Bridge) { b.OtherConfig["mac-table-size"] = "7" }, ""},
		{"spanning tree", func(b *verify.Bridge) { b.STP = true }, "stp_enable"},
		{"rapid spanning tree", func(b *verify.Bridge) { b.RSTP = true }, "rstp_enable"},
		{"eviction", func(b *verify.Bridge) { b.Evicting = []uint32{60} }, "table 60"},
		{"fragments dropped", func(b *verify.Bridge) { b.Fragments = "drop" }, "fragments"},
		{"fragments matched", func(b *verify.Bridge) { b.Fragments = "nx-match" }, "fragments"},
		{"mirror of all", func(b *verify.Bridge) { b.Mirrors = []verify.Mirror{{Name: "m", All: true, Output: "port span"}} }, "mirror m"},
		{"mirror of a port into a VLAN", func(b *verify.Bridge) { b.Mirrors = []verify.Mirror{{Name: "m", Ports: 1, Output: "VLAN 7"}} }, "mirror m"},
		{"mirror to nowhere", func(b *verify.Bridge) { b.Mirrors = []verify.Mirror{{Name: "m", All: true}} }, ""},
		{"mirror of nothing", func(b *verify.Bridge) { b.Mirrors = []verify.Mirror{{Name: "m", Output: "port span"}} }, ""},
		{"NetFlow", func(b *verify.Bridge) { b.Exports = []verify.Export{{"netflow", []string{"192.0.2.9:2055"}}} }, "netflow"},
		{"sFlow", func(b *verify.Bridge) { b.Exports = []verify.Export{{"sflow", []string{"192.0.2.9:6343"}}} }, "sflow"},
		{"IPFIX", func(b *verify.Bridge) { b.Exports = []verify.Export{{"ipfix", []string{"192.0.2.9:4739"}}} }, "ipfix"},
		{"one peer for all", option("remote_ip", peer), "option remote_ip of port weft-vxlan"},
		{"one VNI for all", option("key", "7"), "option key of port weft-vxlan"},
		{"one VNI inwards", option("in_key", "7"), "option in_key of port weft-vxlan"},
		{"another UDP port", option("dst_port", "8472"), "option dst_port of port weft-vxlan"},
		{"any local address", option("local_ip", "flow"), "option local_ip of port weft-vxlan"},
		{"checksums", option("csum", "true"), ""},
		{"another tunnel to a peer", another("vxlan", "remote_ip", peer), "tunnel port other"},
		{"another tunnel to all", another("vxlan", "remote_ip", "flow", "dst_port", "4789"), "tunnel port other"},
		{"a tunnel to a stranger", another("vxlan", "remote_ip", "203.0.113.1"), ""},
		{"a tunnel of another UDP port", another("vxlan", "remote_ip", peer, "dst_port", "8472"), ""},
		{"a tunnel of another type", another("geneve", "remote_ip", peer), ""},
		{"no meters", func(b *verify.Bridge) { b.Meters = nil }, "meter 256"},
		{"a meter that lets more pass", meter(func(m *openflow.MeterDesc) { m.Rate = 1 << 20 }), "meter 256"},
		{"a meter of bits", meter(func(m *openflow.MeterDesc) { m.Packets = false }), "meter 256"},
		{"a meter that counts", meter(func(m *openflow.MeterDesc) { m.Stats = false }), ""},
	} {
		b := goodBridge()
		b.OtherConfig, b.Meters = maps.Clone(b.OtherConfig), slices.Clone(b.Meters)
		tt.edit(&b)
		changed := in
		changed.Bridge = &b
		r := verify.Verify(changed)
		switch {
		case tt.region == "" && len(r.Findings) > 0:
			t.Errorf("%s: %+v", tt.name, r.Findings[0])
		case tt.region != "" && (len(r.Findings) == 0 || r.Findings[0].Kind != verify.KindSwitch || r.Findings[0].Region != tt.region || r.Findings[0].Remedy == ""):
			t.Errorf("%s: no such finding: %+v", tt.name, r.Findings)
		}
	}
}

// TestParseMeters reads back meters.
func TestParseMeters(t *testing.T) {
	want := append(pipeline.Meters(), openflow.MeterDesc{ID: 9, Rate: 3, Stats: true})
	var text strings.Builder
	text.WriteString("OFPST_METER_CONFIG reply (OF1.5) (xid=0x2):\n")
	for _, m := range want {
		text.WriteString(m.String() + "\n")
	}
	got, err := verify.ParseMeters([]byte(text.String()))
	if err != nil || !slices.Equal(got, want) {
		t.Errorf("%v, %v", got, err)
	}
	for _, bad := range []string{"meter=1 pktps bands=type=dscp_remark rate=7", "meter=x pktps", "nonsense"} {
		if _, err := verify.ParseMeters([]byte(bad)); err == nil {
			t.Errorf("%q is read", bad)
		}
	}
}
