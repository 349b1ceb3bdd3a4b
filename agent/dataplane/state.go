package dataplane

import (
	"encoding/binary"
	"net/netip"
	"slices"

	"github.com/weftfabric/weft/wire/openflow"
)

// CookieMark is the top byte of the cookies of the fabric's own flows: "w".
const CookieMark = 0x77

// Ours reports whether a flow with this cookie belongs to the fabric.
func Ours(cookie uint64) bool { return cookie>>56 == CookieMark }

// State is all that a node's switch must hold.
type State struct {
	Bridge Bridge
	// Flows are the flows of the bridge, sorted by SortFlows.
	Flows []openflow.Flow
}

// Bridge is the integration bridge and its tunnel port.
type Bridge struct {
	// Name is the bridge's name, "br-int".
	Name string
	// Tunnel is the VXLAN port; its zero value means that there is none.
	Tunnel Tunnel
}

// Tunnel is the port that exchanges VXLAN packets with all peers: flows choose the peer and the VNI.
type Tunnel struct {
	// Name is the port's and the interface's name.
	Name string
	// Local is the address that packets leave from and arrive at.
	Local netip.Addr
	// UDPPort is the port that VXLAN packets are sent to and received on (RFC 7348 assigns 4789).
	UDPPort uint16
}

// Key names a flow within a bridge: its table, priority and match. Equal keys are equal flows to the switch
// (OpenFlow 1.5.1, section 5.2). Keys are values to compare; their bytes mean nothing.
type Key string

// KeyOf returns the flow's key.
func KeyOf(f openflow.Flow) Key {
	b := make([]byte, 0, 3+33*len(f.Match))
	b = append(b, f.Table)
	b = binary.BigEndian.AppendUint16(b, f.Priority)
	for _, m := range f.Match {
		b = append(b, byte(m.Field))
		for _, v := range []uint64{m.Value.Hi, m.Value.Lo, m.Mask.Hi, m.Mask.Lo} {
			b = binary.BigEndian.AppendUint64(b, v)
		}
	}
	return Key(b)
}

// SortFlows brings flows into the order of a table's reading: by table, then the highest priority first, then
// by match.
func SortFlows(flows []openflow.Flow) {
	slices.SortFunc(flows, CompareFlows)
}

// CompareFlows orders flows by table, falling priority, and match.
func CompareFlows(a, b openflow.Flow) int { return a.Compare(b) }
