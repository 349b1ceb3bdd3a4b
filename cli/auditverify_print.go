package cli

import (
	"fmt"
	"strings"
	"time"

	"github.com/weftfabric/weft/cli/output"
	"github.com/weftfabric/weft/verify"
	"github.com/weftfabric/weft/version"
)

// printVerified prints what was found out about nodes.
func (a *app) printVerified(of output.Format, all verified) error {
	if of == output.SARIF {
		return a.print(output.JSON, all.sarif(), nil)
	}
	return a.print(of, all, func() error {
		for _, n := range all.Nodes {
			if err := a.printNode(n); err != nil {
				return err
			}
		}
		return nil
	})
}

func (a *app) printNode(n verifiedNode) error {
	style := a.stdoutStyle()
	if n.Report == nil {
		_, err := fmt.Fprintf(a.Stdout, "node %s: %s: %s\n", n.Node, style.Paint(output.Bad, "not verified"), n.Error)
		return err
	}
	r := n.Report
	for i, f := range r.Findings {
		a.printVerifyFinding(f)
		for _, t := range n.Traces {
			if t.Finding == i {
				a.printTrace(t)
			}
		}
	}
	if r.More > 0 {
		fmt.Fprintf(a.Stdout, "%s more\n", count(r.More, "finding"))
	}
	for _, note := range n.Notes {
		fmt.Fprintf(a.Stdout, "%s %s\n", style.Paint(output.Notice, "note:"), note)
	}
	verdict := style.Paint(output.Good, "proved")
	if found := len(r.Findings) + r.More; found > 0 {
		verdict = style.Paint(output.Bad, count(found, "finding"))
	}
	_, err := fmt.Fprintf(a.Stdout, "node %s: %s: %s, %s, %s of label sets in %s%s\n", n.Node, verdict,
		count(r.Flows, "flow"), count(r.Questions, "question"), count(r.Pairs, "pair"), count(r.Classes, "group"), n.origin())
	return err
}

// origin says which plan was verified, and when the flows were read; nothing for files.
func (n verifiedNode) origin() string {
	if n.ReadAt == nil {
		return ""
	}
	return fmt.Sprintf("; plan revision %d, flows %.12s read at %s", n.PlanRevision, n.FlowsSHA256, n.ReadAt.UTC().Format(time.TimeOnly+" MST"))
}

func (a *app) printVerifyFinding(f verify.Finding) {
	fmt.Fprintf(a.Stdout, "%s %s: %s, but should be: %s\n", a.stdoutStyle().Paint(output.Bad, string(f.Kind)), f.Region, f.Got, f.Want)
	if f.Packet != "" {
		fmt.Fprintf(a.Stdout, "  packet: %s\n", f.Packet)
	}
	for _, c := range f.CT {
		fmt.Fprintf(a.Stdout, "  --ct-next %s\n", c)
	}
	for _, fl := range f.Flows {
		fmt.Fprintf(a.Stdout, "  met: %s\n", fl)
	}
	if f.Remedy != "" {
		fmt.Fprintf(a.Stdout, "  remedy: %s\n", f.Remedy)
	}
}

// printTrace prints what the switch does with a packet in the end; the whole trace is in the JSON.
func (a *app) printTrace(t verifyTrace) {
	fmt.Fprintf(a.Stdout, "  traced on the node, shows it: %s\n", t.Shown)
	for line := range strings.Lines(t.Text) {
		if strings.HasPrefix(line, "Datapath actions:") {
			fmt.Fprintf(a.Stdout, "    %s\n", strings.TrimSpace(line))
		}
	}
}

// The parts of SARIF 2.1.0 (OASIS) that findings about nodes need. They have no file: a node is a logical location.
type (
	verifySARIF struct {
		Schema  string           `json:"$schema"`
		Version string           `json:"version"`
		Runs    []verifySARIFRun `json:"runs"`
	}
	verifySARIFRun struct {
		Tool struct {
			Driver verifySARIFDriver `json:"driver"`
		} `json:"tool"`
		Results []verifySARIFResult `json:"results"`
	}
	verifySARIFDriver struct {
		Name    string            `json:"name"`
		Version string            `json:"version,omitempty"`
		Rules   []verifySARIFRule `json:"rules"`
	}
	verifySARIFRule struct {
		ID          string          `json:"id"`
		Description verifySARIFText `json:"shortDescription"`
	}
	verifySARIFText struct {
		Text string `json:"text"`
	}
	verifySARIFResult struct {
		RuleID    string                `json:"ruleId"`
		Level     string                `json:"level"`
		Message   verifySARIFText       `json:"message"`
		Locations []verifySARIFLocation `json:"locations"`
	}
	verifySARIFLocation struct {
		Logical []verifySARIFNode `json:"logicalLocations"`
	}
	verifySARIFNode struct {
		Name string `json:"name"`
		Kind string `json:"kind"`
	}
)

// unasked is the SARIF rule of nodes that can't be verified.
const unasked = "not-verified"

// sarif returns the findings for tools that collect them.
func (v verified) sarif() verifySARIF {
	run := verifySARIFRun{Results: []verifySARIFResult{}}
	run.Tool.Driver = verifySARIFDriver{Name: "weft audit verify", Version: version.Version}
	for _, k := range verify.Kinds() {
		run.Tool.Driver.Rules = append(run.Tool.Driver.Rules, verifySARIFRule{string(k), verifySARIFText{k.Explanation()}})
	}
	run.Tool.Driver.Rules = append(run.Tool.Driver.Rules, verifySARIFRule{unasked, verifySARIFText{"a node can't be asked, or what it tells can't be read"}})
	add := func(node, rule, text string) {
		run.Results = append(run.Results, verifySARIFResult{
			RuleID: rule, Level: "error", Message: verifySARIFText{text},
			Locations: []verifySARIFLocation{{[]verifySARIFNode{{node, "resource"}}}}})
	}
	for _, n := range v.Nodes {
		if n.Report == nil {
			add(n.Node, unasked, fmt.Sprintf("node %s: %s", n.Node, n.Error))
			continue
		}
		for _, f := range n.Report.Findings {
			text := fmt.Sprintf("node %s: %s: %s, but should be: %s", n.Node, f.Region, f.Got, f.Want)
			if f.Packet != "" {
				text += "; packet " + strings.Join(append([]string{f.Packet}, f.CT...), " --ct-next ")
			}
			if f.Remedy != "" {
				text += "; remedy: " + f.Remedy
			}
			add(n.Node, string(f.Kind), text)
		}
	}
	return verifySARIF{Schema: "https://docs.oasis-open.org/sarif/sarif/v2.1.0/errata01/os/schemas/sarif-schema-2.1.0.json", Version: "2.1.0", Runs: []verifySARIFRun{run}}
}
