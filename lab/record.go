package lab

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net/netip"
	"os"
	"path/filepath"
	"slices"

	"github.com/weftfabric/weft/fabric"
)

// DefaultStateDir holds one directory per lab.
const DefaultStateDir = "/run/weft/lab"

// recordName is the file in a lab's directory that says what the lab is made of.
const recordName = "lab.json"

// Record is what a lab is made of. It is written before each thing that it names is made, so that it names at
// least what is there.
type Record struct {
	Name string `json:"name"`
	// Ready says that the lab came up completely.
	Ready bool `json:"ready"`
	// Starter is the process that builds the lab.
	Starter    Process    `json:"starter"`
	BinDir     string     `json:"binDir"`
	AgentFlags []string   `json:"agentFlags,omitempty"` // further ones of every agent
	Namespaces []string   `json:"namespaces"`
	Processes  []Process  `json:"processes"`
	Nodes      []Node     `json:"nodes"`
	Workloads  []Attached `json:"workloads"`

	dir string
}

// Node is an emulated node.
type Node struct {
	Name      fabric.NodeName `json:"name"`
	Namespace string          `json:"namespace"`
	Dir       string          `json:"dir"` // of its Open vSwitch, agent and logs
	// Kernel says that the kernel forwards the node's packets, not vswitchd.
	Kernel     bool          `json:"kernel,omitempty"`
	KernelCard bool          `json:"kernelCard,omitempty"` // the network card is the kernel's, and no port of a bridge
	Labels     fabric.Labels `json:"labels,omitempty"`
	NAT        bool          `json:"nat,omitempty"` // behind a router; VTEP is one that nobody else reaches
	VTEP       netip.Addr    `json:"vtep"`
	Management netip.Addr    `json:"management"`
}

// AgentSocket is where the node's agent listens.
func (n Node) AgentSocket() string { return filepath.Join(n.Dir, "agent.sock") }

// Attached is a workload that runs.
type Attached struct {
	Workload Workload `json:"workload"`
	Node     string   `json:"node"`
	// Namespace is a container's; a VM has none of its own.
	Namespace string `json:"namespace,omitempty"`
	// Control is the socket of the program inside.
	Control   string         `json:"control"`
	Console   string         `json:"console,omitempty"` // what a VM printed
	MAC       fabric.MAC     `json:"mac,omitzero"`
	MTU       int            `json:"mtu,omitempty"`
	Addresses []netip.Prefix `json:"addresses,omitempty"`
	Gateways  []netip.Addr   `json:"gateways,omitempty"`
	// Interface is the node's end: a veth or a tap.
	Interface string `json:"interface,omitempty"`
}

// Ref names the workload.
func (a Attached) Ref() string { return a.Workload.Ref() }

// Dir is the lab's directory.
func (r *Record) Dir() string { return r.dir }

// ControllerSocket is the administrator's access to the lab's controller.
func (r *Record) ControllerSocket() string {
	return filepath.Join(r.dir, "controller", "weft.sock")
}

// NodeNamed returns a node, or nil.
func (r *Record) NodeNamed(name string) *Node {
	for i := range r.Nodes {
		if string(r.Nodes[i].Name) == name {
			return &r.Nodes[i]
		}
	}
	return nil
}

// Find returns the workload that a user names: "tenant/name", or the name alone where it is unique.
func (r *Record) Find(name string) (Attached, error) {
	var found []Attached
	for _, w := range r.Workloads {
		if w.Ref() == name || w.Workload.Metadata.Name == name {
			found = append(found, w)
		}
	}
	switch len(found) {
	case 1:
		return found[0], nil
	case 0:
		return Attached{}, fmt.Errorf("lab %s has no workload %q: `weft lab list` shows them", r.Name, name)
	}
	return Attached{}, fmt.Errorf("lab %s has several workloads %q: write tenant/name", r.Name, name)
}

// save replaces the record on disk in one step.
func (r *Record) save() error {
	data, err := json.MarshalIndent(r, "", "  ")
	if err != nil {
		return err
	}
	path := filepath.Join(r.dir, recordName)
	if err := os.WriteFile(path+".new", append(data, '\n'), 0o600); err != nil {
		return fmt.Errorf("record the lab: %w", err)
	}
	return os.Rename(path+".new", path)
}

// addNamespace records a namespace that is about to be made.
func (r *Record) addNamespace(name string) error {
	if !slices.Contains(r.Namespaces, name) {
		r.Namespaces = append(r.Namespaces, name)
	}
	return r.save()
}

// ErrNoLab says that there is no lab of a name.
var ErrNoLab = errors.New("no such lab")

// Open reads the record of a lab.
func Open(stateDir, name string) (*Record, error) {
	if err := checkLabName(name); err != nil {
		return nil, err
	}
	dir := filepath.Join(stateDir, name)
	data, err := os.ReadFile(filepath.Join(dir, recordName))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("%w: %q: `weft lab list` shows the labs, `weft lab up` makes one", ErrNoLab, name)
	}
	if err != nil {
		return nil, err
	}
	r := &Record{dir: dir}
	if err := json.Unmarshal(data, r); err != nil {
		return nil, fmt.Errorf("%s: %w", filepath.Join(dir, recordName), err)
	}
	return r, nil
}

// List returns the records of all labs, by name.
func List(stateDir string) ([]*Record, error) {
	entries, err := os.ReadDir(stateDir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	var labs []*Record
	for _, e := range entries {
		if checkLabName(e.Name()) != nil {
			continue // a lab that is just being recorded
		}
		r, err := Open(stateDir, e.Name())
		if errors.Is(err, ErrNoLab) {
			continue
		}
		if err != nil {
			return nil, err
		}
		labs = append(labs, r)
	}
	return labs, nil
}

// maxLabName keeps unix sockets' paths below their limit of 108 bytes.
const maxLabName = 20

func checkLabName(name string) error {
	if err := fabric.CheckName(name); err != nil {
		return fmt.Errorf("lab: %w", err)
	}
	if len(name) > maxLabName {
		return fmt.Errorf("lab: name %q has %d characters, at most %d are allowed", name, len(name), maxLabName)
	}
	return nil
}
