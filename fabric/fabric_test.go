package fabric_test

import (
	"encoding/json"
	"net/netip"
	"strings"
	"testing"

	"github.com/weftfabric/weft/fabric"
)

func TestCheckName(t *testing.T) {
	tests := []struct {
		name string
		ok   bool
	}{
		{"a", true}, {"web-1", true}, {"0", true}, {strings.Repeat("a", 63), true},
		{"", false}, {"-a", false}, {"a-", false}, {"A", false}, {"a.b", false}, {"a_b", false}, {"ä", false},
		{strings.Repeat("a", 64), false},
	}
	for _, tt := range tests {
		if err := fabric.CheckName(tt.name); (err == nil) != tt.ok {
			t.Errorf("CheckName(%q) = %v, want ok %v", tt.name, err, tt.ok)
		}
	}
}

func TestParseMAC(t *testing.T) {
	tests := []struct {
		in, out string // out empty: refused
	}{
		{"02:00:00:00:00:01", "02:00:00:00:00:01"}, {"02-00-00-00-00-0A", "02:00:00:00:00:0a"},
		{"01:00:5e:00:00:01", ""}, {"ff:ff:ff:ff:ff:ff", ""}, {"00:00:00:00:00:00", ""}, {"02:00:00:00:00", ""},
		{"02:00:00:00:00:00:00:01", ""}, {"", ""}, {"x", ""},
	}
	for _, tt := range tests {
		m, err := fabric.ParseMAC(tt.in)
		if (err == nil) != (tt.out != "") || err == nil && m.String() != tt.out {
			t.Errorf("ParseMAC(%q) = %v, %v, want %q", tt.in, m, err, tt.out)
		}
	}
}

func TestMACAsJSON(t *testing.T) {
	type holder struct {
		MAC fabric.MAC `json:"mac,omitzero"`
	}
	for _, text := range []string{`{}`, `{"mac":"02:00:00:00:00:01"}`} {
		var h holder
		if err := json.Unmarshal([]byte(text), &h); err != nil {
			t.Fatalf("%s: %v", text, err)
		}
		if out, err := json.Marshal(h); err != nil || string(out) != text {
			t.Errorf("%s came back as %s, %v", text, out, err)
		}
	}
}

// RFC 4291, appendix A: the universal/local bit is inverted and ff:fe put in the middle.
func TestLinkLocal(t *testing.T) {
	m, err := fabric.ParseMAC("34:56:78:9a:bc:de")
	if err != nil {
		t.Fatal(err)
	}
	if got, want := m.LinkLocal(), netip.MustParseAddr("fe80::3656:78ff:fe9a:bcde"); got != want {
		t.Errorf("LinkLocal() = %s, want %s", got, want)
	}
}

func TestVNIBlock(t *testing.T) {
	b := fabric.VNIBlock{Base: 0x012300, Bits: fabric.DefaultVNIBlockBits}
	if b.Size() != 256 || b.Mask() != 0xffff00 || b.String() != "0x012300/16" {
		t.Errorf("block %s: size %d, mask %#x", b, b.Size(), b.Mask())
	}
	tests := []struct {
		id fabric.Identity
		in bool
	}{{0x012300, true}, {0x0123ff, true}, {0x012400, false}, {0x0122ff, false}, {0, false}}
	for _, tt := range tests {
		if b.Contains(tt.id) != tt.in {
			t.Errorf("%s contains %s: %v, want %v", b, tt.id, !tt.in, tt.in)
		}
	}
}

func TestLabelsAreCanonical(t *testing.T) {
	a := fabric.Labels{"b": "2", "a": "1", "c": ""}
	if got := a.String(); got != "a=1,b=2,c=" {
		t.Errorf("String() = %q", got)
	}
	kept := a.Without(func(k string) bool { return k == "b" })
	if kept.String() != "a=1,c=" || len(a) != 3 {
		t.Errorf("Without: %q, original has %d keys", kept, len(a))
	}
}

func TestReferences(t *testing.T) {
	r, err := fabric.ParseNetworkRef("acme/prod")
	if err != nil || r.String() != "acme/prod" {
		t.Errorf("ParseNetworkRef = %v, %v", r, err)
	}
	for _, bad := range []string{"", "acme", "acme/", "/prod", "acme/prod/x", "Acme/prod"} {
		if _, err := fabric.ParsePortRef(bad); err == nil {
			t.Errorf("ParsePortRef(%q) succeeded", bad)
		}
	}
}
