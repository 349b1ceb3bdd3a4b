package cli_test

import (
	"context"
	"encoding/base64"
	"fmt"
	"time"

	"connectrpc.com/connect"
	"google.golang.org/protobuf/types/known/timestamppb"

	weftv1 "github.com/weftfabric/weft/wire/weftpb/weft/v1"
)

// ListClients answers with a laptop at n1, and a telephone that nobody serves.
func (f *fakeController) ListClients(_ context.Context, req *connect.Request[weftv1.ListClientsRequest]) (*connect.Response[weftv1.ListClientsResponse], error) {
	declared, _ := base64.StdEncoding.DecodeString("HIgo9xNzJMWLKASShiTqIybxZ0U3wGLiUeJ1PKf8ykw=")
	key := make([]byte, 32)
	key[0] = 1
	all := []*weftv1.ClientInfo{
		{
			Tenant: "acme", Name: "laptop", Network: "acme/prod", Addresses: []string{"10.0.1.200", "fd00:1::200"}, Key: declared,
			Gateway: &weftv1.ClientEnd{Node: "n1", Key: key, Endpoint: "192.0.2.1:51830", Connected: true},
			Others:  []*weftv1.ClientEnd{{Node: "n2", Key: key, Endpoint: "[2001:db8::2]:51830"}},
			Ranges:  []string{"10.0.1.0/24", "fd00:1::/64"}, Dns: []string{"10.0.1.53"}, Mtu: 1420,
			Session: &weftv1.ClientSession{Handshake: timestamppb.New(fakeNow.Add(-time.Minute)), Endpoint: "198.51.100.7:4001", ReceivedBytes: 1204, SentBytes: 1116},
		},
		{Tenant: "acme", Name: "phone", Network: "acme/prod", Addresses: []string{"10.0.1.201"}, Key: key, Mtu: 1420},
	}
	res := &weftv1.ListClientsResponse{Revision: f.revision}
	for _, c := range all {
		if req.Msg.GetName() == "" || req.Msg.GetName() == c.GetName() {
			res.Clients = append(res.Clients, c)
		}
	}
	if len(res.Clients) == 0 {
		return nil, connect.NewError(connect.CodeNotFound, fmt.Errorf("client %s/%s does not exist: declare it", req.Msg.GetTenant(), req.Msg.GetName()))
	}
	return connect.NewResponse(res), nil
}
