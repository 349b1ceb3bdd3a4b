package fabric

import "fmt"

// NetworkID numbers a network in registers and as its conntrack zone: 1 to 65534. 0 means "none".
type NetworkID uint16

// MaxNetworkID is the largest number of a network; 65535 is kept free for the fabric itself.
const MaxNetworkID NetworkID = 65534

// Identity is a network together with a canonical set of policy-relevant labels: a number of 24 bits.
// The VNI of a VXLAN header that a weft node sends is the sender's identity (RFC 7348, section 5).
// 0 means "unknown", which every policy denies.
type Identity uint32

// MaxIdentity is the largest identity: the VNI space has 24 bits.
const MaxIdentity Identity = 1<<24 - 1

// String returns the hexadecimal form with six digits.
func (id Identity) String() string { return fmt.Sprintf("0x%06x", uint32(id)) }

// VNIBlock is an aligned block of the VNI space: all VNIs whose upper Bits bits equal those of Base.
// A network owns one or more blocks, and all identities of the network lie inside them.
type VNIBlock struct {
	Base Identity `json:"base"`
	Bits uint8    `json:"bits"` // prefix length, 1 to 24; 16 is a block of 256
}

// DefaultVNIBlockBits is the prefix length of a network's blocks: 256 identities each.
const DefaultVNIBlockBits = 16

// Mask returns the mask of the block's fixed bits within 24 bits.
func (b VNIBlock) Mask() uint32 { return uint32(MaxIdentity) &^ (1<<(24-b.Bits) - 1) }

// Size returns the number of VNIs in the block.
func (b VNIBlock) Size() uint32 { return 1 << (24 - b.Bits) }

// Contains reports whether id lies in the block.
func (b VNIBlock) Contains(id Identity) bool { return uint32(id)&b.Mask() == uint32(b.Base) }

// String returns "base/bits", such as 0x012300/16.
func (b VNIBlock) String() string { return fmt.Sprintf("%s/%d", b.Base, b.Bits) }
