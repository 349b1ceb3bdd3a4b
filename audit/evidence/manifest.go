package evidence

import (
	"bytes"
	"encoding/json"
	"fmt"

	"github.com/weftfabric/weft/audit"
)

// Manifest says what a bundle is about.
type Manifest struct {
	audit.Header
	Made    string `json:"made"`    // RFC 3339, by the clock of who sealed it
	Version string `json:"version"` // of weft
	// Question is what was asked, as the command line asks it.
	Question string `json:"question"`
	// Input is what was audited. Inputs are the names of its files in the archive, in the same order; none when they were
	// left out.
	Input  audit.Input `json:"input"`
	Inputs []string    `json:"inputs"`
	Nodes  []Node      `json:"nodes"`
	// Verdicts counts the answers.
	Verdicts   audit.Summary `json:"verdicts"`
	NotCovered []string      `json:"notCovered"`
	// Files are the other files of the archive, in their order.
	Files []File `json:"files"`
	// Key is the fingerprint of the key that signed.
	Key string `json:"key"`
}

// File is a file of the archive.
type File struct {
	Name   string `json:"name"`
	Bytes  int    `json:"bytes"`
	SHA256 string `json:"sha256"`
}

// Node is what a node's switch held when the bundle was made.
type Node struct {
	Name string `json:"name"`
	// Error says why the rest is unknown.
	Error        string `json:"error,omitempty"`
	Read         string `json:"read,omitempty"` // RFC 3339, by the node's clock
	PlanRevision uint64 `json:"planRevision,omitempty"`
	PlanHash     string `json:"planHash,omitempty"`
	// Settled says that nothing of the plan was still to be installed.
	Settled     bool   `json:"settled"`
	Flows       uint32 `json:"flows"`
	FlowsSHA256 string `json:"flowsSha256,omitempty"` // of the dump's text
	// Verified says whether the flows were proved to carry out the node's plan; empty when that wasn't asked. The file
	// verification.json has the whole answer.
	Verified Verification `json:"verified,omitempty"`
}

// Verification is what became of the proof about a node's flows.
type Verification string

// The outcomes.
const (
	FlowsProved   Verification = "proved"
	FlowsFindings Verification = "findings"
)

// NewManifest returns a manifest of a report.
func NewManifest(r audit.Report) Manifest {
	return Manifest{
		Header: audit.HeaderOf("Evidence"), Input: r.Input, Inputs: []string{}, Nodes: []Node{},
		Verdicts: r.Summary, NotCovered: append([]string{}, r.NotCovered...), Files: []File{},
	}
}

func (m Manifest) marshal() ([]byte, error) {
	b, err := json.MarshalIndent(m, "", "  ")
	if err != nil {
		return nil, fmt.Errorf("manifest: %w", err)
	}
	return append(b, '\n'), nil
}

// parseManifest reads a manifest in the one form that marshal writes.
func parseManifest(data []byte) (Manifest, error) {
	var m Manifest
	d := json.NewDecoder(bytes.NewReader(data))
	d.DisallowUnknownFields()
	if err := d.Decode(&m); err != nil {
		return m, fmt.Errorf("%s: %w", manifestName, err)
	}
	if m.Header != audit.HeaderOf("Evidence") {
		return m, fmt.Errorf("%s: it is %s of %s, which this version doesn't know", manifestName, m.Kind, m.APIVersion)
	}
	return m, nil
}
