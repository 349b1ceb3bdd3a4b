package dhcp

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"time"

	"github.com/insomniacslk/dhcp/dhcpv4"

	"github.com/weftfabric/weft/fabric"
)

// LeaseTime is for how long a client may use its address without asking again. It is long, so that clients outlive a
// fabric that can't answer for a while: they ask first after half of it.
const LeaseTime = 24 * time.Hour

// minMessage is what every client takes, in octets of the IP packet (RFC 2131, section 2).
const minMessage = 576

// Lease is what the fabric knows of a workload.
type Lease struct {
	MAC fabric.MAC
	// Address is the workload's address with the length of its subnet.
	Address netip.Prefix
	// Gateway is the subnet's gateway; it speaks as the server, with the MAC address Router.
	Gateway netip.Addr
	Router  fabric.MAC
	MTU     int
	DNS     []netip.Addr
	// Routes are further ranges that the gateway leads to. Who asks for routes gets the default one, too.
	Routes []netip.Prefix
}

// Refusals of Answer.
var (
	// ErrForged says that a request speaks for another MAC address.
	ErrForged = errors.New("the request is for another MAC address than the port's")
	// ErrRelayed says that a request came through a relay agent, which the fabric has none of.
	ErrRelayed = errors.New("the request came through a relay agent")
)

// Answer returns the Ethernet frame that answers the one of a request. It returns nil when the protocol has no answer:
// to a release, a decline, or a request to another server. An error says why the request is refused.
func Answer(frame []byte, l Lease) ([]byte, error) {
	d, err := parseRequest(frame)
	if err != nil {
		return nil, err
	}
	request, err := dhcpv4.FromBytes(d.payload)
	if err != nil {
		return nil, fmt.Errorf("malformed request: %w", err)
	}
	switch {
	case request.OpCode != dhcpv4.OpcodeBootRequest:
		return nil, errNotRequest
	case request.ClientHWAddr.String() != l.MAC.String() || d.srcMAC != l.MAC:
		return nil, ErrForged
	case !address(request.GatewayIPAddr).IsUnspecified():
		return nil, ErrRelayed
	}
	kind, ok := l.decide(request)
	if !ok {
		return nil, nil
	}
	reply, err := l.message(request, kind)
	if err != nil {
		return nil, err
	}
	out := datagram{srcMAC: l.Router, src: l.Gateway, payload: reply.ToBytes()}
	out.dst, out.dstMAC = destination(request, kind, l)
	return out.reply(), nil
}

// decide returns the kind of the reply (RFC 2131, sections 4.3.1 to 4.3.5); ok is false when there is none.
func (l Lease) decide(request *dhcpv4.DHCPv4) (kind dhcpv4.MessageType, ok bool) {
	client, asked, server := address(request.ClientIPAddr), address(request.RequestedIPAddress()), address(request.ServerIdentifier())
	switch request.MessageType() {
	case dhcpv4.MessageTypeDiscover:
		return dhcpv4.MessageTypeOffer, true
	case dhcpv4.MessageTypeInform:
		return dhcpv4.MessageTypeAck, client == l.Address.Addr()
	case dhcpv4.MessageTypeRequest:
		if !server.IsUnspecified() && server != l.Gateway {
			return 0, false // the client has chosen another server
		}
		if asked.IsUnspecified() {
			asked = client // it renews or rebinds
		}
		if asked != l.Address.Addr() {
			return dhcpv4.MessageTypeNak, true
		}
		return dhcpv4.MessageTypeAck, true
	}
	return 0, false
}

// message returns the reply of a kind.
func (l Lease) message(request *dhcpv4.DHCPv4, kind dhcpv4.MessageType) (*dhcpv4.DHCPv4, error) {
	reply, err := dhcpv4.NewReplyFromRequest(request, dhcpv4.WithMessageType(kind), dhcpv4.WithOption(dhcpv4.OptServerIdentifier(l.Gateway.AsSlice())))
	if err != nil {
		return nil, fmt.Errorf("build the reply: %w", err)
	}
	if kind == dhcpv4.MessageTypeNak {
		return reply, nil
	}
	if request.MessageType() == dhcpv4.MessageTypeInform {
		reply.ClientIPAddr = request.ClientIPAddr
	} else {
		reply.YourIPAddr = l.Address.Addr().AsSlice()
		reply.UpdateOption(dhcpv4.OptIPAddressLeaseTime(LeaseTime))
	}
	reply.UpdateOption(dhcpv4.OptSubnetMask(net.CIDRMask(l.Address.Bits(), 32)))
	reply.UpdateOption(dhcpv4.OptRouter(l.Gateway.AsSlice()))
	// RFC 2132, section 5.1: at least 68.
	reply.UpdateOption(dhcpv4.OptGeneric(dhcpv4.OptionInterfaceMTU, be.AppendUint16(nil, uint16(min(max(l.MTU, 68), 0xffff)))))
	if servers := addresses(l.DNS); len(servers) > 0 {
		reply.UpdateOption(dhcpv4.OptDNS(servers...))
	}
	l.addRoutes(request, reply)
	return reply, nil
}

// addRoutes adds classless routes (RFC 3442) if the client asks for them and takes a message of that length. A client
// that gets them ignores the router, so the default route is among them.
func (l Lease) addRoutes(request, reply *dhcpv4.DHCPv4) {
	if !request.ParameterRequestList().Has(dhcpv4.OptionClasslessStaticRoute) {
		return
	}
	var routes dhcpv4.Routes
	for _, p := range append([]netip.Prefix{netip.PrefixFrom(netip.IPv4Unspecified(), 0)}, l.Routes...) {
		if p.Addr().Is4() {
			dest := &net.IPNet{IP: p.Addr().AsSlice(), Mask: net.CIDRMask(p.Bits(), 32)}
			routes = append(routes, &dhcpv4.Route{Dest: dest, Router: l.Gateway.AsSlice()})
		}
	}
	longest := minMessage
	if asked, err := request.MaxMessageSize(); err == nil {
		longest = max(longest, min(int(asked), l.MTU))
	}
	reply.UpdateOption(dhcpv4.OptClasslessStaticRoute(routes...))
	if ipLen+udpLen+len(reply.ToBytes()) > longest {
		reply.DeleteOption(dhcpv4.OptionClasslessStaticRoute)
	}
}

// destination returns where a reply goes (RFC 2131, section 4.1). The MAC address is the port's in any case but that
// of a client which can take broadcasts alone.
func destination(request *dhcpv4.DHCPv4, kind dhcpv4.MessageType, l Lease) (netip.Addr, fabric.MAC) {
	client := address(request.ClientIPAddr)
	everybody := netip.AddrFrom4([4]byte{255, 255, 255, 255})
	switch {
	case kind == dhcpv4.MessageTypeNak:
		return everybody, fabric.MAC{0xff, 0xff, 0xff, 0xff, 0xff, 0xff}
	case !client.IsUnspecified():
		return client, l.MAC
	case request.IsBroadcast():
		return everybody, fabric.MAC{0xff, 0xff, 0xff, 0xff, 0xff, 0xff}
	}
	return l.Address.Addr(), l.MAC
}

// address converts an address that may be absent; that is the unspecified one.
func address(ip net.IP) netip.Addr {
	a, ok := netip.AddrFromSlice(ip)
	if a = a.Unmap(); !ok || !a.Is4() {
		return netip.IPv4Unspecified()
	}
	return a
}

// addresses converts IPv4 addresses.
func addresses(list []netip.Addr) []net.IP {
	var out []net.IP
	for _, a := range list {
		if a.Is4() {
			out = append(out, a.AsSlice())
		}
	}
	return out
}
