// Package probe is what runs inside each of the lab's workloads: it answers probes, sends them, and tells
// what it saw. Container namespaces and virtual machines run the same code.
//
// The lab speaks to it in lines of JSON, over a unix socket or a serial line: any number of requests in
// flight, answers in any order, joined by their ids. Every answer of a responder holds its workload's name, so
// that the lab knows who answered, not only that somebody did: with overlapping addresses that is the
// question. An ICMP echo reply can't carry a name; there the responder remembers the tokens of the requests
// it received.
//
// The package imports the standard library only: it runs in a guest of ten megabytes.
package probe
