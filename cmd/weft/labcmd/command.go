package labcmd

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/spf13/cobra"

	"github.com/weftfabric/weft/lab"
)

// ErrDifferent says that packets did not do what the topology predicts. It has been shown already.
var ErrDifferent = errors.New("the probes differ from the prediction")

// ExitError is the exit code of a command that ran in a workload.
type ExitError struct{ Code int }

// Error implements error.
func (e *ExitError) Error() string {
	return fmt.Sprintf("the command ended with exit code %d", e.Code)
}

// PassExitCode is what the process must return.
func (e *ExitError) PassExitCode() int { return e.Code }

// commonFlags name a lab.
type commonFlags struct {
	name, stateDir string
}

func (f *commonFlags) register(cmd *cobra.Command) {
	cmd.PersistentFlags().StringVar(&f.name, "name", "lab", "name of the lab")
	cmd.PersistentFlags().StringVar(&f.stateDir, "state-dir", lab.DefaultStateDir, "directory that holds the labs' state")
}

func (f *commonFlags) open() (*lab.Record, error) { return lab.Open(f.stateDir, f.name) }

// Command returns the command group.
func Command() *cobra.Command {
	common := &commonFlags{}
	cmd := &cobra.Command{
		Use:   "lab",
		Short: "Run a whole fabric on this machine, with real switches and packets",
		Long: `lab builds the topology of YAML files out of network namespaces: a controller, any number of nodes with an Open
vSwitch and the shipped agent each, containers attached by the shipped CNI plugin, and virtual machines on taps.
Documents of kind Workload (apiVersion lab.weft.dev/v1alpha1) beside the topology say what runs where, and those of
kind Node which labels a node has.

It needs root, and touches nothing outside its own namespaces and its state directory.`,
		Example: `  weft lab up -f examples/two-tenants --nodes 3
  weft lab probe
  weft lab exec acme/web-1 -- ip addr
  weft lab exec node1 -- ovs-vsctl --db=unix:/run/weft/lab/lab/node1/ovs/db.sock show
  weft lab down`,
		Args: cobra.NoArgs,
	}
	common.register(cmd)
	cmd.AddCommand(upCommand(common), demoCommand(common), probeCommand(common), steadyCommand(common), execCommand(common), listCommand(common), downCommand(common))
	return cmd
}

// buildFlags describe a lab to be built.
type buildFlags struct {
	paths            []string
	nodes            int
	binDir, guestDir string
	skipVMs          bool
	underlay         string
	datapath         string
	card             string
}

func (f *buildFlags) register(cmd *cobra.Command) {
	cmd.Flags().StringArrayVarP(&f.paths, "filename", "f", nil, "topology: a file, a directory of *.yaml files, or - for standard input; may be repeated")
	cmd.Flags().IntVar(&f.nodes, "nodes", 0, "number of nodes (default: as many as the documents name)")
	cmd.Flags().StringVar(&f.binDir, "bin-dir", "", "directory of weft-controller, weft-agent, weft-cni and weft-lab-probe (default: that of this program)")
	cmd.Flags().StringVar(&f.guestDir, "guest-dir", "", "directory of the virtual machines' kernel, as `make guest` fills it (WEFT_GUEST_DIR; default .cache/guest beside --bin-dir)")
	cmd.Flags().BoolVar(&f.skipVMs, "no-vms", false, "leave virtual machines out")
	cmd.Flags().StringVar(&f.underlay, "underlay", "ipv4", "family of the nodes' tunnel addresses: ipv4 or ipv6")
	cmd.Flags().StringVar(&f.datapath, "datapath", "netdev", "who forwards packets: netdev (vswitchd) or system (the kernel, where it has Open vSwitch's module)")
	cmd.Flags().StringVar(&f.card, "card", "bridge", "whose the nodes' network cards are: bridge (a port of Open vSwitch) or kernel (faster, for fabrics that require encryption)")
	cobra.CheckErr(cmd.MarkFlagRequired("filename"))
}

// options loads the topology and fills in what depends on where this program is.
func (f *buildFlags) options(cmd *cobra.Command, common *commonFlags) (lab.Options, error) {
	if f.underlay != "ipv4" && f.underlay != "ipv6" {
		return lab.Options{}, fmt.Errorf("--underlay %q is no family: write ipv4 or ipv6", f.underlay)
	}
	if f.datapath != "netdev" && f.datapath != "system" {
		return lab.Options{}, fmt.Errorf("--datapath %q is none: write netdev or system", f.datapath)
	}
	if f.card != "bridge" && f.card != "kernel" {
		return lab.Options{}, fmt.Errorf("--card %q is none: write bridge or kernel", f.card)
	}
	topo, err := lab.Load(f.paths, cmd.InOrStdin(), f.nodes)
	if err != nil {
		return lab.Options{}, err
	}
	binDir := f.binDir
	if binDir == "" {
		exe, err := os.Executable()
		if err != nil {
			return lab.Options{}, err
		}
		binDir = filepath.Dir(exe)
	}
	guestDir := f.guestDir
	if guestDir == "" {
		guestDir = os.Getenv("WEFT_GUEST_DIR")
	}
	if guestDir == "" {
		guestDir = filepath.Join(filepath.Dir(binDir), ".cache", "guest")
	}
	return lab.Options{
		Name: common.name, StateDir: common.stateDir, Topology: topo, Nodes: f.nodes,
		BinDir: binDir, GuestDir: guestDir, SkipVMs: f.skipVMs, IPv6Underlay: f.underlay == "ipv6", KernelDatapath: f.datapath == "system", KernelCard: f.card == "kernel", Progress: cmd.ErrOrStderr(), Now: time.Now,
	}, nil
}
