package openflow

// Flow is one flow entry as data. Table, Priority and Match name it; the rest is its body. An empty list
// of actions drops the packet.
type Flow struct {
	Table       uint8
	Priority    uint16
	Match       Match
	Cookie      uint64
	IdleTimeout uint16 // seconds, 0 for none
	HardTimeout uint16 // seconds, 0 for none
	Actions     []Action
}
