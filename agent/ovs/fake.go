package ovs

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
)

// Fake is a DB without Open vSwitch: a database in memory and a switch that numbers ports at once.
type Fake struct {
	// Missing reports whether a device of the system doesn't exist, so that the switch can't open it; nil
	// stands for "all exist". It must not change after the first call.
	Missing func(name string) bool

	mu       sync.Mutex
	updates  chan State
	state    State
	away     error
	nextPort uint32
}

// NewFake returns a database with no bridge that answers.
func NewFake(version string) *Fake {
	f := &Fake{updates: make(chan State, 1), state: State{Connected: true, Version: version}, nextPort: 1}
	f.publish()
	return f
}

// Updates yields the latest State after each change. There is one reader.
func (f *Fake) Updates() <-chan State { return f.updates }

// Disconnect makes the database answer nobody, for that reason, until Reconnect.
func (f *Fake) Disconnect(reason error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.away = reason
	f.publish()
}

// Reconnect ends what Disconnect began.
func (f *Fake) Reconnect() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.away = nil
	f.state.Session++
	f.publish()
}

// Lose empties the database, as when its file is replaced while the server is down.
func (f *Fake) Lose() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.state = State{Connected: true, Version: f.state.Version, Session: f.state.Session}
	f.publish()
}

// State returns what the database holds.
func (f *Fake) State() State {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.copied()
}

// EnsureBridge implements the contract of DB.EnsureBridge.
func (f *Fake) EnsureBridge(_ context.Context, spec BridgeSpec) error {
	return f.change("ensure bridge "+DefaultBridge, func(s *State) error {
		s.Bridge.Name = DefaultBridge
		if spec.Datapath != "" || s.Bridge.Datapath == "" {
			s.Bridge.Datapath = spec.Datapath
		}
		s.Bridge.DatapathID, s.Bridge.FailMode = "0000000000000001", spec.failMode()
		s.Bridge.Protocols, s.Bridge.OtherConfig = wantedProtocols[:], merge(s.Bridge.OtherConfig, spec.OtherConfig)
		return nil
	})
}

// AddPort implements the contract of DB.AddPort.
func (f *Fake) AddPort(_ context.Context, spec PortSpec) error {
	return f.change("add port "+spec.Name, func(s *State) error {
		if s.Bridge.Name == "" {
			return fmt.Errorf("there is no bridge %s yet", DefaultBridge)
		}
		at, ok := slices.BinarySearchFunc(s.Interfaces, spec.Name, func(i Interface, n string) int { return strings.Compare(i.Name, n) })
		if !ok {
			s.Interfaces = slices.Insert(s.Interfaces, at, f.open(spec))
		}
		i := &s.Interfaces[at]
		i.Type, i.Options, i.ExternalIDs = spec.Type, maps.Clone(spec.Options), merge(i.ExternalIDs, spec.ExternalIDs)
		return nil
	})
}

// open is what the switch makes of a new port.
func (f *Fake) open(spec PortSpec) Interface {
	if spec.Type == "" && f.Missing != nil && f.Missing(spec.Name) {
		return Interface{Name: spec.Name, Error: fmt.Sprintf("could not open network device %s (No such device)", spec.Name)}
	}
	i := Interface{Name: spec.Name, OFPort: spec.Number, Requested: spec.Number}
	taken := slices.ContainsFunc(f.state.Interfaces, func(o Interface) bool { return o.OFPort == spec.Number })
	if spec.Number == 0 || taken {
		i.OFPort = f.nextPort
		f.nextPort++
	}
	return i
}

// SetExternalIDs implements the contract of DB.SetExternalIDs.
func (f *Fake) SetExternalIDs(_ context.Context, name string, ids map[string]string) error {
	return f.change("set external_ids of "+name, func(s *State) error {
		for k := range s.Interfaces {
			if i := &s.Interfaces[k]; i.Name == name {
				i.ExternalIDs = merge(i.ExternalIDs, ids)
				maps.DeleteFunc(i.ExternalIDs, func(_, v string) bool { return v == "" })
			}
		}
		return nil
	})
}

// DeletePort implements the contract of DB.DeletePort.
func (f *Fake) DeletePort(_ context.Context, name string) error {
	return f.change("delete port "+name, func(s *State) error {
		s.Interfaces = slices.DeleteFunc(s.Interfaces, func(i Interface) bool { return i.Name == name })
		return nil
	})
}

// change applies one transaction to the state, and publishes it.
func (f *Fake) change(what string, apply func(*State) error) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.away != nil {
		return fmt.Errorf("%s: %w", what, ErrNotConnected)
	}
	next := f.copied()
	if err := apply(&next); err != nil {
		return fmt.Errorf("%s: %w", what, err)
	}
	f.state = next
	f.publish()
	return nil
}

// copied returns a state that shares nothing that changes. f.mu is held.
func (f *Fake) copied() State {
	s := f.state
	s.Interfaces = slices.Clone(s.Interfaces)
	return s
}

// publish replaces the state that the reader hasn't taken yet. f.mu is held.
func (f *Fake) publish() {
	select {
	case <-f.updates:
	default:
	}
	s := f.copied()
	if f.away != nil {
		s = State{Problem: f.away.Error()}
	}
	f.updates <- s
}
