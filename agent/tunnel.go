package agent

import (
	"net/netip"
	"strconv"

	"github.com/weftfabric/weft/agent/ovs"
)

// defaultVXLANPort is the port that RFC 7348 assigns; it serves until the plan tells the fabric's.
const defaultVXLANPort = 4789

// tunnelSpec is the one VXLAN port: flows choose the peer and the VNI (ovs-vswitchd.conf.db(5), Interface options). Without
// a tunnel address of its own it takes what the route to each peer says, and accepts packets to any.
func tunnelSpec(vtep netip.Addr, port uint16) ovs.PortSpec {
	if port == 0 {
		port = defaultVXLANPort
	}
	options := map[string]string{"remote_ip": "flow", "key": "flow", "dst_port": strconv.Itoa(int(port))}
	if vtep.IsValid() {
		options["local_ip"] = vtep.String()
	}
	return ovs.PortSpec{Name: tunnelPort, Type: "vxlan", Options: options}
}
