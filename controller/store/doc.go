// Package store keeps the controller's state in etcd: an embedded one, or a cluster of the user's.
//
// A Store holds a copy of what is in etcd, kept up to date by a watch, and hands it out as immutable
// state.Views. Update is the only way to change it: one etcd transaction, guarded by the revision key, so
// that it applies to exactly the View it was computed from. Every controller on the same etcd sees the same
// sequence of revisions.
//
// Layout, below "/weft/v1/". Values are JSON.
//
//	state/revision                         the revision: a decimal number, raised by each transaction
//	state/object/<kind>/<tenant>/<name>    a declared object; the platform's have the tenant "-"
//	state/network/<tenant>/<name>          number and VNI blocks of a network
//	state/identity/<hex>                   a label set of a network
//	state/lease/<tenant>/<name>/<prefix>   a leased block; "/" in the prefix is written "_"
//	state/binding/<tenant>/<name>          the node that a Port is on
//	state/node/<name>                      a registered node
//	status/<node>                          what a node last reported
//	member/<node>                          the keys with which a node may speak
//	token/<id>                             a join token, hashed
//	pki/ca                                 the certificate authority, with its private key
//
// Who can read this etcd can be any node or admin: an external one must be reachable over TLS with client
// certificates only.
package store
