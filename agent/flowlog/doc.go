// Package flowlog is a node's log of connections: what a record says, how it is read from a packet that the switch has
// copied, the bounded file that keeps records, and the limits that hold it bounded in time as well.
package flowlog
