package ovs

import (
	"context"
	"slices"

	"github.com/weftfabric/weft/wire/openflow"
)

// Question is a packet that a flow hands to the agent.
type Question struct {
	Port    uint32 // where it came in
	Purpose string // what the flow says
	Packet  []byte // the frame, or its start
	Cookie  uint64 // of the flow
	// Metadata are the fields beside the packet when it met the flow: registers and the like.
	Metadata openflow.Match
}

// Next waits for the next question. It fails once the connection has ended.
func (f *Flows) Next(ctx context.Context) (Question, error) {
	select {
	case p, ok := <-f.conn.PacketIns():
		if !ok {
			return Question{}, f.conn.Err()
		}
		q := Question{Purpose: string(p.Userdata), Packet: p.Packet, Cookie: p.Cookie, Metadata: p.Metadata}
		for _, m := range p.Metadata {
			if m.Field == openflow.InPort {
				q.Port = uint32(m.Value.Lo)
			}
		}
		return q, nil
	case <-ctx.Done():
		return Question{}, ctx.Err()
	}
}

// Reply sends a frame out of a port, past all flows. The switch doesn't confirm it.
func (f *Flows) Reply(ctx context.Context, port uint32, frame []byte) error {
	return f.conn.PacketOut(ctx, openflow.PacketOut{Packet: frame, Actions: []openflow.Action{openflow.Output{Port: port}}})
}

// Ask puts a question, as a packet does that meets a flow with a Controller action. More than 100 that nobody takes
// are lost.
func (s *FakeSwitch) Ask(q Question) {
	select {
	case s.asked <- q:
	default:
	}
}

// Sent returns the frames that were sent out of a port.
func (s *FakeSwitch) Sent(port uint32) [][]byte {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.sent[port])
}

// Next implements the contract of Flows.Next.
func (f *FakeFlows) Next(ctx context.Context) (Question, error) {
	f.sw.mu.Lock()
	err := f.open(ctx)
	f.sw.mu.Unlock()
	if err != nil {
		return Question{}, err
	}
	select {
	case q := <-f.sw.asked:
		return q, nil
	case <-f.done:
		return Question{}, errFakeClosed
	case <-ctx.Done():
		return Question{}, ctx.Err()
	}
}

// Reply implements the contract of Flows.Reply.
func (f *FakeFlows) Reply(ctx context.Context, port uint32, frame []byte) error {
	f.sw.mu.Lock()
	defer f.sw.mu.Unlock()
	if err := f.open(ctx); err != nil {
		return err
	}
	f.sw.sent[port] = append(f.sw.sent[port], slices.Clone(frame))
	return nil
}
