package cli

import (
	"cmp"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/weftfabric/weft/cli/output"
	"github.com/weftfabric/weft/fabric"
	"github.com/weftfabric/weft/topology"
	"github.com/weftfabric/weft/wire/cniwire"
	weftv1 "github.com/weftfabric/weft/wire/weftpb/weft/v1"
)

// maxTapName is the longest name of an interface: IFNAMSIZ without its end (netdevice(7)).
const maxTapName = 15

func (a *app) portCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "port",
		Short: "Attach declared Ports to the taps of virtual machines",
		Long: `Attach and detach declared Ports on this machine, and list where they are. Attach and detach speak to the agent of
this machine; list asks the controller.

An interface that something else plugs into br-int with external_ids:iface-id naming a Port, as libvirt does, is
bound without any of these commands.`,
		Example: `  weft port attach acme/db-1 --tap tap0
  weft port list
  weft port detach acme/db-1`,
	}
	makeGroup(cmd)
	cmd.AddCommand(a.portAttachCommand(), a.portDetachCommand(), a.portListCommand())
	return cmd
}

// socketFlag says where the agent listens.
type socketFlag struct{ path string }

func (f *socketFlag) register(cmd *cobra.Command) {
	cmd.Flags().StringVar(&f.path, "socket", "", "socket of this machine's agent (WEFT_AGENT_SOCKET; default "+cniwire.DefaultSocket+")")
}

func (f *socketFlag) value(a *app) string {
	return cmp.Or(f.path, a.Getenv("WEFT_AGENT_SOCKET"), cniwire.DefaultSocket)
}

// parsePort returns the Port that is meant by tenant/name, or by a name and the tenant of the flags.
func parsePort(cmd *cobra.Command, name, tenant string) (fabric.PortRef, error) {
	key, err := parseKey(cmd, topology.KindPort, name, tenant)
	if err != nil {
		return fabric.PortRef{}, err
	}
	if key.Tenant == "" {
		return fabric.PortRef{}, usage(cmd, "port %s: of which tenant? Write TENANT/%s, or give --tenant", name, name)
	}
	return fabric.PortRef{Tenant: key.Tenant, Name: key.Name}, nil
}

func (a *app) portAttachCommand() *cobra.Command {
	var (
		tenant tenantFlags
		socket socketFlag
		format formatFlag
		tap    string
	)
	cmd := &cobra.Command{
		Use:   "attach PORT --tap NAME",
		Short: "Plug a tap into the fabric for a declared Port",
		Long: `Plug the tap NAME of this machine into the fabric as the declared Port. The tap is made when it does not exist.
When the command returns, the switch has confirmed the Port's flows: start the virtual machine on the tap with the
MAC address printed.`,
		Example: `  weft port attach acme/db-1 --tap tap0
  weft port attach db-1 -t acme --tap tap0 -o json`,
		Args:              cobra.ExactArgs(1),
		ValidArgsFunction: a.completeNames(topology.KindPort),
	}
	tenant.register(cmd, a)
	socket.register(cmd)
	format.register(cmd, output.Table, output.JSON, output.YAML)
	cmd.Flags().StringVar(&tap, "tap", "", "name of the tap, required")
	complete(cmd, "tap", cobra.NoFileCompletions)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		of, err := format.parse(cmd)
		if err != nil {
			return err
		}
		port, err := parsePort(cmd, args[0], tenant.chosen(a))
		switch {
		case err != nil:
			return err
		case tap == "":
			return usage(cmd, "name the tap with --tap, such as --tap tap0")
		case len(tap) > maxTapName || strings.ContainsAny(tap, "/ :\t\n"):
			return usage(cmd, "--tap %q is not an interface name: at most %d characters, no blanks, '/' or ':'", tap, maxTapName)
		}
		res, err := askAgent(cmd.Context(), socket.value(a), cniwire.Request{Attach: &cniwire.Attach{Port: port, Tap: tap}})
		if err != nil {
			return err
		}
		if res.Interface == nil {
			return refused("the agent answered without an interface; are its version and that of weft equal?")
		}
		return a.print(of, res.Interface, func() error {
			i := res.Interface
			_, err := fmt.Fprintf(a.Stdout, "port %s is attached\n  tap        %s\n  MAC        %s\n  addresses  %s\n  gateways   %s\n  MTU        %d\n  network    %s\n",
				port, i.HostName, i.MAC, join(i.Addresses), join(i.Gateways), i.MTU, i.Network)
			return err
		})
	}
	return cmd
}

func (a *app) portDetachCommand() *cobra.Command {
	var (
		tenant tenantFlags
		socket socketFlag
	)
	cmd := &cobra.Command{
		Use:   "detach PORT",
		Short: "Unplug a Port's tap",
		Long:  "Unplug the tap of a declared Port of this machine. The tap is removed if 'weft port attach' made it.",
		Example: `  weft port detach acme/db-1
  weft port detach db-1 -t acme`,
		Args:              cobra.ExactArgs(1),
		ValidArgsFunction: a.completeNames(topology.KindPort),
	}
	tenant.register(cmd, a)
	socket.register(cmd)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		port, err := parsePort(cmd, args[0], tenant.chosen(a))
		if err != nil {
			return err
		}
		if _, err := askAgent(cmd.Context(), socket.value(a), cniwire.Request{Detach: &cniwire.Detach{Port: port}}); err != nil {
			return err
		}
		fmt.Fprintf(a.Stdout, "port %s is detached\n", port)
		return nil
	}
	return cmd
}

// placedPort is a declared Port with where it is attached, if it is.
type placedPort struct {
	Port      string   `json:"port"`
	Network   string   `json:"network"`
	Node      string   `json:"node"`
	Interface string   `json:"interface"`
	MAC       string   `json:"mac"`
	Addresses []string `json:"addresses"`
	UID       string   `json:"uid"`
}

func (a *app) portListCommand() *cobra.Command {
	var (
		tenant tenantFlags
		format formatFlag
	)
	cmd := &cobra.Command{
		Use:     "list",
		Short:   "List declared Ports and where they are attached",
		Long:    "List the declared Ports, the node and interface where each is attached, and the addresses that it has there. -o wide\nadds the UID, which stands for the Port where a name can't, as in libvirt's interfaceid.",
		Example: "  weft port list\n  weft port list -t acme -o wide",
		Args:    cobra.NoArgs,
	}
	tenant.register(cmd, a)
	tenant.registerAll(cmd)
	format.register(cmd, output.Table, output.Wide, output.JSON, output.YAML)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		of, err := format.parse(cmd)
		if err != nil {
			return err
		}
		client, err := a.client(cmd)
		if err != nil {
			return err
		}
		objects, err := a.list(cmd.Context(), client, topology.KindPort, tenant.chosen(a))
		if err != nil {
			return err
		}
		nodes, err := call(cmd.Context(), a, client.ListNodes, &weftv1.ListNodesRequest{})
		if err != nil {
			return err
		}
		ports := placePorts(objects, nodes.GetNodes())
		return a.print(of, ports, func() error {
			if len(ports) == 0 {
				fmt.Fprintf(a.Stderr, "no ports found%s\n", inTenant(tenant.chosen(a)))
				return nil
			}
			g := portGrid(ports, of == output.Wide)
			return g.Write(a.Stdout, a.stdoutStyle())
		})
	}
	return cmd
}

func portGrid(ports []placedPort, wide bool) output.Grid {
	g := output.Grid{Header: []string{"PORT", "NETWORK", "NODE", "INTERFACE", "MAC", "ADDRESSES"}}
	if wide {
		g.Header = append(g.Header, "UID")
	}
	for _, p := range ports {
		row := []output.Cell{output.C(p.Port), output.C(p.Network), output.C(p.Node), output.C(p.Interface), output.C(p.MAC), output.C(strings.Join(p.Addresses, ","))}
		if wide {
			row = append(row, output.C(p.UID))
		}
		g.Add(row...)
	}
	return g
}

// placePorts joins declared Ports with the nodes' attachments.
func placePorts(objects []stored, nodes []*weftv1.NodeInfo) []placedPort {
	list := []placedPort{}
	for _, o := range objects {
		p := o.declared.Port
		placed := placedPort{
			Port: p.Ref().String(), Network: p.NetworkRef().String(), MAC: p.Spec.MAC.String(), Addresses: texts(p.Spec.Addresses),
			UID: topology.PortUID(p.Ref()),
		}
		for _, n := range nodes {
			for _, at := range n.GetReport().GetAttachments() {
				if at.GetPort() == placed.Port {
					placed.Node, placed.Interface, placed.MAC = n.GetName(), at.GetInterface(), at.GetMac()
					placed.Addresses = append([]string{}, at.GetAddresses()...)
				}
			}
		}
		list = append(list, placed)
	}
	return list
}
