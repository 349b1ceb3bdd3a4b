package uplink

import (
	"context"
	"errors"
	"fmt"
	"hash/fnv"
	"time"

	"connectrpc.com/connect"

	"github.com/weftfabric/weft/fabric"
	"github.com/weftfabric/weft/wire/weftpb/weft/v1/weftv1connect"
)

// tryTimeout is how long one of several controllers may take to answer before the next one is asked. It is longer
// than the longest answer: that of ResolveIdentity, which waits for other nodes.
const tryTimeout = 6 * time.Second

// joinPatience is how long a call waits for the node to join.
const joinPatience = time.Second

// connection is a client of one controller.
type connection struct {
	server string
	node   weftv1connect.NodeServiceClient
	close  func() // of the connections that no call uses
}

// set replaces the connections, which are made with a certificate that expires, and closes the old ones as soon as no call uses
// them.
func (u *Uplink) set(servers []*connection, expires time.Time) {
	u.mu.Lock()
	old := u.servers
	if len(old) == 0 {
		close(u.joined)
	}
	u.servers, u.absent, u.expires = servers, "", expires
	u.mu.Unlock()
	for _, c := range old {
		c.close()
	}
}

// Expires returns when the node's certificate does; zero before there is one.
func (u *Uplink) Expires() time.Time {
	u.mu.Lock()
	defer u.mu.Unlock()
	return u.expires
}

// setAbsent says why there are no connections yet.
func (u *Uplink) setAbsent(reason string) {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.absent = reason
}

// turn returns the connections in the order in which to try them. While the node joins, it waits a little.
func (u *Uplink) turn(ctx context.Context) ([]*connection, error) {
	ctx, cancel := context.WithTimeout(ctx, joinPatience)
	defer cancel()
	select {
	case <-u.joined:
	case <-ctx.Done():
	}
	return u.order()
}

// order is turn without waiting.
func (u *Uplink) order() ([]*connection, error) {
	u.mu.Lock()
	defer u.mu.Unlock()
	if len(u.servers) == 0 {
		return nil, connect.NewError(connect.CodeUnavailable, errors.New(u.absent))
	}
	first := u.current % len(u.servers)
	return append(append([]*connection(nil), u.servers[first:]...), u.servers[:first]...), nil
}

// prefer makes a controller the first to be asked, unless there is a plan stream: what the node has enforced goes to
// the controller that told it what to enforce, which knows the plan of that revision.
func (u *Uplink) prefer(server string) {
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.streaming {
		return
	}
	for i, c := range u.servers {
		if c.server == server {
			u.current = i
		}
	}
}

// stream makes a controller the first to be asked for as long as its plan stream lasts.
func (u *Uplink) stream(server string) (ended func()) {
	u.prefer(server)
	u.mu.Lock()
	defer u.mu.Unlock()
	u.streaming = true
	return func() {
		u.mu.Lock()
		defer u.mu.Unlock()
		u.streaming = false
	}
}

// leave makes another controller the first to be asked, if that was server.
func (u *Uplink) leave(server string) {
	u.mu.Lock()
	defer u.mu.Unlock()
	if n := len(u.servers); n > 0 && u.servers[u.current%n].server == server {
		u.current = (u.current + 1) % n
	}
}

// ask asks one controller after the other until one decides. Every call may be repeated: at worst a block is leased
// twice, and an idle block is given back.
func ask[T any](ctx context.Context, u *Uplink, do func(context.Context, weftv1connect.NodeServiceClient) (T, error)) (T, error) {
	var none T
	servers, err := u.turn(ctx)
	if err != nil {
		return none, err
	}
	var errs []error
	for i, c := range servers {
		v, err := try(ctx, i == len(servers)-1, func(ctx context.Context) (T, error) { return do(ctx, c.node) })
		if err == nil {
			u.prefer(c.server)
			return v, nil
		}
		if decided(err) {
			return none, err
		}
		errs = append(errs, named(c.server, len(servers), err))
		if ctx.Err() != nil {
			break
		}
	}
	return none, together(errs)
}

// together makes one line of the errors of several controllers. It has the Connect code of the first.
func together(errs []error) error {
	all := errs[0]
	for _, err := range errs[1:] {
		all = fmt.Errorf("%w; %w", all, err)
	}
	return all
}

// try gives a call a part of the time when there are others to ask.
func try[T any](ctx context.Context, last bool, do func(context.Context) (T, error)) (T, error) {
	if !last {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, tryTimeout)
		defer cancel()
	}
	return do(ctx)
}

// named tells which of several controllers an error is of.
func named(server string, of int, err error) error {
	if of == 1 {
		return err
	}
	return fmt.Errorf("%s: %w", server, err)
}

// decided reports whether an error is a controller's answer, which every other controller would give too.
func decided(err error) bool {
	if !connect.IsWireError(err) {
		return false // the connection's, not the controller's
	}
	switch connect.CodeOf(err) {
	case connect.CodeInvalidArgument, connect.CodeNotFound, connect.CodeAlreadyExists, connect.CodePermissionDenied,
		connect.CodeUnauthenticated, connect.CodeFailedPrecondition, connect.CodeResourceExhausted, connect.CodeOutOfRange,
		connect.CodeUnimplemented:
		return true
	}
	return false
}

// spread returns the servers so that different nodes begin with different ones.
func spread(servers []string, node fabric.NodeName) []string {
	if len(servers) == 0 {
		return nil
	}
	h := fnv.New32a()
	_, _ = h.Write([]byte(node)) // never fails
	first := int(h.Sum32() % uint32(len(servers)))
	return append(append([]string(nil), servers[first:]...), servers[:first]...)
}
