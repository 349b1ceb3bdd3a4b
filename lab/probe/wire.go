package probe

import (
	"fmt"
	"net/netip"
	"strconv"
	"strings"
	"time"
)

// Protocol is what a probe sends.
type Protocol string

// The protocols.
const (
	ICMP Protocol = "icmp" // an echo request, of the address's family
	TCP  Protocol = "tcp"
	UDP  Protocol = "udp"
)

// Service is a protocol and, but for ICMP, a port.
type Service struct {
	Protocol Protocol `json:"protocol"`
	Port     uint16   `json:"port,omitempty"`
}

// String returns "icmp" or "tcp/80".
func (s Service) String() string {
	if s.Port == 0 {
		return string(s.Protocol)
	}
	return string(s.Protocol) + "/" + strconv.Itoa(int(s.Port))
}

// ParseService parses "tcp/80" or "udp/53", what a responder can listen on.
func ParseService(s string) (Service, error) {
	protocol, port, _ := strings.Cut(s, "/")
	n, err := strconv.ParseUint(port, 10, 16)
	if err != nil || n == 0 || protocol != string(TCP) && protocol != string(UDP) {
		return Service{}, fmt.Errorf("%q is not a service: write tcp/PORT or udp/PORT, with a port of 1 to 65535", s)
	}
	return Service{Protocol(protocol), uint16(n)}, nil
}

// Request is one line to the program in a workload. Exactly one of the pointers is set.
type Request struct {
	ID   string `json:"id"`
	Send *Send  `json:"send,omitempty"` // send a probe
	Seen *Seen  `json:"seen,omitempty"` // which ICMP tokens did you receive?
	Run  *Run   `json:"run,omitempty"`  // run a command
	Raw  *Raw   `json:"raw,omitempty"`  // send a frame as it is

	Begin *Traffic `json:"begin,omitempty"` // send without a pause
	Look  *Look    `json:"look,omitempty"`  // what became of it?
}

// Send asks to probe an address.
type Send struct {
	Service
	To    netip.Addr `json:"to"`
	Token string     `json:"token"` // 16 bytes as hexadecimal, carried by the probe
	// Tries are at most so many, each of at most Timeout.
	Tries   int           `json:"tries"`
	Timeout time.Duration `json:"timeout"`
}

// Seen asks for the ICMP tokens that were received since the last Seen.
type Seen struct{}

// Run asks to run a command and to return its output.
type Run struct {
	Args    []string      `json:"args"`
	Timeout time.Duration `json:"timeout"`
}

// Raw asks to send an Ethernet frame, whatever is in it.
type Raw struct {
	Interface string `json:"interface"`
	Frame     []byte `json:"frame"`
}

// Answer is one line from the program in a workload.
type Answer struct {
	ID    string `json:"id"`
	Error string `json:"error,omitempty"` // the request could not be carried out

	Reply  *Reply   `json:"reply,omitempty"`  // to Send
	Tokens []string `json:"tokens,omitempty"` // to Seen
	Output *Output  `json:"output,omitempty"` // to Run
	Tally  *Tally   `json:"tally,omitempty"`  // to Look
}

// Reply is what became of a probe.
type Reply struct {
	// Answered says that an answer came back; Who is the name in it, empty for ICMP.
	Answered bool          `json:"answered"`
	Who      string        `json:"who,omitempty"`
	RTT      time.Duration `json:"rtt,omitempty"`
	// Why says how an unanswered probe ended: "timeout", "refused", "unreachable", or the system's error.
	Why string `json:"why,omitempty"`
}

// Output is what a command printed, both streams together.
type Output struct {
	Text string `json:"text"`
	Code int    `json:"code"`
}
