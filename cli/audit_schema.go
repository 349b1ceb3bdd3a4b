package cli

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/weftfabric/weft/audit"
	"github.com/weftfabric/weft/audit/evidence"
	"github.com/weftfabric/weft/audit/kubernetes"
)

// auditDocuments are the kinds of documents that the audit commands print.
func auditDocuments() map[string]any {
	all := audit.Documents()
	all["Evidence"], all["EvidenceCheck"] = evidence.Manifest{}, bundleCheck{}
	all["KubernetesReach"], all["KubernetesDiff"] = kubernetes.Reach{}, kubernetes.Diff{}
	return all
}

func (a *app) auditSchemaCommand() *cobra.Command {
	kinds := slices.Sorted(maps.Keys(auditDocuments()))
	return &cobra.Command{
		Use:   "schema KIND",
		Short: "Print the JSON Schema of what -o json prints",
		Long: `Print the JSON Schema (2020-12) of a kind of document: ` + strings.Join(kinds, ", ") + `.

Every document names its own in the field schema. Fields may be added to a version; none change.`,
		Example:           `  weft audit schema Reach`,
		ValidArgsFunction: cobra.FixedCompletions(kinds, cobra.ShellCompDirectiveNoFileComp),
		Args:              cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			i := slices.IndexFunc(kinds, func(k string) bool { return strings.EqualFold(k, args[0]) })
			if i < 0 {
				return usage(cmd, "unknown kind %q: write %s", args[0], strings.Join(kinds, ", "))
			}
			text, err := audit.SchemaOf(kinds[i], auditDocuments()[kinds[i]])
			if err != nil {
				return err
			}
			_, err = fmt.Fprintf(a.Stdout, "%s\n", text)
			return err
		},
	}
}
