package audit

import (
	"net/url"
	"slices"
)

// SARIF is findings in the Static Analysis Results Interchange Format, version 2.1.0 (OASIS).
type SARIF struct {
	Schema  string     `json:"$schema"`
	Version string     `json:"version"`
	Runs    []sarifRun `json:"runs"`
}

type sarifRun struct {
	Tool    sarifTool     `json:"tool"`
	Results []sarifResult `json:"results"`
}

type sarifTool struct {
	Driver sarifDriver `json:"driver"`
}

type sarifDriver struct {
	Name    string      `json:"name"`
	Version string      `json:"version,omitempty"`
	Rules   []sarifRule `json:"rules"`
}

type sarifRule struct {
	ID          string    `json:"id"`
	Description sarifText `json:"shortDescription"`
}

type sarifText struct {
	Text string `json:"text"`
}

type sarifResult struct {
	RuleID    string          `json:"ruleId"`
	RuleIndex int             `json:"ruleIndex"`
	Level     Level           `json:"level"`
	Message   sarifText       `json:"message"`
	Locations []sarifLocation `json:"locations,omitempty"`
	Related   []sarifLocation `json:"relatedLocations,omitempty"`
}

type sarifLocation struct {
	Physical sarifPhysical `json:"physicalLocation"`
	Message  *sarifText    `json:"message,omitempty"`
}

type sarifPhysical struct {
	Artifact sarifArtifact `json:"artifactLocation"`
	Region   sarifRegion   `json:"region"`
}

type sarifArtifact struct {
	URI string `json:"uri"`
}

type sarifRegion struct {
	StartLine int `json:"startLine"`
}

// SARIF returns the findings for tools that show them beside the code.
func (f Findings) SARIF(version string) SARIF {
	run := sarifRun{Tool: sarifTool{sarifDriver{Name: "weft audit", Version: version}}, Results: []sarifResult{}}
	for _, k := range FindingKinds {
		run.Tool.Driver.Rules = append(run.Tool.Driver.Rules, sarifRule{string(k), sarifText{k.Explanation()}})
	}
	for _, x := range f.Findings {
		r := sarifResult{RuleID: string(x.Kind), RuleIndex: slices.Index(FindingKinds, x.Kind), Level: x.Level, Message: sarifText{x.Message}}
		r.Locations = sarifLocations(x.File, x.Line, "")
		for _, o := range x.Related {
			r.Related = append(r.Related, sarifLocations(o.File, o.Line, o.String())...)
		}
		run.Results = append(run.Results, r)
	}
	return SARIF{Schema: "https://docs.oasis-open.org/sarif/sarif/v2.1.0/errata01/os/schemas/sarif-schema-2.1.0.json", Version: "2.1.0", Runs: []sarifRun{run}}
}

// sarifLocations returns the location of a line; none for what is written nowhere.
func sarifLocations(file string, line int, message string) []sarifLocation {
	if file == "" || line < 1 {
		return nil
	}
	l := sarifLocation{Physical: sarifPhysical{sarifArtifact{(&url.URL{Path: file}).String()}, sarifRegion{line}}}
	if message != "" {
		l.Message = &sarifText{message}
	}
	return []sarifLocation{l}
}
