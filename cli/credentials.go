package cli

import (
	"cmp"
	"crypto/ecdsa"
	"crypto/tls"
	"encoding/pem"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"

	"github.com/weftfabric/weft/wire/apiclient"
)

// credentialFlags say how to prove who we are to a controller on another machine. Each has an environment
// variable.
type credentialFlags struct {
	dir, ca, cert, key string
}

func (f *credentialFlags) register(root *cobra.Command) {
	flags := root.PersistentFlags()
	flags.StringVar(&f.dir, "credentials", "", "directory with "+apiclient.CAFile+", "+apiclient.CertificateFile+" and "+apiclient.KeyFile+" (WEFT_CREDENTIALS)")
	flags.StringVar(&f.ca, "ca", "", "CA certificate of the fabric, if not in --credentials (WEFT_CA)")
	flags.StringVar(&f.cert, "cert", "", "client certificate, if not in --credentials (WEFT_CERT)")
	flags.StringVar(&f.key, "key", "", "private key, if not in --credentials (WEFT_KEY)")
	for _, name := range []string{"ca", "cert", "key"} {
		complete(root, name, func(*cobra.Command, []string, string) ([]cobra.Completion, cobra.ShellCompDirective) {
			return nil, cobra.ShellCompDirectiveDefault // files
		})
	}
	complete(root, "credentials", func(*cobra.Command, []string, string) ([]cobra.Completion, cobra.ShellCompDirective) {
		return nil, cobra.ShellCompDirectiveFilterDirs
	})
}

// credentialFiles are the paths of what credentials consist of.
type credentialFiles struct{ ca, cert, key string }

// files joins flags and environment; ok is false when nothing is given.
func (f *credentialFlags) files(getenv func(string) string) (files credentialFiles, ok bool, err error) {
	dir := cmp.Or(f.dir, getenv("WEFT_CREDENTIALS"))
	path := func(flag, variable, name string) string {
		p := cmp.Or(flag, getenv(variable))
		if p == "" && dir != "" {
			p = filepath.Join(dir, name)
		}
		return p
	}
	files = credentialFiles{
		ca: path(f.ca, "WEFT_CA", apiclient.CAFile), cert: path(f.cert, "WEFT_CERT", apiclient.CertificateFile), key: path(f.key, "WEFT_KEY", apiclient.KeyFile),
	}
	switch {
	case files == credentialFiles{}:
		return files, false, nil
	case files.ca == "" || files.cert == "" || files.key == "":
		return files, false, errors.New("credentials are incomplete: give --credentials, or all of --ca, --cert and --key")
	}
	return files, true, nil
}

// load reads credentials in PEM form.
func (f credentialFiles) load() (*apiclient.Credentials, error) {
	text, err := os.ReadFile(f.ca)
	if err != nil {
		return nil, fmt.Errorf("CA certificate: %w", err)
	}
	block, _ := pem.Decode(text)
	if block == nil || block.Type != "CERTIFICATE" {
		return nil, fmt.Errorf("%s: there is no certificate in PEM form", f.ca)
	}
	pair, err := tls.LoadX509KeyPair(f.cert, f.key)
	if err != nil {
		return nil, fmt.Errorf("client certificate: %w", err)
	}
	key, ok := pair.PrivateKey.(*ecdsa.PrivateKey)
	if !ok {
		return nil, fmt.Errorf("%s: the key must be an ECDSA one, as the controller makes them", f.key)
	}
	return apiclient.NewCredentials(block.Bytes, pair.Certificate[0], key)
}
