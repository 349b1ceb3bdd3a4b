package verify_test

import (
	"encoding/json"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/weftfabric/weft/wire/openflow"
)

// ovs is a private Open vSwitch with dummy ports, which answers ofproto/trace as a real one does.
type ovs struct{ dir string }

// startOVS runs a switch with a bridge br0 and the given ports until the test ends. It skips where Open vSwitch is
// missing; with WEFT_REQUIRE_OVS set it fails.
func startOVS(t testing.TB, ports ...uint32) *ovs {
	t.Helper()
	for _, tool := range []string{"ovsdb-server", "ovsdb-tool", "ovs-vswitchd", "ovs-vsctl", "ovs-ofctl"} {
		if _, err := exec.LookPath(tool); err != nil && os.Getenv("WEFT_REQUIRE_OVS") != "" {
			t.Fatalf("this test needs %s", tool)
		} else if err != nil {
			t.Skipf("this test needs %s", tool)
		}
	}
	dir, err := os.MkdirTemp("", "weft-vf-") // short: a socket's path has at most 108 bytes
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	s := &ovs{dir}
	db := "unix:" + filepath.Join(dir, "db.sock")
	s.run(t, "", "ovsdb-tool", "create", filepath.Join(dir, "conf.db"), "/usr/share/openvswitch/vswitch.ovsschema")
	s.daemon(t, "ovsdb-server", filepath.Join(dir, "conf.db"), "--remote=p"+db, "--unixctl="+filepath.Join(dir, "db.ctl"))
	wait(t, filepath.Join(dir, "db.sock"))
	s.run(t, "", "ovs-vsctl", "--db="+db, "--retry", "--timeout=10", "--no-wait", "init")
	s.daemon(t, "ovs-vswitchd", db, "--enable-dummy=override", "--disable-system", "--unixctl="+filepath.Join(dir, "switch.ctl"))
	args := []string{"--db=" + db, "--retry", "--timeout=10", "add-br", "br0", "--", "set", "bridge", "br0", "datapath_type=dummy", "fail_mode=secure", "protocols=OpenFlow15"}
	for _, p := range ports {
		name := fmt.Sprintf("p%d", p)
		args = append(args, "--", "add-port", "br0", name, "--", "set", "interface", name, "type=dummy", fmt.Sprintf("ofport_request=%d", p))
	}
	s.run(t, "", "ovs-vsctl", args...)
	return s
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
	cmd.Env, cmd.Stdin = s.env(), strings.NewReader(stdin)
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%s %s: %v\n%s", name, strings.Join(args, " "), err, out)
	}
	return string(out)
}

// install makes flows the flows of br0. It reports false if the switch refuses them.
func (s *ovs) install(t testing.TB, flows []openflow.Flow) bool {
	t.Helper()
	var b strings.Builder
	for _, f := range flows {
		b.WriteString(f.String() + "\n")
	}
	cmd := exec.Command("ovs-ofctl", "-O", "OpenFlow15", "replace-flows", "unix:"+filepath.Join(s.dir, "br0.mgmt"), "-")
	cmd.Env, cmd.Stdin = s.env(), strings.NewReader(b.String())
	return cmd.Run() == nil
}

var (
	outputText = regexp.MustCompile(`^\s+(?:output:(\d+)|-> output port is (\d+)|(IN_PORT))$`)
	tunnelText = regexp.MustCompile(`(?m)^Datapath actions: .*`)
)

// trace follows a packet, and returns the ports that it leaves by and whether it goes to the agent.
func (s *ovs) trace(t testing.TB, packet string, ctStates ...string) (summary, text string) {
	t.Helper()
	params := []string{"br0", packet}
	for _, c := range ctStates {
		params = append(params, "--ct-next", c)
	}
	conn, err := net.Dial("unix", filepath.Join(s.dir, "switch.ctl"))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(20 * time.Second))
	if err := json.NewEncoder(conn).Encode(map[string]any{"method": "ofproto/trace", "params": params, "id": 1}); err != nil {
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
		t.Fatalf("trace %q: %v", params, answer.Error)
	}
	var outs []string
	for line := range strings.Lines(answer.Result) {
		line = strings.TrimRight(line, "\n")
		if m := outputText.FindStringSubmatch(line); m != nil {
			outs = append(outs, "port "+m[1]+m[2]+m[3])
		} else if strings.Contains(line, "controller(") {
			outs = append(outs, "agent")
		}
	}
	slices.Sort(outs)
	actions := tunnelText.FindAllString(answer.Result, -1)
	return strings.Join(slices.Compact(outs), " "), strings.Join(actions, "\n") + "\n" + answer.Result
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
