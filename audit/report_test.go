package audit_test

import (
	"bytes"
	"encoding/json"
	"encoding/xml"
	"io"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/weftfabric/weft/audit"
	"github.com/weftfabric/weft/topology"
)

// reportYAML has findings with and without places, and texts that a page must not take for its own.
const reportYAML = cornerBase + `
{apiVersion: weft.dev/v1alpha1, kind: FirewallPolicy, metadata: {name: p, tenant: acme}, spec: {network: prod, subject: {matchLabels: {app: db}}, ingress: [
  {name: wide}, {name: after, action: deny, ports: [{protocol: tcp, port: 1}]}, {name: nobody, from: [{workloads: {selector: {matchExpressions: [{key: app, operator: In, values: [x]}, {key: app, operator: NotIn, values: [x]}]}}}]}]}}
`

const reportAssertions = `
apiVersion: audit.weft.dev/v1alpha1
kind: Assertion
metadata: {name: open}
spec: {type: never, to: [{tenant: acme, network: prod}], description: "</title><script>alert(1)</script> & \"quotes\""}
---
apiVersion: audit.weft.dev/v1alpha1
kind: Assertion
metadata: {name: fine}
spec: {type: always, from: [{selector: {matchLabels: {app: web}}, tenant: acme, network: prod}], to: [{selector: {matchLabels: {app: db}}, tenant: acme, network: prod}]}
---
apiVersion: audit.weft.dev/v1alpha1
kind: Assertion
metadata: {name: nobody}
spec: {type: never, to: [{selector: {matchLabels: {app: nobody}}, tenant: acme, network: far}], from: [{tenant: acme, network: prod}]}
`

func fullReport(t *testing.T) audit.Report {
	t.Helper()
	r, problems, err := audit.ReportOf(audit.Brief{
		Sources:    []topology.Source{{Name: "corner <b>.yaml", Content: []byte(reportYAML)}},
		Assertions: []topology.Source{{Name: "assertions.yaml", Content: []byte(reportAssertions)}},
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := problems.Err(); err != nil {
		t.Fatal(err)
	}
	return r
}

func TestReport(t *testing.T) {
	r := fullReport(t)
	if s := r.Summary; s.Violated != 1 || s.Proved != 1 || s.Vacuous != 1 || s.Warnings == 0 || s.Connected == 0 || s.Workloads != 5 {
		t.Errorf("summary %+v", s)
	}
	if len(r.Input.Files) != 2 || r.Input.Files[1].Role != audit.RoleAssertions || len(r.Input.Files[0].SHA256) != 64 {
		t.Errorf("input %+v", r.Input)
	}
	one, err := r.Marshal()
	if err != nil {
		t.Fatal(err)
	}
	two, err := fullReport(t).Marshal()
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(one, two) {
		t.Error("two reports of one input differ")
	}
}

// A page is one file: it loads nothing, runs nothing, and shows texts as texts.
func TestReportPage(t *testing.T) {
	var one, two bytes.Buffer
	for _, b := range []*bytes.Buffer{&one, &two} {
		if err := fullReport(t).WriteHTML(b, "test"); err != nil {
			t.Fatal(err)
		}
	}
	if !bytes.Equal(one.Bytes(), two.Bytes()) {
		t.Error("two pages of one input differ")
	}
	page := one.String()
	for _, bad := range []string{"<script", "src=", "href=", "@import", "url(", "http://", "https://", "<b>.yaml", "ZgotmplZ", "<nil>", "%!"} {
		if strings.Contains(page, bad) {
			t.Errorf("the page contains %q", bad)
		}
	}
	for _, good := range []string{
		"&lt;/title&gt;&lt;script&gt;alert(1)&lt;/script&gt; &amp; &#34;quotes&#34;", "corner &lt;b&gt;.yaml", "never acts", "<h2 id=\"matrix\">", "packet: ",
		"SHA-256", "Not covered", "acme/prod:app=web", "the networks are not joined",
	} {
		if !strings.Contains(page, good) {
			t.Errorf("the page lacks %q", good)
		}
	}
	checkNesting(t, page)
}

// checkNesting checks that elements are closed in the order in which they were opened.
func checkNesting(t *testing.T, page string) {
	t.Helper()
	void := []string{"meta", "br"}
	var open []string
	for _, m := range regexp.MustCompile(`<(/?)([a-z0-9]+)[^>]*>`).FindAllStringSubmatch(page, -1) {
		switch {
		case slices.Contains(void, m[2]):
		case m[1] == "":
			open = append(open, m[2])
		case len(open) == 0 || open[len(open)-1] != m[2]:
			t.Fatalf("</%s> closes %v", m[2], open)
		default:
			open = open[:len(open)-1]
		}
	}
	if len(open) > 0 {
		t.Errorf("%v are not closed", open)
	}
}

func TestJUnit(t *testing.T) {
	b, err := fullReport(t).Proofs.JUnit()
	if err != nil {
		t.Fatal(err)
	}
	var got struct {
		Tests    int `xml:"tests,attr"`
		Failures int `xml:"failures,attr"`
		Errors   int `xml:"errors,attr"`
		Skipped  int `xml:"skipped,attr"`
		Suites   []struct {
			Cases []struct {
				Name    string `xml:"name,attr"`
				File    string `xml:"file,attr"`
				Failure *struct {
					Message string `xml:"message,attr"`
					Text    string `xml:",chardata"`
				} `xml:"failure"`
				Skipped *struct{} `xml:"skipped"`
			} `xml:"testcase"`
		} `xml:"testsuite"`
	}
	if err := xml.Unmarshal(b, &got); err != nil {
		t.Fatal(err)
	}
	if got.Tests != 3 || got.Failures != 1 || got.Errors != 0 || got.Skipped != 1 || len(got.Suites) != 1 {
		t.Fatalf("%+v", got)
	}
	cases := got.Suites[0].Cases
	if cases[0].Name != "fine" || cases[0].Failure != nil || cases[1].Skipped == nil || cases[2].Failure == nil || !strings.Contains(cases[2].Failure.Text, "packet: ") || cases[2].File != "assertions.yaml" {
		t.Errorf("%+v", cases)
	}
}

// sarifLog is what SARIF 2.1.0 (OASIS, sarif-schema-2.1.0) says of the properties that we write, with those that it requires
// as pointers.
type sarifLog struct {
	Schema  string  `json:"$schema"`
	Version *string `json:"version"`
	Runs    *[]struct {
		Tool *struct {
			Driver *struct {
				Name    *string `json:"name"`
				Version string  `json:"version"`
				Rules   []struct {
					ID    *string       `json:"id"`
					Short *sarifMessage `json:"shortDescription"`
				} `json:"rules"`
			} `json:"driver"`
		} `json:"tool"`
		Results []struct {
			RuleID    string          `json:"ruleId"`
			RuleIndex int             `json:"ruleIndex"`
			Level     string          `json:"level"`
			Message   *sarifMessage   `json:"message"`
			Locations []sarifLocation `json:"locations"`
			Related   []sarifLocation `json:"relatedLocations"`
		} `json:"results"`
	} `json:"runs"`
}

type sarifMessage struct {
	Text *string `json:"text"`
}

type sarifLocation struct {
	Physical *struct {
		Artifact *struct {
			URI *string `json:"uri"`
		} `json:"artifactLocation"`
		Region *struct {
			StartLine int `json:"startLine"`
		} `json:"region"`
	} `json:"physicalLocation"`
	Message *sarifMessage `json:"message"`
}

func TestSARIF(t *testing.T) {
	b, err := json.Marshal(fullReport(t).Findings.SARIF("test"))
	if err != nil {
		t.Fatal(err)
	}
	var log sarifLog
	d := json.NewDecoder(bytes.NewReader(b))
	d.DisallowUnknownFields() // a property that the schema lacks is refused by it
	if err := d.Decode(&log); err != nil {
		t.Fatal(err)
	}
	if _, err := d.Token(); err != io.EOF {
		t.Error("more than one document")
	}
	if log.Version == nil || *log.Version != "2.1.0" || log.Runs == nil || len(*log.Runs) != 1 {
		t.Fatalf("%s", b)
	}
	run := (*log.Runs)[0]
	if run.Tool == nil || run.Tool.Driver == nil || run.Tool.Driver.Name == nil || len(run.Results) == 0 {
		t.Fatalf("%s", b)
	}
	withPlace := 0
	for _, r := range run.Results {
		if r.Message == nil || r.Message.Text == nil || *r.Message.Text == "" {
			t.Errorf("%+v has no message", r)
		}
		if !slices.Contains([]string{"none", "note", "warning", "error"}, r.Level) {
			t.Errorf("level %q", r.Level)
		}
		if rules := run.Tool.Driver.Rules; r.RuleIndex < 0 || r.RuleIndex >= len(rules) || rules[r.RuleIndex].ID == nil || *rules[r.RuleIndex].ID != r.RuleID {
			t.Errorf("rule %d is not %s", r.RuleIndex, r.RuleID)
		}
		for _, l := range slices.Concat(r.Locations, r.Related) {
			withPlace++
			if l.Physical == nil || l.Physical.Artifact == nil || l.Physical.Artifact.URI == nil || l.Physical.Region == nil || l.Physical.Region.StartLine < 1 {
				t.Errorf("location %+v", l)
				continue
			}
			if u, err := url.Parse(*l.Physical.Artifact.URI); err != nil || u.Path != "corner <b>.yaml" {
				t.Errorf("uri %s: %v", *l.Physical.Artifact.URI, err)
			}
		}
	}
	if withPlace < 3 {
		t.Errorf("%d places", withPlace)
	}
}
