// Package openflow speaks OpenFlow 1.5 with the Nicira extensions, as Open vSwitch does, over a bridge's
// management socket.
//
// Matches and actions are data. Each has two forms, and both go both ways: the binary form of the protocol
// (OpenFlow Switch Specification 1.5.1; OVS include/openflow/nicira-ext.h and ovs-fields(7)), and the text
// form of ovs-ofctl(8). ovs-ofctl itself is the oracle of this package's tests.
package openflow
