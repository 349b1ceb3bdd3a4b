package controller

import (
	"context"
	"crypto/ecdsa"
	"crypto/rand"
	"errors"
	"fmt"
	"net"
	"strings"
	"sync"
	"time"

	"connectrpc.com/connect"

	"github.com/weftfabric/weft/controller/observe"
	"github.com/weftfabric/weft/controller/pki"
	"github.com/weftfabric/weft/controller/store"
	"github.com/weftfabric/weft/wire/apiclient"
	weftv1 "github.com/weftfabric/weft/wire/weftpb/weft/v1"
)

// peerDialTimeout is how long the search for a controller's address may take.
const peerDialTimeout = 3 * time.Second

// peers are the other controllers on the same etcd.
type peers struct {
	store *store.Store
	ca    *pki.CA
	now   func() time.Time
}

// dial connects to all that are alive. The error names those that can't be reached; done ends the connections.
func (p peers) dial(ctx context.Context) (found []observe.Peer, done func(), err error) {
	done = func() {}
	ctx, cancel := context.WithTimeout(ctx, peerDialTimeout)
	defer cancel()
	all, err := p.store.Controllers(ctx)
	if err != nil {
		return nil, done, err
	}
	credentials, err := p.credentials()
	if err != nil {
		return nil, done, err
	}
	clients, errs := make([]*apiclient.Client, len(all)), make([]error, len(all))
	var wait sync.WaitGroup
	for i, c := range all {
		if c.ID != p.store.Self.ID {
			wait.Go(func() { clients[i], errs[i] = reachOne(ctx, c, credentials) })
		}
	}
	wait.Wait()
	for i, c := range clients {
		if c != nil {
			found = append(found, observe.Peer{Name: all[i].Name, Client: c.Peer})
		}
	}
	return found, func() {
		for _, c := range clients {
			if c != nil {
				c.Close()
			}
		}
	}, errors.Join(errs...)
}

// credentials are those of a controller that calls another one.
func (p peers) credentials() (*apiclient.Credentials, error) {
	cert, err := p.ca.IssueNew(pki.Request{Subject: pki.Subject{Role: pki.RolePeer}, Now: p.now(), Validity: pki.PeerValidity}, rand.Reader)
	if err != nil {
		return nil, err
	}
	key, ok := cert.PrivateKey.(*ecdsa.PrivateKey)
	if !ok {
		return nil, fmt.Errorf("a key is a %T", cert.PrivateKey)
	}
	return apiclient.NewCredentials(p.ca.Certificate.Raw, cert.Leaf.Raw, key)
}

// reachOne returns a client of a controller. All controllers prove the same name, and one address can be that of different
// machines for different ones: it is the right one when it tells its id.
func reachOne(ctx context.Context, c store.Controller, credentials *apiclient.Credentials) (*apiclient.Client, error) {
	var errs []error
	for _, address := range c.Reach {
		client, err := apiclient.New("https://"+address, credentials)
		if err != nil {
			return nil, err
		}
		resp, err := client.Peer.Holds(ctx, connect.NewRequest(&weftv1.HoldsRequest{}))
		if err == nil && resp.Msg.Controller == c.ID {
			return client, nil
		}
		if err == nil {
			err = fmt.Errorf("%s is another controller", address)
		}
		client.Close()
		errs = append(errs, err)
	}
	if len(c.Reach) == 0 {
		errs = append(errs, errors.New("it tells no address: give it --listen, and --advertise if others can't reach that"))
	}
	return nil, fmt.Errorf("controller %s can't be reached: %w", c.Name, errors.Join(errs...))
}

// reach returns the addresses under which other controllers may reach this one, the likeliest first: what it advertises, and the
// address that it listens on. When that is any address, all addresses of this machine but those of the loopback.
func reach(listen net.Addr, advertise []string) []string {
	host, port, err := net.SplitHostPort(listen.String())
	if err != nil {
		return nil
	}
	var out []string
	for _, a := range advertise {
		if h, p, err := net.SplitHostPort(a); err == nil {
			out = append(out, net.JoinHostPort(h, p))
			continue
		}
		out = append(out, net.JoinHostPort(strings.Trim(a, "[]"), port))
	}
	if ip := net.ParseIP(host); ip == nil || !ip.IsUnspecified() {
		return append(out, net.JoinHostPort(host, port))
	}
	addresses, _ := net.InterfaceAddrs() // what can't be listed can't be told
	for _, a := range addresses {
		if n, ok := a.(*net.IPNet); ok && n.IP.IsGlobalUnicast() {
			out = append(out, net.JoinHostPort(n.IP.String(), port))
		}
	}
	return out
}
