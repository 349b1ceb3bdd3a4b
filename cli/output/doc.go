// Package output writes results for people (aligned tables, with colours where a terminal shows them) and for
// scripts (JSON and YAML whose bytes depend on the content only).
//
// It knows nothing of what it prints, and holds no state: every function writes what it was given.
package output
