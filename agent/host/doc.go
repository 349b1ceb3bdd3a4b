// Package host is the driver of the node's kernel: veth pairs with one end in a container's network
// namespace, taps for virtual machines, and what has to be set on them.
//
// Every link that it makes on the node carries Alias as its alias's beginning, which is how a restarted agent
// knows its own. Deleting what is missing succeeds; a creation that fails leaves nothing behind.
//
// Host is the real thing; Fake behaves like it in memory. One conformance suite holds both to the same contract.
// No other package imports netlink and netns.
package host
