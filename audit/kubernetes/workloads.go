package kubernetes

import (
	"cmp"
	"net/netip"
	"slices"
	"strings"

	"github.com/weftfabric/weft/firewall"
)

// runner is something that runs pods, or a pod.
type runner struct {
	object
	owner    string // "namespace/Kind/name" of its controller; empty without one
	pod      Pod
	host     bool
	finished bool // a pod that doesn't run any more
	replicas int  // -1: not said
}

// label names a runner as owners do.
func (r runner) label() string { return r.namespace + "/" + r.kind + "/" + r.name }

// workloads groups the pods and the controllers by the controller that stands behind all of it. Where pods are declared,
// they say what the workload runs, else its template does.
func (l *loader) workloads(objects []object) []Workload {
	runners := make(map[string]*runner)
	var order []*runner
	for _, o := range objects {
		r := decodeRunner(o)
		runners[r.label()] = &r
		order = append(order, &r)
	}
	groups := make(map[string][]*runner)
	for _, r := range order {
		if r.finished {
			l.skipped["finished Pod"]++
			continue
		}
		root := rootOf(r, runners)
		groups[root] = append(groups[root], r)
	}
	var out []Workload
	for root, members := range groups {
		out = append(out, workloadOf(root, members))
	}
	slices.SortFunc(out, func(a, b Workload) int {
		return cmp.Or(strings.Compare(a.Namespace, b.Namespace), strings.Compare(a.Kind, b.Kind), strings.Compare(a.Name, b.Name))
	})
	return out
}

// rootOf follows controllers upwards, as far as they are named.
func rootOf(r *runner, runners map[string]*runner) string {
	for range len(runners) + 1 { // a ring of owners ends somewhere
		if r.owner == "" {
			return r.label()
		}
		above, declared := runners[r.owner]
		if !declared {
			return deploymentOf(r)
		}
		r = above
	}
	return r.label()
}

// deploymentOf returns the controller of a pod. A ReplicaSet that isn't declared and has the pod's template hash in its
// name is a Deployment's, which names its ReplicaSets so.
func deploymentOf(r *runner) string {
	namespace, rest, _ := strings.Cut(r.owner, "/")
	kind, name, _ := strings.Cut(rest, "/")
	if hash := r.pod.Labels["pod-template-hash"]; r.kind == "Pod" && kind == "ReplicaSet" && hash != "" {
		if deployment, ok := strings.CutSuffix(name, "-"+hash); ok {
			return namespace + "/Deployment/" + deployment
		}
	}
	return r.owner
}

func workloadOf(root string, members []*runner) Workload {
	w := Workload{}
	w.Namespace, w.Kind, _ = strings.Cut(root, "/")
	w.Kind, w.Name, _ = strings.Cut(w.Kind, "/")
	speaking := slices.DeleteFunc(slices.Clone(members), func(r *runner) bool { return r.kind != "Pod" })
	if len(speaking) == 0 {
		speaking = slices.DeleteFunc(slices.Clone(members), func(r *runner) bool { return r.label() != root })
	}
	if len(speaking) == 0 { // the templates of controllers below one that isn't declared
		speaking = slices.DeleteFunc(slices.Clone(members), func(r *runner) bool { return r.replicas == 0 })
	}
	if len(speaking) == 0 {
		speaking = members
	}
	w.Origin = speaking[0].origin()
	w.HostNetwork = true
	byKind := make(map[string]int)
	for _, r := range speaking {
		w.HostNetwork = w.HostNetwork && r.host
		w.Several = w.Several || r.replicas > 1
		key := r.pod.alike()
		i, seen := byKind[key]
		if !seen {
			i = len(w.Pods)
			byKind[key] = i
			w.Pods = append(w.Pods, Pod{Labels: r.pod.Labels, Ports: r.pod.Ports})
		}
		w.Pods[i].Addresses = append(w.Pods[i].Addresses, r.pod.Addresses...)
	}
	w.Several = w.Several || len(speaking) > 1
	for _, r := range members {
		if r.label() == root {
			w.Origin = r.origin()
			w.Several = w.Several || r.replicas > 1
		}
	}
	return w
}

// decodeRunner reads a pod or a controller, as far as policy depends on it.
func decodeRunner(o object) runner {
	r := runner{object: o, replicas: -1}
	meta, spec := o.root.field("metadata"), o.root.field("spec")
	for _, ref := range meta.field("ownerReferences").list() {
		// A static pod is its node's (kubernetes.io/config.mirror), which runs others too.
		if kind := ref.field("kind").text(); ref.field("controller").truth() && kind != "" && kind != "Node" {
			r.owner = o.namespace + "/" + kind + "/" + ref.field("name").text()
		}
	}
	template := spec.field("template")
	switch o.kind {
	case "Pod":
		template = o.root
		phase := o.root.at("status", "phase").text()
		r.finished = phase == "Succeeded" || phase == "Failed"
	case "CronJob":
		job := spec.at("jobTemplate", "spec")
		template = job.field("template")
		r.replicas = job.field("parallelism").number(0, 1<<30)
	case "Job":
		r.replicas = spec.field("parallelism").number(0, 1<<30)
	case "DaemonSet":
		r.replicas = 2 // one on each node
	default:
		if n := spec.field("replicas"); n.given() {
			r.replicas = n.number(0, 1<<30)
		}
	}
	r.pod.Labels = template.at("metadata", "labels").labels()
	if o.kind == "Job" {
		// The labels that a Job gives its pods (k8s.io/api/batch/v1, JobNameLabel).
		for _, key := range []string{"job-name", "batch.kubernetes.io/job-name"} {
			if _, set := r.pod.Labels[key]; !set {
				r.pod.Labels[key] = o.name
			}
		}
	}
	r.host = template.at("spec", "hostNetwork").truth()
	r.pod.Ports = namedPorts(template.field("spec"))
	if o.kind == "Pod" {
		r.pod.Addresses = podAddresses(o.root.field("status"))
	}
	return r
}

// namedPorts returns the named ports of the containers of a pod, and of the init containers that run on beside them.
func namedPorts(spec value) []NamedPort {
	containers := spec.field("containers").list()
	for _, c := range spec.field("initContainers").list() {
		if c.field("restartPolicy").text() == "Always" {
			containers = append(containers, c)
		}
	}
	var out []NamedPort
	for _, c := range containers {
		for _, p := range c.field("ports").list() {
			n := NamedPort{Name: p.field("name").text(), Protocol: firewall.TCP, Port: uint16(p.field("containerPort").number(1, 65535))}
			if name := p.field("protocol"); name.given() {
				n.Protocol = protocol(name)
			}
			if n.Name != "" && n.Port != 0 {
				out = append(out, n)
			}
		}
	}
	slices.SortFunc(out, compareNamedPorts)
	return slices.Compact(out)
}

func podAddresses(status value) []netip.Addr {
	texts := []string{status.field("podIP").text()}
	for _, ip := range status.field("podIPs").list() {
		texts = append(texts, ip.field("ip").text())
	}
	var out []netip.Addr
	for _, t := range texts {
		if a := address(t); a.IsValid() && !slices.Contains(out, a) {
			out = append(out, a)
		}
	}
	return out
}

// address returns the address that a status holds, or the zero one.
func address(text string) netip.Addr {
	a, err := netip.ParseAddr(text)
	if err != nil {
		return netip.Addr{}
	}
	return a.Unmap().WithZone("")
}
