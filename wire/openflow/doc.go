// Package openflow speaks OpenFlow 1.5 with the Nicira extensions, as Open vSwitch does, over a bridge's
// management socket.
//
// Matches and actions are data. Each has two forms, and both go both ways: the binary form of the protocol
// (OpenFlow Switch Specification 1.5.1; OVS include/openflow/nicira-ext.h and ovs-fields(7)), and the text
// form of ovs-ofctl(8). ovs-ofctl itself is the oracle of this package's tests.
//
// What can't be expressed is refused, on the way in and on the way out: a field, an action or an instruction
// that has no type here never disappears from a flow. A flow that was written to a switch and read back is
// Equal to itself, so a restarted agent recognizes what it finds.
//
// A Conn is a connection to one bridge. Bundle makes changes, all or none, and tells which one the switch
// refused; DumpFlows and its siblings observe. The package keeps no state of the switch. It imports the
// vocabulary of package fabric alone.
package openflow
