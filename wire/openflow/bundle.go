package openflow

import (
	"context"
	"fmt"
)

// Bundle control (OpenFlow 1.5.1, section 7.3.9): bundle(4) type(2) flags(2).
const (
	bundleOpen    = 0
	bundleClose   = 2
	bundleCommit  = 4
	bundleDiscard = 6
	bundleFlags   = 3 // atomic, ordered
)

// batch is how many octets are handed to the writer at once.
const batch = 64 << 10

// Bundle makes all changes in their order, or none: when it returns nil the switch has made them, as after
// a barrier. When one can't be expressed or the switch refuses it, the error is a *BundleError that names it.
//
// Open vSwitch takes no meters into a bundle, and a flow needs its meter: mods that add and change meters
// are made one by one before the bundle, those that delete meters after it. If the bundle is refused then,
// the meters that were added stay.
func (c *Conn) Bundle(ctx context.Context, mods []Mod) error {
	ctx, cancel := withTimeout(ctx)
	defer cancel()
	var before, in, after []indexed
	for i, m := range mods {
		switch mm, ok := m.(MeterMod); {
		case m == nil:
			return fmt.Errorf("openflow: change %d is nil", i)
		case ok && mm.Command == Delete:
			after = append(after, indexed{i, m})
		case ok:
			before = append(before, indexed{i, m})
		default:
			in = append(in, indexed{i, m})
		}
	}
	if err := c.sendEach(ctx, before); err != nil {
		return err
	}
	if err := c.bundle(ctx, in); err != nil {
		return err
	}
	return c.sendEach(ctx, after)
}

// indexed is a mod with its place in the caller's list.
type indexed struct {
	index int
	mod   Mod
}

// refusals collects the errors of a call by transaction number.
type refusals struct {
	first *Error
	xid   uint32
}

func (r *refusals) note(m message) {
	e := decodeError(m.body)
	// MSG_FAILED only says that another message failed, and names none.
	if r.first == nil || r.first.Type == 17 && r.first.Code == 13 {
		r.first, r.xid = e, m.xid
	}
}

// sendEach sends mods outside of a bundle, and a barrier behind them.
func (c *Conn) sendEach(ctx context.Context, mods []indexed) error {
	if len(mods) == 0 {
		return nil
	}
	var refused refusals
	n := uint32(len(mods))
	k, err := c.begin(n+1, func(k *call, m message) bool {
		if m.kind == msgError {
			refused.note(m)
		}
		return m.xid == k.last
	})
	if err != nil {
		return err
	}
	defer c.end(k)
	var b []byte
	for i, m := range mods {
		if b, err = m.mod.append(b, k.first+uint32(i)); err != nil {
			return &BundleError{m.index, m.mod, err}
		}
	}
	if err := c.send(ctx, appendOctets(b, msgBarrierRequest, k.last, nil)); err != nil {
		return fmt.Errorf("openflow: %w", err)
	}
	if err := c.wait(ctx, k); err != nil {
		return fmt.Errorf("openflow: %w", err)
	}
	return refused.asError(mods, k.first)
}

// asError makes a *BundleError of a refusal of a mod, whose numbers begin with first.
func (r *refusals) asError(mods []indexed, first uint32) error {
	if r.first == nil {
		return nil
	}
	if i := r.xid - first; r.xid >= first && int(i) < len(mods) {
		return &BundleError{mods[i].index, mods[i].mod, r.first}
	}
	return fmt.Errorf("openflow: the switch refused the bundle: %w", r.first)
}

// bundle sends mods as one ordered, atomic bundle. A message that the switch can't read is refused while
// the bundle is filled, but the switch would still commit the others: therefore close is awaited before
// commit. Transaction numbers: open, one for each mod, close, commit or discard.
func (c *Conn) bundle(ctx context.Context, mods []indexed) error {
	if len(mods) == 0 {
		return nil
	}
	id := c.nextBundle.Add(1)
	var refused refusals
	n := uint32(len(mods))
	closed := make(chan struct{}, 1)
	k, err := c.begin(n+3, func(k *call, m message) bool {
		if m.kind == msgError {
			refused.note(m)
		}
		if m.xid == k.last-1 {
			select {
			case closed <- struct{}{}:
			default:
			}
		}
		return m.xid == k.last
	})
	if err != nil {
		return err
	}
	defer c.end(k)
	closeXID, endXID := k.last-1, k.last
	if err := c.fill(ctx, id, k.first, mods); err != nil {
		c.discard(ctx, id, endXID)
		return err
	}
	if err := c.send(ctx, appendBundleControl(nil, closeXID, id, bundleClose)); err != nil {
		return fmt.Errorf("openflow: bundle: %w", err)
	}
	select {
	case <-closed:
	case <-ctx.Done():
		c.discard(ctx, id, endXID)
		return fmt.Errorf("openflow: bundle: %w", ctx.Err())
	case <-c.done:
		return c.Err()
	}
	c.mu.Lock()
	failed := refused.first != nil
	c.mu.Unlock()
	if failed {
		c.end(k) // from here on refused is ours
		c.discard(ctx, id, endXID)
		return refused.asError(mods, k.first+1)
	}
	if err := c.send(ctx, appendBundleControl(nil, endXID, id, bundleCommit)); err != nil {
		return fmt.Errorf("openflow: bundle: %w", err)
	}
	if err := c.wait(ctx, k); err != nil {
		return fmt.Errorf("openflow: bundle: it is unknown whether the switch made the changes: %w", err)
	}
	return refused.asError(mods, k.first+1)
}

// fill opens the bundle and sends the mods, batch by batch, without waiting for the switch.
func (c *Conn) fill(ctx context.Context, id, first uint32, mods []indexed) error {
	b := appendBundleControl(make([]byte, 0, batch+batch/4), first, id, bundleOpen)
	for i, m := range mods {
		xid := first + 1 + uint32(i)
		var err error
		b, err = appendMessage(b, msgBundleAdd, xid, func(b []byte) ([]byte, error) {
			return m.mod.append(append(be.AppendUint32(b, id), 0, 0, 0, bundleFlags), xid)
		})
		if err != nil {
			return &BundleError{m.index, m.mod, err}
		}
		if len(b) >= batch {
			if err := c.send(ctx, b); err != nil {
				return fmt.Errorf("openflow: bundle: %w", err)
			}
			b = make([]byte, 0, batch+batch/4)
		}
	}
	if err := c.send(ctx, b); err != nil {
		return fmt.Errorf("openflow: bundle: %w", err)
	}
	return nil
}

// discard throws an unfinished bundle away. It doesn't wait: the switch drops the bundles of a connection
// that ends, and of one that says nothing for a while.
func (c *Conn) discard(ctx context.Context, id, xid uint32) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), ioTimeout)
	defer cancel()
	// An error means that the connection has ended, and with it the bundle.
	_ = c.send(ctx, appendBundleControl(nil, xid, id, bundleDiscard))
}

func appendBundleControl(b []byte, xid, id uint32, kind uint16) []byte {
	body := be.AppendUint16(be.AppendUint16(be.AppendUint32(nil, id), kind), bundleFlags)
	return appendOctets(b, msgBundleControl, xid, body)
}
