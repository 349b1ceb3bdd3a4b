// Package topology holds the kinds that users declare, and turns text into a checked Intent.
//
// It owns strict decoding with positions, defaults, validation that reports every problem at once, label
// selectors, the graph of who is joined to whom, and the stable allocation of network numbers, VNI blocks
// and address blocks. Everything here is pure: no files are opened but by ReadSources, no clock, no
// network. Besides the standard library it imports fabric and a YAML parser only.
package topology
