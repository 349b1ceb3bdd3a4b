package cni

import (
	"fmt"
	"net/netip"

	"github.com/containernetworking/cni/pkg/skel"

	"github.com/weftfabric/weft/fabric"
	"github.com/weftfabric/weft/wire/cniwire"
)

// NewCheck takes from the result that the runtime remembers (prevResult) what the interface must look like.
// Plugins later in the list may have added interfaces and addresses: only those of our own interface count.
func NewCheck(call *skel.CmdArgs, conf Config) (cniwire.Check, error) {
	check := cniwire.Check{Attachment: attachmentOf(call), Netns: call.Netns}
	prev, err := previous(conf)
	if err != nil {
		return check, err
	}
	if prev == nil {
		return check, fmt.Errorf("field \"prevResult\" is missing: CHECK needs the result of ADD")
	}
	index := interfaceIn(prev, call.IfName)
	if index < 0 {
		return check, fmt.Errorf("field \"prevResult\" holds no interface %s in a container: it is not the result of this plugin's ADD", call.IfName)
	}
	if check.MAC, err = fabric.ParseMAC(prev.Interfaces[index].Mac); err != nil {
		return check, fmt.Errorf("field \"prevResult\": interface %s: %w", call.IfName, err)
	}
	for _, ip := range prev.IPs {
		if ip.Interface == nil || *ip.Interface != index {
			continue
		}
		addr, ok := netip.AddrFromSlice(ip.Address.IP)
		bits, _ := ip.Address.Mask.Size()
		if !ok {
			return check, fmt.Errorf("field \"prevResult\": address %s is malformed", ip.Address.String())
		}
		check.Addresses = append(check.Addresses, netip.PrefixFrom(addr.Unmap(), bits))
	}
	return check, nil
}
