package topology

import (
	"crypto/sha1"
	"crypto/sha256"
	"fmt"

	"github.com/weftfabric/weft/fabric"
)

// portNamespace is the name space of Port UIDs within the UUIDs of RFC 4122, section 4.3.
const portNamespace = "\x9f\x3c\x1d\x52\x8e\x44\x4b\x0a\x9d\x57\x77\x65\x66\x74\x00\x01"

// PortUID returns the UID of a Port: a UUID of version 5 that depends on the port's name alone, so that it
// can be given to a hypervisor before the port exists.
func PortUID(ref fabric.PortRef) string {
	sum := sha1.Sum([]byte(portNamespace + ref.String()))
	u := sum[:16]
	u[6] = u[6]&0x0f | 0x50
	u[8] = u[8]&0x3f | 0x80
	return fmt.Sprintf("%x-%x-%x-%x-%x", u[:4], u[4:6], u[6:8], u[8:10], u[10:])
}

// DefaultMAC returns the MAC of a Port that declares none: locally administered, derived from its name.
func DefaultMAC(ref fabric.PortRef) fabric.MAC {
	sum := sha256.Sum256([]byte("weft port " + ref.String()))
	return fabric.MAC{0x02, sum[0], sum[1], sum[2], sum[3], sum[4]}
}
