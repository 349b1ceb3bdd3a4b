// Package pki is the fabric's own certificate authority: it makes the CA, and the certificates of
// controllers, nodes and admins, and it makes and checks join tokens.
//
// A certificate's role stands in its only URI: weft://node/NAME, weft://admin/NAME,
// weft://controller, or weft://peer for a controller that calls another one.
// Keys are ECDSA P-256. The package does no I/O; time and randomness come in as arguments.
package pki

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"fmt"
	"io"
	"math/big"
	"time"
)

// The validities of certificates. Nodes and controllers renew theirs after two thirds.
const (
	CAValidity         = 20 * 365 * 24 * time.Hour
	AdminValidity      = 365 * 24 * time.Hour
	NodeValidity       = 30 * 24 * time.Hour
	ControllerValidity = 30 * 24 * time.Hour
	PeerValidity       = time.Hour
	// backdate allows for clocks that are late.
	backdate = 5 * time.Minute
)

// CA is the certificate authority.
type CA struct {
	Certificate *x509.Certificate
	key         crypto.Signer
}

// caRecord is a CA at rest.
type caRecord struct {
	Certificate []byte `json:"certificate"` // DER
	Key         []byte `json:"key"`         // PKCS #8, DER
}

// NewCA makes a certificate authority.
func NewCA(now time.Time, random io.Reader) (*CA, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), random)
	if err != nil {
		return nil, err
	}
	serial, err := newSerial(random)
	if err != nil {
		return nil, err
	}
	template := &x509.Certificate{
		SerialNumber: serial, Subject: pkix.Name{CommonName: "weft CA", Organization: []string{"weft"}},
		NotBefore: now.Add(-backdate), NotAfter: now.Add(CAValidity),
		IsCA: true, BasicConstraintsValid: true, MaxPathLenZero: true,
		KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageCRLSign,
	}
	der, err := x509.CreateCertificate(random, template, template, key.Public(), key)
	if err != nil {
		return nil, fmt.Errorf("make the CA certificate: %w", err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		return nil, err
	}
	return &CA{Certificate: cert, key: key}, nil
}

// Marshal returns the CA with its private key, as JSON.
func (c *CA) Marshal() ([]byte, error) {
	key, err := x509.MarshalPKCS8PrivateKey(c.key)
	if err != nil {
		return nil, err
	}
	return json.Marshal(caRecord{Certificate: c.Certificate.Raw, Key: key})
}

// ParseCA is the inverse of Marshal.
func ParseCA(data []byte) (*CA, error) {
	var r caRecord
	if err := json.Unmarshal(data, &r); err != nil {
		return nil, fmt.Errorf("the stored CA: %w", err)
	}
	cert, err := x509.ParseCertificate(r.Certificate)
	if err != nil {
		return nil, fmt.Errorf("the stored CA: %w", err)
	}
	key, err := x509.ParsePKCS8PrivateKey(r.Key)
	if err != nil {
		return nil, fmt.Errorf("the stored CA: %w", err)
	}
	signer, ok := key.(crypto.Signer)
	if !ok {
		return nil, fmt.Errorf("the stored CA: a %T can't sign", key)
	}
	return &CA{Certificate: cert, key: signer}, nil
}

// Pool returns a pool that holds the CA only.
func (c *CA) Pool() *x509.CertPool {
	p := x509.NewCertPool()
	p.AddCert(c.Certificate)
	return p
}

// Fingerprint returns the SHA-256 sum of the CA's certificate: what a join token pins.
func (c *CA) Fingerprint() [32]byte { return sha256.Sum256(c.Certificate.Raw) }

func newSerial(random io.Reader) (*big.Int, error) {
	b := make([]byte, 16)
	if _, err := io.ReadFull(random, b); err != nil {
		return nil, err
	}
	b[0] &= 0x7f // RFC 5280, section 4.1.2.2: a positive number
	return new(big.Int).SetBytes(b), nil
}
