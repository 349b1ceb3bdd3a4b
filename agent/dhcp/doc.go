// Package dhcp answers a workload's DHCPv4 requests (RFC 2131) from what the fabric knows of it. It is a function from
// a request and a Lease to a reply: there is no pool, and nothing is remembered, because the address is the
// workload's before it asks.
//
// What holds: a reply names the lease's address and no other; it goes to the lease's MAC address; a request for
// another MAC address has no reply. The package imports the vocabulary and the codec of DHCP's messages, and reaches
// neither sockets nor clocks.
package dhcp
