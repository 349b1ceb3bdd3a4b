package apiclient

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/weftfabric/weft/wire/join"
)

// The files of a directory of credentials, in PEM form.
const (
	CAFile          = "ca.crt"
	CertificateFile = "tls.crt"
	KeyFile         = "tls.key"
)

// Credentials are a client's certificate and key, and the CA that it trusts.
type Credentials struct {
	CA          *x509.Certificate
	Certificate *x509.Certificate
	Key         *ecdsa.PrivateKey
}

// NewCredentials parses what the controller signed: certificates in DER form.
func NewCredentials(ca, certificate []byte, key *ecdsa.PrivateKey) (*Credentials, error) {
	c := &Credentials{Key: key}
	var err error
	if c.CA, err = x509.ParseCertificate(ca); err != nil {
		return nil, fmt.Errorf("CA certificate: %w", err)
	}
	if c.Certificate, err = x509.ParseCertificate(certificate); err != nil {
		return nil, fmt.Errorf("certificate: %w", err)
	}
	if !key.PublicKey.Equal(c.Certificate.PublicKey) {
		return nil, errors.New("the certificate is not one of this key")
	}
	if err := c.CA.CheckSignatureFrom(c.CA); err != nil { // a CA of its own: its signature shows whether it is whole
		return nil, fmt.Errorf("CA certificate: it is damaged: %w", err)
	}
	if err := c.Certificate.CheckSignatureFrom(c.CA); err != nil {
		return nil, fmt.Errorf("the certificate is not one of this CA: %w", err)
	}
	return c, nil
}

// RenewAt returns when the certificate should be renewed: after two thirds of its time.
func (c *Credentials) RenewAt() time.Time {
	from, to := c.Certificate.NotBefore, c.Certificate.NotAfter
	return from.Add(to.Sub(from) * 2 / 3)
}

// TLSConfig returns a configuration that verifies that the server is a controller of the CA, whatever its address.
func (c *Credentials) TLSConfig() *tls.Config {
	roots := x509.NewCertPool()
	roots.AddCert(c.CA)
	return &tls.Config{
		MinVersion: tls.VersionTLS13, RootCAs: roots, ServerName: join.ServerName,
		Certificates: []tls.Certificate{{Certificate: [][]byte{c.Certificate.Raw}, PrivateKey: c.Key, Leaf: c.Certificate}},
	}
}

// NewKey makes a key of the kind that the controller signs.
func NewKey() (*ecdsa.PrivateKey, error) { return ecdsa.GenerateKey(elliptic.P256(), rand.Reader) }

// LoadKey reads a key that SaveKey, or Save, wrote to a directory.
func LoadKey(dir string) (*ecdsa.PrivateKey, error) {
	der, err := readPEM(filepath.Join(dir, KeyFile), "PRIVATE KEY")
	if err != nil {
		return nil, err
	}
	key, err := x509.ParsePKCS8PrivateKey(der)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", filepath.Join(dir, KeyFile), err)
	}
	k, ok := key.(*ecdsa.PrivateKey)
	if !ok {
		return nil, fmt.Errorf("%s: the key must be an ECDSA one", filepath.Join(dir, KeyFile))
	}
	return k, nil
}

// SaveKey writes a key to a directory, which is made. An agent saves its key before it joins: when the answer to
// Join is lost, it can join again as the same node.
func SaveKey(dir string, key *ecdsa.PrivateKey) error {
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return err
	}
	return writePEM(dir, KeyFile, "PRIVATE KEY", der, 0o600)
}

// Request returns a certificate request (PKCS #10) that proves the possession of a key.
func Request(key *ecdsa.PrivateKey, name string) ([]byte, error) {
	return x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{Subject: pkix.Name{CommonName: name}}, key)
}

// LoadCredentials reads the files of a directory. The error is fs.ErrNotExist when one is missing.
func LoadCredentials(dir string) (*Credentials, error) {
	ca, err := readPEM(filepath.Join(dir, CAFile), "CERTIFICATE")
	if err != nil {
		return nil, err
	}
	cert, err := readPEM(filepath.Join(dir, CertificateFile), "CERTIFICATE")
	if err != nil {
		return nil, err
	}
	key, err := LoadKey(dir)
	if err != nil {
		return nil, err
	}
	c, err := NewCredentials(ca, cert, key)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", dir, err)
	}
	return c, nil
}

// Save writes the files of a directory, which is made.
func (c *Credentials) Save(dir string) error {
	return errors.Join(
		SaveKey(dir, c.Key),
		writePEM(dir, CAFile, "CERTIFICATE", c.CA.Raw, 0o644),
		writePEM(dir, CertificateFile, "CERTIFICATE", c.Certificate.Raw, 0o644),
	)
}

func readPEM(path, kind string) ([]byte, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	block, _ := pem.Decode(data)
	if block == nil || block.Type != kind {
		return nil, fmt.Errorf("%s: there is no %s in PEM form", path, kind)
	}
	return block.Bytes, nil
}

// writePEM replaces a file in one step.
func writePEM(dir, name, kind string, der []byte, mode os.FileMode) (err error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	f, err := os.CreateTemp(dir, "."+name+"-")
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, os.Remove(f.Name()))
		}
	}()
	var b bytes.Buffer
	err = pem.Encode(&b, &pem.Block{Type: kind, Bytes: der})
	if err == nil {
		_, err = f.Write(b.Bytes())
	}
	if err == nil {
		err = f.Chmod(mode)
	}
	if err == nil {
		err = f.Sync()
	}
	if err = errors.Join(err, f.Close()); err != nil {
		return err
	}
	return os.Rename(f.Name(), filepath.Join(dir, name))
}
