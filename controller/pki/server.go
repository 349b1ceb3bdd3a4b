package pki

import (
	"crypto/tls"
	"io"
	"sync"
	"time"
)

// ServerCertificates issues a controller's own certificate, and a new one when two thirds of its time are over.
type ServerCertificates struct {
	ca     *CA
	hosts  []string
	now    func() time.Time
	random io.Reader

	mu      sync.Mutex
	current *tls.Certificate
	renewAt time.Time
}

// NewServerCertificates returns the source of a controller's certificates. Hosts are the names and addresses under
// which it is reached.
func NewServerCertificates(ca *CA, hosts []string, now func() time.Time, random io.Reader) *ServerCertificates {
	return &ServerCertificates{ca: ca, hosts: hosts, now: now, random: random}
}

// TLSConfig returns the configuration of a controller's listener: TLS 1.3, and client certificates of the CA only.
// Callers without a certificate are let in, since joining nodes have none; the API decides what they may do.
func (s *ServerCertificates) TLSConfig() *tls.Config {
	return &tls.Config{
		MinVersion:     tls.VersionTLS13,
		ClientAuth:     tls.VerifyClientCertIfGiven,
		ClientCAs:      s.ca.Pool(),
		GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return s.certificate() },
		Time:           s.now,
	}
}

func (s *ServerCertificates) certificate() (*tls.Certificate, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := s.now()
	if s.current != nil && now.Before(s.renewAt) {
		return s.current, nil
	}
	cert, err := s.ca.IssueNew(Request{Subject: Subject{Role: RoleController}, Hosts: s.hosts, Now: now, Validity: ControllerValidity}, s.random)
	if err != nil {
		return nil, err
	}
	s.current, s.renewAt = &cert, now.Add(ControllerValidity*2/3)
	return s.current, nil
}
