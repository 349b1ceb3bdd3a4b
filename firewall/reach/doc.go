// Package reach computes who can reach whom, for sets of packets instead of single ones: workloads as classes,
// addresses as intervals, services as intervals on one line. It names the rule that decides each set.
//
// It shares with firewall.Decide and firewall.Compile nothing but the rules, and tests hold it against Decide.
// Results are exact for the classes given. The package is pure and imports fabric, firewall and the standard
// library only.
package reach
