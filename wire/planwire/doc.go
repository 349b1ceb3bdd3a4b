// Package planwire is plans as bytes: the entries of package plan as protobuf messages, and snapshot files.
//
// ToProto writes what a valid plan holds; FromProto refuses everything else, because what it lets through
// becomes flows: a number out of range, an address that isn't in canonical form, a selector that would match
// more than was meant.
package planwire
