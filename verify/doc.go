// Package verify proves that the flows of a node's switch do what the plan says, or shows packets that prove the
// opposite.
//
// It runs the tables on sets of packets instead of packets: a state holds for each field of the packet what is known
// of its bits, and splits only where a flow really tests what isn't known. So each answer is about all packets, and
// exact. What the tables do is compared with what docs/pipeline.md and docs/policy.md promise, which this package
// states again in its own words: it shares the vocabulary with package pipeline, and no code. Policy is
// firewall.Decide.
//
// What isn't modelled (groups, meters, NAT, and so on) is a Finding as soon as a packet can meet it. The package is
// pure: flows and plan in, a Report out.
package verify
