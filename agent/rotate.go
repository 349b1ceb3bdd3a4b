package agent

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/weftfabric/weft/agent/overlay"
	"github.com/weftfabric/weft/fabric"
	weftv1 "github.com/weftfabric/weft/wire/weftpb/weft/v1"
)

const (
	// rotateTimeout bounds a change of the node's key: the controller waits for the peers meanwhile.
	rotateTimeout = 30 * time.Second
	// registerTimeout bounds the announcement of what has become of it.
	registerTimeout = 10 * time.Second
	rotateCheck     = time.Minute // between looks whether the key is too old, at most
)

// rotateKey makes a new WireGuard key, waits until the peers know it, and uses it. When they don't all get to know it in
// time, the key that they know stays in use, and the next try announces the same new one.
func (a *Agent) rotateKey(ctx context.Context) (was, is fabric.PublicKey, err error) {
	if a.cfg.Overlay == nil {
		return was, is, errors.New("this agent has no WireGuard")
	}
	a.rotation.Lock()
	defer a.rotation.Unlock()
	ctx, cancel := context.WithTimeout(ctx, rotateTimeout)
	defer cancel()
	if err := a.cfg.Overlay.Announce(); err != nil {
		return was, is, err
	}
	was, is = a.cfg.Overlay.PublicKeys()
	a.announcing.Store(true)
	err = a.announceAndSwitch(ctx)
	a.announcing.Store(false)
	if err == nil {
		a.cfg.Logger.Info("changed the WireGuard key", "old", was, "new", is)
	}
	// Whatever became of it: no neighbour gets its turn while the next key is announced.
	ctx, cancel = context.WithTimeout(context.WithoutCancel(ctx), registerTimeout)
	defer cancel()
	if registerErr := a.cfg.Controller.Register(ctx, a.registration()); registerErr != nil {
		err = errors.Join(err, fmt.Errorf("the controller will hear of the key later: %w", registerErr))
	}
	return was, is, err
}

// announceAndSwitch waits until the peers know the next key, and uses it.
func (a *Agent) announceAndSwitch(ctx context.Context) error {
	known, err := a.cfg.Controller.Announce(ctx, a.registration())
	if err != nil {
		return fmt.Errorf("announce the next key: %w", err)
	}
	if !known {
		return errors.New("not every connected node with a tunnel to this one knows the next key yet, or one of them is changing its own: the old one stays in use; try again")
	}
	return a.cfg.Overlay.Switch()
}

// registration is what the node tells the controller of itself.
func (a *Agent) registration() *weftv1.RegisterRequest {
	r := &weftv1.RegisterRequest{Vtep: a.cfg.VTEP.String(), Labels: a.cfg.Labels, Version: a.cfg.Version, Nat: a.cfg.BehindNAT, UnderlayMtu: a.underlayMTU()}
	r.Wireguard, r.WireguardNext = a.wireguardEnds()
	r.Clients = a.clientGateway()
	return r
}

// tellRotation changes the key because a user asks for it.
func (a *Agent) tellRotation(ctx context.Context, send send) error {
	was, is, err := a.rotateKey(ctx)
	if err != nil {
		return err
	}
	return send(&weftv1.AnswerRequest{Part: &weftv1.AnswerRequest_RotateKey{RotateKey: &weftv1.RotateKeyPart{Old: was[:], New: is[:]}}})
}

// rotateLoop changes the key when it is older than KeyLifetime.
func (a *Agent) rotateLoop(ctx context.Context) {
	if a.cfg.Overlay == nil || a.cfg.KeyLifetime <= 0 {
		return
	}
	check := max(min(rotateCheck, a.cfg.KeyLifetime/10), time.Millisecond)
	for {
		select {
		case <-ctx.Done():
			return
		case <-time.After(check/2 + rand.N(check)):
		}
		want, err := ask(ctx, a, func(s *state) (overlay.Want, error) { return s.way.want, nil })
		if err != nil || !want.Encrypts() {
			continue
		}
		status, err := a.cfg.Overlay.Status()
		if err != nil || time.Since(status.KeySince) < a.cfg.KeyLifetime {
			continue
		}
		if _, _, err := a.rotateKey(ctx); err != nil {
			a.cfg.Logger.Warn("change the WireGuard key", "error", err)
		}
	}
}
