// Command oracle answers for package kubernetes' tests what others say about the same policies: the matcher of cyclonus,
// the simulator behind its tests of network plugins, about connections, and Kubernetes itself about label selectors. It
// reads one question as JSON a line and answers each with a line. A module of its own: the product doesn't depend on it.
package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"os"

	"github.com/mattfenwick/cyclonus/pkg/matcher"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
)

// question is about policies and connections, or about a selector and labels.
type question struct {
	Policies []*networkingv1.NetworkPolicy `json:"policies"`
	Packets  []packet                      `json:"packets"`

	Selector *metav1.LabelSelector `json:"selector"`
	Labels   []labels.Set          `json:"labels"`
}

type packet struct {
	Src, Dst end
	Protocol corev1.Protocol
	Port     int
	// PortName is what the destination's containers call the port.
	PortName string
}

// end is a pod, or an address outside of the cluster, which has no namespace.
type end struct {
	Address, Namespace      string
	Labels, NamespaceLabels map[string]string
}

func (e end) peer() *matcher.TrafficPeer {
	p := &matcher.TrafficPeer{IP: e.Address}
	if e.Namespace != "" {
		p.Internal = &matcher.InternalPeer{Namespace: e.Namespace, PodLabels: e.Labels, NamespaceLabels: e.NamespaceLabels}
	}
	return p
}

func (q question) answer() ([]bool, error) {
	out := []bool{}
	if q.Selector != nil {
		s, err := metav1.LabelSelectorAsSelector(q.Selector)
		if err != nil {
			return nil, err
		}
		for _, l := range q.Labels {
			out = append(out, s.Matches(l))
		}
		return out, nil
	}
	// Not simplified: what is asked about is the meaning, not the simplification.
	policy := matcher.BuildNetworkPolicies(false, q.Policies)
	for _, p := range q.Packets {
		t := &matcher.Traffic{Source: p.Src.peer(), Destination: p.Dst.peer(), ResolvedPort: p.Port, ResolvedPortName: p.PortName, Protocol: p.Protocol}
		out = append(out, policy.IsTrafficAllowed(t).IsAllowed())
	}
	return out, nil
}

func main() {
	in := bufio.NewReader(os.Stdin)
	dec, enc := json.NewDecoder(in), json.NewEncoder(os.Stdout)
	for dec.More() {
		var q question
		err := dec.Decode(&q)
		var out []bool
		if err == nil {
			out, err = q.answer()
		}
		if err == nil {
			err = enc.Encode(out)
		}
		if err != nil {
			fmt.Fprintln(os.Stderr, "oracle:", err)
			os.Exit(1)
		}
	}
}
