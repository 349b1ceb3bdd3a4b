// Package plan is the contract between controller and agent: one node's share of the fabric.
//
// A Node is a set of keyed entries in canonical order, so equal plans are equal byte for byte and the
// difference of two plans is a list of entries. What one node needs never grows with the workloads on other
// nodes, only with their label sets and address blocks. The package is pure.
package plan
