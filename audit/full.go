package audit

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"slices"

	"github.com/weftfabric/weft/topology"
)

// Report is everything that an audit says about one input: who can reach whom, what is questionable, which assertions
// hold, and what was not looked at. It depends on the input alone.
type Report struct {
	Header
	Input      Input    `json:"input"`
	Summary    Summary  `json:"summary"`
	Reach      Reach    `json:"reach"`
	Findings   Findings `json:"findings"`
	Proofs     Proofs   `json:"proofs"`
	NotCovered []string `json:"notCovered"`
}

// Input says what was audited.
type Input struct {
	// Kind is files or controller, and Revision is the controller's.
	Kind     InputKind   `json:"kind"`
	Revision uint64      `json:"revision,omitempty"`
	Files    []InputFile `json:"files"`
}

// InputKind says where an input is from.
type InputKind string

// The kinds of inputs.
const (
	FromFiles      InputKind = "files"
	FromController InputKind = "controller"
)

// InputFile is a file that was read, by what it holds.
type InputFile struct {
	Name   string    `json:"name"`
	Role   InputRole `json:"role"`
	Bytes  int       `json:"bytes"`
	SHA256 string    `json:"sha256"`
}

// InputRole says what a file was read for.
type InputRole string

// The roles of files.
const (
	RoleTopology   InputRole = "topology"
	RoleAssertions InputRole = "assertions"
	RoleState      InputRole = "state"
)

// NewInputFile describes a file.
func NewInputFile(name string, role InputRole, content []byte) InputFile {
	sum := sha256.Sum256(content)
	return InputFile{Name: name, Role: role, Bytes: len(content), SHA256: hex.EncodeToString(sum[:])}
}

// Summary counts what a report holds.
type Summary struct {
	Tenants    int `json:"tenants"`
	Networks   int `json:"networks"`
	Workloads  int `json:"workloads"`
	Policies   int `json:"policies"`
	Classes    int `json:"classes"`
	Pairs      int `json:"pairs"`     // of classes
	Connected  int `json:"connected"` // pairs with an allowed connection
	Unjoined   int `json:"unjoined"`  // pairs of networks between which nothing passes
	Warnings   int `json:"warnings"`
	Notes      int `json:"notes"`
	Proved     int `json:"proved"`
	Violated   int `json:"violated"`
	Vacuous    int `json:"vacuous"`
	NotDecided int `json:"notDecided"`
	// NotModelled counts assertions about what the model doesn't hold.
	NotModelled int `json:"notModelled"`
}

// Brief is what a report is made of: read once, and asked everything.
type Brief struct {
	// Sources are the files; or State is what a controller holds, as it is written.
	Sources []topology.Source
	State   []byte
	// Assertions are files of assertions alone.
	Assertions []topology.Source
}

// ReportOf answers everything about an input. Its problems are those of the files; with errors among them there is no report.
func ReportOf(b Brief) (Report, topology.Problems, error) {
	out := Report{Header: header("Report"), Input: Input{Kind: FromFiles, Files: []InputFile{}}}
	side, foreign, problems, err := b.read(&out.Input)
	if err != nil || problems.Err() != nil {
		return out, problems, err
	}
	objects, more, faults := topology.Decode(b.Assertions)
	problems = append(problems, faults...)
	for _, o := range objects {
		problems = append(problems, Misplaced(o))
	}
	for _, s := range b.Assertions {
		out.Input.Files = append(out.Input.Files, NewInputFile(s.Name, RoleAssertions, s.Content))
	}
	assertions, faults := AssertionsOf(side.Intent, append(slices.Clone(foreign), more...))
	if problems = append(problems, faults...); problems.Err() != nil {
		return out, problems, nil
	}
	if out.Reach, err = ReachOf(side.Intent, side.Workloads, Question{}); err != nil {
		return out, problems, err
	}
	if out.Findings, err = FindingsOf(side.Intent, side.Workloads); err != nil {
		return out, problems, err
	}
	if out.Proofs, err = Prove(side.Intent, side.Workloads, assertions); err != nil {
		return out, problems, err
	}
	out.Summary = out.summary(side)
	out.NotCovered = notCovered(out.Input.Kind)
	return out, problems, nil
}

// read returns what is audited, and notes it in the input.
func (b Brief) read(in *Input) (Side, []topology.Document, topology.Problems, error) {
	if b.State != nil {
		state, err := ParseState(b.State)
		if err != nil {
			return Side{}, nil, nil, err
		}
		in.Kind, in.Revision = FromController, state.Revision
		in.Files = append(in.Files, NewInputFile("state.json", RoleState, b.State))
		side, err := state.Side()
		return side, nil, nil, err
	}
	for _, s := range b.Sources {
		in.Files = append(in.Files, NewInputFile(s.Name, RoleTopology, s.Content))
	}
	intent, foreign, problems := topology.Load(b.Sources)
	if problems.Err() != nil {
		return Side{}, nil, problems, nil
	}
	workloads, more := WorkloadsOf(intent, foreign)
	return Side{Intent: intent, Workloads: workloads}, foreign, append(problems, more...), nil
}

// Misplaced is the problem of a declared object in a file of assertions.
func Misplaced(o *topology.Object) topology.Problem {
	return topology.Problem{Severity: topology.SeverityError, File: o.Origin.File, Line: o.Origin.Line,
		Message: o.Key.String() + ": stands among assertions: name its file with -f"}
}

func (r Report) summary(side Side) Summary {
	s := Summary{
		Networks: len(side.Intent.Networks()), Workloads: len(side.Workloads), Classes: len(r.Reach.Classes),
		Policies: len(side.Intent.FirewallPolicies()) + len(side.Intent.PlatformPolicies()),
		Pairs:    r.Reach.Pairs, Connected: len(r.Reach.Rows), Unjoined: r.Reach.Unjoined,
	}
	for _, o := range side.Intent.Objects() {
		if o.Tenant != nil {
			s.Tenants++
		}
	}
	for _, f := range r.Findings.Findings {
		if f.Level == LevelWarning {
			s.Warnings++
		} else {
			s.Notes++
		}
	}
	for _, p := range r.Proofs.Assertions {
		switch p.Verdict {
		case Proved:
			s.Proved++
		case Violated:
			s.Violated++
		case Vacuous:
			s.Vacuous++
		case NotDecided:
			s.NotDecided++
		case NotModelled:
			s.NotModelled++
		}
	}
	return s
}

// SwitchesNotCovered says that a report is about policy alone.
const SwitchesNotCovered = "What switches hold: this is what policy says. weft audit verify proves that a node's flows carry it out."

// notCovered says what a report doesn't speak about.
func notCovered(kind InputKind) []string {
	out := []string{
		SwitchesNotCovered,
		"Whether a node is up, a program listens, or a packet arrives for other reasons than policy.",
		"Connections that were allowed before a policy changed.",
	}
	if kind == FromFiles {
		return append(out, "Workloads that are attached and not declared in the files, other than as label sets that policies tell apart (assertions and findings).")
	}
	return append(out, "Workloads of nodes that have not reported to the controller.")
}

// Marshal returns the report as it is kept as evidence: equal reports have equal bytes.
func (r Report) Marshal() ([]byte, error) {
	b, err := json.MarshalIndent(r, "", "  ")
	if err != nil {
		return nil, fmt.Errorf("report: %w", err)
	}
	return append(b, '\n'), nil
}
