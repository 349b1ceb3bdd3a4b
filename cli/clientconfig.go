package cli

import (
	"crypto/ecdh"
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strings"

	"github.com/spf13/cobra"
	"rsc.io/qr"

	"github.com/weftfabric/weft/fabric"
	"github.com/weftfabric/weft/topology"
	weftv1 "github.com/weftfabric/weft/wire/weftpb/weft/v1"
	"github.com/weftfabric/weft/wire/weftpb/weft/v1/weftv1connect"
)

// clientKey is a WireGuard private key (RFC 7748); the zero value is none.
type clientKey [32]byte

func newClientKey() (k clientKey, err error) {
	if _, err := rand.Read(k[:]); err != nil {
		return clientKey{}, fmt.Errorf("make a key: %w", err)
	}
	k[0] &= 248 // RFC 7748, section 5
	k[31] = k[31]&127 | 64
	return k, nil
}

func readClientKey(path string) (k clientKey, err error) {
	b, err := os.ReadFile(path)
	if err != nil {
		return k, err
	}
	raw, err := base64.StdEncoding.Strict().DecodeString(strings.TrimSpace(string(b)))
	if err != nil || len(raw) != len(k) || clientKey(raw) == (clientKey{}) {
		return k, fmt.Errorf("%s holds no WireGuard key: make one with weft client key, or wg genkey", path)
	}
	return clientKey(raw), nil
}

// makeClientKey reads the key of a file, which is made when it doesn't exist.
func makeClientKey(path string) (clientKey, error) {
	k, err := readClientKey(path)
	if !errors.Is(err, fs.ErrNotExist) {
		return k, err
	}
	if k, err = newClientKey(); err != nil {
		return k, err
	}
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return k, err
	}
	_, err = fmt.Fprintln(f, k)
	return k, errors.Join(err, f.Close())
}

func (k clientKey) String() string { return base64.StdEncoding.EncodeToString(k[:]) }

func (k clientKey) public() fabric.PublicKey {
	private, err := ecdh.X25519().NewPrivateKey(k[:])
	if err != nil {
		panic(err) // every 32 bytes are one
	}
	return fabric.PublicKey(private.PublicKey().Bytes())
}

// storeClientKey gives a Client a new public key. What else it declares, and its apply set, stay.
func (a *app) storeClientKey(cmd *cobra.Command, client weftv1connect.IntentServiceClient, key topology.Key, private clientKey) error {
	objects, err := a.list(cmd.Context(), client, topology.KindClient, key.Tenant)
	if err != nil {
		return err
	}
	for _, o := range objects {
		if o.key() != key {
			continue
		}
		c := *o.declared.Client
		c.Spec.PublicKey = private.public()
		changed, _ := topology.NewObject(&c)
		content, err := json.Marshal(changed)
		if err != nil {
			return err
		}
		_, err = call(cmd.Context(), a, client.Apply, &weftv1.ApplyRequest{
			Files: []*weftv1.File{{Name: "weft client config --generate", Content: content}}, ApplySet: o.GetApplySet(),
		})
		if err == nil {
			fmt.Fprintf(a.Stderr, "client %s/%s has the new public key %s: write it into your files too, before you apply them again\n", key.Tenant, key.Name, c.Spec.PublicKey)
		}
		return err
	}
	return refused("%s does not exist: declare it", key)
}

// wgQuick returns a client's configuration in the form of wg-quick(8).
func wgQuick(c *weftv1.ClientInfo, private clientKey) (string, error) {
	name := c.GetTenant() + "/" + c.GetName()
	declared := fabric.PublicKey(c.GetKey())
	if private != (clientKey{}) && private.public() != declared {
		return "", refused("the key has the public part %s, but client %s declares %s: use the file that belongs to it, or change the Client", private.public(), name, declared)
	}
	g := c.GetGateway()
	if g == nil {
		return "", refused("no gateway serves client %s yet: a node that the Fabric's spec.clients.gateways selects must be connected", name)
	}
	var b strings.Builder
	line := func(key string, values ...string) { fmt.Fprintf(&b, "%s = %s\n", key, strings.Join(values, ", ")) }
	fmt.Fprintf(&b, "# Client %s in network %s\n[Interface]\n", name, c.GetNetwork())
	if private == (clientKey{}) {
		line("# PrivateKey", "the private key that belongs to "+declared.String())
	} else {
		line("PrivateKey", private.String())
	}
	line("Address", c.GetAddresses()...)
	if len(c.GetDns()) > 0 {
		line("DNS", c.GetDns()...)
	}
	line("MTU", fmt.Sprint(c.GetMtu()))
	fmt.Fprintf(&b, "\n# Gateway %s\n[Peer]\n", g.GetNode())
	line("PublicKey", fabric.PublicKey(g.GetKey()).String())
	line("Endpoint", g.GetEndpoint())
	line("AllowedIPs", c.GetRanges()...)
	line("PersistentKeepalive", "25")
	for _, o := range c.GetOthers() {
		fmt.Fprintf(&b, "\n# Gateway %s, should the client move there:\n# PublicKey = %s\n# Endpoint = %s\n", o.GetNode(), fabric.PublicKey(o.GetKey()), o.GetEndpoint())
	}
	return b.String(), nil
}

// quiet is the width of the light margin of a QR code, in modules (ISO/IEC 18004).
const quiet = 4

// drawQR draws a QR code with two modules in each character, light ones filled. On a terminal it sets the colours, white on black:
// not all readers take the code with light and dark exchanged, as a terminal with dark text would show it. Comments are left
// out, so that the code stays small.
func drawQR(w io.Writer, config string, terminal bool) error {
	begin, end := "", ""
	if terminal {
		begin, end = "\x1b[97;40m", "\x1b[0m"
	}
	var text strings.Builder
	for l := range strings.Lines(config) {
		if !strings.HasPrefix(l, "#") && l != "\n" {
			text.WriteString(l)
		}
	}
	code, err := qr.Encode(text.String(), qr.L)
	if err != nil {
		return fmt.Errorf("the configuration doesn't fit into a QR code: %w", err)
	}
	light := func(x, y int) int {
		if y < code.Size+quiet && !code.Black(x, y) {
			return 1
		}
		return 0
	}
	for y := -quiet; y < code.Size+quiet; y += 2 {
		var b strings.Builder
		for x := -quiet; x < code.Size+quiet; x++ {
			b.WriteString([]string{" ", "▀", "▄", "█"}[light(x, y)+2*light(x, y+1)])
		}
		if _, err := fmt.Fprintln(w, begin+b.String()+end); err != nil {
			return err
		}
	}
	return nil
}
