// Package overlay gives a node its encrypted way to other nodes, as the plan says: keys, a WireGuard device with the
// node's tunnel address, and what the switch needs to send into it.
//
// Where the kernel forwards packets, the tunnel address belongs to the kernel's WireGuard device. Where vswitchd does, it
// belongs to a bridge of two ports, the bridge's own and the tap of the WireGuard device that runs in the agent:
//
//	br-int ── VXLAN, routed to the range of tunnel addresses ──► weft-vtep ── tap ──► WireGuard ──► UDP, underlay
//
// That bridge has no other way out, so a packet for a tunnel address is encrypted or dropped, and what reaches br-int through
// it came out of WireGuard. While the bridge or its
// address is missing, as after a restart of vswitchd, a default route could lead tunnel packets elsewhere: Apply reports whether
// the way stands, and nobody may install flows that use it before.
package overlay
