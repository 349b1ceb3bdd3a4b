// Package ovs is the driver of Open vSwitch's database: it keeps the integration bridge and its ports as
// the agent wants them, and tells what the switch made of it.
//
// Reads are level-triggered: Updates yields whole States, the latest one only, so a reader that was slow or
// away misses nothing that still matters. Writes are idempotent, and deleting what is missing succeeds. A lost
// connection is made again with backoff; until then writes fail with ErrNotConnected.
//
// DB is the real thing; Fake behaves like it, with a switch that numbers ports at once. One conformance suite
// holds both to the same contract. No other package imports libovsdb.
package ovs
