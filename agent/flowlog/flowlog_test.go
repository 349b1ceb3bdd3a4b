package flowlog_test

import (
	"bytes"
	"encoding/hex"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/weftfabric/weft/agent/flowlog"
	"github.com/weftfabric/weft/firewall"
)

func frame(t testing.TB, parts ...string) []byte {
	t.Helper()
	b, err := hex.DecodeString(strings.ReplaceAll(strings.Join(parts, ""), " ", ""))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

const (
	ether4 = "020000000001 020000000002 0800"
	ether6 = "020000000001 020000000002 86dd"
	from4  = "0a010002 0a010003"
	from6  = "fd000000000000000000000000000002 fd000000000000000000000000000003"
)

func TestParsePacket(t *testing.T) {
	a4, b4 := netip.MustParseAddr("10.1.0.2"), netip.MustParseAddr("10.1.0.3")
	a6, b6 := netip.MustParseAddr("fd00::2"), netip.MustParseAddr("fd00::3")
	for _, tt := range []struct {
		name  string
		frame []byte
		want  flowlog.Packet
	}{
		{"TCP", frame(t, ether4, "45000028 00000000 40060000", from4, "9c400050"), flowlog.Packet{Src: a4, Dst: b4, Protocol: 6, SrcPort: 40000, DstPort: 80}},
		{"options", frame(t, ether4, "4600002c 00000000 40110000", from4, "01010101 9c400035"), flowlog.Packet{Src: a4, Dst: b4, Protocol: 17, SrcPort: 40000, DstPort: 53}},
		{"later fragment", frame(t, ether4, "45000028 00000010 40060000", from4, "9c400050"), flowlog.Packet{Src: a4, Dst: b4, Protocol: 6}},
		{"ICMP", frame(t, ether4, "45000028 00000000 40010000", from4, "0800"), flowlog.Packet{Src: a4, Dst: b4, Protocol: 1, Type: 8}},
		{"cut behind the addresses", frame(t, ether4, "45000028 00000000 40060000", from4), flowlog.Packet{Src: a4, Dst: b4, Protocol: 6}},
		{"UDP over IPv6", frame(t, ether6, "60000000 0008 11 40", from6, "9c400035"), flowlog.Packet{Src: a6, Dst: b6, Protocol: 17, SrcPort: 40000, DstPort: 53}},
		{"ICMPv6", frame(t, ether6, "60000000 0008 3a 40", from6, "8000"), flowlog.Packet{Src: a6, Dst: b6, Protocol: 58, Type: 128}},
		{"extension header", frame(t, ether6, "60000000 0010 00 40", from6, "0600000000000000", "9c400050"), flowlog.Packet{Src: a6, Dst: b6, Protocol: 6, SrcPort: 40000, DstPort: 80}},
		{"later fragment of IPv6", frame(t, ether6, "60000000 0010 2c 40", from6, "0600001000000000", "9c400050"), flowlog.Packet{Src: a6, Dst: b6, Protocol: 6}},
	} {
		if got, err := flowlog.ParsePacket(tt.frame); err != nil || got != tt.want {
			t.Errorf("%s: %+v, %v, want %+v", tt.name, got, err, tt.want)
		}
	}
	for _, bad := range []string{"", ether4, ether4 + "65", ether6 + "60", "020000000001 020000000002 0806 0001"} {
		if p, err := flowlog.ParsePacket(frame(t, bad)); err == nil {
			t.Errorf("%s is read as %+v", bad, p)
		}
	}
}

func FuzzParsePacket(f *testing.F) {
	f.Add(frame(f, ether6, "60000000 0010 00 40", from6, "0600000000000000", "9c400050"))
	f.Add(frame(f, ether4, "45000028 00000000 40060000", from4, "9c400050"))
	f.Fuzz(func(_ *testing.T, b []byte) { _, _ = flowlog.ParsePacket(b) })
}

func TestLimiter(t *testing.T) {
	var l flowlog.Limiter
	now := time.Unix(1_700_000_000, 0)
	kind := func(i int) flowlog.Kind { return flowlog.Kind{Protocol: firewall.TCP, SrcPort: uint16(i)} }
	if d, _ := l.Allow(kind(0), now); d != flowlog.Write {
		t.Fatal("the first packet gets no record")
	}
	for range 3 {
		if d, _ := l.Allow(kind(0), now.Add(time.Second)); d != flowlog.Repeat {
			t.Error("a repetition gets a record of its own")
		}
	}
	if d, repeated := l.Allow(kind(0), now.Add(11*time.Second)); d != flowlog.Write || repeated != 3 {
		t.Errorf("after a while: %d, %d repeated", d, repeated)
	}
	now = now.Add(time.Minute)
	written := 0
	for i := range 10000 {
		if d, _ := l.Allow(kind(i+1), now.Add(time.Duration(i)*time.Millisecond/10)); d == flowlog.Write {
			written++
		}
	}
	if written < 200 || written > 260 {
		t.Errorf("%d records within a second", written)
	}
}

func record(i int) flowlog.Record {
	return flowlog.Record{Time: time.Unix(1_700_000_000+int64(i), 0).UTC(), Node: "n1", Verdict: "deny"}
}

// number of a record that record has made.
func number(r flowlog.Record) int { return int(r.Time.Unix() - 1_700_000_000) }

func TestFileIsBounded(t *testing.T) {
	path := filepath.Join(t.TempDir(), "flows.log")
	f := flowlog.NewFile(path, 500)
	const all = 100
	for i := range all {
		if i == 50 { // the agent restarts
			if err := f.Close(); err != nil {
				t.Fatal(err)
			}
			f = flowlog.NewFile(path, 500)
		}
		if err := f.Write(record(i)); err != nil {
			t.Fatal(err)
		}
	}
	var got []int
	if damaged, err := f.Read(func(r flowlog.Record) error { got = append(got, number(r)); return nil }); err != nil || damaged > 0 {
		t.Fatalf("%d damaged, %v", damaged, err)
	}
	for i, n := range got {
		if n != all-len(got)+i {
			t.Fatalf("records %v", got)
		}
	}
	files, _ := filepath.Glob(path + "*")
	if len(files) != 4 || len(got) < 15 {
		t.Errorf("%d files with %d records", len(files), len(got))
	}
	for _, name := range files {
		if info, err := os.Stat(name); err != nil || info.Size() > 500 || info.Mode().Perm() != 0o600 {
			t.Errorf("%s: %v, %v", name, info, err)
		}
	}
	stop := errors.New("enough")
	if _, err := f.Read(func(flowlog.Record) error { return stop }); !errors.Is(err, stop) {
		t.Errorf("reading ended with %v", err)
	}
}

// TestTornLine: a crash in the middle of a line costs that line alone.
func TestTornLine(t *testing.T) {
	path := filepath.Join(t.TempDir(), "flows.log")
	f := flowlog.NewFile(path, 0)
	for i := range 2 {
		if err := f.Write(record(i)); err != nil {
			t.Fatal(err)
		}
	}
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, b[:len(b)-20], 0o600); err != nil {
		t.Fatal(err)
	}
	f = flowlog.NewFile(path, 0)
	if err := f.Write(record(2)); err != nil {
		t.Fatal(err)
	}
	var got []int
	damaged, err := f.Read(func(r flowlog.Record) error { got = append(got, number(r)); return nil })
	if err != nil || damaged != 1 || fmt.Sprint(got) != "[0 2]" {
		t.Errorf("records %v, %d damaged, %v", got, damaged, err)
	}
	if b, _ := os.ReadFile(path); bytes.Count(b, []byte("\n")) != 3 {
		t.Errorf("the file:\n%s", b)
	}
}

func TestFollow(t *testing.T) {
	f := flowlog.NewFile(filepath.Join(t.TempDir(), "flows.log"), 0)
	if err := f.Write(record(0)); err != nil {
		t.Fatal(err)
	}
	records, missed, stop := f.Follow()
	for i := range 1500 {
		if err := f.Write(record(i + 1)); err != nil {
			t.Fatal(err)
		}
	}
	if got := number(<-records); got != 1 {
		t.Errorf("the first record is %d", got)
	}
	if n := missed(); n != 500 {
		t.Errorf("%d records were missed", n)
	}
	stop()
	if missed() != 0 || f.Write(record(1501)) != nil {
		t.Error("a follower that is gone still counts")
	}
}
