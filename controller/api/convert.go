package api

import (
	"context"
	"errors"

	"connectrpc.com/connect"

	"github.com/weftfabric/weft/controller/edit"
	"github.com/weftfabric/weft/controller/state"
	"github.com/weftfabric/weft/controller/store"
	"github.com/weftfabric/weft/topology"
	weftv1 "github.com/weftfabric/weft/wire/weftpb/weft/v1"
)

func sources(files []*weftv1.File) []topology.Source {
	out := make([]topology.Source, len(files))
	for i, f := range files {
		out[i] = topology.Source{Name: f.Name, Content: f.Content}
	}
	return out
}

func keyFromProto(k *weftv1.Key) topology.Key {
	return topology.Key{Kind: topology.Kind(k.GetKind()), Tenant: k.GetTenant(), Name: k.GetName()}
}

func keyToProto(k topology.Key) *weftv1.Key {
	return &weftv1.Key{Kind: string(k.Kind), Tenant: k.Tenant, Name: k.Name}
}

func problemsToProto(ps topology.Problems) []*weftv1.Problem {
	var out []*weftv1.Problem
	for _, p := range ps {
		severity := weftv1.Problem_SEVERITY_ERROR
		if p.Severity == topology.SeverityWarning {
			severity = weftv1.Problem_SEVERITY_WARNING
		}
		out = append(out, &weftv1.Problem{Severity: severity, File: p.File, Line: int32(p.Line), Message: p.Message})
	}
	return out
}

func changesToProto(changes []edit.ObjectChange) ([]*weftv1.Change, error) {
	out := make([]*weftv1.Change, 0, len(changes))
	for _, c := range changes {
		p := &weftv1.Change{Verb: verbToProto(c.Verb), Key: keyToProto(c.Key)}
		if c.Verb == edit.Changed {
			fields, err := edit.Fields(c.Before, c.After)
			if err != nil {
				return nil, connect.NewError(connect.CodeInternal, err)
			}
			for _, f := range fields {
				p.Fields = append(p.Fields, &weftv1.FieldChange{Path: f.Path, Old: f.Old, New: f.New})
			}
		}
		out = append(out, p)
	}
	return out, nil
}

func verbToProto(v edit.Verb) weftv1.Change_Verb {
	switch v {
	case edit.Added:
		return weftv1.Change_VERB_ADDED
	case edit.Changed:
		return weftv1.Change_VERB_CHANGED
	case edit.Removed:
		return weftv1.Change_VERB_REMOVED
	case edit.Unchanged:
		return weftv1.Change_VERB_UNCHANGED
	}
	return weftv1.Change_VERB_UNSPECIFIED
}

// objectToProto returns a stored object; enforcement may be nil.
func objectToProto(v *state.View, o *topology.Object, e *enforcement) (*weftv1.Object, error) {
	body, err := o.MarshalJSON()
	if err != nil {
		return nil, connect.NewError(connect.CodeInternal, err)
	}
	meta := v.Objects[o.Key]
	p := &weftv1.Object{
		Key: keyToProto(o.Key), Json: body, Revision: meta.Revision, ApplySet: meta.ApplySet,
		File: o.Origin.File, Line: int32(o.Origin.Line),
	}
	if e != nil {
		p.Enforcement = e.of(o, meta.Revision)
	}
	return p, nil
}

// toConnect gives an error the code that tells a caller whether to try again.
func toConnect(err error) error {
	var refusal *edit.Error
	var done *connect.Error
	switch {
	case err == nil || errors.As(err, &done):
		return err
	case errors.As(err, &refusal):
		switch refusal.Reason {
		case edit.NotFound:
			return connect.NewError(connect.CodeNotFound, err)
		case edit.Exhausted:
			return connect.NewError(connect.CodeResourceExhausted, err)
		}
		return connect.NewError(connect.CodeInvalidArgument, err)
	case errors.Is(err, store.ErrNotMember):
		return connect.NewError(connect.CodePermissionDenied, err)
	case errors.Is(err, store.ErrNoContact):
		return connect.NewError(connect.CodeUnavailable, err)
	case errors.Is(err, store.ErrContention):
		return connect.NewError(connect.CodeAborted, err)
	case errors.Is(err, context.Canceled):
		return connect.NewError(connect.CodeCanceled, err)
	case errors.Is(err, context.DeadlineExceeded):
		return connect.NewError(connect.CodeDeadlineExceeded, err)
	}
	return connect.NewError(connect.CodeUnavailable, err)
}
