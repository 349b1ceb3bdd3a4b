package fabric

import (
	"encoding/base64"
	"fmt"
)

// PublicKey is the public key of a node's WireGuard: a point of Curve25519. The zero value means "none".
type PublicKey [32]byte

// ParsePublicKey parses the base64 form that wg(8) prints, and refuses the key of zeros.
func ParsePublicKey(s string) (PublicKey, error) {
	b, err := base64.StdEncoding.Strict().DecodeString(s)
	if err != nil || len(b) != len(PublicKey{}) {
		return PublicKey{}, fmt.Errorf("%.60q is not a WireGuard key: write 32 bytes in base64, as wg prints it", s)
	}
	k := PublicKey(b)
	if k.IsZero() {
		return PublicKey{}, fmt.Errorf("the WireGuard key %s is all zero", s)
	}
	return k, nil
}

// IsZero reports whether k is "none".
func (k PublicKey) IsZero() bool { return k == PublicKey{} }

// String returns the base64 form; "none" is the empty text.
func (k PublicKey) String() string {
	if k.IsZero() {
		return ""
	}
	return base64.StdEncoding.EncodeToString(k[:])
}

// MarshalText implements encoding.TextMarshaler.
func (k PublicKey) MarshalText() ([]byte, error) { return []byte(k.String()), nil }

// UnmarshalText implements encoding.TextUnmarshaler.
func (k *PublicKey) UnmarshalText(b []byte) (err error) {
	if len(b) == 0 {
		*k = PublicKey{}
		return nil
	}
	*k, err = ParsePublicKey(string(b))
	return err
}
