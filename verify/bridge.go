package verify

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/weftfabric/weft/plan"
	"github.com/weftfabric/weft/wire/openflow"
)

// Bridge: what decides about packets beside the flows. A switch can copy packets, tell others of them, take flows away or put
// up hidden ones, and treat fragments in another way than its flows expect. What only the action NORMAL looks at (VLANs of
// ports, learning, multicast snooping) is left out: a flow with that action is a finding by itself. So is what only drops.

// Bridge is what the switch tells of the bridge beside its flows and ports (ovs-vswitchd.conf.db(5)).
type Bridge struct {
	Name        string
	FailMode    string
	OtherConfig map[string]string
	STP, RSTP   bool
	Controllers []string
	Mirrors     []Mirror
	Exports     []Export
	// Evicting are tables out of which the switch may throw flows.
	Evicting []uint32
	// Fragments is what happens to fragments, in the words of "ovs-ofctl get-frags".
	Fragments string
	// Tunnels are the interfaces of tunnel types, of all bridges of the switch.
	Tunnels []Tunnel
	Meters  []openflow.MeterDesc
}

// Mirror copies packets of all ports, or of some, to a port or VLAN.
type Mirror struct {
	Name   string
	All    bool
	Ports  int
	Output string // empty: nowhere
}

// Export tells others of packets.
type Export struct {
	Kind    string // "netflow", "sflow" or "ipfix"
	Targets []string
}

// Tunnel is an interface of a tunnel type.
type Tunnel struct {
	Name, Type string
	Options    map[string]string
}

// setting is a promise about the bridge that isn't kept.
type setting struct{ region, got, want, remedy string }

// bridge compares the bridge's settings with what must hold so that its flows decide, and they alone.
func (v *verifier) bridge() {
	b := v.in.Bridge
	if b == nil {
		return
	}
	for _, s := range slices.Concat(b.control(), b.copies(), v.tunnels(), v.meters()) {
		v.find(Finding{Kind: KindSwitch, Region: s.region, Got: s.got, Want: s.want, Remedy: s.remedy})
	}
}

// control is about who changes flows, and what holds without them.
func (b *Bridge) control() []setting {
	var out []setting
	if b.FailMode != "secure" {
		out = append(out, setting{"fail mode", fmt.Sprintf("%s: without flows the bridge forwards by what it learns", cmp.Or(b.FailMode, "standalone")),
			"secure: without flows it drops", "ovs-vsctl set-fail-mode " + b.Name + " secure"})
	}
	for _, target := range b.Controllers {
		out = append(out, setting{"controller " + target, "may change every flow, and with fail mode or in-band control hidden flows come with it",
			"no controller but the agent", "ovs-vsctl del-controller " + b.Name})
	}
	if b.OtherConfig["disable-in-band"] != "true" {
		out = append(out, setting{"other_config:disable-in-band", cmp.Or(b.OtherConfig["disable-in-band"], "unset") + ": hidden flows above all others let packets to controllers through",
			"true", "ovs-vsctl set Bridge " + b.Name + " other_config:disable-in-band=true"})
	}
	for _, p := range []struct {
		on     bool
		column string
	}{{b.STP, "stp_enable"}, {b.RSTP, "rstp_enable"}} {
		if p.on {
			out = append(out, setting{p.column, "true: frames of workloads that look like bridges' pass by the flows, and can block ports", "false",
				fmt.Sprintf("ovs-vsctl set Bridge %s %s=false", b.Name, p.column)})
		}
	}
	for _, t := range b.Evicting {
		out = append(out, setting{fmt.Sprintf("table %d", t), "throws flows out when it is full, those that deny too", "keeps them",
			"ovs-vsctl clear Bridge " + b.Name + " flow_tables"})
	}
	if b.Fragments != "normal" && b.Fragments != "" {
		out = append(out, setting{"fragments", b.Fragments, "normal: matched like other packets, with ports of 0", "ovs-ofctl set-frags " + b.Name + " normal"})
	}
	return out
}

// copies is about who else gets packets, or hears of them.
func (b *Bridge) copies() []setting {
	var out []setting
	for _, m := range b.Mirrors {
		if m.Output == "" || !m.All && m.Ports == 0 {
			continue // it copies nothing
		}
		of := fmt.Sprintf("the packets of %d ports", m.Ports)
		if m.All {
			of = "all packets"
		}
		out = append(out, setting{"mirror " + m.Name, fmt.Sprintf("%s go to %s, too", of, m.Output), "packets go where flows send them, and nowhere else",
			fmt.Sprintf("ovs-vsctl -- --id=@m get Mirror %s -- remove Bridge %s mirrors @m", m.Name, b.Name)})
	}
	tells := map[string]string{"netflow": "who talks to whom", "ipfix": "who talks to whom", "sflow": "the beginnings of packets"}
	for _, e := range b.Exports {
		out = append(out, setting{e.Kind, fmt.Sprintf("tells %s of %s", strings.Join(e.Targets, ", "), cmp.Or(tells[e.Kind], "packets")), "nobody hears of tenants' packets",
			fmt.Sprintf("ovs-vsctl clear Bridge %s %s", b.Name, e.Kind)})
	}
	return out
}

// defaultVXLAN is the UDP port of VXLAN (RFC 7348).
const defaultVXLAN = 4789

// tunnels is about the tunnel's port, and others that take its packets away.
func (v *verifier) tunnels() []setting {
	port := strconv.Itoa(cmp.Or(int(v.in.Plan.Settings.VXLANPort), defaultVXLAN))
	var out []setting
	for _, t := range v.in.Bridge.Tunnels {
		to := t.Options["remote_ip"]
		if t.Name == tunnelName {
			for _, k := range []struct{ key, want string }{{"remote_ip", "flow"}, {"key", "flow"}, {"dst_port", port}} {
				got := t.Options[k.key]
				if k.key == "dst_port" {
					got = cmp.Or(got, strconv.Itoa(defaultVXLAN))
				}
				if got != k.want {
					out = append(out, setting{fmt.Sprintf("option %s of port %s", k.key, t.Name), cmp.Or(got, "unset"), k.want,
						fmt.Sprintf("ovs-vsctl set Interface %s options:%s=%s", t.Name, k.key, k.want)})
				}
			}
			for _, k := range slices.Sorted(maps.Keys(t.Options)) {
				if k == "in_key" || k == "out_key" || k == "local_ip" && t.Options[k] == "flow" {
					out = append(out, setting{fmt.Sprintf("option %s of port %s", k, t.Name), t.Options[k], "unset or an address: flows choose peer and VNI",
						fmt.Sprintf("ovs-vsctl remove Interface %s options %s", t.Name, k)})
				}
			}
			continue
		}
		peer := slices.ContainsFunc(v.in.Plan.Peers, func(p plan.Peer) bool { return p.VTEP.IsValid() && p.VTEP.String() == to })
		if t.Type == "vxlan" && cmp.Or(t.Options["dst_port"], strconv.Itoa(defaultVXLAN)) == port && (peer || to == "flow") {
			out = append(out, setting{"tunnel port " + t.Name, "takes packets of peers away from " + tunnelName, "no other port gets them", "ovs-vsctl del-port " + t.Name})
		}
	}
	return out
}

// meters is about those that limit what reaches the agent.
func (v *verifier) meters() []setting {
	const rate, burst = 50, 50 // packets a second, and at once
	have := map[uint32]openflow.MeterDesc{}
	for _, m := range v.in.Bridge.Meters {
		have[m.ID] = m
	}
	named := map[uint32]bool{}
	for _, f := range v.in.Flows {
		for _, a := range f.Actions {
			if c, ok := a.(openflow.Controller); ok && c.Meter >= dhcpv4().meter {
				named[c.Meter] = true
			}
		}
	}
	want := fmt.Sprintf("%d packets a second, %d at once", rate, burst)
	var out []setting
	for _, id := range slices.Sorted(maps.Keys(named)) {
		m, ok := have[id]
		got := m.String()
		if !ok {
			got = "missing: what flows give it reaches the agent without a limit"
		}
		if !ok || !m.Packets || m.Rate != rate || m.Burst != burst {
			out = append(out, setting{fmt.Sprintf("meter %d", id), got, want, "restart weft-agent, or wait until it compares the switch again"})
		}
	}
	return out
}
