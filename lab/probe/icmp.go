package probe

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"net/netip"
)

// family is what differs between ICMP (RFC 792) and ICMPv6 (RFC 4443, section 4).
type family struct {
	network, any   string
	request, reply byte
	checksum       bool // the kernel fills in that of ICMPv6
}

var (
	icmp4 = family{network: "ip4:icmp", any: "0.0.0.0", request: 8, reply: 0, checksum: true}
	icmp6 = family{network: "ip6:ipv6-icmp", any: "::", request: 128, reply: 129}
)

func familyOf(a netip.Addr) family {
	if a.Is4() {
		return icmp4
	}
	return icmp6
}

// echoMagic begins the payload of the lab's echo requests; the token follows.
var echoMagic = []byte("weft")

const (
	echoHeader = 8 // type, code, checksum (2), identifier (2), sequence number (2)
	tokenLen   = 16
)

// echo returns an echo message that carries a token of hexadecimal digits.
func (f family) echo(kind byte, token string) []byte {
	raw, _ := hex.DecodeString(token)
	msg := make([]byte, echoHeader, echoHeader+len(echoMagic)+tokenLen)
	msg[0] = kind
	if len(raw) >= 2 {
		copy(msg[4:6], raw)
	}
	msg[7] = 1
	msg = append(append(msg, echoMagic...), raw...)
	if f.checksum {
		binary.BigEndian.PutUint16(msg[2:], checksum(msg))
	}
	return msg
}

// token returns the token of an echo message of the lab.
func (f family) token(kind byte, msg []byte) (string, bool) {
	if len(msg) != echoHeader+len(echoMagic)+tokenLen || msg[0] != kind || !bytes.Equal(msg[echoHeader:][:len(echoMagic)], echoMagic) {
		return "", false
	}
	return hex.EncodeToString(msg[echoHeader+len(echoMagic):]), true
}

// checksum is the Internet checksum (RFC 1071) of a message whose checksum field is zero.
func checksum(b []byte) uint16 {
	var sum uint32
	for i := 0; i < len(b); i += 2 {
		word := uint32(b[i]) << 8
		if i+1 < len(b) {
			word |= uint32(b[i+1])
		}
		sum += word
	}
	for sum > 0xffff {
		sum = sum>>16 + sum&0xffff
	}
	return ^uint16(sum)
}
