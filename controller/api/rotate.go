package api

import (
	"context"
	"maps"
	"slices"
	"time"

	"connectrpc.com/connect"

	"github.com/weftfabric/weft/controller/observe"
	weftv1 "github.com/weftfabric/weft/wire/weftpb/weft/v1"
)

// rotateTimeout is how long a node may take until its peers know its next key.
const rotateTimeout = 40 * time.Second

// RotateKeys has nodes change their keys, one after the other: neighbours would wait for each other anyway.
func (s *observeService) RotateKeys(ctx context.Context, req *connect.Request[weftv1.RotateKeysRequest], stream *connect.ServerStream[weftv1.RotateKeysResponse]) error {
	names := req.Msg.Nodes
	if len(names) == 0 {
		for _, n := range slices.Sorted(maps.Keys(s.Store.View().Nodes)) {
			names = append(names, string(n))
		}
	}
	for _, name := range names {
		q := &weftv1.Question{TimeoutMs: uint32(rotateTimeout.Milliseconds()), Ask: &weftv1.Question_RotateKey{RotateKey: &weftv1.RotateKeyQuestion{}}}
		err := s.ask(ctx, []string{name}, q, func(p observe.Part) error {
			return stream.Send(&weftv1.RotateKeysResponse{Node: string(p.Node), Last: p.Last, Error: p.Error, Part: p.GetRotateKey()})
		})
		if err != nil {
			return err
		}
	}
	return nil
}
