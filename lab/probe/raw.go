package probe

import (
	"fmt"
	"net"
	"syscall"
)

// sendFrame sends an Ethernet frame out of an interface (packet(7)).
func sendFrame(r Raw) error {
	iface, err := net.InterfaceByName(r.Interface)
	if err != nil {
		return fmt.Errorf("interface %s: %w", r.Interface, err)
	}
	fd, err := syscall.Socket(syscall.AF_PACKET, syscall.SOCK_RAW|syscall.SOCK_CLOEXEC, 0)
	if err != nil {
		return fmt.Errorf("open a packet socket: %w", err)
	}
	defer func() { _ = syscall.Close(fd) }()
	if err := syscall.Sendto(fd, r.Frame, 0, &syscall.SockaddrLinklayer{Ifindex: iface.Index}); err != nil {
		return fmt.Errorf("send a frame of %d bytes: %w", len(r.Frame), err)
	}
	return nil
}
