package pki_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"net/url"
	"testing"
	"time"

	"github.com/weftfabric/weft/controller/pki"
	"github.com/weftfabric/weft/wire/join"
)

var now = time.Date(2030, 1, 1, 0, 0, 0, 0, time.UTC)

func newCA(t *testing.T) *pki.CA {
	t.Helper()
	ca, err := pki.NewCA(now, rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return ca
}

func TestCARoundTrip(t *testing.T) {
	ca := newCA(t)
	data, err := ca.Marshal()
	if err != nil {
		t.Fatal(err)
	}
	back, err := pki.ParseCA(data)
	if err != nil || !back.Certificate.Equal(ca.Certificate) || back.Fingerprint() != ca.Fingerprint() {
		t.Fatal(err)
	}
}

// A certificate of one role is good for that role's side of a connection only.
func TestUsages(t *testing.T) {
	ca := newCA(t)
	for _, row := range []struct {
		subject        pki.Subject
		client, server bool
	}{
		{pki.Subject{Role: pki.RoleNode, Name: "n1"}, true, false},
		{pki.Subject{Role: pki.RoleAdmin, Name: "default"}, true, false},
		{pki.Subject{Role: pki.RoleController}, false, true},
	} {
		cert, err := ca.IssueNew(pki.Request{Subject: row.subject, Now: now, Validity: time.Hour, Hosts: []string{"192.0.2.1", "a.example"}}, rand.Reader)
		if err != nil {
			t.Fatal(err)
		}
		verify := func(name string, usage x509.ExtKeyUsage, at time.Time) bool {
			_, err := cert.Leaf.Verify(x509.VerifyOptions{Roots: ca.Pool(), DNSName: name, CurrentTime: at, KeyUsages: []x509.ExtKeyUsage{usage}})
			return err == nil
		}
		if got := verify("", x509.ExtKeyUsageClientAuth, now); got != row.client {
			t.Errorf("%s: client %v", row.subject, got)
		}
		for _, name := range []string{join.ServerName, "192.0.2.1", "a.example"} {
			if got := verify(name, x509.ExtKeyUsageServerAuth, now); got != row.server {
				t.Errorf("%s: server %s %v", row.subject, name, got)
			}
		}
		if verify("", x509.ExtKeyUsageAny, now.Add(2*time.Hour)) {
			t.Errorf("%s: an expired certificate is good", row.subject)
		}
		if got, err := pki.SubjectOf(cert.Leaf); err != nil || got != row.subject {
			t.Errorf("%s: got %v %v", row.subject, got, err)
		}
	}
}

func TestSubjectOfRefuses(t *testing.T) {
	for _, text := range []string{"https://node/n1", "weft://root/n1", "weft://node/", "weft://node/N_1", "weft://admin/a/b"} {
		u, err := url.Parse(text)
		if err != nil {
			t.Fatal(err)
		}
		if s, err := pki.SubjectOf(&x509.Certificate{URIs: []*url.URL{u}}); err == nil {
			t.Errorf("%s: got %v", text, s)
		}
	}
	if _, err := pki.SubjectOf(&x509.Certificate{}); err == nil {
		t.Error("a certificate without a URI has a role")
	}
}

func TestParseRequestRefuses(t *testing.T) {
	key, err := ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	other, err := x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{}, key)
	if err != nil {
		t.Fatal(err)
	}
	damaged := append([]byte(nil), other...)
	damaged[len(damaged)-1] ^= 1
	for name, der := range map[string][]byte{"nothing": nil, "another curve": other, "a wrong signature": damaged} {
		if _, err := pki.ParseRequest(der); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
}

func TestTokens(t *testing.T) {
	ca := newCA(t)
	a, errA := ca.NewToken(rand.Reader)
	b, errB := ca.NewToken(rand.Reader)
	if errA != nil || errB != nil {
		t.Fatal(errA, errB)
	}
	if a.CA != ca.Fingerprint() || !pki.CheckToken(a, pki.HashToken(a)) || pki.CheckToken(b, pki.HashToken(a)) {
		t.Error("the token does not check")
	}
}
