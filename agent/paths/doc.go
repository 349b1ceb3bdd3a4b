// Package paths measures the ways from a node to others: whether they carry packets, how many they lose, how long a round
// trip takes, and how large a packet may be.
//
// A Prober sends each target a small UDP datagram a few times a second and answers those of others. A Meter, one for
// each target, judges from the answers; it is pure, and takes the time as an argument. What all this costs grows with the
// targets, and their number stretches the interval, so that a node never sends more than maxRate probes a second.
package paths
