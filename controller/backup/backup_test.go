package backup_test

import (
	"bytes"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/weftfabric/weft/controller/backup"
)

func sample() backup.Backup {
	return backup.Backup{
		Revision: 57, Made: time.Date(2024, 5, 6, 7, 8, 9, 0, time.UTC), Version: "test",
		Entries: []backup.Entry{{Key: "/a", Value: []byte("one")}, {Key: "/b", Value: []byte{0, '\n', 0xff}}, {Key: "/c", Value: []byte(strings.Repeat("x", 100_000))}},
	}
}

func written(t *testing.T, b backup.Backup) []byte {
	t.Helper()
	var out bytes.Buffer
	if err := backup.Write(&out, b); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

func TestRoundTrip(t *testing.T) {
	for name, want := range map[string]backup.Backup{"full": sample(), "empty": {Made: time.Unix(0, 0).UTC()}} {
		got, err := backup.Read(bytes.NewReader(written(t, want)))
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
}

func TestEveryCutIsNoticed(t *testing.T) {
	b := sample()
	b.Entries = b.Entries[:2]
	whole := written(t, b)
	for n := range whole {
		if _, err := backup.Read(bytes.NewReader(whole[:n])); !errors.Is(err, backup.ErrDamaged) {
			t.Fatalf("cut off after %d of %d bytes: %v", n, len(whole), err)
		}
	}
	if _, err := backup.Read(bytes.NewReader(append(whole, '\n'))); !errors.Is(err, backup.ErrDamaged) {
		t.Errorf("something behind the end: %v", err)
	}
}

func TestEveryFlippedBitIsNoticed(t *testing.T) {
	b := sample()
	b.Entries = b.Entries[:2]
	whole := written(t, b)
	for i := range whole {
		for bit := range 8 {
			damaged := bytes.Clone(whole)
			damaged[i] ^= 1 << bit
			if got, err := backup.Read(bytes.NewReader(damaged)); err == nil {
				t.Fatalf("byte %d, bit %d: read as %+v", i, bit, got)
			}
		}
	}
}

func TestSaveKeepsNothingHalf(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "b")
	broken := errors.New("the connection broke")
	if _, err := backup.Save(path, func(w io.Writer) error { _, _ = io.WriteString(w, "{"); return broken }); !errors.Is(err, broken) {
		t.Errorf("got %v", err)
	}
	if _, err := backup.Save(path, func(w io.Writer) error { _, err := io.WriteString(w, "{}\n"); return err }); err == nil {
		t.Error("what can't be read again was kept")
	}
	if left, _ := os.ReadDir(dir); len(left) != 0 {
		t.Errorf("left behind: %v", left)
	}
	write := func(w io.Writer) error { return backup.Write(w, sample()) }
	if b, err := backup.Save(path, write); err != nil || b.Revision != 57 {
		t.Fatalf("got %v, %v", b.Revision, err)
	}
	if i, err := os.Stat(path); err != nil || i.Mode().Perm() != 0o600 {
		t.Errorf("mode %v, %v", i.Mode(), err)
	}
	if _, err := backup.Save(path, write); !errors.Is(err, os.ErrExist) {
		t.Errorf("an older backup was replaced: %v", err)
	}
}

func FuzzRead(f *testing.F) {
	var out bytes.Buffer
	small := sample()
	small.Entries = small.Entries[:2]
	if err := backup.Write(&out, small); err != nil {
		f.Fatal(err)
	}
	f.Add(out.Bytes())
	f.Add([]byte("{}\n{}\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		b, err := backup.Read(bytes.NewReader(data))
		if err != nil {
			return
		}
		again, err := backup.Read(bytes.NewReader(written(t, b)))
		if err != nil || cmp.Diff(b, again) != "" {
			t.Errorf("what was read can't be written and read again: %v", err)
		}
	})
}
