package openflow_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	. "github.com/weftfabric/weft/wire/openflow"
)

func TestFlowTextRoundTrip(t *testing.T) {
	for _, line := range sampleFlows(t) {
		f, err := ParseFlow(line)
		if err != nil {
			t.Error(err)
			continue
		}
		if got := f.String(); got != line {
			t.Errorf("the text changed\n got %s\nwant %s", got, line)
		}
	}
}

func TestParseFlowForms(t *testing.T) {
	for _, tt := range []struct{ in, want string }{
		{"table=5,priority=7,eth_type=0x800,ip_proto=6,tcp_dst=80,actions=drop", "table=5, priority=7,tcp,tp_dst=80 actions=drop"},
		{"dl_type=0x0806,nw_src=10.0.0.1,nw_proto=2 actions=1", "arp,arp_spa=10.0.0.1,arp_op=2 actions=output:1"},
		{"ip6,icmpv6_type=128,ip_proto=58,actions=drop", "icmp6,icmp_type=128 actions=drop"},
		{"icmp6,icmp_type=128,actions=drop", "icmp6,icmp_type=128 actions=drop"},
		{"ip,ip_src=1.2.3.4/255.255.0.0,ip_dscp=46,actions=drop", "ip,nw_src=1.2.0.0/16,nw_tos=184 actions=drop"},
		{" cookie=0x5, duration=1.5s, table=3, n_packets=7, n_bytes=42, idle_age=1, ip actions=local", "cookie=0x5, table=3, ip actions=LOCAL"},
		{"reg0[0..15]=5,actions=load:0x3->NXM_NX_REG1[4..7]", "reg0=0x5/0xffff actions=set_field:0x30/0xf0->reg1"},
		{"in_port=65534,actions=in_port", "in_port=LOCAL actions=IN_PORT"},
		{"ct_state=0x21/0x21,ip,actions=mod_dl_dst:02:00:00:00:00:01", "ct_state=+new+trk,ip actions=set_field:02:00:00:00:00:01->eth_dst"},
		{"actions=resubmit(IN_PORT,3),move:reg0[]->reg1[],controller,CONTROLLER", "actions=resubmit(,3),move:NXM_NX_REG0[]->NXM_NX_REG1[],CONTROLLER:65535,CONTROLLER:65535"},
		{"ip,nw_frag=no, actions=ct(commit,zone=1,nat(src=fd00::1-fd00::2))", "ip,nw_frag=no actions=ct(commit,zone=1,nat(src=fd00::1-fd00::2))"},
		{"dl_vlan_pcp=3,dl_vlan=5,action=drop", "dl_vlan=5,dl_vlan_pcp=3 actions=drop"},
	} {
		f, err := ParseFlow(tt.in)
		if err != nil {
			t.Error(err)
			continue
		}
		if got := f.String(); got != tt.want {
			t.Errorf("%s\n got %s\nwant %s", tt.in, got, tt.want)
		}
	}
}

func TestParseFlowErrors(t *testing.T) {
	for _, tt := range []struct{ in, want string }{
		{"ip", `flow "ip": actions=... is missing`},
		{"foo=1,actions=drop", `flow "foo=1,actions=drop": foo: no such field`},
		{"tp_dst=80,actions=drop", `flow "tp_dst=80,actions=drop": tp_src and tp_dst need tcp, udp, sctp, icmp or icmp6 in the match`},
		{"table=255,actions=drop", `flow "table=255,actions=drop": table: "255" is not a number in range`},
		{"actions=learn(table=1)", `flow "actions=learn(table=1)": action "learn(table=1)": this action is not supported`},
		{"actions=goto_table:5", `flow "actions=goto_table:5": action "goto_table:5": this action is not supported`},
		{"reg0=0x100000000,actions=drop", `flow "reg0=0x100000000,actions=drop": reg0: number 0x100000000 has more than 32 bits`},
		{"actions=move:NXM_NX_REG0[0..3]->NXM_NX_REG1[]", `flow "actions=move:NXM_NX_REG0[0..3]->NXM_NX_REG1[]": action "move:NXM_NX_REG0[0..3]->NXM_NX_REG1[]": NXM_NX_REG0[0..3] has 4 bits and NXM_NX_REG1[] has 32: make them equal`},
	} {
		_, err := ParseFlow(tt.in)
		if err == nil {
			t.Errorf("%s: no error", tt.in)
			continue
		}
		if diff := cmp.Diff(tt.want, err.Error()); diff != "" {
			t.Errorf("%s: %s", tt.in, diff)
		}
	}
}
