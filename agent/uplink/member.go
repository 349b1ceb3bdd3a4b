package uplink

import (
	"context"
	"crypto/ecdsa"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"time"

	"connectrpc.com/connect"

	"github.com/weftfabric/weft/fabric"
	"github.com/weftfabric/weft/wire/apiclient"
	"github.com/weftfabric/weft/wire/join"
)

const (
	joinTimeout    = 15 * time.Second
	minJoinBackoff = time.Second
	maxJoinBackoff = 30 * time.Second

	startTime       = time.Minute
	maxStartBackoff = 2 * time.Second
	renewRetry      = 10 * time.Minute
	// usedTokenFile holds the id of the token that the node joined with; a token with another id makes it join anew.
	usedTokenFile = "joined-with"
	// notJoined begins the reason why a node that has not joined can't ask its controllers.
	notJoined = "not joined yet"
)

// Member says who this node is and where its credentials are.
type Member struct {
	// Servers are the controllers of one fabric, https://host:port each.
	Servers []string
	Node    fabric.NodeName
	Token   string // may be empty when Dir holds credentials
	Dir     string
	Logger  *slog.Logger
	Now     func() time.Time
}

// credentials returns the node's credentials: those in the directory, or new ones that a controller signs for the
// token. The key is made here and never leaves the node. While no controller can be reached, it tells why, and tries
// again until ctx ends; a refusal is final.
func (m Member) credentials(ctx context.Context, waiting func(error)) (*apiclient.Credentials, error) {
	have, err := apiclient.LoadCredentials(m.Dir)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	fresh, err := m.newToken()
	if err != nil {
		return nil, err
	}
	switch {
	case have != nil && !fresh && m.Now().Before(have.Certificate.NotAfter):
		return have, nil
	case m.Token == "" && have != nil:
		return nil, fmt.Errorf("the certificate in %s expired on %s: start once with --token and a new join token", m.Dir, have.Certificate.NotAfter.Format(time.DateTime))
	case m.Token == "":
		return nil, fmt.Errorf("this node has not joined yet (%s holds no certificate): start once with --token and a join token", m.Dir)
	}
	started := time.Now()
	for backoff := minJoinBackoff; ; backoff = nextBackoff(backoff, time.Since(started)) {
		got, err := m.join(ctx)
		if err == nil {
			return got, nil
		}
		if final(err) || ctx.Err() != nil {
			return nil, err
		}
		waiting(err)
		m.Logger.Warn("can't join yet", "error", err, "retry", backoff)
		select {
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-time.After(backoff/2 + rand.N(backoff/2)):
		}
	}
}

// nextBackoff returns the pause after the next failure. Node and controller may have been started together: in the first
// minute the pauses stay short.
func nextBackoff(backoff, since time.Duration) time.Duration {
	if since < startTime {
		return min(2*backoff, maxStartBackoff)
	}
	return min(2*backoff, maxJoinBackoff)
}

// newToken reports whether there is a token that the node has not joined with.
func (m Member) newToken() (bool, error) {
	if m.Token == "" {
		return false, nil
	}
	t, err := join.ParseToken(m.Token)
	if err != nil {
		return false, err
	}
	used, err := os.ReadFile(filepath.Join(m.Dir, usedTokenFile))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return false, err
	}
	return strings.TrimSpace(string(used)) != t.ID, nil
}

// join asks each controller once to let the node in. The key is saved beforehand, so that a node whose answer got lost joins again as itself.
func (m Member) join(ctx context.Context) (*apiclient.Credentials, error) {
	key, err := m.key()
	if err != nil {
		return nil, err
	}
	token, err := join.ParseToken(m.Token)
	if err != nil {
		return nil, err
	}
	c, server, err := m.joinAny(ctx, key)
	if err != nil {
		return nil, err
	}
	if err := c.Save(m.Dir); err != nil {
		return nil, err
	}
	if err := os.WriteFile(filepath.Join(m.Dir, usedTokenFile), []byte(token.ID+"\n"), 0o600); err != nil {
		return nil, err
	}
	m.Logger.Info("joined", "server", server, "node", m.Node, "expires", c.Certificate.NotAfter)
	return c, nil
}

// joinAny joins at the first controller that decides, and returns which one let the node in.
func (m Member) joinAny(ctx context.Context, key *ecdsa.PrivateKey) (*apiclient.Credentials, string, error) {
	var errs []error
	for _, s := range spread(m.Servers, m.Node) {
		attempt, cancel := context.WithTimeout(ctx, joinTimeout)
		c, err := apiclient.Join(attempt, apiclient.JoinRequest{Server: s, Token: m.Token, Node: m.Node, Key: key})
		cancel()
		if err == nil || final(err) {
			return c, s, err
		}
		errs = append(errs, err)
		if ctx.Err() != nil {
			break
		}
	}
	return nil, "", together(errs)
}

// key returns the node's key, which is made the first time.
func (m Member) key() (*ecdsa.PrivateKey, error) {
	key, err := apiclient.LoadKey(m.Dir)
	if !errors.Is(err, fs.ErrNotExist) {
		return key, err
	}
	if key, err = apiclient.NewKey(); err != nil {
		return nil, err
	}
	return key, apiclient.SaveKey(m.Dir, key)
}

// final reports whether joining again can't help.
func final(err error) bool {
	if !connect.IsWireError(err) {
		return false // the connection's, not the controller's
	}
	switch connect.CodeOf(err) {
	case connect.CodeUnauthenticated, connect.CodeInvalidArgument, connect.CodeAlreadyExists, connect.CodePermissionDenied:
		return true
	}
	return false
}

// Run joins where that is needed, makes the uplink live, and keeps the certificate fresh until ctx ends. The error is
// one that trying again can't help.
func (m Member) Run(ctx context.Context, u *Uplink) error {
	c, err := m.credentials(ctx, func(problem error) { u.setAbsent(notJoined + ": " + problem.Error()) })
	if err != nil && ctx.Err() == nil {
		return err
	}
	if c == nil {
		return nil // ctx ended
	}
	if err := m.connect(u, c); err != nil {
		return err
	}
	m.keepFresh(ctx, u, c)
	return nil
}

// connect makes the uplink use credentials.
func (m Member) connect(u *Uplink, c *apiclient.Credentials) error {
	var servers []*connection
	for _, s := range spread(m.Servers, m.Node) {
		client, err := apiclient.New(s, c)
		if err != nil {
			return err
		}
		servers = append(servers, &connection{s, client.Node, client.Close})
	}
	u.set(servers, c.Certificate.NotAfter)
	return nil
}

// keepFresh renews the certificate in time, and makes the uplink use the new one, until ctx ends.
func (m Member) keepFresh(ctx context.Context, u *Uplink, c *apiclient.Credentials) {
	for {
		wait := max(c.RenewAt().Sub(m.Now()), 0)
		select {
		case <-ctx.Done():
			return
		case <-time.After(wait):
		}
		next, err := m.renew(ctx, u, c)
		if err == nil {
			c = next
			m.Logger.Info("certificate renewed", "expires", c.Certificate.NotAfter)
			continue
		}
		if ctx.Err() != nil {
			return
		}
		m.Logger.Warn("can't renew the certificate", "expires", c.Certificate.NotAfter, "error", err, "retry", renewRetry)
		select {
		case <-ctx.Done():
			return
		case <-time.After(renewRetry):
		}
	}
}

// renew has a certificate signed for the same key, saves it and switches over to it.
func (m Member) renew(ctx context.Context, u *Uplink, c *apiclient.Credentials) (*apiclient.Credentials, error) {
	csr, err := apiclient.Request(c.Key, string(m.Node))
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, joinTimeout)
	defer cancel()
	cert, err := u.renewCertificate(ctx, csr)
	if err != nil {
		return nil, err
	}
	next, err := apiclient.NewCredentials(c.CA.Raw, cert, c.Key)
	if err != nil {
		return nil, err
	}
	if err := next.Save(m.Dir); err != nil {
		return nil, err
	}
	return next, m.connect(u, next)
}
