package cni

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"
	"path/filepath"
	"slices"
	"strings"

	"github.com/containernetworking/cni/pkg/types"

	"github.com/weftfabric/weft/fabric"
	"github.com/weftfabric/weft/wire/cniwire"
)

// Config is the plugin's network configuration, the object of type weft-cni in a CNI configuration list.
type Config struct {
	CNIVersion string `json:"cniVersion"`
	Name       string `json:"name"`
	Type       string `json:"type"`

	// Tenant owns Network or Port.
	Tenant string `json:"tenant"`
	// Network and Subnet say where containers are attached. Subnet defaults to the network's first.
	Network string `json:"network"`
	Subnet  string `json:"subnet"`
	// Port attaches to a declared Port instead; its labels, subnet and addresses are the declared ones.
	Port string `json:"port"`
	// Labels are the labels of every container of this configuration.
	Labels fabric.Labels `json:"labels"`
	// Socket is the agent's socket; default cniwire.DefaultSocket.
	Socket string `json:"socket"`
	// LogFile receives a line of JSON for each call; empty: no log.
	LogFile string `json:"logFile"`

	Args          ConfigArgs      `json:"args"`
	RuntimeConfig RuntimeConfig   `json:"runtimeConfig"`
	PrevResult    json.RawMessage `json:"prevResult"`
	// Valid are the attachments that a GC keeps; nil when the configuration doesn't name them.
	Valid []types.GCAttachment `json:"cni.dev/valid-attachments"`
}

// ConfigArgs is what a runtime puts into "args" (CNI conventions, "args in network config").
type ConfigArgs struct {
	CNI struct {
		Labels []Label  `json:"labels"`
		IPs    []string `json:"ips"`
	} `json:"cni"`
}

// Label is one label in the form of the CNI conventions.
type Label struct {
	Key   string `json:"key"`
	Value string `json:"value"`
}

// RuntimeConfig holds the values of the capabilities "mac" and "ips".
type RuntimeConfig struct {
	MAC string   `json:"mac"`
	IPs []string `json:"ips"`
}

// The names of the list of attachments that a GC keeps; the second was used before the specification's 1.1.0 was corrected.
const (
	validField    = "cni.dev/valid-attachments"
	oldValidField = "cni.dev/attachments"
)

// Fields of a configuration that runtimes write and that need nothing from the plugin.
var ignoredFields = [...]string{"capabilities", "cniVersions", "disableCheck", "disableGC", "loadOnlyInlinedPlugins"}

// Fields that other plugins know; silence about them would promise something.
var refusedFields = map[string]string{
	"ipam":   "the fabric allocates the addresses: remove it",
	"dns":    "the fabric doesn't configure resolvers yet: remove it",
	"ipMasq": "networks reach the outside by the fabric's gateways only: remove it",
}

// ParseConfig decodes a network configuration strictly: every unknown, refused or malformed field is
// reported, all of them at once. What a runtime passes along in args.cni and runtimeConfig may hold more
// than the plugin knows.
func ParseConfig(data []byte) (Config, error) {
	var fields map[string]json.RawMessage
	if err := json.Unmarshal(data, &fields); err != nil {
		return Config{}, fmt.Errorf("network configuration is not a JSON object: %w", err)
	}
	var c Config
	targets := map[string]any{
		"cniVersion": &c.CNIVersion, "name": &c.Name, "type": &c.Type,
		"tenant": &c.Tenant, "network": &c.Network, "subnet": &c.Subnet, "port": &c.Port, "labels": &c.Labels,
		"socket": &c.Socket, "logFile": &c.LogFile,
		"args": &c.Args, "runtimeConfig": &c.RuntimeConfig, "prevResult": &c.PrevResult,
		oldValidField: &c.Valid, validField: &c.Valid, // the right name comes later in the order, and so is the stronger one
	}
	var errs []error
	for _, name := range sortedKeys(fields) {
		target, known := targets[name]
		switch why, refused := refusedFields[name]; {
		case known:
			if err := json.Unmarshal(fields[name], target); err != nil {
				errs = append(errs, fmt.Errorf("field %q: %s", name, decodeProblem(err)))
			}
			if target == any(&c.Valid) && c.Valid == nil {
				c.Valid = []types.GCAttachment{} // libcni writes an empty list as null
			}
		case refused && !emptyJSON(fields[name]):
			errs = append(errs, fmt.Errorf("field %q: %s", name, why))
		case refused || slices.Contains(ignoredFields[:], name):
		default:
			errs = append(errs, fmt.Errorf("field %q is unknown: known are %s", name, strings.Join(sortedKeys(targets), ", ")))
		}
	}
	if c.Socket == "" {
		c.Socket = cniwire.DefaultSocket
	}
	return c, errors.Join(append(errs, c.check()...)...)
}

// check reports what is wrong with the fields that stand alone; where the container goes is known only
// together with CNI_ARGS.
func (c Config) check() []error {
	var errs []error
	for _, f := range []struct{ name, value string }{{"tenant", c.Tenant}, {"network", c.Network}, {"subnet", c.Subnet}, {"port", c.Port}} {
		if f.value == "" {
			continue
		}
		if err := fabric.CheckName(f.value); err != nil {
			errs = append(errs, fmt.Errorf("field %q: %w", f.name, err))
		}
	}
	for _, f := range []struct{ name, value string }{{"socket", c.Socket}, {"logFile", c.LogFile}} {
		if f.value != "" && !filepath.IsAbs(f.value) {
			errs = append(errs, fmt.Errorf("field %q: path %q is not absolute", f.name, f.value))
		}
	}
	if c.Port != "" && (c.Network != "" || c.Subnet != "" || len(c.Labels) > 0) {
		errs = append(errs, fmt.Errorf("field \"port\": a declared Port brings its own network, subnet and labels: give either port or those"))
	}
	for _, k := range c.Labels.Keys() {
		if err := checkLabel(k, c.Labels[k]); err != nil {
			errs = append(errs, fmt.Errorf("field \"labels\": %w", err))
		}
	}
	return errs
}

// checkLabel refuses what the canonical form of labels can't hold. The controller checks the rest.
func checkLabel(key, value string) error {
	const maxKey, maxValue = 253 + 1 + 63, 63
	switch {
	case key == "":
		return fmt.Errorf("a label has no key")
	case len(key) > maxKey || len(value) > maxValue:
		return fmt.Errorf("label %.40q is too long: a key has at most %d characters, a value %d", key, maxKey, maxValue)
	case strings.ContainsAny(key+value, "=,: \t\r\n"):
		return fmt.Errorf("label %q with value %q may not hold '=', ',', ':' or white space", key, value)
	}
	return nil
}

// parseAddress accepts an address with or without a prefix length: the subnet's length counts.
func parseAddress(s string) (netip.Addr, error) {
	s = strings.TrimSpace(s)
	if p, err := netip.ParsePrefix(s); err == nil {
		return p.Addr(), nil
	}
	a, err := netip.ParseAddr(s)
	if err != nil || a.Zone() != "" {
		return netip.Addr{}, fmt.Errorf("%q is not an IP address", s)
	}
	return a, nil
}

func decodeProblem(err error) string {
	var kind *json.UnmarshalTypeError
	if errors.As(err, &kind) {
		return fmt.Sprintf("a JSON %s stands where %s is wanted", kind.Value, kind.Type)
	}
	return err.Error()
}

func emptyJSON(raw json.RawMessage) bool {
	switch string(raw) {
	case "null", "{}", "[]", `""`, "false":
		return true
	}
	return false
}

func sortedKeys[V any](m map[string]V) []string {
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}
