package probe_test

import (
	"context"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/weftfabric/weft/lab/probe"
)

// start runs a responder on the loopback interface, and a client of it.
func start(t *testing.T, name string, listen ...probe.Service) *probe.Client {
	t.Helper()
	if os.Geteuid() != 0 {
		if os.Getenv("WEFT_REQUIRE_OVS") != "" {
			t.Fatal("raw ICMP sockets need root")
		}
		t.Skip("raw ICMP sockets need root")
	}
	ctx, cancel := context.WithCancel(context.Background())
	r := &probe.Responder{Name: name, Listen: listen}
	socket := filepath.Join(t.TempDir(), "probe.sock")
	l, err := net.Listen("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	ready := make(chan struct{})
	wg.Go(func() {
		if err := r.Serve(ctx, func() { close(ready) }); err != nil {
			t.Error(err)
			close(ready)
		}
	})
	<-ready
	wg.Go(func() {
		conn, err := l.Accept()
		if err != nil {
			t.Error(err)
			return
		}
		defer conn.Close()
		r.ServeStream(ctx, conn, 8)
	})
	c, err := probe.Dial(ctx, socket)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close(); cancel(); l.Close(); wg.Wait() })
	return c
}

func freePort(t *testing.T) uint16 {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().(*net.TCPAddr).AddrPort().Port()
}

func TestProbes(t *testing.T) {
	port := freePort(t)
	tcp, udp := probe.Service{Protocol: probe.TCP, Port: port}, probe.Service{Protocol: probe.UDP, Port: port}
	closed := freePort(t)
	c := start(t, "acme/web-1", tcp, udp)
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	v4, v6 := netip.MustParseAddr("127.0.0.1"), netip.MustParseAddr("::1")
	rows := []struct {
		name     string
		service  probe.Service
		to       netip.Addr
		who, why string
	}{
		{"ping", probe.Service{Protocol: probe.ICMP}, v4, "", ""},
		{"ping of IPv6", probe.Service{Protocol: probe.ICMP}, v6, "", ""},
		{"tcp", tcp, v4, "acme/web-1", ""},
		{"tcp over IPv6", tcp, v6, "acme/web-1", ""},
		{"udp", udp, v4, "acme/web-1", ""},
		{"udp over IPv6", udp, v6, "acme/web-1", ""},
		{"tcp, nobody listens", probe.Service{Protocol: probe.TCP, Port: closed}, v4, "", "refused"},
		{"udp, nobody listens", probe.Service{Protocol: probe.UDP, Port: closed}, v4, "", "refused"},
	}
	for _, r := range rows {
		t.Run(r.name, func(t *testing.T) {
			token := probe.NewToken()
			a, err := c.Ask(ctx, probe.Request{Send: &probe.Send{Service: r.service, To: r.to, Token: token, Tries: 1, Timeout: 5 * time.Second}})
			if err != nil {
				t.Fatal(err)
			}
			if a.Reply.Answered != (r.why == "") || a.Reply.Who != r.who || a.Reply.Why != r.why {
				t.Errorf("got %+v", *a.Reply)
			}
			if r.service.Protocol != probe.ICMP {
				return
			}
			// The kernel answers by itself, so the reply may be here before the responder has read the request.
			for seen := []string(nil); !slices.Contains(seen, token); {
				a, err := c.Ask(ctx, probe.Request{Seen: &probe.Seen{}})
				if err != nil {
					t.Fatalf("the responder saw %v, not %s: %v", seen, token, err)
				}
				seen = append(seen, a.Tokens...)
			}
		})
	}
}

func TestRunAndUnknown(t *testing.T) {
	c := start(t, "acme/web-1")
	a, err := c.Ask(t.Context(), probe.Request{Run: &probe.Run{Args: []string{"sh", "-c", "echo out; echo err >&2; exit 3"}, Timeout: 5 * time.Second}})
	if err != nil {
		t.Fatal(err)
	}
	if a.Output.Code != 3 || a.Output.Text != "out\nerr\n" {
		t.Errorf("got %+v", *a.Output)
	}
	if _, err := c.Ask(t.Context(), probe.Request{}); err == nil {
		t.Error("a request for nothing is answered")
	}
	if _, err := c.Ask(t.Context(), probe.Request{Raw: &probe.Raw{Interface: "none"}}); err == nil {
		t.Error("a frame for no interface is sent")
	}
}

func TestParseService(t *testing.T) {
	for text, ok := range map[string]bool{"tcp/80": true, "udp/65535": true, "icmp": false, "icmp/1": false, "tcp/0": false, "tcp/65536": false, "tcp": false, "": false} {
		s, err := probe.ParseService(text)
		if (err == nil) != ok {
			t.Errorf("%q: %v", text, err)
		}
		if ok && s.String() != text {
			t.Errorf("%q comes back as %q", text, s)
		}
	}
}
