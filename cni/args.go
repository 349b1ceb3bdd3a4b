package cni

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"github.com/weftfabric/weft/fabric"
)

// Args are the arguments of one call: CNI_ARGS, "KEY=value" pairs joined by semicolons.
type Args struct {
	Tenant, Network, Subnet, Port string        // WEFT_TENANT, WEFT_NETWORK, WEFT_SUBNET, WEFT_PORT
	Labels                        fabric.Labels // WEFT_LABELS=app:web,tier:front
	MAC                           fabric.MAC    // MAC=02:00:00:00:00:01
	Addresses                     []netip.Addr  // IP=10.0.0.5,fd00::5
	// Pod is "namespace/name" of K8S_POD_NAMESPACE and K8S_POD_NAME.
	Pod string

	podNamespace, podName string
}

// Keys that Kubernetes' runtimes pass and that the plugin has no use for.
var ignoredArgs = [...]string{"K8S_POD_INFRA_CONTAINER_ID", "K8S_POD_UID"}

// ParseArgs decodes CNI_ARGS, whose pairs may stand in any order. A key that the plugin uses and that stands twice must
// have one value (Multus repeats them). An unknown key is an error unless IgnoreUnknown is set; an unknown WEFT_ key is
// always one.
func ParseArgs(s string) (Args, error) {
	var a Args
	values, errs := splitArgs(s)
	ignoreUnknown := false
	for _, v := range values["IgnoreUnknown"] {
		yes, err := strconv.ParseBool(strings.ToLower(v))
		if err != nil {
			errs = append(errs, fmt.Errorf("CNI_ARGS IgnoreUnknown: %q is neither true nor false", v))
		}
		ignoreUnknown = ignoreUnknown || yes
	}
	for _, key := range sortedKeys(values) {
		known, err := a.set(key, values[key][0])
		switch {
		case !known && (ignoreUnknown && !strings.HasPrefix(key, "WEFT_") || slices.Contains(ignoredArgs[:], key)):
			continue
		case !known:
			err = fmt.Errorf("the key is unknown: known are IP, MAC, WEFT_LABELS, WEFT_NETWORK, WEFT_PORT, WEFT_SUBNET, WEFT_TENANT")
		case err == nil && len(values[key]) > 1 && key != "IgnoreUnknown":
			err = fmt.Errorf("both %q and %q are given", values[key][0], values[key][1])
		}
		if err != nil {
			errs = append(errs, fmt.Errorf("CNI_ARGS %s: %w", key, err))
		}
	}
	if a.podName != "" {
		a.Pod = strings.TrimPrefix(a.podNamespace+"/"+a.podName, "/")
	}
	if a.Port != "" && (a.Network != "" || a.Subnet != "" || len(a.Labels) > 0) {
		errs = append(errs, fmt.Errorf("CNI_ARGS WEFT_PORT: a declared Port brings its own network, subnet and labels: give either WEFT_PORT or those"))
	}
	return a, errors.Join(errs...)
}

// set takes over the value of one key.
func (a *Args) set(key, value string) (known bool, err error) {
	switch key {
	case "IgnoreUnknown":
	case "WEFT_TENANT":
		a.Tenant, err = value, fabric.CheckName(value)
	case "WEFT_NETWORK":
		a.Network, err = value, fabric.CheckName(value)
	case "WEFT_SUBNET":
		a.Subnet, err = value, fabric.CheckName(value)
	case "WEFT_PORT":
		a.Port, err = value, fabric.CheckName(value)
	case "WEFT_LABELS":
		a.Labels, err = ParseLabels(value)
	case "MAC":
		a.MAC, err = fabric.ParseMAC(value)
	case "IP":
		a.Addresses, err = parseAddresses(strings.Split(value, ","))
	case "K8S_POD_NAME":
		a.podName = value
	case "K8S_POD_NAMESPACE":
		a.podNamespace = value
	default:
		return false, nil
	}
	return true, err
}

// ParseLabels decodes "key:value,key:value", the form of WEFT_LABELS. CNI_ARGS itself takes ';' and '='.
func ParseLabels(s string) (fabric.Labels, error) {
	labels := fabric.Labels{}
	for pair := range strings.SplitSeq(s, ",") {
		key, value, ok := strings.Cut(pair, ":")
		if !ok {
			return nil, fmt.Errorf("label %q has no value: write key:value,key:value", pair)
		}
		if err := checkLabel(key, value); err != nil {
			return nil, err
		}
		if _, twice := labels[key]; twice {
			return nil, fmt.Errorf("label %q stands twice", key)
		}
		labels[key] = value
	}
	return labels, nil
}

// FormatLabels is the inverse of ParseLabels, in the order of the keys.
func FormatLabels(labels fabric.Labels) string {
	pairs := make([]string, 0, len(labels))
	for _, k := range labels.Keys() {
		pairs = append(pairs, k+":"+labels[k])
	}
	return strings.Join(pairs, ",")
}

// splitArgs returns the different values of each key, in their order.
func splitArgs(s string) (map[string][]string, []error) {
	values := map[string][]string{}
	var errs []error
	for pair := range strings.SplitSeq(s, ";") {
		if pair == "" {
			continue
		}
		key, value, ok := strings.Cut(pair, "=")
		if !ok || key == "" {
			errs = append(errs, fmt.Errorf("CNI_ARGS: %q is not KEY=value", pair))
			continue
		}
		if !slices.Contains(values[key], value) {
			values[key] = append(values[key], value)
		}
	}
	return values, errs
}

func parseAddresses(list []string) ([]netip.Addr, error) {
	var out []netip.Addr
	for _, s := range list {
		a, err := parseAddress(s)
		if err != nil {
			return nil, err
		}
		if !slices.Contains(out, a) {
			out = append(out, a)
		}
	}
	return out, nil
}
