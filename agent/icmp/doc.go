// Package icmp writes the ICMP errors that the fabric sends to workloads. It is pure: a frame in, a frame out. It
// imports nothing of weft but fabric.
package icmp
