package bench

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/weftfabric/weft/lab"
)

// cniSize is how often containers are attached.
type cniSize struct {
	rounds int // one after the other, each plugin in turn
	atOnce int
}

func BenchmarkCNI(b *testing.B) {
	report(b, func() *table { return measureCNI(b, cniSize{rounds: 100, atOnce: 100}) })
}

func TestCNI(t *testing.T) {
	smoke(t, func() *table { return measureCNI(t, cniSize{rounds: 2, atOnce: 3}) })
}

// cniNetwork is what the containers are attached to.
const cniNetwork = `
apiVersion: weft.dev/v1alpha1
kind: Tenant
metadata: {name: acme}
---
apiVersion: weft.dev/v1alpha1
kind: Network
metadata: {name: prod, tenant: acme}
spec:
  subnets: [{name: main, ipv4: 10.0.0.0/16}]
`

// plugin is a CNI plugin as a runtime calls it.
type plugin struct {
	name      string
	binary    string
	path      string // where it finds others
	namespace string // of the node
	config    map[string]any
	args      string // CNI_ARGS
}

// weftPlugin attaches to a node of a lab.
func weftPlugin(r *lab.Record, n lab.Node) *plugin {
	return &plugin{
		name: "weft", binary: filepath.Join(r.BinDir, "weft-cni"), path: r.BinDir, namespace: n.Namespace, args: "WEFT_LABELS=app:web",
		config: map[string]any{"cniVersion": lab.CNIVersion, "name": "bench", "type": "weft-cni", "tenant": "acme", "network": "prod", "socket": n.AgentSocket()},
	}
}

// bridgePlugin is the reference: a kernel bridge, and addresses from files. It has neither policies nor
// isolation, and other nodes don't reach its containers.
func bridgePlugin(tb testing.TB, dir, namespace string) *plugin {
	return &plugin{
		name: "bridge+host-local", binary: filepath.Join(dir, "bridge"), path: dir, namespace: namespace,
		config: map[string]any{"cniVersion": "1.0.0", "name": "bench", "type": "bridge", "bridge": "br0", "isGateway": true, "ipam": map[string]any{
			"type": "host-local", "dataDir": tb.TempDir(), "ranges": []any{[]any{map[string]any{"subnet": "10.1.0.0/16"}}},
			"routes": []any{map[string]any{"dst": "0.0.0.0/0"}}}},
	}
}

// call runs the plugin for interface eth0 of a container, and returns how long that takes. The process starts in
// the node's namespace by itself, so that nothing else is measured.
func (p *plugin) call(verb, container string) (time.Duration, error) {
	stdin, err := json.Marshal(p.config)
	if err != nil {
		return 0, err
	}
	cmd := exec.Command(p.binary)
	cmd.Env = append(os.Environ(), "CNI_COMMAND="+verb, "CNI_CONTAINERID="+container, "CNI_IFNAME=eth0", "CNI_PATH="+p.path,
		"CNI_NETNS="+netnsPath(container), "CNI_ARGS="+p.args)
	cmd.Stdin = bytes.NewReader(stdin)
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	var took time.Duration
	err = inNamespace(p.namespace, func() (err error) {
		took = timed(func() { err = cmd.Run() })
		return err
	})
	if err != nil {
		return 0, fmt.Errorf("%s of %s: %w: %s", verb, p.name, err, strings.TrimSpace(out.String()))
	}
	return took, nil
}

// cniTimes are what the calls of a plugin took.
type cniTimes struct {
	add, del           []time.Duration
	gone               []time.Duration // from the DEL until the kernel has deleted the link
	atOnce, atOnceGone time.Duration   // all of them
	atOnceAdd          []time.Duration
}

func measureCNI(tb testing.TB, size cniSize) *table {
	ns := newNamespaces(tb)
	var containers []string
	for range max(size.atOnce, 1) {
		containers = append(containers, ns.add("c"))
	}
	r := labUp(tb, labSpec{nodes: 1, yaml: cniNetwork})
	plugins := []*plugin{weftPlugin(r, r.Nodes[0]), bridgePlugin(tb, plugins(tb), ns.add("node"))}
	times := make([]cniTimes, len(plugins))
	for _, p := range plugins {
		p.once(tb, containers[0]) // the bridge, the block and the identity are made once
	}
	for range size.rounds {
		for i, p := range plugins {
			add, del, gone := p.once(tb, containers[0])
			times[i].add, times[i].del, times[i].gone = append(times[i].add, add), append(times[i].del, del), append(times[i].gone, gone)
		}
	}
	for i, p := range plugins {
		times[i].atOnceAdd, times[i].atOnce = p.all(tb, "ADD", containers)
		_, times[i].atOnceGone = p.all(tb, "DEL", containers)
		for _, c := range containers {
			awaitEmpty(tb, c)
		}
	}
	t := &table{
		title:  "CNI: ADD and DEL of a container",
		inputs: fmt.Sprintf("1 node; %d calls of each plugin by turns, each ADD followed by its DEL; then %d at once", size.rounds, size.atOnce),
		head:   []string{"what", plugins[0].name, plugins[1].name, "ratio"},
	}
	row := func(what string, value func(cniTimes) time.Duration) {
		a, b := value(times[0]), value(times[1])
		t.add(what, ms(a), ms(b), ratio(a, b))
	}
	row("ADD median", func(c cniTimes) time.Duration { return median(c.add) })
	row("ADD p99", func(c cniTimes) time.Duration { return quantile(c.add, 0.99) })
	row("DEL median", func(c cniTimes) time.Duration { return median(c.del) })
	row("DEL p99", func(c cniTimes) time.Duration { return quantile(c.del, 0.99) })
	row("DEL until the kernel has deleted the link, median", func(c cniTimes) time.Duration { return median(c.gone) })
	row(fmt.Sprintf("%d ADDs at once, all", size.atOnce), func(c cniTimes) time.Duration { return c.atOnce })
	row(fmt.Sprintf("%d ADDs at once, median", size.atOnce), func(c cniTimes) time.Duration { return median(c.atOnceAdd) })
	row(fmt.Sprintf("%d DELs at once, all", size.atOnce), func(c cniTimes) time.Duration { return c.atOnceGone })
	t.note("each call is made when the kernel has deleted the links of the one before.")
	t.note("weft's ADD returns when the switch has confirmed the container's flows; bridge's when the link is on the bridge.")
	t.metric(float64(median(times[0].add))/float64(median(times[1].add)), "ADD/bridge")
	t.metric(float64(median(times[0].del))/float64(median(times[1].del)), "DEL/bridge")
	return t
}

// once attaches a container, detaches it, and waits until nothing is left of that, so that one plugin doesn't pay for
// what another has left to the background. All times of the DEL begin with it.
func (p *plugin) once(tb testing.TB, container string) (add, del, gone time.Duration) {
	tb.Helper()
	add, err := p.call("ADD", container)
	if err != nil {
		tb.Fatal(err)
	}
	gone = timed(func() {
		if del, err = p.call("DEL", container); err != nil {
			tb.Fatal(err)
		}
		awaitEmpty(tb, container)
	})
	return add, del, gone
}

// awaitEmpty waits until a namespace has no link but lo, and until the kernel has done with the deletion: it deletes
// under the lock that each change of a link takes.
func awaitEmpty(tb testing.TB, namespace string) {
	tb.Helper()
	for deadline := time.Now().Add(processLimit); ; time.Sleep(time.Millisecond) {
		var devices []byte
		err := inNamespace(namespace, func() (err error) {
			devices, err = os.ReadFile("/proc/thread-self/net/dev")
			return err
		})
		if err != nil {
			tb.Fatal(err)
		}
		if bytes.Count(devices, []byte(":")) == 1 {
			if err := inNamespace(namespace, touchLoopback); err != nil {
				tb.Fatal(err)
			}
			return
		}
		if time.Now().After(deadline) {
			tb.Fatalf("namespace %s keeps its links:\n%s", namespace, devices)
		}
	}
}

// touchLoopback sets lo as it is.
func touchLoopback() error {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer func() { _ = unix.Close(fd) }()
	request, err := unix.NewIfreq("lo")
	if err != nil {
		return err
	}
	return errors.Join(unix.IoctlIfreq(fd, unix.SIOCGIFFLAGS, request), unix.IoctlIfreq(fd, unix.SIOCSIFFLAGS, request))
}

// all calls the plugin for all containers at once.
func (p *plugin) all(tb testing.TB, verb string, containers []string) (each []time.Duration, whole time.Duration) {
	tb.Helper()
	each = make([]time.Duration, len(containers))
	errs := make([]error, len(containers))
	whole = timed(func() {
		var wg sync.WaitGroup
		for i, c := range containers {
			wg.Go(func() { each[i], errs[i] = p.call(verb, c) })
		}
		wg.Wait()
	})
	if err := errors.Join(errs...); err != nil {
		tb.Fatal(err)
	}
	return each, whole
}
