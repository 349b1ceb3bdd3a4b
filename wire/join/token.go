// Package join is what a node must hold to join a fabric: the text of a join token, and the name that
// controllers prove. It imports the standard library only.
package join

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"strings"
)

// ServerName is a DNS name in every controller's certificate. Only controllers have a server certificate of
// the fabric's CA, so clients verify this name, whatever address they dial.
const ServerName = "controller.weft.internal"

// The sizes of a token's parts, in bytes.
const (
	IDSize     = 5
	SecretSize = 18
)

const version = "weft1"

// Token lets a node join. Its text is "weft1.<id>.<secret>.<ca>": the id in hexadecimal, the secret in
// base64url (RFC 4648, section 5, without padding), and the SHA-256 sum of the CA's certificate in
// hexadecimal.
type Token struct {
	ID     string // public
	Secret [SecretSize]byte
	// CA pins the fabric's certificate authority.
	CA [sha256.Size]byte
}

// String returns the token's text, secret included.
func (t Token) String() string {
	return strings.Join([]string{version, t.ID, base64.RawURLEncoding.EncodeToString(t.Secret[:]), hex.EncodeToString(t.CA[:])}, ".")
}

// ParseToken is the inverse of String. Its errors never hold the secret.
func ParseToken(s string) (Token, error) {
	parts := strings.Split(strings.TrimSpace(s), ".")
	if len(parts) != 4 || parts[0] != version {
		return Token{}, fmt.Errorf("this is not a join token: one has the form %s.<id>.<secret>.<ca>", version)
	}
	t := Token{ID: parts[1]}
	if b, err := hex.DecodeString(t.ID); err != nil || len(b) != IDSize {
		return Token{}, fmt.Errorf("the join token's id is damaged: copy it again")
	}
	secret, err := base64.RawURLEncoding.Strict().DecodeString(parts[2])
	if err != nil || len(secret) != SecretSize {
		return Token{}, fmt.Errorf("the join token's secret is damaged: copy it again")
	}
	ca, err := hex.DecodeString(parts[3])
	if err != nil || len(ca) != sha256.Size {
		return Token{}, fmt.Errorf("the join token's CA is damaged: copy it again")
	}
	copy(t.Secret[:], secret)
	copy(t.CA[:], ca)
	return t, nil
}
