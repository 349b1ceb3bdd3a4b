package ovs

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"time"

	"github.com/ovn-kubernetes/libovsdb/client"
	"github.com/ovn-kubernetes/libovsdb/ovsdb"
)

// Changes that come while a transaction is under way become one transaction together when that is done: each one
// costs ovs-vswitchd a look at all of its ports.

// change is a write that waits for its transaction.
type change struct {
	what string // for its error
	// about is the port or bridge that it changes: two changes of one never meet in one transaction, since neither is
	// built from the other's result.
	about string
	build builder
	done  chan error
	// lead is told that this change's caller has to make the next transaction.
	lead chan struct{}
}

// builder returns a change's operations, none when nothing has to change. It sees the bridges, and the port and interface
// that the change is about. What it makes it names with the suffix.
type builder func(c client.Client, r rows, suffix string) ([]ovsdb.Operation, error)

// gather is how long a transaction waits for further changes when the one before had several: then more are to come.
const gather = 15 * time.Millisecond

// changes are those that wait, in their order. One caller at a time leads: it makes the transaction of all of them.
type changes struct {
	waiting []*change
	led     bool
	many    bool // the last transaction had several
}

// transact makes a change, together with others that come at the same time. One that needs no operation is a success.
func (d *DB) transact(ctx context.Context, ch *change) error {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	ch.done, ch.lead = make(chan error, 1), make(chan struct{}, 1)
	d.mu.Lock()
	d.queue.waiting = append(d.queue.waiting, ch)
	d.handOver(false)
	d.mu.Unlock()
	err := d.await(ctx, ch)
	if err != nil {
		return fmt.Errorf("%s: %w", ch.what, err)
	}
	return nil
}

// await returns a change's result, and leads when it is its turn.
func (d *DB) await(ctx context.Context, ch *change) error {
	select {
	case err := <-ch.done:
		return err
	case <-ch.lead:
	case <-ctx.Done():
		d.mu.Lock()
		defer d.mu.Unlock()
		d.queue.waiting = slices.DeleteFunc(d.queue.waiting, func(o *change) bool { return o == ch })
		select {
		case <-ch.lead:
			d.handOver(true)
		default:
		}
		return context.Cause(ctx)
	}
	d.mu.Lock()
	many := d.queue.many
	d.mu.Unlock()
	if many {
		time.Sleep(gather)
	}
	d.mu.Lock()
	batch := d.takeBatch()
	d.queue.many = len(batch) > 1
	d.mu.Unlock()
	d.commit(context.WithoutCancel(ctx), batch) // the others don't depend on this caller
	d.mu.Lock()
	d.handOver(true)
	d.mu.Unlock()
	return <-ch.done // it was the first one waiting, so it was in the batch
}

// handOver lets the first change that waits lead, unless somebody else does. d.mu is held.
func (d *DB) handOver(done bool) {
	q := &d.queue
	if q.led && !done {
		return
	}
	q.led = len(q.waiting) > 0
	if q.led {
		q.waiting[0].lead <- struct{}{}
	}
}

// takeBatch takes the changes that can be made together. d.mu is held.
func (d *DB) takeBatch() (batch []*change) {
	seen := map[string]bool{}
	d.queue.waiting = slices.DeleteFunc(d.queue.waiting, func(ch *change) bool {
		if seen[ch.about] {
			return false
		}
		seen[ch.about] = true
		batch = append(batch, ch)
		return true
	})
	return batch
}

// commit makes one transaction of several changes. When the server refuses it, each is tried alone, so that one bad
// change doesn't stop the others.
func (d *DB) commit(ctx context.Context, batch []*change) {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	refused, err := d.commitOnce(ctx, batch)
	if !refused || len(batch) == 1 {
		for _, ch := range batch {
			ch.finish(err)
		}
		return
	}
	for _, ch := range batch {
		_, err := d.commitOnce(ctx, []*change{ch})
		ch.finish(err)
	}
}

// finish tells a change's result, unless it has one already.
func (ch *change) finish(err error) {
	select {
	case ch.done <- err:
	default:
	}
}

// commitOnce makes a transaction of the changes, and finishes those that need none or can't be built. It reports
// whether the server refused it.
func (d *DB) commitOnce(ctx context.Context, batch []*change) (refused bool, err error) {
	c, err := d.connection()
	if err != nil {
		return false, err
	}
	var r rows
	if err := list(ctx, c, &r.roots, &r.bridges); err != nil {
		return false, err
	}
	var all []ovsdb.Operation
	for i, ch := range batch {
		var ops []ovsdb.Operation
		r.ports, r.interfaces, err = rowsNamed(ctx, c, ch.about)
		if err == nil {
			ops, err = ch.build(c, r, strconv.Itoa(i))
		}
		if err != nil {
			ch.finish(err)
			continue
		}
		all = append(all, ops...)
	}
	if len(all) == 0 {
		return false, nil
	}
	results, err := c.Transact(ctx, all...)
	if errors.Is(err, client.ErrNotConnected) {
		err = ErrNotConnected
	}
	if err != nil {
		return false, err
	}
	failed, err := ovsdb.CheckOperationResults(results, all)
	for _, f := range failed {
		err = fmt.Errorf("%w: %w", err, f)
	}
	return err != nil, err
}
