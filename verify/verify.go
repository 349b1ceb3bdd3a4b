package verify

import (
	"cmp"
	"net/netip"
	"runtime"
	"slices"
	"sync"

	"github.com/weftfabric/weft/fabric"
	"github.com/weftfabric/weft/firewall"
	"github.com/weftfabric/weft/plan"
	"github.com/weftfabric/weft/wire/openflow"
)

// Input is what is installed, and what should be.
type Input struct {
	Plan        plan.Node
	Attachments []Attachment
	// TunnelPort is the OpenFlow port of the tunnel; 0 while there is none.
	TunnelPort uint32
	// AgentND says that the agent answers neighbour solicitations, as on the kernel's datapath, which can't write the
	// options of the answer; elsewhere the switch does.
	AgentND bool
	// Flows are all flows of the switch, of whatever owner.
	Flows []openflow.Flow
	// Bridge is what decides beside the flows; nil where nobody has told it, and then it isn't looked at.
	Bridge *Bridge
}

// The datapaths of a bridge, in the words of its datapath_type. Who forwards decides who answers neighbour solicitations.
const (
	Netdev = "netdev"
	System = "system"
)

// Attachment is a workload's interface on the switch.
type Attachment struct {
	Interface string           `json:"interface"`
	OFPort    uint32           `json:"ofport"`
	Network   fabric.NetworkID `json:"network"`
	Identity  fabric.Identity  `json:"identity"`
	MAC       fabric.MAC       `json:"mac"`
	Addresses []netip.Addr     `json:"addresses"`
}

// Report is what verification found out.
type Report struct {
	Node  fabric.NodeName `json:"node"`
	Flows int             `json:"flows"`
	// Questions is how many sets of packets were sent through the tables, Lookups how often a set met a table.
	Questions int `json:"questions"`
	Lookups   int `json:"lookups"`
	// Classes is how many pairs of classes of label sets were decided, of Pairs pairs of label sets.
	Classes  int       `json:"classes"`
	Pairs    int       `json:"pairs"`
	Findings []Finding `json:"findings"`
	// More is how many findings were left out behind the first ones.
	More int `json:"more,omitempty"`
}

// Kind is a sort of finding.
type Kind string

// The kinds of findings.
const (
	KindPlan       Kind = "plan"         // the node doesn't work on the plan that follows from what is declared
	KindEntry      Kind = "entry"        // what a port or a peer sends isn't classified, dropped or answered as it should
	KindRoute      Kind = "route"        // a destination doesn't lead where it should
	KindVerdict    Kind = "verdict"      // a connection doesn't get the verdict of its policy
	KindTunnel     Kind = "tunnel"       // what leaves to a peer doesn't leave as it should
	KindSwitch     Kind = "switch"       // a setting of the switch does to packets what no flow says
	KindUnmodelled Kind = "not-modelled" // packets can meet something that verification doesn't know
	KindUndecided  Kind = "not-decided"  // finding out would take too long
	maxFindings         = 100            // that a report holds
)

// Kinds returns all kinds.
func Kinds() []Kind {
	return []Kind{KindPlan, KindEntry, KindRoute, KindVerdict, KindTunnel, KindSwitch, KindUnmodelled, KindUndecided}
}

// Explanation says what a kind is about.
func (k Kind) Explanation() string {
	switch k {
	case KindPlan:
		return "the node doesn't work on the plan that follows from what is declared"
	case KindEntry:
		return "what a port or a peer sends isn't classified, dropped or answered as it should"
	case KindRoute:
		return "a destination doesn't lead where it should"
	case KindVerdict:
		return "a connection doesn't get the verdict of its policy"
	case KindTunnel:
		return "what leaves to a peer doesn't leave as it should"
	case KindSwitch:
		return "a setting of the switch does to packets what no flow says"
	case KindUnmodelled:
		return "packets can meet something that verification doesn't know"
	case KindUndecided:
		return "finding out would take too long"
	}
	return string(k)
}

// Finding is a set of packets whose treatment differs from what was promised, with one packet of them.
type Finding struct {
	Kind Kind `json:"kind"`
	// Region says which packets the question was about.
	Region string `json:"region"`
	Want   string `json:"want"`
	Got    string `json:"got"`
	// Packet is one of them, as "ovs-appctl ofproto/trace BRIDGE PACKET" takes it, CT what to give to --ct-next,
	// once for each, in order.
	Packet string   `json:"packet,omitempty"`
	CT     []string `json:"ct,omitempty"`
	// Flows are those that the packet met where the question was asked.
	Flows []string `json:"flows,omitempty"`
	// Remedy is what undoes it, where one command does.
	Remedy string `json:"remedy,omitempty"`
}

// Verify compares what the flows do with what the plan promises.
func Verify(in Input) Report {
	v := newVerifier(in)
	v.bridge()
	v.entry()
	v.routes()
	v.leaving()
	v.refusals()
	v.states()
	v.verdicts()
	slices.SortStableFunc(v.report.Findings, func(a, b Finding) int {
		return cmp.Or(cmp.Compare(a.Kind, b.Kind), cmp.Compare(a.Region, b.Region), cmp.Compare(a.Packet, b.Packet))
	})
	return v.report
}

// verifier holds what the questions share.
type verifier struct {
	in          Input
	tables      *tables
	networks    map[fabric.NetworkID]*plan.Network
	policy      map[fabric.NetworkID]firewall.Table
	known       map[fabric.Identity]bool
	attachments []Attachment
	remote      map[fabric.NetworkID][]plan.Route
	subjects    map[subjectKey][]int
	report      Report
	seen        map[string]bool
}

func newVerifier(in Input) *verifier {
	v := &verifier{
		in: in, tables: compileTables(in.Flows),
		networks: make(map[fabric.NetworkID]*plan.Network), policy: make(map[fabric.NetworkID]firewall.Table),
		known: make(map[fabric.Identity]bool), remote: make(map[fabric.NetworkID][]plan.Route),
		subjects: make(map[subjectKey][]int), seen: make(map[string]bool),
		report: Report{Node: in.Plan.Name, Flows: len(in.Flows), Findings: []Finding{}},
	}
	for i := range in.Plan.Networks {
		v.networks[in.Plan.Networks[i].ID] = &in.Plan.Networks[i]
	}
	for _, t := range in.Plan.Tables {
		v.policy[t.Network] = t
	}
	for _, i := range in.Plan.Identities {
		v.known[i.ID] = i.ID != 0
	}
	for _, a := range in.Attachments { // others are not connected yet: their ports are unknown ones
		if a.OFPort != 0 && a.Network != 0 && !a.MAC.IsZero() {
			v.attachments = append(v.attachments, a)
		}
	}
	slices.SortFunc(v.attachments, func(a, b Attachment) int { return cmp.Compare(a.OFPort, b.OFPort) })
	for _, r := range in.Plan.Routes {
		if r.Node != in.Plan.Name && r.VTEP.IsValid() {
			v.remote[r.Network] = append(v.remote[r.Network], r)
		}
	}
	return v
}

// ask sends s through the tables from table first to stop, and gives the parts to leaf as they end.
func (v *verifier) ask(s *state, first uint8, stop int, leaf func(*state)) {
	v.follow(&run{tables: v.tables, stop: stop, leaf: leaf}, s, first)
}

func (v *verifier) follow(r *run, s *state, first uint8) {
	r.resubmit(s, first)
	v.report.Questions++
	v.report.Lookups += r.steps
}

// inParallel asks n questions that don't depend on each other. What they find is put together in their order.
func (v *verifier) inParallel(n int, ask func(w *verifier, i int)) {
	workers := runtime.GOMAXPROCS(0)
	parts := make([]verifier, workers)
	var wait sync.WaitGroup
	for k := range parts {
		parts[k] = *v
		parts[k].report, parts[k].seen = Report{}, make(map[string]bool)
		wait.Go(func() {
			for i := n * k / workers; i < n*(k+1)/workers; i++ {
				ask(&parts[k], i)
			}
		})
	}
	wait.Wait()
	for _, p := range parts {
		v.report.Questions += p.report.Questions
		v.report.Lookups += p.report.Lookups
		v.report.Classes += p.report.Classes
		v.report.Pairs += p.report.Pairs
		v.report.More += p.report.More
		for _, f := range p.report.Findings {
			v.find(f)
		}
	}
}

// find adds a finding, once for each region and outcome.
func (v *verifier) find(f Finding) {
	k := string(f.Kind) + "\x00" + f.Region + "\x00" + f.Want + "\x00" + f.Got
	if v.seen[k] {
		return
	}
	v.seen[k] = true
	if len(v.report.Findings) == maxFindings {
		v.report.More++
		return
	}
	v.report.Findings = append(v.report.Findings, f)
}
