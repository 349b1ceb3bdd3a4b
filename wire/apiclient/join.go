package apiclient

import (
	"context"
	"crypto/ecdsa"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"

	"connectrpc.com/connect"

	"github.com/weftfabric/weft/fabric"
	"github.com/weftfabric/weft/wire/join"
	weftv1 "github.com/weftfabric/weft/wire/weftpb/weft/v1"
)

// JoinRequest is what a node needs to join.
type JoinRequest struct {
	Server string // https://host:port
	Token  string
	Node   fabric.NodeName
	Key    *ecdsa.PrivateKey
}

// Join makes this machine a node. The token pins the CA: a server that can't prove to be of that CA never sees the
// token.
func Join(ctx context.Context, r JoinRequest) (*Credentials, error) {
	token, err := join.ParseToken(r.Token)
	if err != nil {
		return nil, err
	}
	csr, err := Request(r.Key, string(r.Node))
	if err != nil {
		return nil, err
	}
	c, err := newClient(r.Server, pinned(token.CA))
	if err != nil {
		return nil, err
	}
	defer c.Close()
	resp, err := c.join.Join(ctx, connect.NewRequest(&weftv1.JoinRequest{Token: token.String(), Node: string(r.Node), Csr: csr}))
	if err != nil {
		return nil, fmt.Errorf("join %s as node %s: %w", r.Server, r.Node, err)
	}
	if sha256.Sum256(resp.Msg.Ca) != token.CA {
		return nil, errPinned
	}
	return NewCredentials(resp.Msg.Ca, resp.Msg.Certificate, r.Key)
}

var errPinned = errors.New("the server is not one of the fabric that the token is for: check the address, or ask for a new token")

// pinned accepts a server whose chain ends in the CA with a fingerprint. A controller sends its CA along.
func pinned(ca [sha256.Size]byte) *tls.Config {
	return &tls.Config{
		MinVersion: tls.VersionTLS13, ServerName: join.ServerName,
		InsecureSkipVerify: true, // VerifyConnection does it
		VerifyConnection: func(s tls.ConnectionState) error {
			if len(s.PeerCertificates) < 2 {
				return errPinned
			}
			roots := x509.NewCertPool()
			for _, c := range s.PeerCertificates[1:] {
				if sha256.Sum256(c.Raw) == ca {
					roots.AddCert(c)
				}
			}
			_, err := s.PeerCertificates[0].Verify(x509.VerifyOptions{
				Roots: roots, DNSName: join.ServerName, KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}})
			if err != nil {
				return fmt.Errorf("%w (%w)", errPinned, err)
			}
			return nil
		},
	}
}
