package pki

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"fmt"
	"io"
	"net"
	"net/url"
	"strings"
	"time"

	"github.com/weftfabric/weft/fabric"
	"github.com/weftfabric/weft/wire/join"
)

// Role is what the holder of a certificate may be.
type Role string

// The roles.
const (
	RoleAdmin      Role = "admin"
	RoleNode       Role = "node"
	RoleController Role = "controller"
	// RolePeer is a controller that calls another one.
	RolePeer Role = "peer"
)

// Subject is whom a certificate speaks for.
type Subject struct {
	Role Role
	Name string // of the node or the admin; empty for controllers and peers
}

// String returns the subject's URI.
func (s Subject) String() string { return s.uri().String() }

func (s Subject) uri() *url.URL {
	u := &url.URL{Scheme: "weft", Host: string(s.Role)}
	if s.Name != "" {
		u.Path = "/" + s.Name
	}
	return u
}

// SubjectOf returns whom a verified certificate speaks for.
func SubjectOf(cert *x509.Certificate) (Subject, error) {
	if len(cert.URIs) != 1 || cert.URIs[0].Scheme != "weft" {
		return Subject{}, fmt.Errorf("the certificate of %q has no weft role", cert.Subject.CommonName)
	}
	u := cert.URIs[0]
	s := Subject{Role: Role(u.Host), Name: strings.TrimPrefix(u.Path, "/")}
	switch s.Role {
	case RoleAdmin, RoleNode:
		if err := fabric.CheckName(s.Name); err != nil {
			return Subject{}, fmt.Errorf("the certificate's %s: %w", s.Role, err)
		}
	case RoleController, RolePeer:
	default:
		return Subject{}, fmt.Errorf("the certificate's role %q is not known", s.Role)
	}
	return s, nil
}

// Request is what a certificate is to hold.
type Request struct {
	Subject Subject
	Public  crypto.PublicKey
	// Hosts are the further DNS names and addresses of a controller.
	Hosts    []string
	Now      time.Time
	Validity time.Duration
}

// Issue signs a certificate, and returns it in DER form.
func (c *CA) Issue(r Request, random io.Reader) ([]byte, error) {
	serial, err := newSerial(random)
	if err != nil {
		return nil, err
	}
	template := &x509.Certificate{
		SerialNumber: serial,
		Subject:      pkix.Name{CommonName: r.Subject.Name, Organization: []string{"weft:" + string(r.Subject.Role)}},
		URIs:         []*url.URL{r.Subject.uri()},
		NotBefore:    r.Now.Add(-backdate), NotAfter: r.Now.Add(r.Validity),
		KeyUsage:              x509.KeyUsageDigitalSignature,
		ExtKeyUsage:           []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
		BasicConstraintsValid: true,
	}
	if r.Subject.Role == RoleController {
		template.Subject.CommonName = join.ServerName
		template.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}
		template.DNSNames = []string{join.ServerName}
		for _, h := range r.Hosts {
			if ip := net.ParseIP(h); ip != nil {
				template.IPAddresses = append(template.IPAddresses, ip)
			} else {
				template.DNSNames = append(template.DNSNames, h)
			}
		}
	}
	der, err := x509.CreateCertificate(random, template, c.Certificate, r.Public, c.key)
	if err != nil {
		return nil, fmt.Errorf("sign the certificate of %s: %w", r.Subject, err)
	}
	return der, nil
}

// IssueNew makes a key and a certificate for it. Of r, Public is ignored. The CA's certificate follows in the
// chain, so that one who has only its fingerprint can verify it.
func (c *CA) IssueNew(r Request, random io.Reader) (tls.Certificate, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), random)
	if err != nil {
		return tls.Certificate{}, err
	}
	r.Public = key.Public()
	der, err := c.Issue(r, random)
	if err != nil {
		return tls.Certificate{}, err
	}
	leaf, err := x509.ParseCertificate(der)
	if err != nil {
		return tls.Certificate{}, err
	}
	return tls.Certificate{Certificate: [][]byte{der, c.Certificate.Raw}, PrivateKey: key, Leaf: leaf}, nil
}

// ParseRequest returns the public key of a certificate request (PKCS #10, RFC 2986), whose signature proves
// that the sender holds the private one. Nothing else of the request counts.
func ParseRequest(der []byte) (crypto.PublicKey, error) {
	csr, err := x509.ParseCertificateRequest(der)
	if err != nil {
		return nil, fmt.Errorf("the certificate request can't be read: %w", err)
	}
	if err := csr.CheckSignature(); err != nil {
		return nil, fmt.Errorf("the certificate request's signature is wrong: %w", err)
	}
	if k, ok := csr.PublicKey.(*ecdsa.PublicKey); !ok || k.Curve != elliptic.P256() {
		return nil, fmt.Errorf("the certificate request's key must be ECDSA P-256")
	}
	return csr.PublicKey, nil
}

// KeySum returns the SHA-256 sum of a public key in PKIX form.
func KeySum(public crypto.PublicKey) ([]byte, error) {
	der, err := x509.MarshalPKIXPublicKey(public)
	if err != nil {
		return nil, err
	}
	sum := sha256.Sum256(der)
	return sum[:], nil
}
