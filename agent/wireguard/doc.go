// Package wireguard carries the tunnel packets of one node to its peers under encryption.
//
// What travels inside are IPv4 packets from one tunnel address (VTEP) to another: the fabric's VXLAN, and the probes
// that measure a path. A peer is known by its key, and a key may send from its own VTEPs only (WireGuard's allowed
// IPs), so nobody can claim another's VTEP.
//
// Where the kernel forwards packets, its own WireGuard device does the work. Where vswitchd does, Embedded runs
// golang.zx2c4.com/wireguard in this process: its packets come from a tap in a bridge of Open vSwitch, because the
// native tunnels of the userspace datapath can leave by nothing else. Both are configured through wgctrl, and wg(8) shows
// both.
package wireguard
