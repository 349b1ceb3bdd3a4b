// Package lab runs a whole fabric on one machine: a controller and any number of emulated nodes, each a network
// namespace with an Open vSwitch of its own and the shipped agent, joined by an underlay; and the workloads of
// a topology, containers through the shipped CNI plugin and virtual machines on taps. It sends real probes
// between all workloads, and predicts from the topology alone what they must show.
//
// What always holds: nothing outside the lab's own network namespaces and its state directory is changed; what
// is about to be made is recorded there first, so that Down removes all of it, after a crash too; and only
// processes that the lab started are ended, known by process id and start time.
package lab
