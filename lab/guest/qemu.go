package guest

import (
	"fmt"
	"net/netip"
	"strings"

	"github.com/weftfabric/weft/fabric"
)

// Machine is one virtual machine: everything that its command line depends on.
type Machine struct {
	Kernel, Initramfs string
	Name              string // the workload's, which its answers hold
	Tap               string
	MAC               fabric.MAC
	MTU               int
	// Addresses and Gateways are the workload's. The guest is told of the IPv6 ones only: for IPv4 it asks DHCP.
	Addresses []netip.Prefix
	Gateways  []netip.Addr
	Listen    []string // services of the responder
	// Control is the unix socket that leads to the guest's second serial line; Console is the file that
	// receives what the first one prints.
	Control, Console string
}

// Command returns the program and the arguments that run the machine in the foreground.
func (m Machine) Command() []string {
	// The switch's userspace datapath forwards partial checksums as they are, and nobody completes them.
	nic := fmt.Sprintf("virtio-net-pci,netdev=net0,mac=%s,host_mtu=%d,romfile=,csum=off,guest_csum=off,gso=off,guest_tso4=off,guest_tso6=off,guest_ufo=off,host_tso4=off,host_tso6=off,host_ufo=off", m.MAC, m.MTU)
	return []string{
		"qemu-system-x86_64", "-accel", "tcg,thread=multi", "-m", "192", "-smp", "1", "-nodefaults", "-display", "none", "-no-reboot",
		"-kernel", m.Kernel, "-initrd", m.Initramfs, "-append", m.cmdline(),
		"-serial", "file:" + m.Console,
		"-chardev", "socket,id=control,server=on,wait=off,path=" + m.Control, "-serial", "chardev:control",
		"-netdev", "tap,id=net0,script=no,downscript=no,vhost=off,ifname=" + m.Tap, "-device", nic,
	}
}

// cmdline is what the guest's init reads.
func (m Machine) cmdline() string {
	dhcp := "off"
	var addresses, gateways []string
	for _, a := range m.Addresses {
		if a.Addr().Is4() {
			dhcp = "on"
		} else {
			addresses = append(addresses, a.String())
		}
	}
	for _, g := range m.Gateways {
		if g.Is6() {
			gateways = append(gateways, g.String())
		}
	}
	return fmt.Sprintf("console=ttyS0 quiet panic=-1 nokaslr mitigations=off tsc=reliable random.trust_cpu=on weft.name=%s weft.dhcp=%s weft.addr6=%s weft.gw6=%s weft.listen=%s",
		m.Name, dhcp, strings.Join(addresses, ","), strings.Join(gateways, ","), strings.Join(m.Listen, ","))
}
