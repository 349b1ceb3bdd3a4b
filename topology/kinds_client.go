package topology

import (
	"net/netip"

	"github.com/weftfabric/weft/fabric"
)

// ClientAccess says where remote clients join their networks.
type ClientAccess struct {
	// Gateways selects, by the labels of nodes, those that clients connect to. Each client is served by one of them.
	Gateways Selector `json:"gateways"`
	// Port is the UDP port of the network with number 1; the next networks have the next ports.
	Port uint16 `json:"port,omitzero"` // default 51830
}

// Client is a machine that joins one network through WireGuard at a gateway. It is a port like any other, and shares
// the name space of its tenant's Ports.
type Client struct {
	Metadata Metadata   `json:"metadata"`
	Spec     ClientSpec `json:"spec"`
}

// ClientSpec is the body of a Client. The labels of its Metadata are the workload's labels.
type ClientSpec struct {
	Network string `json:"network"`
	// Subnet is where the addresses lie; it defaults to the one that they lie in.
	Subnet string `json:"subnet,omitzero"`
	// Addresses are the client's, at least one and at most one of each family: they stand in its configuration.
	Addresses []netip.Addr `json:"addresses"`
	// PublicKey is the client's WireGuard key; the private one never leaves the client.
	PublicKey fabric.PublicKey `json:"publicKey"`
}

// Ref returns the name of the port that the client is.
func (c *Client) Ref() fabric.PortRef {
	return fabric.PortRef{Tenant: c.Metadata.Tenant, Name: c.Metadata.Name}
}

// Port returns the port that the client is.
func (c *Client) Port() *Port {
	return &Port{Metadata: c.Metadata, Client: c, Spec: PortSpec{
		Network: c.Spec.Network, Subnet: c.Spec.Subnet, MAC: DefaultMAC(c.Ref()), Addresses: c.Spec.Addresses,
	}}
}

// Key returns the key of the object that declares the port: a Port or a Client.
func (p *Port) Key() Key {
	kind := KindPort
	if p.Client != nil {
		kind = KindClient
	}
	return Key{kind, p.Metadata.Tenant, p.Metadata.Name}
}

// ClientPort returns the UDP port at which gateways serve the clients of the network with a number; 0 when there are no
// clients, or no port is left.
func (s FabricSpec) ClientPort(network fabric.NetworkID) uint16 {
	if s.Clients == nil || network == 0 {
		return 0
	}
	if port := int(s.Clients.Port) + int(network) - 1; port <= 65535 {
		return uint16(port)
	}
	return 0
}
