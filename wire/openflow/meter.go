package openflow

import (
	"fmt"
	"strings"
)

// MeterDesc is a meter as data. Its only kind of band drops what is above the rate.
type MeterDesc struct {
	ID      uint32
	Packets bool // the rate counts packets a second, not kilobits a second
	Stats   bool // the meter counts
	Rate    uint32
	Burst   uint32 // packets or kilobits, 0 for the switch's default
}

// Flags of a meter and its band (OpenFlow 1.5.1, section 7.3.4.4).
const (
	meterKbps  = 1
	meterPktps = 2
	meterBurst = 4
	meterStats = 8
	bandDrop   = 1
	allMeters  = 0xffffffff
	maxMeterID = 0xffff0000
)

// meterCommands numbers the commands.
var meterCommands = map[Command]uint16{Add: 0, Modify: 1, Delete: 2}

// String returns the meter as ovs-ofctl dump-meters does.
func (m MeterDesc) String() string {
	parts := []string{map[bool]string{true: "pktps", false: "kbps"}[m.Packets]}
	if m.Burst != 0 {
		parts = append(parts, "burst")
	}
	if m.Stats {
		parts = append(parts, "stats")
	}
	s := fmt.Sprintf("meter=%d %s bands=type=drop rate=%d", m.ID, strings.Join(parts, " "), m.Rate)
	if m.Burst != 0 {
		s += fmt.Sprintf(" burst_size=%d", m.Burst)
	}
	return s
}

// MeterMod changes a meter: Add, Modify or Delete, of which the last needs the ID alone.
type MeterMod struct {
	Command Command
	Meter   MeterDesc
}

// String returns the command and the meter.
func (m MeterMod) String() string {
	if m.Command == Delete {
		return fmt.Sprintf("%s meter %d", m.Command, m.Meter.ID)
	}
	return fmt.Sprintf("%s meter %q", m.Command, m.Meter.String())
}

// append appends struct ofp_meter_mod: command(2) flags(2) meter(4) bands, each type(2) length(2) rate(4)
// burst(4) pad(4).
func (m MeterMod) append(b []byte, xid uint32) ([]byte, error) {
	command, ok := meterCommands[m.Command]
	d := m.Meter
	switch {
	case !ok:
		return nil, fmt.Errorf("meters have no %s", m.Command)
	case d.ID == 0 || d.ID > maxMeterID:
		return nil, fmt.Errorf("meter %#x: numbers go from 1 to %#x", d.ID, maxMeterID)
	}
	flags := uint16(meterKbps)
	if d.Packets {
		flags = meterPktps
	}
	if d.Burst != 0 {
		flags |= meterBurst
	}
	if d.Stats {
		flags |= meterStats
	}
	return appendMessage(b, msgMeterMod, xid, func(b []byte) ([]byte, error) {
		b = be.AppendUint32(be.AppendUint16(be.AppendUint16(b, command), flags), d.ID)
		if m.Command == Delete {
			return b, nil
		}
		b = be.AppendUint16(be.AppendUint16(b, bandDrop), 16)
		return append(be.AppendUint32(be.AppendUint32(b, d.Rate), d.Burst), 0, 0, 0, 0), nil
	})
}

// meter reads struct ofp_meter_config: length(2) flags(2) meter(4) bands.
func (c *cursor) meter() (MeterDesc, error) {
	n := int(c.u16())
	body := cursor{b: c.take(n - 2)}
	flags := body.u16()
	m := MeterDesc{ID: body.u32(), Packets: flags&meterPktps != 0, Stats: flags&meterStats != 0}
	if c.bad || body.bad {
		return m, errShort
	}
	if kind, n := body.u16(), body.u16(); kind != bandDrop || n != 16 {
		return m, fmt.Errorf("meter %d: band type %d is not supported", m.ID, kind)
	}
	m.Rate, m.Burst = body.u32(), body.u32()
	body.skip(4)
	if len(body.b) > 0 {
		return m, fmt.Errorf("meter %d: several bands are not supported", m.ID)
	}
	if flags&meterBurst == 0 {
		m.Burst = 0
	}
	return m, body.err()
}
