package ovs

import "context"

// Changes has the switch tell when somebody else changes its flows: the channel receives then, once or more often. The error
// says that the switch can't tell, or that the connection is of no use.
func (f *Flows) Changes(ctx context.Context) (<-chan struct{}, error) {
	if err := f.conn.MonitorFlows(ctx); err != nil {
		return nil, err
	}
	return f.conn.FlowChanges(), nil
}

// Changes implements the contract of Flows.Changes.
func (f *FakeFlows) Changes(ctx context.Context) (<-chan struct{}, error) {
	f.sw.mu.Lock()
	defer f.sw.mu.Unlock()
	if err := f.open(ctx); err != nil {
		return nil, err
	}
	if f.changes == nil {
		f.changes = make(chan struct{}, 1)
	}
	return f.changes, nil
}

// changed tells all connections but one, which may be nil, that flows have changed. The lock is held.
func (s *FakeSwitch) changed(by *FakeFlows) {
	for f := range s.conns {
		if f == by || f.changes == nil {
			continue
		}
		select {
		case f.changes <- struct{}{}:
		default:
		}
	}
}
