// Package compile turns what the controller knows into every node's plan. It is pure and deterministic:
// the plans depend on the State alone, never on the path to it.
//
// Plans computes everything from scratch. Engine does the same work incrementally, and tests hold the two
// against each other on shuffled histories.
package compile
