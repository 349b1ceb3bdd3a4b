package cni_test

import (
	"net/netip"
	"strings"
	"testing"

	"github.com/containernetworking/cni/pkg/skel"
	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/weftfabric/weft/cni"
	"github.com/weftfabric/weft/fabric"
	"github.com/weftfabric/weft/wire/cniwire"
)

func TestNewAdd(t *testing.T) {
	net := fabric.NetworkRef{Tenant: "acme", Name: "prod"}
	mac := mustMAC("02:00:00:00:00:09")
	ip4, ip6 := netip.MustParseAddr("10.0.0.9"), netip.MustParseAddr("fd00::9")
	rows := []struct {
		name, conf, args string
		want             cniwire.Add
	}{
		{"from configuration", `"tenant":"acme","network":"prod","subnet":"web","labels":{"app":"web"}`, ``, cniwire.Add{Network: net, Subnet: "web", Labels: fabric.Labels{"app": "web"}}},
		{"from arguments", ``, `WEFT_TENANT=acme;WEFT_NETWORK=prod;WEFT_SUBNET=web;WEFT_LABELS=app:web,tier:front`, cniwire.Add{Network: net, Subnet: "web", Labels: fabric.Labels{"app": "web", "tier": "front"}}},
		{"arguments are stronger", `"tenant":"acme","network":"test","labels":{"app":"x","a":"b"}`, `WEFT_NETWORK=prod;WEFT_LABELS=app:web`, cniwire.Add{Network: net, Labels: fabric.Labels{"app": "web", "a": "b"}}},
		{"another network forgets the configured subnet", `"tenant":"acme","network":"test","subnet":"x"`, `WEFT_NETWORK=prod`, cniwire.Add{Network: net}},
		{"a port from arguments puts the network aside", `"tenant":"acme","network":"prod","labels":{"a":"b"}`, `WEFT_PORT=db`, cniwire.Add{Port: fabric.PortRef{Tenant: "acme", Name: "db"}}},
		{"a port from configuration", `"tenant":"acme","port":"db"`, ``, cniwire.Add{Port: fabric.PortRef{Tenant: "acme", Name: "db"}}},
		{"kubernetes", `"tenant":"acme","network":"prod"`, `IgnoreUnknown=1;K8S_POD_NAMESPACE=shop;K8S_POD_NAME=web-1;K8S_POD_INFRA_CONTAINER_ID=x;K8S_POD_UID=y;OTHER=z`, cniwire.Add{Network: net, Name: "shop/web-1"}},
		{"repeated by Multus", `"tenant":"acme","network":"prod"`, `K8S_POD_NAME=web-1;K8S_POD_NAME=web-1`, cniwire.Add{Network: net, Name: "web-1"}},
		{"MAC and IP of podman", `"tenant":"acme","network":"prod"`, `MAC=02:00:00:00:00:09;IP=10.0.0.9,fd00::9`, cniwire.Add{Network: net, MAC: mac, Addresses: []netip.Addr{ip4, ip6}}},
		{"repeated by Multus otherwise", `"tenant":"acme","network":"prod"`, `IgnoreUnknown=1;K8S_POD_UID=a;K8S_POD_NAME=web-1;FOO=1;IgnoreUnknown=true;FOO=2;K8S_POD_UID=b`, cniwire.Add{Network: net, Name: "web-1"}},
		{"in any order", `"tenant":"acme","network":"prod"`, `K8S_POD_UID=y;K8S_POD_NAME=web-1;OTHER=z;K8S_POD_INFRA_CONTAINER_ID=x;K8S_POD_NAMESPACE=shop;IgnoreUnknown=True`, cniwire.Add{Network: net, Name: "shop/web-1"}},
		{"capabilities", `"tenant":"acme","network":"prod","runtimeConfig":{"mac":"02:00:00:00:00:09","ips":["10.0.0.9/24"]}`, ``, cniwire.Add{Network: net, MAC: mac, Addresses: []netip.Addr{ip4}}},
		{"capabilities and arguments agree", `"tenant":"acme","network":"prod","runtimeConfig":{"mac":"02:00:00:00:00:09","ips":["10.0.0.9/24","fd00::9/64"]}`, `MAC=02:00:00:00:00:09;IP=10.0.0.9/24`, cniwire.Add{Network: net, MAC: mac, Addresses: []netip.Addr{ip4, ip6}}},
		{"each place a family", `"tenant":"acme","network":"prod","runtimeConfig":{"ips":["10.0.0.9"]},"args":{"cni":{"ips":["10.0.0.9"]}}`, `IP=fd00::9`, cniwire.Add{Network: net, Addresses: []netip.Addr{ip4, ip6}}},
		{"behind a plugin that made something else", `"tenant":"acme","network":"prod","prevResult":{"cniVersion":"1.1.0","interfaces":[{"name":"lo","sandbox":"/run/netns/c1"}]}`, ``, cniwire.Add{Network: net}},
		{"conventions", `"tenant":"acme","network":"prod","args":{"cni":{"labels":[{"key":"app","value":"web"}],"ips":["fd00::9"]}}`, ``, cniwire.Add{Network: net, Labels: fabric.Labels{"app": "web"}, Addresses: []netip.Addr{ip6}}},
		{"runtimes' own fields", `"tenant":"acme","network":"prod","capabilities":{"mac":true},"disableCheck":true,"dns":{},"ipam":{}`, ``, cniwire.Add{Network: net}},
	}
	for _, r := range rows {
		t.Run(r.name, func(t *testing.T) {
			got, _, err := cni.NewAdd(call(r.conf, r.args))
			if err != nil {
				t.Fatal(err)
			}
			r.want.Attachment = cniwire.Attachment{ContainerID: "c1", IfName: "eth0"}
			r.want.Netns, r.want.Config = "/run/netns/c1", "weft"
			if d := cmp.Diff(r.want, got, cmpopts.EquateComparable(netip.Addr{})); d != "" {
				t.Error(d)
			}
		})
	}
}

func TestNewAddRefuses(t *testing.T) {
	rows := []struct{ name, conf, args, want string }{
		{"no tenant", `"network":"prod"`, ``, "tenant is missing"},
		{"no network", `"tenant":"acme"`, ``, "network is missing"},
		{"unknown field", `"tenant":"acme","nettwork":"prod"`, ``, `field "nettwork" is unknown`},
		{"wrong type", `"tenant":5,"network":"prod"`, ``, `field "tenant": a JSON number stands where string is wanted`},
		{"ipam", `"tenant":"acme","network":"prod","ipam":{"type":"host-local"}`, ``, `field "ipam": the fabric allocates`},
		{"bad name", `"tenant":"Acme","network":"prod"`, ``, `field "tenant": name "Acme"`},
		{"port and network", `"tenant":"acme","port":"db","network":"prod"`, ``, "either port or those"},
		{"port and labels in arguments", `"tenant":"acme"`, `WEFT_PORT=db;WEFT_LABELS=a:b`, "either WEFT_PORT or those"},
		{"relative socket", `"tenant":"acme","network":"prod","socket":"agent.sock"`, ``, `"agent.sock" is not absolute`},
		{"bad label", `"tenant":"acme","network":"prod","labels":{"a b":"c"}`, ``, "may not hold"},
		{"label without value", `"tenant":"acme","network":"prod"`, `WEFT_LABELS=app`, "write key:value"},
		{"label twice", `"tenant":"acme","network":"prod"`, `WEFT_LABELS=a:b,a:c`, `"a" stands twice`},
		{"unknown argument", `"tenant":"acme","network":"prod"`, `FOO=1`, "CNI_ARGS FOO: the key is unknown"},
		{"unknown argument of ours", `"tenant":"acme","network":"prod"`, `IgnoreUnknown=1;WEFT_LABEL=a:b`, "CNI_ARGS WEFT_LABEL: the key is unknown"},
		{"argument twice", `"tenant":"acme"`, `WEFT_NETWORK=a;WEFT_NETWORK=b`, `both "a" and "b"`},
		{"no pair", `"tenant":"acme","network":"prod"`, `x`, `"x" is not KEY=value`},
		{"bad MAC", `"tenant":"acme","network":"prod"`, `MAC=01:00:00:00:00:01`, "CNI_ARGS MAC: MAC address 01:00:00:00:00:01 is a group address"},
		{"bad address", `"tenant":"acme","network":"prod","runtimeConfig":{"ips":["10.0.0"]}`, ``, `field "runtimeConfig.ips": "10.0.0" is not an IP address`},
		{"behind a plugin that made the interface", `"tenant":"acme","network":"prod","prevResult":{"cniVersion":"1.1.0","interfaces":[{"name":"eth0","sandbox":"/run/netns/c1"}]}`, ``, "has made the container's interface eth0"},
		{"previous result", `"tenant":"acme","network":"prod","prevResult":{"cniVersion":"1.1.0","ips":5}`, ``, `field "prevResult"`},
		{"MAC of capability and arguments differ", `"tenant":"acme","network":"prod","runtimeConfig":{"mac":"02:00:00:00:00:09"}`, `MAC=02:00:00:00:00:08`, "asks for 02:00:00:00:00:09, and CNI_ARGS MAC for 02:00:00:00:00:08"},
		{"addresses of capability and arguments differ", `"tenant":"acme","network":"prod","runtimeConfig":{"ips":["10.0.0.9"]}`, `IP=10.0.0.8`, "CNI_ARGS IP asks for 10.0.0.8"},
		{"addresses of capability and conventions differ", `"tenant":"acme","network":"prod","runtimeConfig":{"ips":["10.0.0.9"]},"args":{"cni":{"ips":["10.0.0.8"]}}`, ``, `"args.cni.ips" asks for 10.0.0.8`},
		{"neither true nor false", `"tenant":"acme","network":"prod"`, `IgnoreUnknown=perhaps`, "neither true nor false"},
	}
	for _, r := range rows {
		t.Run(r.name, func(t *testing.T) {
			_, _, err := cni.NewAdd(call(r.conf, r.args))
			if err == nil || !strings.Contains(err.Error(), r.want) {
				t.Errorf("got %v, want an error with %q", err, r.want)
			}
		})
	}
}

func TestAllErrorsAtOnce(t *testing.T) {
	_, _, err := cni.NewAdd(call(`"tenant":"A","foo":1,"socket":"x","runtimeConfig":{"mac":"y"}`, `BAR=1;IP=z`))
	if err == nil {
		t.Fatal("no error")
	}
	for _, want := range []string{`"tenant"`, `"foo"`, `"socket"`, "runtimeConfig.mac", "BAR", "IP", "network is missing"} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("%q is missing in:\n%v", want, err)
		}
	}
}

func TestLabelsRoundTrip(t *testing.T) {
	want := fabric.Labels{"app": "web", "example.com/tier": "front", "empty": ""}
	got, err := cni.ParseLabels(cni.FormatLabels(want))
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Error(d)
	}
}

func FuzzParseArgs(f *testing.F) {
	f.Add("IgnoreUnknown=1;WEFT_LABELS=a:b,c:d;MAC=02:00:00:00:00:01;IP=10.0.0.1")
	f.Add(";;=;a==b;WEFT_PORT=x")
	f.Fuzz(func(t *testing.T, s string) {
		if a, err := cni.ParseArgs(s); err == nil && len(a.Labels) > 0 {
			if _, err := cni.ParseLabels(cni.FormatLabels(a.Labels)); err != nil {
				t.Errorf("labels %v don't come back: %v", a.Labels, err)
			}
		}
	})
}

func FuzzParseConfig(f *testing.F) {
	f.Add([]byte(`{"cniVersion":"1.1.0","name":"n","type":"weft-cni","tenant":"acme","network":"prod"}`))
	f.Add([]byte(`{"args":{"cni":{"labels":[{}]}},"runtimeConfig":null,"prevResult":[]}`))
	f.Fuzz(func(t *testing.T, data []byte) { cni.ParseConfig(data) })
}

func call(conf, args string) *skel.CmdArgs {
	if conf != "" {
		conf = "," + conf
	}
	return &skel.CmdArgs{
		ContainerID: "c1", Netns: "/run/netns/c1", IfName: "eth0", Args: args,
		StdinData: []byte(`{"cniVersion":"1.1.0","name":"weft","type":"weft-cni"` + conf + `}`),
	}
}
