package runtimes

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	types100 "github.com/containernetworking/cni/pkg/types/100"
)

// peers builds the tools that peer/go.mod holds, and puts the plugins among them beside weft-cni.
func (r *rig) peers() (cnitool string) {
	r.t.Helper()
	const plugins = "github.com/containernetworking/plugins/plugins/"
	dir := build(r.t, "peer", "peer", "github.com/containernetworking/cni/cnitool", plugins+"meta/tuning", plugins+"meta/portmap", plugins+"meta/bandwidth", plugins+"main/loopback")
	for _, p := range []string{"tuning", "portmap", "bandwidth", "loopback"} {
		if err := os.Symlink(filepath.Join(dir, p), filepath.Join(r.plugins(), p)); err != nil {
			r.t.Fatal(err)
		}
	}
	return filepath.Join(dir, "cnitool")
}

// namespace makes a network namespace until the test ends, and returns its path.
func (r *rig) namespace(part string) string {
	r.t.Helper()
	name := fmt.Sprintf("%s-%s", r.lab.Name, part)
	r.mustRun(nil, "ip", "netns", "add", name)
	r.t.Cleanup(func() { _, _ = r.run(nil, "ip", "netns", "del", name) })
	return filepath.Join("/run/netns", name)
}

func (r *rig) result(text string) types100.Result {
	r.t.Helper()
	var result types100.Result
	if err := json.Unmarshal([]byte(text), &result); err != nil {
		r.t.Fatalf("%v in %s", err, text)
	}
	return result
}

func TestCNITool(t *testing.T) {
	r := newRig(t)
	cnitool := r.peers()
	env := []string{"CNI_PATH=" + r.plugins(), "NETCONFPATH=" + r.configs()}
	behind := []map[string]any{
		{"type": "tuning", "sysctl": map[string]string{"net.ipv4.conf.IFNAME.arp_filter": "1"}},
		{"type": "bandwidth", "ingressRate": 8000000, "ingressBurst": 8000000},
	}
	if _, err := exec.LookPath("iptables"); err == nil {
		behind = append(behind, map[string]any{"type": "portmap", "backend": "iptables", "capabilities": map[string]bool{"portMappings": true}})
	}
	r.network("plain", "1.1.0", "both")
	r.network("four", "0.4.0", "four")
	r.network("six", "1.0.0", "six")
	r.network("chained", "1.0.0", "both", behind...)
	ports := append([]string{`CAP_ARGS={"portMappings":[{"hostPort":8080,"containerPort":80,"protocol":"tcp"}]}`}, env...)

	peer := r.namespace("peer")
	other := r.result(r.mustRun(env, cnitool, "add", "plain", peer))
	for _, tt := range []struct {
		network   string
		env       []string
		addresses int
	}{{"plain", env, 2}, {"four", env, 1}, {"six", env, 1}, {"chained", ports, 2}} {
		ns := r.namespace(tt.network)
		result := r.result(r.mustRun(tt.env, cnitool, "add", tt.network, ns))
		if len(result.IPs) != tt.addresses || len(result.Interfaces) < 2 || result.Interfaces[1].Sandbox != ns || result.Interfaces[1].Mac == "" {
			t.Errorf("%s: result %+v", tt.network, result)
		}
		r.mustRun(tt.env, cnitool, "check", tt.network, ns)
		for _, ip := range other.IPs {
			if tt.network == "plain" || tt.network == "chained" {
				r.mustRun(nil, "nsenter", "--net="+ns, "ping", "-c1", "-W3", ip.Address.IP.String())
			}
		}
		for _, ip := range result.IPs { // across subnets, from the other side
			r.mustRun(nil, "nsenter", "--net="+peer, "ping", "-c1", "-W3", ip.Address.IP.String())
		}
		if tt.network == "chained" {
			if got := r.mustRun(nil, "nsenter", "--net="+ns, "cat", "/proc/sys/net/ipv4/conf/eth0/arp_filter"); strings.TrimSpace(got) != "1" {
				t.Errorf("tuning left arp_filter at %s", got)
			}
			if got := r.mustRun(nil, "tc", "qdisc", "show", "dev", result.Interfaces[0].Name); !strings.Contains(got, "tbf") {
				t.Errorf("bandwidth left on %s: %s", result.Interfaces[0].Name, got)
			}
		}
		for range 2 {
			r.mustRun(tt.env, cnitool, "del", tt.network, ns)
		}
	}
	r.mustRun(env, cnitool, "status", "plain", peer)
	r.attached(1)
}

// Several interfaces of one container, on several networks: one default route of each family, and each interface answers.
func TestSeveralInterfaces(t *testing.T) {
	r := newRig(t)
	cnitool := r.peers()
	r.network("plain", "1.1.0", "both")
	r.network("four", "1.0.0", "four")
	ns, peer := r.namespace("many"), r.namespace("peer")
	env := func(ifName string) []string {
		return []string{"CNI_PATH=" + r.plugins(), "NETCONFPATH=" + r.configs(), "CNI_IFNAME=" + ifName}
	}
	r.mustRun(env("eth0"), cnitool, "add", "plain", peer)
	seen := map[string]bool{}
	for ifName, network := range map[string]string{"eth0": "plain", "net1": "four", "net2": "plain"} {
		for _, ip := range r.result(r.mustRun(env(ifName), cnitool, "add", network, ns)).IPs {
			if a := ip.Address.IP.String(); seen[a] {
				t.Errorf("%s was given twice", a)
			} else {
				seen[a] = true
			}
		}
	}
	r.attached(4)
	for _, family := range []string{"-4", "-6"} {
		if routes := strings.Count(r.mustRun(nil, "nsenter", "--net="+ns, "ip", family, "route", "show", "default"), "default"); routes != 1 {
			t.Errorf("%d default routes of ip %s", routes, family)
		}
	}
	r.mustRun(env("net1"), cnitool, "del", "four", ns)
	r.attached(3)
	if got := r.mustRun(nil, "nsenter", "--net="+ns, "ip", "-o", "link"); strings.Contains(got, "net1") || !strings.Contains(got, "net2") {
		t.Errorf("links: %s", got)
	}
	for _, ifName := range []string{"eth0", "net2"} {
		r.mustRun(env(ifName), cnitool, "del", "plain", ns)
	}
	r.attached(1)
}
