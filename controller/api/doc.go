// Package api answers the controller's calls: the Connect services of wire/weftpb, and who may call which.
//
// Handlers translate; what a call changes is computed by package edit, and committed by package store.
// Who calls is decided once per connection, by the client certificate or by the socket, and never by what a
// message says.
package api
