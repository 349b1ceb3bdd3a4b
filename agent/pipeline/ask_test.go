package pipeline_test

import (
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"regexp"
	"strconv"
	"testing"

	"github.com/weftfabric/weft/agent/pipeline"
)

// meters returns what the switch's meters that saw something have counted: packets, and how many of them they dropped.
func (s *ovs) meters(t *testing.T) map[uint32][2]int {
	t.Helper()
	s.appctl(t, "revalidator/wait")
	out := map[uint32][2]int{}
	counts := regexp.MustCompile(`meter:(\d+) flow_count:\d+ packet_in_count:(\d+)[^\n]*\n0: packet_count:(\d+)`)
	for _, m := range counts.FindAllStringSubmatch(s.ofctl(t, "", "meter-stats"), -1) {
		var n [3]int
		for i := range n {
			n[i], _ = strconv.Atoi(m[i+1])
		}
		if n[1] > 0 {
			out[uint32(n[0])] = [2]int{n[1], n[2]}
		}
	}
	return out
}

// installMetered installs the fixture's flows on a switch that has their meters.
func installMetered(t *testing.T) *ovs {
	t.Helper()
	s := startOVS(t, 6)
	for _, m := range pipeline.Meters() {
		s.ofctl(t, "", "add-meter", m.String())
	}
	s.install(t, pipeline.Render(fixture()))
	return s
}

// receive has a packet come in at a port.
func (s *ovs) receive(t *testing.T, port int, flow string, octets int) {
	t.Helper()
	s.appctl(t, "netdev-dummy/receive", fmt.Sprintf("p%d", port), fmt.Sprintf("in_port(%d),%s", port, flow), "--len", strconv.Itoa(octets))
}

// TestQuestionsAreMetered: a workload that floods the agent with questions loses its own, and not those of another port.
func TestQuestionsAreMetered(t *testing.T) {
	s := installMetered(t)
	ask := func(port int) {
		s.receive(t, port, fmt.Sprintf("eth(src=02:aa:00:00:00:%02x,dst=ff:ff:ff:ff:ff:ff),eth_type(0x0800),ipv4(src=0.0.0.0,dst=255.255.255.255,proto=17,tos=0,ttl=64,frag=no),udp(src=68,dst=67)", port), 300)
	}
	for range 300 {
		ask(1)
	}
	ask(2)
	got := s.meters(t)
	if one := got[0x101]; one[0] != 300 || one[1] < 100 || one[1] == 300 {
		t.Errorf("of 300 questions of port 1 the meter saw %d and dropped %d", one[0], one[1])
	}
	if two := got[0x102]; two != [2]int{1, 0} || len(got) != 2 {
		t.Errorf("the meters counted %v; port 2 asked once", got)
	}
}

// TestSizes: what fits into the tunnel goes there, and what has one octet more goes to the agent alone.
func TestSizes(t *testing.T) {
	s := installMetered(t)
	sent := func() int {
		m := regexp.MustCompile(`(?s)port\s+"?(?:p100|100)"?:.*?tx pkts=(\d+)`).FindStringSubmatch(s.ofctl(t, "", "dump-ports"))
		if m == nil {
			t.Fatalf("the switch tells nothing of port 100: %s", s.ofctl(t, "", "dump-ports"))
		}
		n, _ := strconv.Atoi(m[1])
		return n
	}
	const most = 1400 + 14
	for _, octets := range []int{60, most, most + 1, 1514} {
		before, large := sent(), s.meters(t)[0x201][0]
		s.appctl(t, "netdev-dummy/receive", "p1", hex.EncodeToString(udpFrame(octets)))
		fits := octets <= most
		if after := sent() - before; after == 1 != fits {
			t.Errorf("%d octets: %d packets went into the tunnel", octets, after)
		}
		if more := s.meters(t)[0x201][0] - large; more == 1 == fits {
			t.Errorf("%d octets: %d packets went to the agent", octets, more)
		}
	}
}

// udpFrame is a frame of so many octets from the fixture's v1 to a workload of node-b.
func udpFrame(octets int) []byte {
	b := append([]byte{2, 0x77, 0, 0, 0, 1, 2, 0xaa, 0, 0, 0, 1, 8, 0}, 0x45, 0)
	b = binary.BigEndian.AppendUint16(b, uint16(octets-14))
	b = append(b, 0, 0, 0x40, 0, 64, 17, 0, 0, 10, 0, 0, 11, 10, 0, 0, 65) // don't fragment, UDP
	var sum uint32
	for i := 14; i < 34; i += 2 {
		sum += uint32(binary.BigEndian.Uint16(b[i:]))
	}
	binary.BigEndian.PutUint16(b[24:], ^uint16(sum>>16+sum))
	b = binary.BigEndian.AppendUint16(append(b, 0x03, 0xe8, 0x07, 0xd0), uint16(octets-34)) // ports 1000 and 2000
	return append(b, make([]byte, octets-len(b))...)
}
