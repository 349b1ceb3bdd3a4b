package audit

import (
	"encoding/xml"
	"fmt"
	"strings"
)

// The elements of JUnit's XML, as continuous integration reads it.
type junitSuites struct {
	XMLName  xml.Name   `xml:"testsuites"`
	Name     string     `xml:"name,attr"`
	Tests    int        `xml:"tests,attr"`
	Failures int        `xml:"failures,attr"`
	Errors   int        `xml:"errors,attr"`
	Skipped  int        `xml:"skipped,attr"`
	Suite    junitSuite `xml:"testsuite"`
}

type junitSuite struct {
	Name     string      `xml:"name,attr"`
	Tests    int         `xml:"tests,attr"`
	Failures int         `xml:"failures,attr"`
	Errors   int         `xml:"errors,attr"`
	Skipped  int         `xml:"skipped,attr"`
	Cases    []junitCase `xml:"testcase"`
}

type junitCase struct {
	Name    string       `xml:"name,attr"`
	Class   string       `xml:"classname,attr"`
	File    string       `xml:"file,attr,omitempty"`
	Line    int          `xml:"line,attr,omitempty"`
	Failure *junitResult `xml:"failure"`
	Error   *junitResult `xml:"error"`
	Skipped *junitResult `xml:"skipped"`
	Out     string       `xml:"system-out,omitempty"`
}

type junitResult struct {
	Message string `xml:"message,attr"`
	Type    string `xml:"type,attr,omitempty"`
	Text    string `xml:",chardata"`
}

// JUnit returns the verdicts as a test report: violated assertions fail, those that were not decided or are not modelled are
// errors, and vacuous ones are skipped.
func (p Proofs) JUnit() ([]byte, error) {
	suite := junitSuite{Name: "assertions", Tests: len(p.Assertions)}
	for _, a := range p.Assertions {
		c := junitCase{Name: a.Name, Class: "weft.audit." + string(a.Type), File: a.File, Line: a.Line, Out: a.Description}
		switch a.Verdict {
		case Violated:
			c.Failure = &junitResult{Message: a.Reason, Type: string(a.Verdict), Text: a.Counterexample.Text()}
			suite.Failures++
		case NotDecided, NotModelled:
			c.Error = &junitResult{Message: a.Reason, Type: string(a.Verdict)}
			suite.Errors++
		case Vacuous:
			c.Skipped = &junitResult{Message: string(a.Verdict) + ": " + a.Reason}
			suite.Skipped++
		}
		suite.Cases = append(suite.Cases, c)
	}
	all := junitSuites{Name: "weft audit", Tests: suite.Tests, Failures: suite.Failures, Errors: suite.Errors, Skipped: suite.Skipped, Suite: suite}
	b, err := xml.MarshalIndent(all, "", "  ")
	if err != nil {
		return nil, fmt.Errorf("JUnit: %w", err)
	}
	return append([]byte(xml.Header), append(b, '\n')...), nil
}

// Text tells an explanation in lines: the packet, and what each tier says.
func (x *Explanation) Text() string {
	if x == nil {
		return ""
	}
	var b strings.Builder
	verdict := "denied"
	if x.Allowed {
		verdict = "allowed"
	}
	fmt.Fprintf(&b, "%s -> %s: %s\n", x.From, x.To, verdict)
	if !x.Joined {
		b.WriteString("their networks are not joined by Peerings of both sides\n")
	}
	if x.Witness != nil {
		fmt.Fprintf(&b, "packet: %s\n", x.Witness)
	}
	for _, s := range x.Steps {
		if s.Rule == nil {
			fmt.Fprintf(&b, "%s %s: no rule\n", s.Direction, s.Tier)
			continue
		}
		fmt.Fprintf(&b, "%s %s: %s by %s", s.Direction, s.Tier, s.Rule.Action, s.Rule)
		if at := s.Rule.At(); at != "" {
			fmt.Fprintf(&b, " at %s", at)
		}
		b.WriteByte('\n')
	}
	return b.String()
}
