package pki

import (
	"crypto/sha256"
	"crypto/subtle"
	"encoding/hex"
	"io"
	"time"

	"github.com/weftfabric/weft/wire/join"
)

// The life of a join token.
const (
	DefaultTokenTTL = time.Hour
	MaxTokenTTL     = 30 * 24 * time.Hour
)

// NewToken makes a join token that pins the CA.
func (c *CA) NewToken(random io.Reader) (join.Token, error) {
	t := join.Token{CA: c.Fingerprint()}
	var id [join.IDSize]byte
	if _, err := io.ReadFull(random, id[:]); err != nil {
		return t, err
	}
	t.ID = hex.EncodeToString(id[:])
	_, err := io.ReadFull(random, t.Secret[:])
	return t, err
}

// HashToken returns what the controller keeps of a token's secret. The secret has 144 random bits, so a
// plain hash can't be searched.
func HashToken(t join.Token) []byte {
	sum := sha256.Sum256(append([]byte("weft join token "+t.ID+" "), t.Secret[:]...))
	return sum[:]
}

// CheckToken reports whether a token's secret is the one that was hashed.
func CheckToken(t join.Token, hash []byte) bool {
	return subtle.ConstantTimeCompare(HashToken(t), hash) == 1
}
