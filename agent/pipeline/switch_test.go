package pipeline_test

import (
	"encoding/json"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/weftfabric/weft/wire/openflow"
)

// ovs is a private Open vSwitch whose ports and datapath are dummies: it needs no root, and answers
// ofproto/trace as the real one does.
type ovs struct {
	dir string
	ctl string
}

// requireOVS skips where Open vSwitch is missing; with WEFT_REQUIRE_OVS set it fails.
func requireOVS(t testing.TB) {
	t.Helper()
	for _, tool := range []string{"ovsdb-server", "ovsdb-tool", "ovs-vswitchd", "ovs-vsctl", "ovs-ofctl"} {
		if _, err := exec.LookPath(tool); err == nil {
			continue
		}
		if os.Getenv("WEFT_REQUIRE_OVS") != "" {
			t.Fatalf("this test needs %s", tool)
		}
		t.Skipf("this test needs %s", tool)
	}
}

// startOVS runs a switch with a bridge br0 and ports 1 to ports, and the tunnel's, until the test ends.
func startOVS(t testing.TB, ports int) *ovs {
	t.Helper()
	requireOVS(t)
	dir, err := os.MkdirTemp("", "weft-pl-") // short: a socket's path has at most 108 bytes
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	s := &ovs{dir: dir, ctl: filepath.Join(dir, "switch.ctl")}
	db := "unix:" + filepath.Join(dir, "db.sock")
	s.run(t, "", "ovsdb-tool", "create", filepath.Join(dir, "conf.db"), "/usr/share/openvswitch/vswitch.ovsschema")
	s.daemon(t, "ovsdb-server", filepath.Join(dir, "conf.db"), "--remote=p"+db, "--unixctl="+filepath.Join(dir, "db.ctl"))
	wait(t, filepath.Join(dir, "db.sock"))
	s.run(t, "", "ovs-vsctl", "--db="+db, "--no-wait", "init")
	s.daemon(t, "ovs-vswitchd", db, "--enable-dummy=override", "--disable-system", "--unixctl="+s.ctl)
	args := []string{"--db=" + db, "--timeout=10", "add-br", "br0", "--", "set", "bridge", "br0", "datapath_type=dummy", "fail_mode=secure", "protocols=OpenFlow15"}
	for p := 1; p <= ports; p++ {
		args = append(args, portArgs(dir, p)...)
	}
	s.run(t, "", "ovs-vsctl", append(args, portArgs(dir, tunnelPort)...)...)
	return s
}

func portArgs(dir string, p int) []string {
	name := fmt.Sprintf("p%d", p)
	return []string{
		"--", "add-port", "br0", name, "--", "set", "interface", name, "type=dummy", fmt.Sprintf("ofport_request=%d", p),
		"options:tx_pcap=" + filepath.Join(dir, name+".pcap"),
	}
}

func (s *ovs) env() []string {
	return append(os.Environ(), "OVS_RUNDIR="+s.dir, "OVS_LOGDIR="+s.dir, "OVS_DBDIR="+s.dir)
}

func (s *ovs) daemon(t testing.TB, name string, args ...string) {
	t.Helper()
	cmd := exec.Command(name, append(args, "--no-chdir", "-vconsole:off", "--log-file="+filepath.Join(s.dir, name+".log"))...)
	cmd.Env = s.env()
	if err := cmd.Start(); err != nil {
		t.Fatalf("start %s: %v", name, err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	})
}

func (s *ovs) run(t testing.TB, stdin, name string, args ...string) string {
	t.Helper()
	cmd := exec.Command(name, args...)
	cmd.Env = s.env()
	cmd.Stdin = strings.NewReader(stdin)
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%s %s: %v\n%s", name, strings.Join(args, " "), err, out)
	}
	return string(out)
}

// ofctl runs ovs-ofctl on br0.
func (s *ovs) ofctl(t testing.TB, stdin, command string, args ...string) string {
	t.Helper()
	return s.run(t, stdin, "ovs-ofctl", append([]string{"-O", "OpenFlow15", command, "unix:" + filepath.Join(s.dir, "br0.mgmt")}, args...)...)
}

// install makes flows the flows of br0.
func (s *ovs) install(t testing.TB, flows []openflow.Flow) {
	t.Helper()
	s.ofctl(t, "", "del-flows")
	s.ofctl(t, flowText(flows), "add-flows", "--bundle", "-")
}

// appctl asks the switch's control socket, a JSON-RPC 1.0 server.
func (s *ovs) appctl(t testing.TB, method string, params ...string) string {
	t.Helper()
	conn, err := net.Dial("unix", s.ctl)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(20 * time.Second))
	if err := json.NewEncoder(conn).Encode(map[string]any{"method": method, "params": append([]string{}, params...), "id": 1}); err != nil {
		t.Fatal(err)
	}
	var answer struct {
		Result string `json:"result"`
		Error  any    `json:"error"`
	}
	if err := json.NewDecoder(conn).Decode(&answer); err != nil {
		t.Fatal(err)
	}
	if answer.Error != nil {
		t.Fatalf("%s %q: %v", method, params, answer.Error)
	}
	return answer.Result
}

func flowText(flows []openflow.Flow) string {
	var b strings.Builder
	for _, f := range flows {
		b.WriteString(f.String())
		b.WriteByte('\n')
	}
	return b.String()
}

// wait returns when path exists.
func wait(t testing.TB, path string) {
	t.Helper()
	ticker := time.NewTicker(5 * time.Millisecond)
	defer ticker.Stop()
	deadline := time.After(10 * time.Second)
	for {
		if _, err := os.Stat(path); err == nil {
			return
		}
		select {
		case <-ticker.C:
		case <-deadline:
			t.Fatalf("%s doesn't appear", path)
		}
	}
}
