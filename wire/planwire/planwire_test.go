package planwire_test

import (
	"bytes"
	"slices"
	"strings"
	"testing"

	"google.golang.org/protobuf/proto"
	"pgregory.net/rapid"

	"github.com/weftfabric/weft/plan"
	"github.com/weftfabric/weft/plan/plantest"
	"github.com/weftfabric/weft/wire/planwire"
	weftv1 "github.com/weftfabric/weft/wire/weftpb/weft/v1"
)

func TestEntriesRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		n := plantest.Draw(t, "n1")
		var entries []plan.Entry
		for _, e := range plan.Entries(n) {
			b, err := proto.Marshal(planwire.ToProto(e))
			if err != nil {
				t.Fatal(err)
			}
			var m weftv1.PlanEntry
			if err := proto.Unmarshal(b, &m); err != nil {
				t.Fatal(err)
			}
			got, err := planwire.FromProto(&m)
			if err != nil {
				t.Fatal(err)
			}
			entries = append(entries, got)
		}
		got, err := plan.Apply(plan.Node{Name: "n1"}, plan.Delta{Upsert: entries})
		if err != nil || !plan.Equal(got, n) {
			t.Fatalf("round trip: %v\nwant %+v\ngot  %+v", err, n, got)
		}
	})
}

func TestSnapshotRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		n := plantest.Draw(t, "n1")
		revision := rapid.Uint64().Draw(t, "revision")
		b := planwire.MarshalSnapshot(revision, n)
		gotRevision, got, err := planwire.UnmarshalSnapshot(b)
		if err != nil || gotRevision != revision || !plan.Equal(got, n) || got.Name != "n1" {
			t.Fatalf("round trip: revision %d, %v", gotRevision, err)
		}
		cut := rapid.IntRange(0, len(b)-1).Draw(t, "cut")
		if _, _, err := planwire.UnmarshalSnapshot(b[:cut]); err == nil {
			t.Fatalf("a file cut to %d of %d bytes is read", cut, len(b))
		}
		damaged := slices.Clone(b)
		damaged[cut] ^= 1 << rapid.IntRange(0, 7).Draw(t, "bit")
		if _, _, err := planwire.UnmarshalSnapshot(damaged); err == nil {
			t.Fatalf("a file with a flipped bit at %d is read", cut)
		}
	})
}

func TestFromProtoRefuses(t *testing.T) {
	rule := func(change func(*weftv1.PlanRule)) *weftv1.PlanEntry {
		r := &weftv1.PlanRule{Network: 7, Id: 1, Tier: 1, Direction: 1, Action: 1, PeersAny: true, SubjectAny: true}
		change(r)
		return &weftv1.PlanEntry{Key: "rule/7/1", Entry: &weftv1.PlanEntry_Rule{Rule: r}}
	}
	if _, err := planwire.FromProto(rule(func(*weftv1.PlanRule) {})); err != nil {
		t.Fatalf("a good rule: %v", err)
	}
	service := func(s *weftv1.Service) *weftv1.PlanEntry {
		return rule(func(r *weftv1.PlanRule) { r.Services = []*weftv1.Service{s} })
	}
	route := func(prefix, node string) *weftv1.PlanEntry {
		return &weftv1.PlanEntry{Key: "route/7/10.0.0.0/26", Entry: &weftv1.PlanEntry_Route{Route: &weftv1.PlanRoute{Network: 7, Prefix: prefix, Node: node, Vtep: "192.0.2.1", Subnet: "web"}}}
	}
	tunnel := func(change func(*weftv1.PlanTunnel)) *weftv1.PlanEntry {
		t := &weftv1.PlanTunnel{Name: "n2", Vtep: "100.92.0.2", Probe: "100.92.128.2", End: &weftv1.PlanTunnelEnd{Key: bytes.Repeat([]byte{1}, 32), Endpoint: "192.0.2.2:51820"}}
		change(t)
		return &weftv1.PlanEntry{Key: "tunnel/n2", Entry: &weftv1.PlanEntry_Tunnel{Tunnel: t}}
	}
	client := func(c *weftv1.PlanClient) *weftv1.PlanEntry {
		return &weftv1.PlanEntry{Key: "port/acme/vm", Entry: &weftv1.PlanEntry_Port{Port: &weftv1.PlanPort{
			Tenant: "acme", Name: "vm", Uid: "u", Network: 7, Subnet: "web", Identity: 0x101, Mac: "02:00:00:00:00:01", Client: c,
		}}}
	}
	if _, err := planwire.FromProto(client(&weftv1.PlanClient{Key: bytes.Repeat([]byte{1}, 32), Listen: 51830})); err != nil {
		t.Fatalf("a good client: %v", err)
	}
	rows := []struct {
		name  string
		entry *weftv1.PlanEntry
		want  string
	}{
		{"nothing", nil, "no content"},
		{"no content", &weftv1.PlanEntry{Key: "peer/n2"}, "no content"},
		{"empty content", &weftv1.PlanEntry{Key: "peer/n2", Entry: &weftv1.PlanEntry_Peer{}}, "name is missing"},
		{"another's key", &weftv1.PlanEntry{Key: "peer/n2", Entry: &weftv1.PlanEntry_Peer{Peer: &weftv1.PlanPeer{Name: "n3", Vtep: "192.0.2.1"}}}, `has the content of "peer/n3"`},
		{"tunnel without a key", tunnel(func(t *weftv1.PlanTunnel) { t.End = nil }), "end: no key of 32 bytes"},
		{"tunnel with a short key", tunnel(func(t *weftv1.PlanTunnel) { t.End.Key = t.End.Key[:31] }), "end: no key of 32 bytes"},
		{"tunnel with a key of zeros", tunnel(func(t *weftv1.PlanTunnel) { t.End.Key = make([]byte, 32) }), "end: no key of 32 bytes"},
		{"endpoint without a port", tunnel(func(t *weftv1.PlanTunnel) { t.End.Endpoint = "192.0.2.2" }), "end: endpoint"},
		{"endpoint of port 0", tunnel(func(t *weftv1.PlanTunnel) { t.End.Endpoint = "192.0.2.2:0" }), "end: endpoint"},
		{"next key is the key", tunnel(func(t *weftv1.PlanTunnel) { t.Next = t.End }), "next: the key"},
		{"probe is the vtep", tunnel(func(t *weftv1.PlanTunnel) { t.Probe = t.Vtep }), "probe:"},
		{"hop by itself", &weftv1.PlanEntry{Key: "hop/n2", Entry: &weftv1.PlanEntry_Hop{Hop: &weftv1.PlanHop{Node: "n2", Vtep: "100.92.0.2", Via: "n2"}}}, "its own relay"},
		{"placement of nothing", &weftv1.PlanEntry{Key: "placement/n2/0x000000", Entry: &weftv1.PlanEntry_Placement{Placement: &weftv1.PlanPlacement{Node: "n2"}}}, "identity"},
		{"client without a key", client(&weftv1.PlanClient{}), "client: no key of 32 bytes"},
		{"client with a key of zeros", client(&weftv1.PlanClient{Key: make([]byte, 32)}), "client: no key of 32 bytes"},
		{"client at port 65536", client(&weftv1.PlanClient{Key: bytes.Repeat([]byte{1}, 32), Listen: 65536}), "client: listen"},
		{"no tier", rule(func(r *weftv1.PlanRule) { r.Tier = 0 }), "tier: 0"},
		{"unknown action", rule(func(r *weftv1.PlanRule) { r.Action = 4 }), "action: 4"},
		{"any subject and some", rule(func(r *weftv1.PlanRule) { r.SubjectIds = []uint32{1} }), "subject_any with"},
		{"any peer and some", rule(func(r *weftv1.PlanRule) { r.PeerCidrs = []*weftv1.CIDR{{Prefix: "10.0.0.0/8"}} }), "peers_any with"},
		{"host bits", rule(func(r *weftv1.PlanRule) { r.PeersAny, r.PeerCidrs = false, []*weftv1.CIDR{{Prefix: "10.0.0.1/8"}} }), "canonical"},
		{"block with host bits", rule(func(r *weftv1.PlanRule) {
			r.PeersAny, r.PeerBlocks = false, []*weftv1.VNIBlock{{Base: 0x101, Bits: 16}}
		}), "outside its mask"},
		{"block of no bits", rule(func(r *weftv1.PlanRule) { r.PeersAny, r.PeerBlocks = false, []*weftv1.VNIBlock{{}} }), "0 is not in 1-24"},
		{"identity of 25 bits", rule(func(r *weftv1.PlanRule) { r.SubjectAny, r.SubjectIds = false, []uint32{1 << 24} }), "subject_ids"},
		{"protocol 0", service(&weftv1.Service{}), "protocol: 0"},
		{"unsupported protocol", service(&weftv1.Service{Protocol: 47}), "not supported"},
		{"ports backwards", service(&weftv1.Service{Protocol: 6, FirstPort: 2, LastPort: 1}), "wrong order"},
		{"ports without a start", service(&weftv1.Service{Protocol: 6, LastPort: 1}), "first_port is missing"},
		{"port too large", service(&weftv1.Service{Protocol: 6, FirstPort: 1, LastPort: 65536}), "last_port"},
		{"ICMP with ports", service(&weftv1.Service{Protocol: 1, FirstPort: 1, LastPort: 1}), "no ports"},
		{"ICMP type 256", service(&weftv1.Service{Protocol: 1, Type: 256}), "type"},
		{"bad node name", route("10.0.0.0/26", "N1"), "N1"},
		{"no prefix", route("", "n1"), "prefix"},
		{"mapped prefix", route("::ffff:10.0.0.0/122", "n1"), "prefix"},
	}
	for _, row := range rows {
		if _, err := planwire.FromProto(row.entry); err == nil || !strings.Contains(err.Error(), row.want) {
			t.Errorf("%s: error %v, want one with %q", row.name, err, row.want)
		}
	}
}

// FuzzFromProto holds that what is let through survives the way back.
func FuzzFromProto(f *testing.F) {
	for i := range 3 {
		for _, e := range plan.Entries(rapid.Custom(func(t *rapid.T) plan.Node { return plantest.Draw(t, "n1") }).Example(i)) {
			b, err := proto.Marshal(planwire.ToProto(e))
			if err != nil {
				f.Fatal(err)
			}
			f.Add(b)
		}
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		var m weftv1.PlanEntry
		if proto.Unmarshal(b, &m) != nil {
			return
		}
		e, err := planwire.FromProto(&m)
		if err != nil {
			return
		}
		again, err := planwire.FromProto(planwire.ToProto(e))
		if err != nil {
			t.Fatalf("%v is let through once only: %v", &m, err)
		}
		if again.Key != e.Key {
			t.Fatalf("key %q became %q", e.Key, again.Key)
		}
	})
}

func FuzzUnmarshalSnapshot(f *testing.F) {
	f.Add(planwire.MarshalSnapshot(7, rapid.Custom(func(t *rapid.T) plan.Node { return plantest.Draw(t, "n1") }).Example(1)))
	f.Fuzz(func(t *testing.T, b []byte) {
		revision, n, err := planwire.UnmarshalSnapshot(b)
		if err == nil && !slices.Equal(planwire.MarshalSnapshot(revision, n), planwire.MarshalSnapshot(revision, plan.Canonical(n))) {
			t.Fatal("a snapshot that was read isn't canonical")
		}
	})
}
