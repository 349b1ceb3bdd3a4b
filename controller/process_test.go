package controller_test

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/weftfabric/weft/controller"
	"github.com/weftfabric/weft/wire/apiclient"
)

// controllerEnvironment is the variable that makes a process of the test's binary a controller.
const controllerEnvironment = "WEFT_TEST_CONTROLLER"

// processConfig is how a controller runs in a process of its own.
type processConfig struct {
	Name, DataDir, Listen, Socket string
	Etcd                          []string
}

// controllerMain makes this process a controller, if it was started as one; then it never returns. It ends when
// standard input does, which ends with the test.
func controllerMain() {
	text := os.Getenv(controllerEnvironment)
	if text == "" {
		return
	}
	var c processConfig
	if err := json.Unmarshal([]byte(text), &c); err != nil {
		panic(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	go func() {
		_, _ = io.Copy(io.Discard, os.Stdin)
		cancel()
	}()
	err := controller.Run(ctx, controller.Config{
		Name: c.Name, DataDir: c.DataDir, Listen: c.Listen, Socket: c.Socket, Etcd: c.Etcd, Version: "test",
		Log: slog.New(slog.NewTextHandler(os.Stderr, nil)), Ready: func(a net.Addr) { fmt.Println(a) },
	})
	if err != nil {
		fmt.Fprintln(os.Stderr, "controller:", err)
		os.Exit(1)
	}
	os.Exit(0)
}

// process is a controller in a process of its own.
type process struct {
	t      *testing.T
	cfg    processConfig
	server string // https URL
	admin  *apiclient.Client
	cmd    *exec.Cmd
	stdin  io.Closer
}

// newProcess starts a controller, which ends with the test.
func newProcess(t *testing.T, name string, etcd []string) *process {
	t.Helper()
	p := &process{t: t, cfg: processConfig{Name: name, DataDir: t.TempDir(), Listen: "127.0.0.1:0", Socket: shortPath(t), Etcd: etcd}}
	p.admin = newClient(t, "unix://"+p.cfg.Socket, nil)
	p.start()
	t.Cleanup(p.kill)
	return p
}

// start starts the controller, and waits until it answers. The first time it gets its port, which it keeps.
func (p *process) start() {
	p.t.Helper()
	text, err := json.Marshal(p.cfg)
	if err != nil {
		p.t.Fatal(err)
	}
	exe, err := os.Executable()
	if err != nil {
		p.t.Fatal(err)
	}
	cmd := exec.Command(exe)
	cmd.Env = append(os.Environ(), controllerEnvironment+"="+string(text))
	cmd.Stderr = p.t.Output()
	out, err := cmd.StdoutPipe()
	if err != nil {
		p.t.Fatal(err)
	}
	if p.stdin, err = cmd.StdinPipe(); err != nil {
		p.t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		p.t.Fatal(err)
	}
	p.cmd = cmd
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		p.t.Fatalf("controller %s doesn't come up: %v", p.cfg.Name, err)
	}
	p.cfg.Listen = strings.TrimSpace(line)
	p.server = "https://" + p.cfg.Listen
}

// kill ends the controller at once.
func (p *process) kill() {
	if p.cmd == nil {
		return
	}
	_ = p.cmd.Process.Kill()
	_ = p.cmd.Wait() // it was killed
	_ = p.stdin.Close()
	p.cmd = nil
	p.admin.Close()
}

// emptyDisk gives the controller, which doesn't run, a new disk.
func (p *process) emptyDisk() {
	p.t.Helper()
	p.cfg.DataDir = filepath.Join(p.t.TempDir(), "new")
}

func (p *process) signal(s syscall.Signal) {
	p.t.Helper()
	if err := p.cmd.Process.Signal(s); err != nil {
		p.t.Fatal(err)
	}
}

// cable carries TCP connections to an address, until it is cut: then what is sent goes nowhere, and nobody is told.
type cable struct {
	listener net.Listener
	to       string
	wg       sync.WaitGroup

	mu    sync.Mutex
	whole chan struct{} // closed while the cable is whole
	conns []net.Conn
}

// newCable lays a cable that lies until the test ends.
func newCable(t *testing.T, to string) *cable {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	c := &cable{listener: l, to: to, whole: make(chan struct{})}
	close(c.whole)
	c.wg.Go(c.accept)
	t.Cleanup(func() {
		c.mend()
		_ = l.Close()
		c.mu.Lock()
		for _, conn := range c.conns {
			_ = conn.Close()
		}
		c.mu.Unlock()
		c.wg.Wait()
	})
	return c
}

func (c *cable) address() string { return c.listener.Addr().String() }

func (c *cable) accept() {
	for {
		from, err := c.listener.Accept()
		if err != nil {
			return
		}
		to, err := net.DialTimeout("tcp", c.to, time.Second)
		if err != nil {
			_ = from.Close()
			continue
		}
		c.mu.Lock()
		c.conns = append(c.conns, from, to)
		c.mu.Unlock()
		c.wg.Go(func() { c.carry(from, to) })
		c.wg.Go(func() { c.carry(to, from) })
	}
}

// carry copies one direction of a connection.
func (c *cable) carry(from, to net.Conn) {
	defer func() { _, _ = from.Close(), to.Close() }()
	buffer := make([]byte, 32<<10)
	for {
		n, err := from.Read(buffer)
		c.mu.Lock()
		whole := c.whole
		c.mu.Unlock()
		<-whole
		if err != nil {
			return
		}
		if _, err := to.Write(buffer[:n]); err != nil {
			return
		}
	}
}

// sever cuts the cable.
func (c *cable) sever() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.whole = make(chan struct{})
}

// mend joins it again: what was on its way arrives late.
func (c *cable) mend() {
	c.mu.Lock()
	defer c.mu.Unlock()
	select {
	case <-c.whole:
	default:
		close(c.whole)
	}
}
