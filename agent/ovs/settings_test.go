package ovs_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/weftfabric/weft/agent/ovs"
	"github.com/weftfabric/weft/agent/ovs/ovstest"
)

// TestSettings reads what ovs-vsctl has set.
func TestSettings(t *testing.T) {
	server := ovstest.Start(t)
	db := startDB(t, server)
	spec := ovs.BridgeSpec{Datapath: ovs.Netdev, OtherConfig: map[string]string{"disable-in-band": "true"}}
	must(t, eventually(t, db, func() error { return db.EnsureBridge(t.Context(), spec) }))
	want := ovs.Settings{FailMode: "secure", OtherConfig: spec.OtherConfig}
	check := func(what string) {
		t.Helper()
		got, err := db.Settings(t.Context())
		must(t, err)
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s: %s", what, diff)
		}
	}
	check("as it was made")
	server.VSCtl(t, "add-port", "br-int", "p1", "--", "set", "Interface", "p1", "type=internal",
		"--", "add-port", "br-int", "p2", "--", "set", "Interface", "p2", "type=internal",
		"--", "--id=@p", "get", "Port", "p1", "--", "--id=@q", "get", "Port", "p2",
		"--", "--id=@m", "create", "Mirror", "name=some", "select_src_port=@p", "select_dst_port=@p,@q", "output_vlan=7",
		"--", "--id=@n", "create", "Mirror", "name=all", "select_all=true", "output_port=@q",
		"--", "--id=@o", "create", "Mirror", "name=none", "--", "set", "Bridge", "br-int", "mirrors=@m,@n,@o")
	server.VSCtl(t, "--", "--id=@n", "create", "NetFlow", `targets="192.0.2.9:2055"`, "--", "set", "Bridge", "br-int", "netflow=@n",
		"--", "--id=@s", "create", "sFlow", `targets="192.0.2.9:6343","192.0.2.8:6343"`, "--", "set", "Bridge", "br-int", "sflow=@s",
		"--", "--id=@i", "create", "IPFIX", `targets="192.0.2.9:4739"`, "--", "set", "Bridge", "br-int", "ipfix=@i",
		"--", "--id=@f", "create", "Flow_Table", "flow_limit=9", "overflow_policy=evict", "--", "--id=@g", "create", "Flow_Table", "flow_limit=9", "overflow_policy=refuse",
		"--", "set", "Bridge", "br-int", "flow_tables:60=@f", "flow_tables:61=@g", "rstp_enable=true", "fail_mode=standalone")
	server.VSCtl(t, "--no-wait", "set-controller", "br-int", "ptcp:0:127.0.0.1")
	server.VSCtl(t, "add-br", "br-x", "--", "add-port", "br-x", "vx", "--", "set", "Interface", "vx", "type=vxlan", "options:remote_ip=192.0.2.2")
	want.Mirrors = []ovs.Mirror{{Name: "all", All: true, Output: "port p2"}, {Name: "none"}, {Name: "some", Ports: 3, Output: "VLAN 7"}}
	want.Exports = []ovs.Export{{Kind: "netflow", Targets: []string{"192.0.2.9:2055"}}, {Kind: "sflow", Targets: []string{"192.0.2.8:6343", "192.0.2.9:6343"}}, {Kind: "ipfix", Targets: []string{"192.0.2.9:4739"}}}
	want.Evicting, want.RSTP, want.FailMode, want.Controllers = []uint32{60}, true, "standalone", []string{"ptcp:0:127.0.0.1"}
	want.Tunnels = []ovs.Interface{{Name: "vx", Type: "vxlan", Options: map[string]string{"remote_ip": "192.0.2.2"}}}
	check("with all there is")
}
