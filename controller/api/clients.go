package api

import (
	"context"
	"fmt"
	"maps"
	"net"
	"net/netip"
	"slices"
	"strconv"

	"connectrpc.com/connect"

	"github.com/weftfabric/weft/controller/compile"
	"github.com/weftfabric/weft/controller/edit"
	"github.com/weftfabric/weft/controller/state"
	"github.com/weftfabric/weft/controller/store"
	"github.com/weftfabric/weft/fabric"
	"github.com/weftfabric/weft/topology"
	weftv1 "github.com/weftfabric/weft/wire/weftpb/weft/v1"
)

// ListClients says by which gateways remote clients are served, and what their configurations need.
func (s *intentService) ListClients(_ context.Context, req *connect.Request[weftv1.ListClientsRequest]) (*connect.Response[weftv1.ListClientsResponse], error) {
	v := s.Store.View()
	statuses, _ := s.Store.Statuses()
	resp := &weftv1.ListClientsResponse{Revision: v.Revision}
	for _, c := range v.Intent.Clients() {
		if req.Msg.Tenant != "" && c.Metadata.Tenant != req.Msg.Tenant || req.Msg.Name != "" && c.Metadata.Name != req.Msg.Name {
			continue
		}
		resp.Clients = append(resp.Clients, s.clientInfo(v, c, statuses))
	}
	if req.Msg.Name != "" && len(resp.Clients) == 0 {
		return nil, connect.NewError(connect.CodeNotFound, fmt.Errorf("client %.63s/%.63s does not exist: declare it", req.Msg.Tenant, req.Msg.Name))
	}
	return connect.NewResponse(resp), nil
}

func (s *intentService) clientInfo(v *state.View, c *topology.Client, statuses map[fabric.NodeName]store.Status) *weftv1.ClientInfo {
	settings, port := v.Intent.Settings(), v.Intent.Port(c.Ref())
	out := &weftv1.ClientInfo{Tenant: c.Metadata.Tenant, Name: c.Metadata.Name, Network: port.NetworkRef().String(), Key: c.Spec.PublicKey[:]}
	for _, a := range c.Spec.Addresses {
		out.Addresses = append(out.Addresses, a.String())
	}
	network := v.Intent.Network(port.NetworkRef())
	for _, subnet := range network.Spec.Subnets {
		for _, p := range subnet.Prefixes() {
			out.Ranges = append(out.Ranges, p.String())
		}
	}
	if subnet := network.Subnet(port.Spec.Subnet); subnet != nil {
		for _, a := range subnet.DNS {
			out.Dns = append(out.Dns, a.String())
		}
	}
	listen := settings.ClientPort(v.Networks[port.NetworkRef()].ID)
	serving, now := v.Bindings[c.Ref()], s.Now()
	out.Mtu = uint32(clientMTU(settings, network, v.Nodes[serving]))
	for _, name := range slices.Sorted(maps.Keys(v.Nodes)) {
		if n := v.Nodes[name]; name == serving || edit.IsGateway(settings, n) {
			end := clientEnd(name, n, listen)
			end.Connected = statuses[name].Connected(now)
			if name == serving {
				out.Gateway = end
			} else {
				out.Others = append(out.Others, end)
			}
		}
	}
	for _, session := range report(statuses[serving]).GetClients() {
		if session.GetTenant() == out.Tenant && session.GetName() == out.Name {
			out.Session = session
		}
	}
	return out
}

// clientMTU is the largest packet within a client's tunnel: what the gateway's workloads have, or less, since WireGuard adds
// 80 bytes to it over IPv6, and nobody knows over what it travels.
func clientMTU(s topology.FabricSpec, network *topology.Network, n compile.NodeState) int {
	const overhead = 80
	mtu := min(s.WorkloadMTU(n.VTEP.Is6()), s.UnderlayMTU-overhead)
	if own := network.Spec.MTU; own > 0 {
		mtu = min(mtu, own)
	}
	return mtu
}

func clientEnd(name fabric.NodeName, n compile.NodeState, listen uint16) *weftv1.ClientEnd {
	host := n.Clients.Endpoint
	if host == "" {
		host = n.VTEP.String()
	}
	return &weftv1.ClientEnd{Node: string(name), Key: n.Clients.Key[:], Endpoint: net.JoinHostPort(host, strconv.Itoa(int(listen)))}
}

// clientGateway reads how a node serves remote clients.
func clientGateway(m *weftv1.ClientGateway) (compile.ClientGateway, error) {
	if m == nil {
		return compile.ClientGateway{}, nil
	}
	if len(m.Key) != len(fabric.PublicKey{}) || fabric.PublicKey(m.Key).IsZero() {
		return compile.ClientGateway{}, badArgument("the key for clients has not the form of a WireGuard key")
	}
	if m.Endpoint != "" {
		if _, err := netip.ParseAddr(m.Endpoint); err != nil && !isHostName(m.Endpoint) {
			return compile.ClientGateway{}, badArgument("the endpoint for clients, %.80q, is neither an address nor a name", m.Endpoint)
		}
	}
	return compile.ClientGateway{Key: fabric.PublicKey(m.Key), Endpoint: m.Endpoint}, nil
}

// isHostName reports whether s has the form of a DNS name (RFC 1123, section 2.1).
func isHostName(s string) bool {
	if len(s) > 253 {
		return false
	}
	for i, c := range s {
		letter := c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9'
		if !letter && (c != '-' && c != '.' || i == 0) {
			return false
		}
	}
	return s != ""
}
