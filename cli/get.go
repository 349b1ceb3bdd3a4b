package cli

import (
	"fmt"

	"github.com/spf13/cobra"

	"github.com/weftfabric/weft/cli/output"
	"github.com/weftfabric/weft/topology"
	"github.com/weftfabric/weft/wire/weftpb/weft/v1/weftv1connect"
)

// allKinds is what get accepts in place of a kind.
const allKinds = "all"

func (a *app) getCommand() *cobra.Command {
	var (
		tenant tenantFlags
		format formatFlag
	)
	cmd := &cobra.Command{
		Use:   "get KIND [NAME...]",
		Short: "List stored objects",
		Long: `List the stored objects of a kind, or those named. KIND is one of
` + kindList() + `,
in any case, singular or plural; or "all". NAME may be written tenant/name.

ENFORCED counts the nodes whose switch confirmed the object's present revision, of those that need it. -o json and
-o yaml print objects in the form that "weft apply" takes.`,
		Example: `  weft get networks
  weft get fwp -t acme -o wide
  weft get port acme/db-1 -o yaml
  weft get all -t acme -o yaml > acme.yaml`,
		Args:              cobra.MinimumNArgs(1),
		ValidArgsFunction: a.completeObjects(true),
	}
	tenant.register(cmd, a)
	tenant.registerAll(cmd)
	format.register(cmd, output.Table, output.Wide, output.JSON, output.YAML)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		of, err := format.parse(cmd)
		if err != nil {
			return err
		}
		kind, err := parseKindOrAll(cmd, args[0])
		if err != nil {
			return err
		}
		if kind == "" && len(args) > 1 {
			return usage(cmd, "%q takes no names: say of which kind %s is", allKinds, args[1])
		}
		client, err := a.client(cmd)
		if err != nil {
			return err
		}
		objects, err := a.selectObjects(cmd, client, selection{kind, args[1:], tenant.chosen(a)})
		if err != nil {
			return err
		}
		if of.ForScripts() {
			return a.printObjects(of, objects, len(args) == 2)
		}
		if len(objects) == 0 {
			fmt.Fprintf(a.Stderr, "no %s found%s\n", plural(kind), inTenant(tenant.chosen(a)))
			return nil
		}
		g := mixedGrid(objects, of == output.Wide)
		if kind != "" {
			g = kindGrid(kind, objects, of == output.Wide)
		}
		return g.Write(a.Stdout, a.stdoutStyle())
	}
	return cmd
}

func parseKindOrAll(cmd *cobra.Command, word string) (topology.Kind, error) {
	if word == allKinds {
		return "", nil
	}
	return parseKind(cmd, word)
}

// selection is what get was asked for; an empty kind means all, an empty tenant too.
type selection struct {
	kind   topology.Kind
	names  []string
	tenant string
}

func (a *app) selectObjects(cmd *cobra.Command, client weftv1connect.IntentServiceClient, s selection) ([]stored, error) {
	if namesOf(s.kind).tenanted == platformOnly {
		s.tenant = ""
	}
	if len(s.names) == 0 {
		return a.list(cmd.Context(), client, s.kind, s.tenant)
	}
	var objects []stored
	for _, name := range s.names {
		o, err := a.find(cmd, client, s.kind, name, s.tenant)
		if err != nil {
			return nil, err
		}
		objects = append(objects, o)
	}
	return objects, nil
}

// printObjects prints objects for scripts: one alone, or a list.
func (a *app) printObjects(format output.Format, objects []stored, alone bool) error {
	if alone {
		return output.WriteDocument(a.Stdout, format, objects[0].document())
	}
	documents := make([]output.Document, len(objects))
	for i, o := range objects {
		documents[i] = o.document()
	}
	return output.WriteDocuments(a.Stdout, format, documents)
}

func plural(kind topology.Kind) string {
	if kind == "" {
		return "objects"
	}
	return namesOf(kind).plural
}

func inTenant(tenant string) string {
	if tenant == "" {
		return ""
	}
	return " in tenant " + tenant
}
