// Package drift says how a switch's flows differ from what an agent left there, and remembers it: what somebody else deleted,
// changed or added. It is pure; repairing is package dataplane's matter.
package drift
