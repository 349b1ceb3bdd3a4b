package runtimes

import (
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/weftfabric/weft/lab"
)

// A hundred containers at once, through a kill -9 of the agent in the middle of it: whoever was refused asks again, as
// runtimes do, and in the end each container has addresses of its own. Nothing is left after their DELs.
func TestHundredThroughAKill(t *testing.T) {
	r := newRig(t)
	cnitool := r.peers()
	r.network("plain", "1.1.0", "both")
	env := []string{"CNI_PATH=" + r.plugins(), "NETCONFPATH=" + r.configs()}
	const n = 100
	namespaces := make([]string, n)
	for i := range namespaces {
		namespaces[i] = r.namespace(fmt.Sprint("c", i))
	}
	all := func(verb string) (out []string, failed int) {
		out = make([]string, n)
		errs := make([]error, n)
		var wg sync.WaitGroup
		for i, ns := range namespaces {
			wg.Go(func() { out[i], errs[i] = r.run(env, cnitool, verb, "plain", ns) })
		}
		wg.Wait()
		for _, err := range errs {
			if err != nil {
				failed++
				t.Logf("%s: %v", verb, err)
			}
		}
		return out, failed
	}

	killed := make(chan error, 1)
	go func() {
		for { // until it is in the middle of it
			status, err := lab.AgentStatus(t.Context(), r.node)
			if err != nil || status.Attachments >= 10 {
				break
			}
			time.Sleep(time.Millisecond)
		}
		killed <- errors.Join(r.lab.Kill(t.Context(), lab.Agent, r.node), r.lab.Revive(t.Context(), lab.Agent, r.node))
	}()
	all("add")
	if err := <-killed; err != nil {
		t.Fatal(err)
	}
	out, failed := all("add")
	for range 3 {
		if failed > 0 { // as runtimes do
			out, failed = all("add")
		}
	}
	if failed > 0 {
		t.Fatalf("%d of %d ADDs failed after the kill", failed, n)
	}
	seen := map[string]bool{}
	for _, text := range out {
		for _, ip := range r.result(text).IPs {
			if a := ip.Address.IP.String(); seen[a] {
				t.Errorf("%s was given twice", a)
			} else {
				seen[a] = true
			}
		}
	}
	if len(seen) != 2*n {
		t.Errorf("%d different addresses for %d containers", len(seen), n)
	}
	r.attached(n)
	if _, failed := all("del"); failed > 0 {
		t.Errorf("%d DELs failed", failed)
	}
	r.attached(0)
}
