// Package dataplane holds a node's switch state as data, and what separates two of them.
//
// A State is what should be, or what was found; Diff gives the operations that turn one into the other. Only
// what carries the fabric's mark is ever looked at: flows whose cookie has CookieMark in its top byte.
// The package is pure: drivers apply its operations.
package dataplane
