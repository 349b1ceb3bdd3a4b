package fabric_test

import (
	"encoding/json"
	"testing"

	"github.com/weftfabric/weft/fabric"
)

func TestParsePublicKey(t *testing.T) {
	const text = "xTIBA5rboUvnH4htodjb6e697QjLERt1NAB4mZqp8Dg="
	k, err := fabric.ParsePublicKey(text)
	if err != nil || k.String() != text || k.IsZero() {
		t.Fatalf("key %q: %v", k, err)
	}
	rows := []string{
		"", "x", text[:43], text + "=", text + text, " " + text,
		"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=", // zeros
		"xTIBA5rboUvnH4htodjb6e697QjLERt1NAB4mZqp8Dh=", // bits after the end
	}
	for _, row := range rows {
		if k, err := fabric.ParsePublicKey(row); err == nil {
			t.Errorf("%q is taken for the key %s", row, k)
		}
	}
}

func TestPublicKeyAsText(t *testing.T) {
	type named struct {
		Key fabric.PublicKey `json:"key"`
	}
	for _, want := range []fabric.PublicKey{{}, {1, 2, 3}} {
		b, err := json.Marshal(named{want})
		if err != nil {
			t.Fatal(err)
		}
		var got named
		if err := json.Unmarshal(b, &got); err != nil || got.Key != want {
			t.Errorf("%s became %q: %v", b, got.Key, err)
		}
	}
}
