package audit

import (
	"encoding/json"
	"fmt"

	"github.com/weftfabric/weft/topology"
)

// State is what a controller holds at a revision, as a document: the input of an audit that needs no files.
type State struct {
	Header
	Revision uint64        `json:"revision"`
	Objects  []StateObject `json:"objects"`
	Nodes    []StateNode   `json:"nodes"`
}

// StateObject is a declared object, and where it was written.
type StateObject struct {
	Object json.RawMessage    `json:"object"`
	Origin topology.Origin    `json:"origin,omitzero"`
	Rules  topology.RuleLines `json:"rules,omitzero"`
}

// StateNode is what a node said of itself.
type StateNode struct {
	Node        string       `json:"node"`
	Reported    string       `json:"reported"` // RFC 3339, by the controller's clock
	Connected   bool         `json:"connected"`
	Attachments []Attachment `json:"attachments"`
}

// NewState returns an empty state.
func NewState(revision uint64) State {
	return State{Header: header("State"), Revision: revision, Objects: []StateObject{}, Nodes: []StateNode{}}
}

// Intent returns the declared objects.
func (s State) Intent() (*topology.Intent, error) {
	var objects []*topology.Object
	for _, so := range s.Objects {
		o, err := topology.UnmarshalObject(so.Object)
		if err != nil {
			return nil, fmt.Errorf("state of revision %d: %w", s.Revision, err)
		}
		o.Origin, o.RuleLines = so.Origin, so.Rules
		objects = append(objects, o)
	}
	return topology.NewIntent(objects...), nil
}

// Attachments returns those of all nodes.
func (s State) Attachments() []Attachment {
	var out []Attachment
	for _, n := range s.Nodes {
		out = append(out, n.Attachments...)
	}
	return out
}

// Side returns the state as one side of a comparison: declared Ports and what nodes report.
func (s State) Side() (Side, error) {
	intent, err := s.Intent()
	if err != nil {
		return Side{}, err
	}
	return SideOf(intent, s.Attachments())
}

// SideOf returns declared objects with the workloads that are attached.
func SideOf(intent *topology.Intent, attachments []Attachment) (Side, error) {
	workloads, problems := WorkloadsOf(intent, nil)
	if err := problems.Err(); err != nil {
		return Side{}, err
	}
	return Side{Intent: intent, Workloads: WithLive(intent, workloads, attachments)}, nil
}

// ParseState reads the document.
func ParseState(data []byte) (State, error) {
	var s State
	if err := json.Unmarshal(data, &s); err != nil {
		return s, fmt.Errorf("state: %w", err)
	}
	if s.Header != header("State") {
		return s, fmt.Errorf("state: it is %s of %s, not State of %s", s.Kind, s.APIVersion, ReportVersion)
	}
	return s, nil
}

// Marshal returns the document as it is kept as evidence: equal states have equal bytes.
func (s State) Marshal() ([]byte, error) {
	b, err := json.MarshalIndent(s, "", "  ")
	if err != nil {
		return nil, fmt.Errorf("state of revision %d: %w", s.Revision, err)
	}
	return append(b, '\n'), nil
}
