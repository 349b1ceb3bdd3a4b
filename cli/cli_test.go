package cli_test

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/weftfabric/weft/cli"
	"github.com/weftfabric/weft/fabric"
	"github.com/weftfabric/weft/wire/cniwire"
)

var update = flag.Bool("update", false, "rewrite the expected outputs in the scripts")

func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){
		"weft": func() {
			env := cli.ProcessEnv()
			env.Now = func() time.Time { return fakeNow }
			if os.Getenv("WEFT_TEST_TERMINAL") != "" {
				env.StdoutTerminal, env.StderrTerminal = true, true
			}
			os.Exit(int(cli.Run(context.Background(), env, os.Args[1:])))
		},
	})
}

// TestScripts runs each script against a fake controller and a fake agent of its own.
func TestScripts(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir:           "testdata",
		UpdateScripts: *update,
		Setup: func(e *testscript.Env) error {
			t := e.T().(testing.TB)
			dir, err := os.MkdirTemp("", "weft") // short enough for a socket's path
			if err != nil {
				return err
			}
			e.Defer(func() { _ = os.RemoveAll(dir) })
			if err := os.CopyFS(filepath.Join(e.WorkDir, "examples"), os.DirFS("../examples")); err != nil {
				return err
			}
			startController(t, filepath.Join(dir, "c"))
			startAgent(t, filepath.Join(dir, "a"))
			e.Setenv("WEFT_SERVER", "unix://"+filepath.Join(dir, "c"))
			e.Setenv("WEFT_AGENT_SOCKET", filepath.Join(dir, "a"))
			return nil
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			// exitcode CODE COMMAND... runs a command that must end with CODE.
			"exitcode": func(ts *testscript.TestScript, _ bool, args []string) {
				err := ts.Exec(args[1], args[2:]...)
				got := 0
				var exit *exec.ExitError
				if errors.As(err, &exit) {
					got = exit.ExitCode()
				}
				if strconv.Itoa(got) != args[0] {
					ts.Fatalf("exit code %d, want %s", got, args[0])
				}
			},
		},
	})
}

// startAgent answers on a unix socket as the agent of a node does: it knows the Port acme/db-1.
func startAgent(t testing.TB, socket string) {
	l, err := net.Listen("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			conn, err := l.Accept()
			if err != nil {
				return // closed
			}
			answer(t, conn)
		}
	}()
	t.Cleanup(func() {
		_ = l.Close()
		<-done
	})
}

func answer(t testing.TB, conn net.Conn) {
	defer conn.Close()
	line, err := bufio.NewReader(conn).ReadBytes('\n')
	if err != nil {
		return // a client that went away
	}
	var req cniwire.Request
	if err := json.Unmarshal(line, &req); err != nil {
		t.Error(err)
	}
	var res cniwire.Response
	known := fabric.PortRef{Tenant: "acme", Name: "db-1"}
	switch {
	case req.Attach != nil && req.Attach.Port == known:
		res.Interface = &cniwire.Interface{
			MAC: fabric.MAC{2, 0, 0, 0, 0, 1}, MTU: 1450, Addresses: []netip.Prefix{netip.MustParsePrefix("10.0.1.5/24")},
			Gateways: []netip.Addr{netip.MustParseAddr("10.0.1.1")}, HostName: req.Attach.Tap, Network: "acme/prod", Identity: "0x010001",
		}
	case req.Detach != nil && req.Detach.Port == known:
	default:
		res.Error = &cniwire.Error{Code: cniwire.CodeNotFound, Message: "port does not exist: declare it, or correct the name"}
	}
	if err := json.NewEncoder(conn).Encode(res); err != nil {
		t.Error(err)
	}
}
