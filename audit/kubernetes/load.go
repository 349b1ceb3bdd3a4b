package kubernetes

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"io"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"

	"github.com/weftfabric/weft/fabric"
	"github.com/weftfabric/weft/topology"
)

// maxListDepth bounds lists within lists.
const maxListDepth = 4

// object is one object of a manifest.
type object struct {
	root                              value
	apiVersion, kind, namespace, name string
}

func (o object) origin() topology.Origin {
	return topology.Origin{File: o.root.file, Line: o.root.line()}
}

// loader gathers the objects of manifests.
type loader struct {
	problems topology.Problems
	objects  []object
	skipped  map[string]int
	places   map[string]int // in objects, by kind and name
	budget   int
}

// Load decodes manifests. Objects in a list count as if they stood alone; of two objects with one name the later one
// stands, as when the files are applied in order. Kinds that say nothing about policy are counted and skipped.
func Load(sources []topology.Source) (*Cluster, topology.Problems) {
	l := &loader{skipped: make(map[string]int), places: make(map[string]int), budget: maxValues}
	for _, s := range sources {
		l.parse(s)
	}
	c := l.cluster()
	slices.SortFunc(l.problems, topology.Problem.Compare)
	return c, slices.Compact(l.problems)
}

// parse reads the documents of a source. A syntax error ends it.
func (l *loader) parse(s topology.Source) {
	r := reader{file: s.Name, problems: &l.problems, budget: &l.budget}
	dec := yaml.NewDecoder(bytes.NewReader(s.Content))
	for {
		var n yaml.Node
		err := dec.Decode(&n)
		if errors.Is(err, io.EOF) {
			return
		}
		if err != nil {
			line, what := 1, strings.TrimPrefix(err.Error(), "yaml: ")
			if m := yamlLine.FindStringSubmatch(what); m != nil {
				line, _ = strconv.Atoi(m[1])
				what = m[2]
			}
			if bytes.Contains(s.Content, []byte("{{")) {
				what += " (templates must be rendered first)"
			}
			r.problem(topology.SeverityError, line, "not valid YAML: %s; the rest of the file was not read", what)
			return
		}
		if len(n.Content) == 1 {
			l.document(r.value(n.Content[0], ""), "", "", 0)
		}
		if len(l.objects) > topology.MaxDocuments {
			r.problem(topology.SeverityError, 1, "more than %d objects: audit them in parts", topology.MaxDocuments)
			return
		}
	}
}

var yamlLine = regexp.MustCompile(`(?s)^line (\d+): (.*)$`)

// document notes an object, or those of a list. Objects of a list may leave their kind to it.
func (l *loader) document(v value, apiVersion, kind string, depth int) {
	switch {
	case !v.given():
		return
	case v.node.Kind == yaml.MappingNode:
		apiVersion, kind = cmp.Or(v.field("apiVersion").text(), apiVersion), cmp.Or(v.field("kind").text(), kind)
	}
	if apiVersion == "" || kind == "" {
		l.skipped["without a kind"]++
		v.problem(topology.SeverityWarning, v.line(), "skipped: no object of Kubernetes, because it has no apiVersion or no kind")
		return
	}
	items := v.field("items")
	if of, isList := strings.CutSuffix(kind, "List"); isList && (kind == "List" || items.given()) {
		if depth >= maxListDepth || len(l.objects) > topology.MaxDocuments {
			v.problem(topology.SeverityError, v.line(), "lists within lists, deeper than %d levels or longer than %d objects", maxListDepth, topology.MaxDocuments)
			return
		}
		for _, item := range items.list() {
			item.path = ""
			l.document(item, apiVersion, of, depth+1)
		}
		return
	}
	if !known(apiVersion, kind) {
		l.skip(v, apiVersion, kind)
		return
	}
	o := object{apiVersion: apiVersion, kind: kind, root: v}
	meta := v.field("metadata")
	o.name = cmp.Or(meta.field("name").text(), meta.field("generateName").text())
	if o.name == "" {
		v.problem(topology.SeverityError, v.line(), "%s has no name", kind)
		return
	}
	label := o.kind + " " + o.name
	if !clusterScoped(kind) {
		o.namespace = cmp.Or(meta.field("namespace").text(), "default")
		label = o.kind + " " + o.namespace + "/" + o.name
	}
	o.root.reader = &reader{file: v.file, subject: label, problems: &l.problems, budget: &l.budget}
	if i, twice := l.places[label]; twice {
		was := l.objects[i].origin()
		o.root.problem(topology.SeverityWarning, o.root.line(), "takes the place of the one at %s:%d", was.File, was.Line)
		l.objects[i] = o
		return
	}
	l.places[label] = len(l.objects)
	l.objects = append(l.objects, o)
}

// skip counts a document of a kind that isn't looked at. Policies of other kinds deserve a word.
func (l *loader) skip(v value, apiVersion, kind string) {
	l.skipped[kind]++
	if strings.HasSuffix(kind, "NetworkPolicy") || strings.HasSuffix(kind, "NetworkPolicies") {
		if was, _, _ := strings.Cut(apiVersion, "/"); was == "extensions" || was == "networking.k8s.io" || was == "policy.networking.k8s.io" {
			v.problem(topology.SeverityError, v.line(), "%s of %s is not known: write %s", kind, apiVersion, policyVersions)
			return
		}
		v.problem(topology.SeverityWarning, v.line(), "%s of %s is skipped: it may change who can reach whom", kind, apiVersion)
	}
}

const policyVersions = "NetworkPolicy of networking.k8s.io/v1, ClusterNetworkPolicy of policy.networking.k8s.io/v1alpha2, or (Baseline)AdminNetworkPolicy of policy.networking.k8s.io/v1alpha1"

func clusterScoped(kind string) bool {
	switch kind {
	case "Namespace", "Node", "ClusterNetworkPolicy", "AdminNetworkPolicy", "BaselineAdminNetworkPolicy", assertionKind:
		return true
	}
	return false
}

// known reports whether a kind says something here.
func known(apiVersion, kind string) bool {
	group, version, inGroup := strings.Cut(apiVersion, "/")
	if !inGroup {
		group, version = "", apiVersion
	}
	switch kind {
	case "Namespace", "Node", "Pod", "ReplicationController":
		return group == "" && version == "v1"
	case "Deployment", "StatefulSet", "DaemonSet", "ReplicaSet":
		return group == "apps" || group == "extensions"
	case "Job", "CronJob":
		return group == "batch"
	case "NetworkPolicy":
		return apiVersion == "networking.k8s.io/v1"
	case "ClusterNetworkPolicy":
		return apiVersion == "policy.networking.k8s.io/v1alpha2"
	case "AdminNetworkPolicy", "BaselineAdminNetworkPolicy":
		return apiVersion == "policy.networking.k8s.io/v1alpha1"
	case assertionKind:
		return strings.HasPrefix(apiVersion, topology.AuditAPIPrefix)
	}
	return false
}

// cluster decodes the objects.
func (l *loader) cluster() *Cluster {
	c := &Cluster{}
	var running []object
	for _, o := range l.objects {
		meta := o.root.field("metadata")
		switch o.kind {
		case "Namespace":
			labels := meta.field("labels").labels()
			labels[nameLabel] = o.name
			c.Namespaces = append(c.Namespaces, Namespace{o.name, labels})
		case "Node":
			n := Node{Name: o.name, Labels: meta.field("labels").labels()}
			for _, a := range o.root.at("status", "addresses").list() {
				if ip := address(a.field("address").text()); ip.IsValid() {
					n.Addresses = append(n.Addresses, ip)
				}
			}
			c.Nodes = append(c.Nodes, n)
		case "NetworkPolicy":
			c.Policies = append(c.Policies, decodeNetworkPolicy(o))
		case "ClusterNetworkPolicy", "AdminNetworkPolicy", "BaselineAdminNetworkPolicy":
			c.Policies = append(c.Policies, decodeClusterPolicy(o))
		case assertionKind:
			c.Assertions = append(c.Assertions, decodeAssertion(o))
		default:
			running = append(running, o)
		}
	}
	c.Workloads = l.workloads(running)
	slices.SortFunc(c.Policies, func(a, b Policy) int { return strings.Compare(a.String(), b.String()) })
	slices.SortFunc(c.Nodes, func(a, b Node) int { return strings.Compare(a.Name, b.Name) })
	slices.SortFunc(c.Assertions, func(a, b Assertion) int { return strings.Compare(a.Name, b.Name) })
	c.addNamespaces()
	l.needNodes(c)
	for kind, n := range l.skipped {
		c.Skipped = append(c.Skipped, Count{kind, n})
	}
	slices.SortFunc(c.Skipped, func(a, b Count) int { return strings.Compare(a.Kind, b.Kind) })
	return c
}

// addNamespaces adds the namespaces that are used and not declared.
func (c *Cluster) addNamespaces() {
	declared := make(map[string]bool)
	for _, n := range c.Namespaces {
		declared[n.Name] = true
	}
	var missing []string
	use := func(name string) {
		if name != "" && !declared[name] {
			declared[name] = true
			if name != "default" { // every cluster has it
				missing = append(missing, name)
			}
			c.Namespaces = append(c.Namespaces, Namespace{name, fabric.Labels{nameLabel: name}})
		}
	}
	for _, w := range c.Workloads {
		use(w.Namespace)
	}
	for _, p := range c.Policies {
		use(p.Namespace)
	}
	slices.SortFunc(c.Namespaces, func(a, b Namespace) int { return strings.Compare(a.Name, b.Name) })
	if slices.Sort(missing); len(missing) > 0 {
		c.Notes = append(c.Notes, fmt.Sprintf("not declared, and taken to have no label but %s: the namespaces %s", nameLabel, strings.Join(missing, ", ")))
	}
}

// needNodes reports policies that select nodes when none are declared.
func (l *loader) needNodes(c *Cluster) {
	if len(c.Nodes) > 0 {
		return
	}
	for _, p := range c.Policies {
		for _, r := range p.Rules {
			if slices.ContainsFunc(r.Peers, func(x Peer) bool { return x.Nodes != nil }) {
				l.problems = append(l.problems, topology.Problem{Severity: topology.SeverityError, File: p.Origin.File, Line: r.Line,
					Message: fmt.Sprintf("%s: %s selects nodes, and no Node is declared: add the Nodes with their status, as kubectl get nodes -o yaml prints them", p, r.Name)})
			}
		}
	}
}
