package controller

import (
	"crypto/rand"
	"fmt"
	"path/filepath"
	"time"

	"github.com/weftfabric/weft/controller/pki"
	"github.com/weftfabric/weft/wire/apiclient"
)

// adminName is the name in the certificate that the controller writes for remote use.
const adminName = "default"

// writeAdmin keeps a valid admin certificate in the data directory's folder "admin". Copied to another machine, it lets
// the command line reach the controller over TCP.
func writeAdmin(dataDir string, ca *pki.CA, now time.Time) error {
	dir := filepath.Join(dataDir, "admin")
	if have, err := apiclient.LoadCredentials(dir); err == nil && have.CA.Equal(ca.Certificate) && now.Before(have.RenewAt()) {
		return nil
	}
	key, err := apiclient.NewKey()
	if err != nil {
		return err
	}
	cert, err := ca.Issue(pki.Request{
		Subject: pki.Subject{Role: pki.RoleAdmin, Name: adminName}, Public: key.Public(), Now: now, Validity: pki.AdminValidity}, rand.Reader)
	if err != nil {
		return err
	}
	credentials, err := apiclient.NewCredentials(ca.Certificate.Raw, cert, key)
	if err != nil {
		return err
	}
	if err := credentials.Save(dir); err != nil {
		return fmt.Errorf("write the admin certificate: %w", err)
	}
	return nil
}
