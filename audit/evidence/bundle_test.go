package evidence_test

import (
	"bytes"
	"crypto/ed25519"
	"errors"
	"math/rand/v2"
	"testing"

	"github.com/weftfabric/weft/audit"
	"github.com/weftfabric/weft/audit/evidence"
)

// newKey makes a key of a seed.
func newKey(t *testing.T, seed byte) (ed25519.PrivateKey, ed25519.PublicKey) {
	t.Helper()
	private, public, err := evidence.NewKey(rand.NewChaCha8([32]byte{seed}))
	if err != nil {
		t.Fatal(err)
	}
	key, err := evidence.ParsePrivate(private)
	if err != nil {
		t.Fatal(err)
	}
	pub, err := evidence.ParsePublic(public)
	if err != nil {
		t.Fatal(err)
	}
	return key, pub
}

func contents() []evidence.Content {
	return []evidence.Content{{Name: "inputs/001", Data: []byte("kind: Tenant\n")}, {Name: evidence.ReportName, Data: []byte("{}\n")}, {Name: evidence.PageName, Data: nil}}
}

func seal(t *testing.T, key ed25519.PrivateKey) []byte {
	t.Helper()
	m := evidence.NewManifest(audit.Report{NotCovered: []string{"the rest"}})
	m.Made, m.Version, m.Question = "2026-01-02T03:04:05Z", "test", "weft audit report"
	b, err := evidence.Seal(m, contents(), key)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestSealAndOpen(t *testing.T) {
	key, public := newKey(t, 1)
	sealed := seal(t, key)
	if !bytes.Equal(sealed, seal(t, key)) {
		t.Error("equal evidence has different bytes")
	}
	b, err := evidence.Open(sealed, public)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range contents() {
		if !bytes.Equal(b.Get(c.Name), c.Data) {
			t.Errorf("%s holds %q", c.Name, b.Get(c.Name))
		}
	}
	if b.Manifest.Question != "weft audit report" || len(b.Manifest.Files) != 3 {
		t.Errorf("manifest %+v", b.Manifest)
	}
	_, other := newKey(t, 2)
	if _, err := evidence.Open(sealed, other); !errors.Is(err, evidence.ErrTampered) {
		t.Errorf("with another key: %v", err)
	}
}

// Every byte counts: those of the manifest, the files, the signature, the archive's headers, padding and end.
func TestTampering(t *testing.T) {
	key, public := newKey(t, 1)
	sealed := seal(t, key)
	for i := range sealed {
		forged := bytes.Clone(sealed)
		forged[i] ^= 1 << (i % 8)
		if _, err := evidence.Open(forged, public); err == nil {
			t.Fatalf("byte %d, changed from %#x to %#x, is not noticed", i, sealed[i], forged[i])
		}
	}
	for name, forged := range map[string][]byte{
		"more at the end": append(bytes.Clone(sealed), make([]byte, 512)...),
		"cut":             sealed[:len(sealed)-512],
		"empty":           nil,
		"half":            sealed[:len(sealed)/2],
		"twice":           append(bytes.Clone(sealed), sealed...),
	} {
		if _, err := evidence.Open(forged, public); err == nil {
			t.Errorf("%s: not noticed", name)
		}
	}
}

// A manifest that another key has signed again is not taken for ours.
func TestSignedAgain(t *testing.T) {
	ours, public := newKey(t, 1)
	theirs, _ := newKey(t, 2)
	if _, err := evidence.Open(seal(t, theirs), public); !errors.Is(err, evidence.ErrTampered) {
		t.Errorf("signed by another: %v", err)
	}
	if _, err := evidence.Open(seal(t, ours), public); err != nil {
		t.Error(err)
	}
}

func FuzzOpen(f *testing.F) {
	_, key, err := ed25519.GenerateKey(rand.NewChaCha8([32]byte{1}))
	if err != nil {
		f.Fatal(err)
	}
	b, err := evidence.Seal(evidence.NewManifest(audit.Report{}), contents(), key)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(b)
	public, ok := key.Public().(ed25519.PublicKey)
	if !ok {
		f.Fatal("no public key")
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		if _, err := evidence.Open(data, public); err == nil && !bytes.Equal(data, b) {
			t.Error("forged")
		}
	})
}
