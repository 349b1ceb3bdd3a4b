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
	rotateCheck   = time.Minute // between looks whether the key is too old
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
	known, err := a.cfg.Controller.Announce(ctx, a.registration())
	if err != nil {
		return was, is, fmt.Errorf("announce the next key: %w", err)
	}
	if !known {
		return was, is, errors.New("not every connected node with a tunnel to this one knows the next key yet: the old one stays in use; try again")
	}
	if err := a.cfg.Overlay.Switch(); err != nil {
		return was, is, err
	}
	a.cfg.Logger.Info("changed the WireGuard key", "old", was, "new", is)
	if err := a.cfg.Controller.Register(ctx, a.registration()); err != nil {
		return was, is, fmt.Errorf("the new key is in use, and the controller will hear of it later: %w", err)
	}
	return was, is, nil
}

// registration is what the node tells the controller of itself.
func (a *Agent) registration() *weftv1.RegisterRequest {
	r := &weftv1.RegisterRequest{Vtep: a.cfg.VTEP.String(), Labels: a.cfg.Labels, Version: a.cfg.Version, Nat: a.cfg.BehindNAT}
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
	for {
		select {
		case <-ctx.Done():
			return
		case <-time.After(rotateCheck/2 + rand.N(rotateCheck)):
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
