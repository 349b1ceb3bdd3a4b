package main

import (
	"path/filepath"

	"github.com/weftfabric/weft/agent/clients"
	"github.com/weftfabric/weft/agent/host"
)

// newClients returns what serves remote clients, with a key of its own.
func newClients(s settings) (*clients.Manager, error) {
	return clients.New(filepath.Join(s.stateDir, "clients.key"), host.New("").OpenPort, s.log)
}
