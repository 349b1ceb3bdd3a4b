package verify

import (
	"github.com/weftfabric/weft/fabric"
	"github.com/weftfabric/weft/wire/openflow"
)

// answeredWrongly compares what went back to the sender with the answer that was promised.
func (s *state) answeredWrongly(want arrival, vmac fabric.MAC) string {
	if s.stopped || len(s.outs) != 1 || s.outs[0].agent || !s.is(&s.outs[0].port, num(uint64(openflow.PortInPort)), 32) {
		return s.arrived()
	}
	c := s.outs[0].cells
	from := func(f, of openflow.Field) bool { return s.same(c, f, variable(of)) }
	be := func(f openflow.Field, v word) bool { x := c[f]; return s.is(&x, v, f.Bits()) }
	mac := num(vmac.Uint64())
	good := be(openflow.EthSrc, mac) && from(openflow.EthDst, openflow.EthSrc)
	v4, v6 := families()[0], families()[1]
	switch want.fate {
	case fateARP:
		good = good && be(openflow.ARPOp, num(2)) && be(openflow.ARPSHA, mac) && from(openflow.ARPTHA, openflow.ARPSHA) &&
			from(openflow.ARPSPA, openflow.ARPTPA) && from(openflow.ARPTPA, openflow.ARPSPA)
	case fateND:
		flags := uint64(0x60000000) // solicited, override (RFC 4861, section 4.4)
		if want.router {
			flags |= 0x80000000
		}
		good = good && be(openflow.ICMPv6Type, num(136)) && be(openflow.ICMPv6Code, word{}) && be(openflow.NDTLL, mac) &&
			from(openflow.NDTarget, openflow.NDTarget) && from(v6.src, openflow.NDTarget) && from(v6.dst, v6.src) &&
			be(openflow.NDReserved, num(flags)) && be(openflow.NDOptionsType, num(2)) && be(openflow.IPTTL, num(255))
	case fateEcho:
		f := v4
		if s.is(&c[openflow.EthType], num(etherIPv6), 16) {
			f = v6
		}
		good = good && be(f.typ, num(f.reply)) && from(f.src, f.dst) && from(f.dst, f.src) && be(openflow.IPTTL, num(64))
	}
	if !good {
		return "answered wrongly"
	}
	return ""
}
