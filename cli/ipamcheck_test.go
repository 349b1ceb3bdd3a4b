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

func TestIPAMAgrees(t *testing.T) {
	objects, nodes := ipamWorld(t)
	if r := checkIPAM(objects, nodes); len(r.Findings) != 0 || r.Nodes != 2 || r.Leases != 2 || r.Addresses != 3 {
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
			for _, f := range checkIPAM(objects, list).Findings {
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
