package cli

import (
	"strings"
	"testing"

	weftv1 "github.com/weftfabric/weft/wire/weftpb/weft/v1"
)

// ipamWorld is a fabric in which everything agrees: two nodes with a lease each, a workload on each, and a Port with an
// address of its own.
func ipamWorld(t *testing.T) ([]stored, []*weftv1.NodeInfo) {
	t.Helper()
	var list []*weftv1.Object
	for _, text := range []string{
		`{"apiVersion":"weft.dev/v1alpha1","kind":"Tenant","metadata":{"name":"acme"},"spec":{}}`,
		`{"apiVersion":"weft.dev/v1alpha1","kind":"Network","metadata":{"name":"prod","tenant":"acme"},"spec":{"subnets":[{"name":"web","ipv4":"10.0.0.0/24","gateway4":"10.0.0.1"}]}}`,
		`{"apiVersion":"weft.dev/v1alpha1","kind":"Port","metadata":{"name":"db","tenant":"acme"},"spec":{"network":"prod","addresses":["10.0.0.200"]}}`,
	} {
		list = append(list, &weftv1.Object{Json: []byte(text)})
	}
	objects, err := decodeStored(list)
	if err != nil {
		t.Fatal(err)
	}
	at := func(iface, port, mac string, addresses ...string) *weftv1.Attachment {
		return &weftv1.Attachment{Interface: iface, Network: "acme/prod", Port: port, Mac: mac, Addresses: addresses}
	}
	return objects, []*weftv1.NodeInfo{
		{Name: "n1", Connected: true, Leases: []string{"acme/prod 10.0.0.0/26"}, Report: &weftv1.NodeReport{Attachments: []*weftv1.Attachment{
			at("veth1", "", "02:00:00:00:00:01", "10.0.0.2"), at("tap0", "acme/db", "02:00:00:00:00:02", "10.0.0.200"),
		}}},
		{Name: "n2", Connected: true, Leases: []string{"acme/prod 10.0.0.64/26"}, Report: &weftv1.NodeReport{Attachments: []*weftv1.Attachment{
			at("veth2", "", "02:00:00:00:00:03", "10.0.0.65"),
		}}},
	}
}

// ipamSwitches are the switches of ipamWorld's nodes.
func ipamSwitches() map[string]*nodeReading {
	port := func(name string, pairs ...string) *weftv1.InspectPort {
		ids := map[string]string{}
		for i := 0; i < len(pairs); i += 2 {
			ids[pairs[i]] = pairs[i+1]
		}
		return &weftv1.InspectPort{Name: name, ExternalIds: ids}
	}
	container := func(name, mac, address string) *weftv1.InspectPort {
		return port(name, recordKind, "container", recordNetwork, "acme/prod", recordMAC, mac, recordAddresses, address)
	}
	return map[string]*nodeReading{
		"n1": {state: &weftv1.InspectState{}, ports: []*weftv1.InspectPort{
			port("weft-vxlan"), port("tap9", recordKind, "bound", recordStatus, "inactive"),
			container("veth1", "02:00:00:00:00:01", "10.0.0.2"),
			port("tap0", recordKind, "bound", recordPort, "acme/db", recordMAC, "02:00:00:00:00:02", recordAddresses, "10.0.0.200"),
		}},
		"n2": {state: &weftv1.InspectState{}, ports: []*weftv1.InspectPort{container("veth2", "02:00:00:00:00:03", "10.0.0.65")}},
	}
}

func TestIPAMAgrees(t *testing.T) {
	objects, nodes := ipamWorld(t)
	if r := checkIPAM(objects, nodes, ipamSwitches()); len(r.Findings) != 0 || r.Nodes != 2 || r.Switches != 2 || r.Leases != 2 || r.Addresses != 3 {
		t.Errorf("report: %+v", r)
	}
}

func TestIPAMDisagrees(t *testing.T) {
	type nodes = []*weftv1.NodeInfo
	veth2 := func(n nodes) *weftv1.Attachment { return n[1].GetReport().GetAttachments()[0] }
	for _, tt := range []struct {
		name  string
		spoil func(nodes)
		want  string // node, object and problem; further ones follow from it
	}{
		{"address outside the leases", func(n nodes) { veth2(n).Addresses[0] = "10.0.0.3" }, "n2 veth2 address 10.0.0.3 of network acme/prod is in no block that the node leases"},
		{"address twice", func(n nodes) { veth2(n).Addresses[0] = "10.0.0.2" }, "n2 veth2 address 10.0.0.2 of network acme/prod is veth1 of n1's too"},
		{"MAC twice", func(n nodes) { veth2(n).Mac = "02:00:00:00:00:01" }, "n2 veth2 MAC address 02:00:00:00:00:01 of network acme/prod is veth1 of n1's too"},
		{"gateway's address", func(n nodes) { n[0].Report.Attachments[0].Addresses[0] = "10.0.0.1" }, "n1 veth1 address 10.0.0.1 is a gateway's of network acme/prod"},
		{"unreadable address", func(n nodes) { veth2(n).Addresses[0] = "x" }, `n2 veth2 address "x" can't be read`},
		{"leases overlap", func(n nodes) { n[1].Leases = append(n[1].Leases, "acme/prod 10.0.0.32/27") }, "n2 acme/prod 10.0.0.32/27 the lease overlaps 10.0.0.0/26 of n1"},
		{"lease of no subnet", func(n nodes) { n[1].Leases = append(n[1].Leases, "acme/prod 10.9.0.0/26") }, "n2 acme/prod 10.9.0.0/26 the lease is in no subnet of its network"},
		{"lease wider than its subnet", func(n nodes) { n[1].Leases = []string{"acme/prod 10.0.0.0/23"} }, "n2 acme/prod 10.0.0.0/23 the lease is in no subnet of its network"},
		{"unreadable lease", func(n nodes) { n[1].Leases = []string{"what"} }, "n2 what the lease can't be read"},
		{"Port twice", func(n nodes) { veth2(n).Port, veth2(n).Addresses[0] = "acme/db", "10.0.0.200" }, "n2 veth2 Port acme/db is attached to tap0 of n1 too"},
		{"Port that isn't declared", func(n nodes) { veth2(n).Port = "acme/no" }, "n2 veth2 Port acme/no is not declared"},
		{"Port with another address", func(n nodes) { n[0].Report.Attachments[1].Addresses[0] = "10.0.0.9" }, "n1 tap0 Port acme/db has 10.0.0.9, and is declared with 10.0.0.200"},
		{"agent's own finding", func(n nodes) { n[1].Report.Problems = []string{"interface veth2: Open vSwitch: gone"} }, "n2 switch interface veth2: Open vSwitch: gone"},
		{"unconfirmed", func(n nodes) { n[1].PlannedRevision = 7 }, "n2 node its switch has confirmed revision 0 of 7"},
		{"away", func(n nodes) { n[1].Connected = false }, "n2 node what it has is not known"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			objects, list := ipamWorld(t)
			tt.spoil(list)
			var got []string
			for _, f := range checkIPAM(objects, list, ipamSwitches()).Findings {
				got = append(got, f.Node+" "+f.Object+" "+f.Problem)
				if f.Do == "" {
					t.Errorf("%+v doesn't say what to do", f)
				}
			}
			if all := strings.Join(got, "\n"); !strings.Contains(all, tt.want) {
				t.Errorf("found:\n%s\nwant %s", all, tt.want)
			}
		})
	}
}

func TestIPAMSwitchDisagrees(t *testing.T) {
	type switches = map[string]*nodeReading
	veth2 := func(s switches) map[string]string { return s["n2"].ports[0].ExternalIds }
	for _, tt := range []struct {
		name  string
		spoil func(switches)
		want  string // the only finding: node, object and problem
	}{
		{"no answer", func(s switches) { s["n2"] = &nodeReading{err: "it is busy"} }, "n2 switch what its switch holds is not known: it is busy"},
		{"not asked", func(s switches) { delete(s, "n2") }, "n2 switch what its switch holds is not known: it was not asked"},
		{"no record", func(s switches) { s["n2"].ports = nil }, "n2 veth2 the agent reports it, and the switch has no record of it"},
		{"inactive", func(s switches) { veth2(s)[recordStatus] = "inactive" }, "n2 veth2 the agent reports it, and the switch has no record of it"},
		{"unknown record", func(s switches) {
			s["n2"].ports = append(s["n2"].ports, &weftv1.InspectPort{Name: "veth3", ExternalIds: map[string]string{recordKind: "container", recordNetwork: "acme/old", recordAddresses: "10.0.0.9"}})
		}, `n2 veth3 the switch has a record of it in network "acme/old" with 10.0.0.9, and the agent reports nothing`},
		{"address", func(s switches) { veth2(s)[recordAddresses] = "10.0.0.66" }, "n2 veth2 the switch has it with 10.0.0.66, and the agent reports 10.0.0.65"},
		{"MAC", func(s switches) { veth2(s)[recordMAC] = "02:00:00:00:00:09" }, "n2 veth2 the switch has it with MAC address 02:00:00:00:00:09, and the agent reports 02:00:00:00:00:03"},
		{"network", func(s switches) { veth2(s)[recordNetwork] = "acme/old" }, `n2 veth2 the switch has it in network "acme/old" with Port "", and the agent reports network "acme/prod" and Port ""`},
		{"Port", func(s switches) { veth2(s)[recordPort] = "acme/db" }, `n2 veth2 the switch has it in network "acme/prod" with Port "acme/db", and the agent reports network "acme/prod" and Port ""`},
		{"foreign flow", func(s switches) { s["n1"].state.Unreadable = []string{"table 9"} }, "n1 switch a flow holds what the fabric never writes: table 9"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			objects, nodes := ipamWorld(t)
			switches := ipamSwitches()
			tt.spoil(switches)
			r := checkIPAM(objects, nodes, switches)
			if len(r.Findings) != 1 || r.Findings[0].Node+" "+r.Findings[0].Object+" "+r.Findings[0].Problem != tt.want || r.Findings[0].Do == "" {
				t.Errorf("found %+v, want %s", r.Findings, tt.want)
			}
		})
	}
}
