package cli_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"slices"
	"sync"
	"testing"
	"time"

	"connectrpc.com/connect"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/weftfabric/weft/controller/backup"
	"github.com/weftfabric/weft/topology"
	weftv1 "github.com/weftfabric/weft/wire/weftpb/weft/v1"
	"github.com/weftfabric/weft/wire/weftpb/weft/v1/weftv1connect"
)

// fakeNow is the time of the fake's answers.
var fakeNow = time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)

// fakeController answers as the controller does, from memory. It knows three nodes: n1 is up to date, n2 lags
// behind until the nodes are listed once more, and n3 is gone.
type fakeController struct {
	weftv1connect.UnimplementedIntentServiceHandler

	mu       sync.Mutex
	objects  map[topology.Key]*weftv1.Object
	revision uint64
	tokens   []*weftv1.TokenInfo
	nodes    []*weftv1.NodeInfo
	past     map[uint64]*weftv1.DeclaredResponse // by revision
}

// startController serves a fake controller on a unix socket until the test ends.
func startController(t testing.TB, socket string) {
	f := &fakeController{objects: make(map[topology.Key]*weftv1.Object)}
	mux := http.NewServeMux()
	mux.Handle(weftv1connect.NewIntentServiceHandler(f))
	mux.Handle(weftv1connect.NewAuditServiceHandler(fakeAudit{fakeController: f}))
	mux.Handle(weftv1connect.NewObserveServiceHandler(fakeObserve{fakeController: f}))
	serve(t, socket, mux)
}

// serve serves a handler on a unix socket until the test ends.
func serve(t testing.TB, socket string, mux http.Handler) {
	protocols := new(http.Protocols)
	protocols.SetHTTP1(true)
	protocols.SetUnencryptedHTTP2(true)
	server := &http.Server{Handler: mux, Protocols: protocols}
	l, err := net.Listen("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	served := make(chan error, 1)
	go func() { served <- server.Serve(l) }()
	t.Cleanup(func() {
		_ = server.Close()
		if err := <-served; !errors.Is(err, http.ErrServerClosed) {
			t.Error(err)
		}
	})
}

func sources(files []*weftv1.File) []topology.Source {
	list := make([]topology.Source, len(files))
	for i, f := range files {
		list[i] = topology.Source{Name: f.GetName(), Content: f.GetContent()}
	}
	return list
}

func problems(list topology.Problems) []*weftv1.Problem {
	var out []*weftv1.Problem
	for _, p := range list {
		severity := weftv1.Problem_SEVERITY_ERROR
		if p.Severity == topology.SeverityWarning {
			severity = weftv1.Problem_SEVERITY_WARNING
		}
		out = append(out, &weftv1.Problem{Severity: severity, File: p.File, Line: int32(p.Line), Message: p.Message})
	}
	return out
}

// change computes what a set of files does to the stored objects.
func (f *fakeController) change(files []*weftv1.File, prune bool, set string) ([]*weftv1.Change, []*weftv1.Object, topology.Problems) {
	intent, _, found := topology.Load(sources(files))
	if found.Err() != nil {
		return nil, nil, found
	}
	var (
		changes []*weftv1.Change
		objects []*weftv1.Object
	)
	for _, o := range intent.Objects() {
		text, err := o.MarshalJSON()
		if err != nil {
			panic(err)
		}
		key := &weftv1.Key{Kind: string(o.Key.Kind), Tenant: o.Key.Tenant, Name: o.Key.Name}
		c := &weftv1.Change{Verb: weftv1.Change_VERB_ADDED, Key: key}
		if old := f.objects[o.Key]; old != nil && string(old.GetJson()) == string(text) {
			c.Verb = weftv1.Change_VERB_UNCHANGED
		} else if old != nil {
			c.Verb = weftv1.Change_VERB_CHANGED
			c.Fields = []*weftv1.FieldChange{{Path: "spec.posture", Old: `"allow"`, New: `"deny"`}, {Path: "spec.description", New: `"shop"`}}
		}
		changes = append(changes, c)
		objects = append(objects, &weftv1.Object{Key: key, Json: text, Revision: f.revision + 1, File: o.Origin.File, Line: int32(o.Origin.Line),
			ApplySet: set, Enforcement: &weftv1.Enforcement{Enforced: []string{"n1"}, Pending: []string{"n2"}, Stale: []string{"n3"}}})
	}
	if prune {
		for _, k := range f.sorted() {
			if intent.Get(k) == nil && f.objects[k].GetApplySet() == set {
				changes = append(changes, &weftv1.Change{Verb: weftv1.Change_VERB_REMOVED, Key: f.objects[k].GetKey()})
			}
		}
	}
	return changes, objects, found
}

func (f *fakeController) sorted() []topology.Key {
	var keys []topology.Key
	for k := range f.objects {
		keys = append(keys, k)
	}
	slices.SortFunc(keys, topology.Key.Compare)
	return keys
}

func key(k *weftv1.Key) topology.Key {
	return topology.Key{Kind: topology.Kind(k.GetKind()), Tenant: k.GetTenant(), Name: k.GetName()}
}

func (f *fakeController) Apply(_ context.Context, req *connect.Request[weftv1.ApplyRequest]) (*connect.Response[weftv1.ApplyResponse], error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	m := req.Msg
	if m.GetExpectedRevision() != 0 && m.GetExpectedRevision() != f.revision {
		return nil, connect.NewError(connect.CodeAborted, fmt.Errorf("the store is at revision %d, not %d: somebody changed it; look at it again", f.revision, m.GetExpectedRevision()))
	}
	changes, objects, found := f.change(m.GetFiles(), m.GetPrune(), m.GetApplySet())
	res := &weftv1.ApplyResponse{Revision: f.revision, Changes: changes, Problems: problems(found)}
	if found.Err() != nil || m.GetDryRun() {
		return connect.NewResponse(res), nil
	}
	changed := false
	for i, c := range changes {
		switch c.GetVerb() {
		case weftv1.Change_VERB_REMOVED:
			delete(f.objects, key(c.GetKey()))
		case weftv1.Change_VERB_ADDED, weftv1.Change_VERB_CHANGED:
			f.objects[key(c.GetKey())] = objects[i]
		default:
			continue
		}
		changed = true
	}
	if changed {
		f.revision++
		f.plan()
		f.keep()
	}
	res.Revision, res.Applied = f.revision, true
	return connect.NewResponse(res), nil
}

// plan makes the nodes as they are after a change.
func (f *fakeController) plan() {
	f.nodes = []*weftv1.NodeInfo{
		{
			Name: "n1", Vtep: "192.0.2.1", Connected: true, PlannedRevision: f.revision, EnforcedRevision: f.revision,
			LastSeen: timestamppb.New(fakeNow), Leases: []string{"acme/prod 10.0.1.0/26"}, Labels: map[string]string{"rack": "a"},
			Report: &weftv1.NodeReport{
				Version: "test", Datapath: "netdev", OvsVersion: "3.1.0", Flows: 120, Drops: map[string]uint64{"spoof-mac": 3, "policy-deny": 7},
				Attachments: []*weftv1.Attachment{
					{Interface: "tap0", Network: "acme/prod", Port: "acme/db-1", Mac: "02:00:00:00:00:01", Addresses: []string{"10.0.1.5"}, Identity: 0x010001},
					{Interface: "veth1", Network: "acme/prod", Workload: "web-1", Mac: "02:00:00:00:00:02", Addresses: []string{"10.0.1.2"}, Identity: 0x010002, Labels: map[string]string{"app": "web"}},
				},
			},
		},
		{
			Name: "n2", Vtep: "192.0.2.2", Connected: true, PlannedRevision: f.revision, EnforcedRevision: f.revision - 1,
			LastSeen: timestamppb.New(fakeNow), Leases: []string{"acme/prod 10.0.1.64/26"},
			Report: &weftv1.NodeReport{Version: "test", Datapath: "system", OvsVersion: "3.1.0", Flows: 80, Drops: map[string]uint64{"policy-deny": 1}},
		},
		{Name: "n3", Vtep: "192.0.2.3", PlannedRevision: f.revision - 1, EnforcedRevision: f.revision - 1, LastSeen: timestamppb.New(fakeNow.Add(-2 * time.Hour))},
	}
}

func (f *fakeController) Plan(_ context.Context, req *connect.Request[weftv1.PlanRequest]) (*connect.Response[weftv1.PlanResponse], error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	changes, _, found := f.change(req.Msg.GetFiles(), req.Msg.GetPrune(), req.Msg.GetApplySet())
	res := &weftv1.PlanResponse{Revision: f.revision, Changes: changes, Problems: problems(found)}
	if slices.ContainsFunc(changes, func(c *weftv1.Change) bool { return c.GetVerb() != weftv1.Change_VERB_UNCHANGED }) {
		res.Nodes = []*weftv1.NodeChange{{Node: "n1", Added: []string{"network/1"}, Changed: []string{"rule/1/7"}}, {Node: "n2", Removed: []string{"route/1/10.0.1.5/32"}}}
		if req.Msg.GetLive() {
			res.Nodes[0].Live = &weftv1.LiveConnections{Cut: 3, Kept: 1}
			res.Nodes[1].Live = &weftv1.LiveConnections{Unknown: "it is not connected"}
		}
	}
	return connect.NewResponse(res), nil
}

func (f *fakeController) List(_ context.Context, req *connect.Request[weftv1.ListRequest]) (*connect.Response[weftv1.ListResponse], error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	res := &weftv1.ListResponse{Revision: f.revision}
	for _, k := range f.sorted() {
		if (req.Msg.GetKind() == "" || req.Msg.GetKind() == string(k.Kind)) && (req.Msg.GetTenant() == "" || req.Msg.GetTenant() == k.Tenant) {
			res.Objects = append(res.Objects, f.objects[k])
		}
	}
	return connect.NewResponse(res), nil
}

func (f *fakeController) Delete(_ context.Context, req *connect.Request[weftv1.DeleteRequest]) (*connect.Response[weftv1.DeleteResponse], error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	var declared []*topology.Object
	for _, k := range f.sorted() {
		o, err := topology.UnmarshalObject(f.objects[k].GetJson())
		if err != nil {
			return nil, err
		}
		declared = append(declared, o)
	}
	intent := topology.NewIntent(declared...)
	var keys []topology.Key
	for _, k := range req.Msg.GetKeys() {
		keys = append(keys, key(k))
	}
	res := &weftv1.DeleteResponse{Revision: f.revision}
	for _, k := range keys {
		for _, by := range intent.References(k) {
			if !slices.Contains(keys, by) {
				res.Problems = append(res.Problems, &weftv1.Problem{Severity: weftv1.Problem_SEVERITY_ERROR, Message: fmt.Sprintf("%s is referenced by %s: delete that first", k, by)})
			}
		}
		res.Changes = append(res.Changes, &weftv1.Change{Verb: weftv1.Change_VERB_REMOVED, Key: &weftv1.Key{Kind: string(k.Kind), Tenant: k.Tenant, Name: k.Name}})
	}
	if len(res.GetProblems()) > 0 || req.Msg.GetDryRun() {
		return connect.NewResponse(res), nil
	}
	for _, k := range keys {
		delete(f.objects, k)
	}
	f.revision++
	f.plan()
	f.keep()
	res.Revision, res.Applied = f.revision, true
	return connect.NewResponse(res), nil
}

func (f *fakeController) ListNodes(context.Context, *connect.Request[weftv1.ListNodesRequest]) (*connect.Response[weftv1.ListNodesResponse], error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	res := &weftv1.ListNodesResponse{Revision: f.revision, Nodes: slices.Clone(f.nodes)}
	if len(f.nodes) > 1 { // n2 catches up for the next one who asks
		f.nodes[1] = &weftv1.NodeInfo{Name: "n2", Vtep: "192.0.2.2", Connected: true, PlannedRevision: f.revision, EnforcedRevision: f.revision,
			LastSeen: timestamppb.New(fakeNow), Leases: f.nodes[1].GetLeases(), Report: f.nodes[1].GetReport()}
	}
	return connect.NewResponse(res), nil
}

func (f *fakeController) DeleteNode(_ context.Context, req *connect.Request[weftv1.DeleteNodeRequest]) (*connect.Response[weftv1.DeleteNodeResponse], error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	i := slices.IndexFunc(f.nodes, func(n *weftv1.NodeInfo) bool { return n.GetName() == req.Msg.GetName() })
	if i < 0 {
		return nil, connect.NewError(connect.CodeNotFound, fmt.Errorf("node %s does not exist", req.Msg.GetName()))
	}
	f.nodes = slices.Delete(f.nodes, i, i+1)
	return connect.NewResponse(&weftv1.DeleteNodeResponse{Revision: f.revision}), nil
}

func (f *fakeController) CreateToken(_ context.Context, req *connect.Request[weftv1.CreateTokenRequest]) (*connect.Response[weftv1.CreateTokenResponse], error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	expires := timestamppb.New(fakeNow.Add(time.Duration(req.Msg.GetTtlSeconds()) * time.Second))
	id := fmt.Sprintf("t%d", len(f.tokens)+1)
	f.tokens = append(f.tokens, &weftv1.TokenInfo{Id: id, Node: req.Msg.GetNode(), Expires: expires})
	return connect.NewResponse(&weftv1.CreateTokenResponse{Token: "weft-secret-" + id, Id: id, Expires: expires}), nil
}

func (f *fakeController) ListTokens(context.Context, *connect.Request[weftv1.ListTokensRequest]) (*connect.Response[weftv1.ListTokensResponse], error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return connect.NewResponse(&weftv1.ListTokensResponse{Tokens: slices.Clone(f.tokens)}), nil
}

func (f *fakeController) RevokeToken(_ context.Context, req *connect.Request[weftv1.RevokeTokenRequest]) (*connect.Response[weftv1.RevokeTokenResponse], error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	i := slices.IndexFunc(f.tokens, func(t *weftv1.TokenInfo) bool { return t.GetId() == req.Msg.GetId() })
	if i < 0 {
		return nil, connect.NewError(connect.CodeNotFound, fmt.Errorf("token %s does not exist", req.Msg.GetId()))
	}
	f.tokens = slices.Delete(f.tokens, i, i+1)
	return connect.NewResponse(&weftv1.RevokeTokenResponse{}), nil
}

func (f *fakeController) Info(context.Context, *connect.Request[weftv1.InfoRequest]) (*connect.Response[weftv1.InfoResponse], error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return connect.NewResponse(&weftv1.InfoResponse{
		Version: "test", Revision: f.revision, Store: "embedded", Objects: uint32(len(f.objects)), Nodes: uint32(len(f.nodes)),
		Controllers: []*weftv1.ControllerInfo{
			{Name: "c1", Listen: "192.0.2.1:7600", Version: "test", Started: timestamppb.New(fakeNow.Add(-2 * time.Hour)), Answering: true},
			{Name: "c2", Listen: "192.0.2.2:7600", Version: "test", Started: timestamppb.New(fakeNow.Add(-72 * time.Hour))},
		},
	}), nil
}

// Backup sends a file of one key, in several parts.
func (f *fakeController) Backup(_ context.Context, _ *connect.Request[weftv1.BackupRequest], stream *connect.ServerStream[weftv1.BackupResponse]) error {
	var file bytes.Buffer
	if err := backup.Write(&file, backup.Backup{Revision: 7, Made: fakeNow, Version: "test", Entries: []backup.Entry{{Key: "/k", Value: []byte("v")}}}); err != nil {
		return err
	}
	for file.Len() > 0 {
		if err := stream.Send(&weftv1.BackupResponse{Data: file.Next(10)}); err != nil {
			return err
		}
	}
	return nil
}
