// Package etcdtest runs an etcd cluster for tests, each member in a process of its own, so that a test can kill one or
// stop it in its tracks. The processes are the test's own binary: its TestMain calls Main first.
package etcdtest

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.etcd.io/etcd/server/v3/embed"
	"go.uber.org/zap"
)

// environment is the variable that makes a process a member.
const environment = "WEFT_TEST_ETCD_MEMBER"

// patience bounds every wait; none is that long unless the test fails.
const patience = 30 * time.Second

// member is how a member runs.
type member struct {
	Name, Dir    string
	Client, Peer string // URLs
	Cluster      string // NAME=URL,...
}

// Main makes this process a member of a cluster, if it was started as one; then it never returns.
func Main() {
	text := os.Getenv(environment)
	if text == "" {
		return
	}
	if err := run(text); err != nil {
		fmt.Fprintln(os.Stderr, "etcd:", err)
		os.Exit(1)
	}
	os.Exit(0)
}

// run runs a member until standard input ends, which it does with the test.
func run(text string) error {
	var m member
	if err := json.Unmarshal([]byte(text), &m); err != nil {
		return err
	}
	client, err := url.Parse(m.Client)
	if err != nil {
		return err
	}
	peer, err := url.Parse(m.Peer)
	if err != nil {
		return err
	}
	cfg := embed.NewConfig()
	cfg.Name, cfg.Dir, cfg.InitialCluster = m.Name, m.Dir, m.Cluster
	cfg.ListenClientUrls, cfg.AdvertiseClientUrls = []url.URL{*client}, []url.URL{*client}
	cfg.ListenPeerUrls, cfg.AdvertisePeerUrls = []url.URL{*peer}, []url.URL{*peer}
	cfg.ZapLoggerBuilder = embed.NewZapLoggerBuilder(zap.NewNop())
	etcd, err := embed.StartEtcd(cfg)
	if err != nil {
		return err
	}
	_, err = io.Copy(io.Discard, os.Stdin)
	etcd.Close()
	return err
}

// Cluster is a running cluster.
type Cluster struct {
	Members []*Member
}

// Member is one process of a cluster.
type Member struct {
	// Endpoint is where clients reach it, host:port.
	Endpoint string
	member
	t       *testing.T
	process *exec.Cmd
	stdin   io.Closer
}

// Start runs a cluster of n members until the test ends, and waits until it answers.
func Start(t *testing.T, n int) *Cluster {
	t.Helper()
	c := &Cluster{}
	var initial []string
	for i := range n {
		name := fmt.Sprintf("etcd%d", i+1)
		client, peer := freeAddress(t), freeAddress(t)
		initial = append(initial, name+"=http://"+peer)
		c.Members = append(c.Members, &Member{t: t, Endpoint: client, member: member{
			Name: name, Dir: filepath.Join(t.TempDir(), name), Client: "http://" + client, Peer: "http://" + peer}})
	}
	for _, m := range c.Members {
		m.Cluster = strings.Join(initial, ",")
		m.Start()
		t.Cleanup(m.Kill)
	}
	c.wait(t)
	return c
}

// wait returns once the cluster answers.
func (c *Cluster) wait(t *testing.T) {
	t.Helper()
	client, err := clientv3.New(clientv3.Config{Endpoints: c.Endpoints(), DialTimeout: patience, Logger: zap.NewNop()})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = client.Close() }()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	for {
		attempt, cancel := context.WithTimeout(ctx, time.Second)
		_, err = client.Get(attempt, "x")
		cancel()
		if err == nil {
			return
		}
		if ctx.Err() != nil {
			t.Fatalf("the etcd cluster doesn't come up: %v", err)
		}
	}
}

// Endpoints returns the addresses of all members.
func (c *Cluster) Endpoints() []string {
	var out []string
	for _, m := range c.Members {
		out = append(out, m.Endpoint)
	}
	return out
}

// Leader returns the member that leads.
func (c *Cluster) Leader(t *testing.T) *Member {
	t.Helper()
	for _, m := range c.Members {
		client, err := clientv3.New(clientv3.Config{Endpoints: []string{m.Endpoint}, Logger: zap.NewNop()})
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
		st, err := client.Status(ctx, m.Endpoint)
		cancel()
		_ = client.Close()
		if err == nil && st.Leader == st.Header.MemberId {
			return m
		}
	}
	t.Fatal("no member of the etcd cluster leads")
	return nil
}

// Start starts a member, again after Kill.
func (m *Member) Start() {
	m.t.Helper()
	text, err := json.Marshal(m.member)
	if err != nil {
		m.t.Fatal(err)
	}
	exe, err := os.Executable()
	if err != nil {
		m.t.Fatal(err)
	}
	p := exec.Command(exe)
	p.Env = append(os.Environ(), environment+"="+string(text))
	p.Stderr = m.t.Output()
	if m.stdin, err = p.StdinPipe(); err != nil {
		m.t.Fatal(err)
	}
	if err := p.Start(); err != nil {
		m.t.Fatal(err)
	}
	m.process = p
}

// Kill ends a member at once, as a power failure would.
func (m *Member) Kill() {
	if m.process == nil {
		return
	}
	_ = m.process.Process.Kill()
	_ = m.process.Wait() // it was killed
	_ = m.stdin.Close()
	m.process = nil
}

// Pause stops a member in its tracks: its connections stay, and nothing answers.
func (m *Member) Pause() { m.signal(syscall.SIGSTOP) }

// Resume lets a paused member go on.
func (m *Member) Resume() { m.signal(syscall.SIGCONT) }

func (m *Member) signal(s os.Signal) {
	m.t.Helper()
	if err := m.process.Process.Signal(s); err != nil {
		m.t.Fatal(err)
	}
}

// freeAddress returns a loopback address that nobody listens on now.
func freeAddress(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	return l.Addr().String()
}
