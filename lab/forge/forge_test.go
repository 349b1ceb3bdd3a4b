package forge_test

import (
	"bytes"
	"encoding/binary"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/weftfabric/weft/fabric"
	"github.com/weftfabric/weft/lab/forge"
)

// The oracle is tcpdump: it checks every checksum when it prints verbosely.
func TestFrames(t *testing.T) {
	tcpdump, err := exec.LookPath("tcpdump")
	if err != nil {
		t.Skip("tcpdump is not installed")
	}
	a, b := fabric.MAC{2, 0, 0, 0, 0, 1}, fabric.MAC{2, 0, 0, 0, 0, 2}
	v4, w4 := netip.MustParseAddr("10.0.0.1"), netip.MustParseAddr("10.0.0.2")
	v6, w6 := netip.MustParseAddr("fd00::1"), netip.MustParseAddr("fd00::2")
	udp := forge.Packet{SrcMAC: a, DstMAC: b, Src: v4, Dst: w4, SrcPort: 1000, DstPort: 2000, Payload: []byte("odd")}
	rows := []struct {
		name  string
		frame []byte
		want  []string
	}{
		{"udp4", udp.Frame(), []string{"02:00:00:00:00:01 > 02:00:00:00:00:02", "10.0.0.1.1000 > 10.0.0.2.2000", "udp sum ok", "length 3"}},
		{"udp6", forge.Packet{SrcMAC: a, DstMAC: b, Src: v6, Dst: w6, SrcPort: 1000, DstPort: 2000}.Frame(), []string{"fd00::1.1000 > fd00::2.2000", "udp sum ok"}},
		{"arp request", forge.ARP{SrcMAC: a, DstMAC: forge.Broadcast, SenderMAC: b, Sender: v4, Target: w4}.Frame(), []string{"Request who-has 10.0.0.2", "tell 10.0.0.1"}},
		{"arp reply", forge.ARP{SrcMAC: a, DstMAC: b, SenderMAC: b, Sender: v4, Target: w4, Reply: true}.Frame(), []string{"Reply 10.0.0.1 is-at 02:00:00:00:00:02"}},
		{"neighbour advertisement", forge.Advertisement{SrcMAC: a, DstMAC: b, Src: v6, Dst: w6, Target: v6, TargetMAC: a}.Frame(), []string{"icmp6 sum ok", "neighbor advertisement", "tgt is fd00::1", "02:00:00:00:00:01"}},
		{"router advertisement", forge.RouterAdvertisement{SrcMAC: a, DstMAC: b, Src: v6, Dst: w6}.Frame(), []string{"icmp6 sum ok", "router advertisement", "router lifetime 1800s"}},
		{"vxlan", forge.Packet{SrcMAC: a, DstMAC: b, Src: v4, Dst: w4, SrcPort: 1000, DstPort: 4789, Payload: forge.VXLAN(0x123456, udp.Frame())}.Frame(), []string{"VXLAN", "vni 1193046", "10.0.0.1.1000 > 10.0.0.2.2000", "udp sum ok"}},
	}
	for _, r := range rows {
		t.Run(r.name, func(t *testing.T) {
			file := filepath.Join(t.TempDir(), "frame.pcap")
			if err := os.WriteFile(file, pcap(r.frame), 0o600); err != nil {
				t.Fatal(err)
			}
			out, err := exec.Command(tcpdump, "-r", file, "-nevv").CombinedOutput()
			if err != nil {
				t.Fatalf("%v\n%s", err, out)
			}
			for _, want := range r.want {
				if !strings.Contains(string(out), want) {
					t.Errorf("%q is missing in:\n%s", want, out)
				}
			}
			if strings.Contains(string(out), "bad") || strings.Contains(string(out), "wrong") {
				t.Errorf("tcpdump complains:\n%s", out)
			}
		})
	}
}

// pcap wraps one Ethernet frame into a capture file (pcap-savefile(5)).
func pcap(frame []byte) []byte {
	var b bytes.Buffer
	for _, v := range []uint32{0xa1b2c3d4, 2 | 4<<16, 0, 0, 65535, 1, 0, 0, uint32(len(frame)), uint32(len(frame))} {
		binary.Write(&b, binary.LittleEndian, v)
	}
	b.Write(frame)
	return b.Bytes()
}
