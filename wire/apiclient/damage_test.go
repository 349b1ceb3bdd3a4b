package apiclient_test

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"math/big"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/weftfabric/weft/wire/apiclient"
)

// saved writes credentials of a CA of the test's own, and returns them with their directory.
func saved(t *testing.T) (*apiclient.Credentials, string) {
	t.Helper()
	newKey := func() *ecdsa.PrivateKey {
		key, err := apiclient.NewKey()
		if err != nil {
			t.Fatal(err)
		}
		return key
	}
	caKey, key := newKey(), newKey()
	template := func(serial int64) *x509.Certificate {
		return &x509.Certificate{SerialNumber: big.NewInt(serial), Subject: pkix.Name{CommonName: "test"}, NotBefore: time.Now(), NotAfter: time.Now().Add(time.Hour)}
	}
	ca := template(1)
	ca.IsCA, ca.BasicConstraintsValid, ca.KeyUsage = true, true, x509.KeyUsageCertSign
	caDER, err := x509.CreateCertificate(rand.Reader, ca, ca, caKey.Public(), caKey)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.CreateCertificate(rand.Reader, template(2), ca, key.Public(), caKey)
	if err != nil {
		t.Fatal(err)
	}
	c, err := apiclient.NewCredentials(caDER, der, key)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	if err := c.Save(dir); err != nil {
		t.Fatal(err)
	}
	return c, dir
}

// TestDamagedCredentials: files that are cut, or of which a bit is flipped, give an error, or what was saved.
func TestDamagedCredentials(t *testing.T) {
	want, dir := saved(t)
	for _, name := range []string{apiclient.CAFile, apiclient.CertificateFile, apiclient.KeyFile} {
		path := filepath.Join(dir, name)
		good, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		check := func(what string, at int, content []byte) {
			if err := os.WriteFile(path, content, 0o600); err != nil {
				t.Fatal(err)
			}
			got, err := apiclient.LoadCredentials(dir)
			if err != nil {
				return
			}
			if !bytes.Equal(got.CA.Raw, want.CA.Raw) || !bytes.Equal(got.Certificate.Raw, want.Certificate.Raw) || !got.Key.Equal(want.Key) {
				t.Errorf("%s %s %d: other credentials were loaded", name, what, at)
			}
		}
		for at := range good {
			if at%16 == 0 {
				check("cut at", at, good[:at])
			}
			flipped := bytes.Clone(good)
			flipped[at] ^= 1 << (at % 7)
			check("flipped at", at, flipped)
		}
		if err := os.WriteFile(path, good, 0o600); err != nil {
			t.Fatal(err)
		}
	}
}
