package audit_test

import (
	"testing"

	"github.com/weftfabric/weft/audit"
	"github.com/weftfabric/weft/topology"
)

// Policy may allow what the fabric takes for itself; the explanation says both.
func TestKeptBack(t *testing.T) {
	w := worldOf(t, topology.Source{Name: "corner.yaml", Content: []byte(cornerBase)})
	for service, kept := range map[string]bool{"udp/67": true, "udp/68": false, "udp/66": false, "tcp/67": false, "icmp/8": false} {
		why, err := audit.WhyOf(w.Intent, w.Workloads, audit.Question{From: "acme/web", To: "acme/db"}, service)
		if err != nil {
			t.Fatal(err)
		}
		for _, x := range why.Explanations {
			kept := kept && x.Witness.Source.Is4() // DHCP for IPv6 has other ports
			if (x.Fabric != "") != kept || x.Passes() != (x.Allowed && !kept) {
				t.Errorf("%s: %+v", service, x)
			}
		}
	}
}
