// Package runtimes proves that real container runtimes attach containers through weft-cni: cnitool, with the reference
// plugins tuning, portmap and bandwidth chained behind it; podman with its CNI backend; containerd, through ctr and
// through the Container Runtime Interface. Each works on a node of a lab with the shipped controller and agent.
//
// It holds tests only. Those of podman and containerd need these installed, and run where WEFT_RUNTIMES is set.
package runtimes
