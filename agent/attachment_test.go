package agent

import (
	"maps"
	"net/netip"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/weftfabric/weft/agent/ovs"
	"github.com/weftfabric/weft/fabric"
	"github.com/weftfabric/weft/wire/cniwire"
)

// TestRecordRoundTrip holds that what is stored in external_ids is what a restarted agent reads.
func TestRecordRoundTrip(t *testing.T) {
	text := rapid.StringMatching(`[a-zA-Z0-9./_-]{0,20}`)
	name := rapid.StringMatching(`[a-z][a-z0-9]{0,9}`)
	rapid.Check(t, func(t *rapid.T) {
		a := attachment{
			Interface: name.Draw(t, "interface"), Kind: rapid.SampledFrom([]kind{kindContainer, kindTap, kindBound}).Draw(t, "kind"),
			Network: fabric.NetworkRef{Tenant: name.Draw(t, "tenant"), Name: name.Draw(t, "network")}, Subnet: name.Draw(t, "subnet"),
			Labels:    rapid.MapOf(rapid.StringMatching(`[a-z./]{1,8}`), text).Draw(t, "labels"),
			Container: cniwire.Attachment{ContainerID: text.Draw(t, "container"), IfName: name.Draw(t, "ifname")},
			Netns:     text.Draw(t, "netns"), Name: text.Draw(t, "name"), OwnsTap: rapid.Bool().Draw(t, "owns"), BoundID: text.Draw(t, "bound"),
		}
		if rapid.Bool().Draw(t, "has port") {
			a.Port = fabric.PortRef{Tenant: name.Draw(t, "port tenant"), Name: name.Draw(t, "port")}
		}
		if a.Kind != kindBound {
			a.MAC = fabric.MAC{2, 0, 0, 0, 0, rapid.Byte().Draw(t, "mac")}
		}
		for _, b := range rapid.SliceOfN(rapid.Byte(), 0, 2).Draw(t, "addresses") {
			a.Addresses = append(a.Addresses, netip.AddrFrom4([4]byte{10, 0, 0, b}))
		}
		got, ok, err := recordOf(ovs.Interface{Name: a.Interface, ExternalIDs: withoutEmpty(a.externalIDs())})
		if err != nil || !ok || !got.equal(a) {
			t.Fatalf("got %+v, %v, %v; want %+v", got, ok, err, a)
		}
	})
}

func TestDamagedRecords(t *testing.T) {
	good := attachment{Interface: "p", Kind: kindContainer, Network: fabric.NetworkRef{Tenant: "t", Name: "n"}, MAC: fabric.MAC{2}}
	if _, ok, err := recordOf(ovs.Interface{Name: "p", ExternalIDs: map[string]string{keyIfaceID: "x"}}); ok || err != nil {
		t.Errorf("an interface of somebody else: %v, %v", ok, err)
	}
	for key, value := range map[string]string{
		keyKind: "robot", keyNetwork: "n", keyPort: "p", keyLabels: "a", keyAddresses: "10.0.0.300", keyAttachedMAC: "01:00:00:00:00:00",
	} {
		ids := withoutEmpty(good.externalIDs())
		maps.Copy(ids, map[string]string{key: value})
		if _, ok, err := recordOf(ovs.Interface{Name: "p", ExternalIDs: ids}); ok || err == nil || !strings.Contains(err.Error(), "interface p") {
			t.Errorf("%s=%s: %v, %v", key, value, ok, err)
		}
	}
}
