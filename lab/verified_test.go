package lab

import (
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// TestVerifiedNodes has the shipped command prove the flows of running nodes, and find what somebody does to their switches.
func TestVerifiedNodes(t *testing.T) {
	r, topo := testLab(t, "../examples/dual-stack")
	wantPredicted(t, r, topo.Intent)
	// verified returns what the command prints about nodes.
	verified := func(args ...string) (text string, proved bool) {
		cmd := exec.CommandContext(t.Context(), filepath.Join(r.BinDir, "weft"), append([]string{"--server", "unix://" + r.ControllerSocket(), "audit", "verify"}, args...)...)
		out, err := cmd.CombinedOutput()
		return string(out), err == nil
	}
	text, proved := verified("--trace")
	t.Log("\n" + text)
	if !proved || strings.Count(text, ": proved: ") != len(r.Nodes) || strings.Contains(text, "note:") {
		t.Fatal("the nodes are not proved")
	}
	n := r.Nodes[0]
	ovs := func(args ...string) {
		t.Helper()
		if _, err := commandWith(t.Context(), "", n.ovsEnv(), args...); err != nil {
			t.Fatal(err)
		}
	}
	vsctl := func(args ...string) func() {
		return func() { ovs(append([]string{"ovs-vsctl", "--db=" + n.OVSDB()}, args...)...) }
	}
	ofctl := func(args ...string) func() {
		return func() { ovs(append([]string{"ovs-ofctl", "-O", "OpenFlow15"}, args...)...) }
	}
	for _, tt := range []struct {
		name, says string
		do, undo   func()
	}{
		{"a mirror", "switch mirror span: all packets go to VLAN 7, too",
			vsctl("--", "--id=@m", "create", "Mirror", "name=span", "select_all=true", "output_vlan=7", "--", "set", "Bridge", "br-int", "mirrors=@m"),
			vsctl("--", "--id=@m", "get", "Mirror", "span", "--", "remove", "Bridge", "br-int", "mirrors", "@m")},
		{"sFlow", "switch sflow: tells 192.0.2.9:6343 of the beginnings of packets",
			vsctl("--", "--id=@s", "create", "sFlow", `targets="192.0.2.9:6343"`, "sampling=1000", "--", "set", "Bridge", "br-int", "sflow=@s"),
			vsctl("clear", "Bridge", "br-int", "sflow")},
		{"solicitations answered by a drop", "should be: ",
			ofctl("add-flow", "br-int", "table=20,priority=1000,icmp6,icmp_type=135,actions=drop"),
			ofctl("--strict", "del-flows", "br-int", "table=20,priority=1000,icmp6,icmp_type=135")},
		{"packets for somebody else", "should be: dropped",
			ofctl("add-flow", "br-int", "table=0,priority=1000,udp,tp_dst=9999,actions=controller(id=7)"),
			ofctl("--strict", "del-flows", "br-int", "table=0,priority=1000,udp,tp_dst=9999")},
	} {
		t.Run(tt.name, func(t *testing.T) {
			tt.do()
			text, proved := verified("--node", string(n.Name))
			if proved || !strings.Contains(text, tt.says) {
				t.Errorf("not found: %s", text)
			}
			tt.undo()
			for deadline := time.Now().Add(time.Minute); ; {
				if text, proved = verified("--node", string(n.Name)); proved {
					break
				}
				if time.Now().After(deadline) {
					t.Fatalf("still found after it was undone: %s", text)
				}
			}
		})
	}
}
