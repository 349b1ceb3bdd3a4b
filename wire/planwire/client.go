package planwire

import (
	"math"

	"github.com/weftfabric/weft/fabric"
	"github.com/weftfabric/weft/plan"
	weftv1 "github.com/weftfabric/weft/wire/weftpb/weft/v1"
)

func clientToProto(c plan.Client) *weftv1.PlanClient {
	if c.Key.IsZero() {
		return nil
	}
	return &weftv1.PlanClient{Key: c.Key[:], Listen: uint32(c.Listen)}
}

func (r *reader) client(m *weftv1.PlanClient) plan.Client {
	if len(m.GetKey()) != len(fabric.PublicKey{}) || fabric.PublicKey(m.GetKey()).IsZero() {
		r.check(false, "client: no key of %d bytes", len(fabric.PublicKey{}))
		return plan.Client{}
	}
	return plan.Client{Key: fabric.PublicKey(m.GetKey()), Listen: uint16(r.number("client: listen", m.GetListen(), 0, math.MaxUint16))}
}
