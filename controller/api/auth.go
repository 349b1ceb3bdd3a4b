package api

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"net/http"

	"connectrpc.com/connect"

	"github.com/weftfabric/weft/controller/pki"
	"github.com/weftfabric/weft/controller/store"
	"github.com/weftfabric/weft/fabric"
)

// caller is who makes a call. The zero value is somebody without a certificate.
type caller struct {
	role pki.Role
	name string
	key  []byte // pki.KeySum of the certificate's key
}

type callerKey struct{}

// local makes every caller an admin: for the unix socket, which only root can open.
func local(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		next.ServeHTTP(w, r.WithContext(context.WithValue(r.Context(), callerKey{}, caller{role: pki.RoleAdmin, name: "local"})))
	})
}

// remote takes the caller from the client certificate, which the TLS layer has verified.
func remote(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var c caller
		if r.TLS != nil && len(r.TLS.VerifiedChains) > 0 {
			var err error
			if c, err = callerOf(r.TLS.VerifiedChains[0][0]); err != nil {
				http.Error(w, err.Error(), http.StatusForbidden)
				return
			}
		}
		next.ServeHTTP(w, r.WithContext(context.WithValue(r.Context(), callerKey{}, c)))
	})
}

func callerOf(cert *x509.Certificate) (caller, error) {
	s, err := pki.SubjectOf(cert)
	if err != nil {
		return caller{}, err
	}
	key, err := pki.KeySum(cert.PublicKey)
	if err != nil {
		return caller{}, err
	}
	return caller{role: s.Role, name: s.Name, key: key}, nil
}

func callerFrom(ctx context.Context) caller {
	c, _ := ctx.Value(callerKey{}).(caller)
	return c
}

// node returns the calling node's name.
func node(ctx context.Context) fabric.NodeName { return fabric.NodeName(callerFrom(ctx).name) }

// guarded refuses calls that allow refuses, before anything of their body is read.
func guarded(allow func(context.Context) error, next http.Handler) http.Handler {
	refusals := connect.NewErrorWriter()
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		ctx, cancel := context.WithTimeout(r.Context(), callTimeout)
		err := allow(ctx)
		cancel()
		if err != nil {
			// An error of writing means that the caller is gone.
			_ = refusals.Write(w, r, err)
			return
		}
		next.ServeHTTP(w, r)
	})
}

// withDeadline bounds every call that is not a stream.
func withDeadline(next connect.UnaryFunc) connect.UnaryFunc {
	return func(ctx context.Context, req connect.AnyRequest) (connect.AnyResponse, error) {
		ctx, cancel := context.WithTimeout(ctx, callTimeout)
		defer cancel()
		return next(ctx, req)
	}
}

// inContact lets those call whom allow lets, while the controller knows what its store holds. One that has lost its
// store neither answers from memory nor keeps anybody: there may be another that has it.
func inContact(s *store.Store, allow func(context.Context) error) func(context.Context) error {
	return func(ctx context.Context) error {
		if _, err := s.Contact(); err != nil {
			return connect.NewError(connect.CodeUnavailable, err)
		}
		return allow(ctx)
	}
}

// adminsOnly lets admins call.
func adminsOnly(ctx context.Context) error {
	switch c := callerFrom(ctx); c.role {
	case pki.RoleAdmin:
		return nil
	case "":
		return connect.NewError(connect.CodeUnauthenticated, errors.New("this call needs an admin's client certificate: see admin/ in the controller's data directory, or use its unix socket"))
	default:
		return connect.NewError(connect.CodePermissionDenied, fmt.Errorf("a %s may not make this call: it needs an admin's client certificate", c.role))
	}
}

// membersOnly lets nodes call that are members with the key that they use.
func membersOnly(s *store.Store) func(context.Context) error {
	return func(ctx context.Context) error {
		c := callerFrom(ctx)
		switch c.role {
		case pki.RoleNode:
		case "":
			return connect.NewError(connect.CodeUnauthenticated, errors.New("this call needs a node's client certificate: join first"))
		default:
			return connect.NewError(connect.CodePermissionDenied, fmt.Errorf("an %s may not make this call: it is for nodes", c.role))
		}
		m, err := s.Member(ctx, fabric.NodeName(c.name))
		if err != nil {
			return connect.NewError(connect.CodeUnavailable, err)
		}
		if !m.Has(c.key) {
			return connect.NewError(connect.CodePermissionDenied, fmt.Errorf("node %s is not a member with this key: it was deleted, or has joined again; join with a new token", c.name))
		}
		return nil
	}
}
