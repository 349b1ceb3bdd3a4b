package cli

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/weftfabric/weft/cli/output"
	"github.com/weftfabric/weft/topology"
	weftv1 "github.com/weftfabric/weft/wire/weftpb/weft/v1"
	"github.com/weftfabric/weft/wire/weftpb/weft/v1/weftv1connect"
)

// stored is an object of the controller, decoded.
type stored struct {
	*weftv1.Object
	declared *topology.Object
}

func (s stored) key() topology.Key { return s.declared.Key }

// document returns the object as it can be applied again.
func (s stored) document() output.Document { return s.GetJson() }

// decodeStored decodes objects of the API and sorts them by key.
func decodeStored(list []*weftv1.Object) ([]stored, error) {
	objects := make([]stored, len(list))
	for i, o := range list {
		declared, err := topology.UnmarshalObject(o.GetJson())
		if err != nil {
			return nil, fmt.Errorf("the controller sent %s in a form that this weft doesn't know (are their versions equal?): %w", keyOf(o.GetKey()), err)
		}
		objects[i] = stored{o, declared}
	}
	slices.SortFunc(objects, func(x, y stored) int { return x.key().Compare(y.key()) })
	return objects, nil
}

// list returns the stored objects of a kind and a tenant; empty means all.
func (a *app) list(ctx context.Context, client weftv1connect.IntentServiceClient, kind topology.Kind, tenant string) ([]stored, error) {
	res, err := call(ctx, a, client.List, &weftv1.ListRequest{Kind: string(kind), Tenant: tenant})
	if err != nil {
		return nil, err
	}
	return decodeStored(res.GetObjects())
}

// intentOf joins stored objects to an intent that can be asked for relations.
func intentOf(objects []stored) *topology.Intent {
	declared := make([]*topology.Object, len(objects))
	for i, o := range objects {
		declared[i] = o.declared
	}
	return topology.NewIntent(declared...)
}

// tenantFlags choose whose objects a command is about.
type tenantFlags struct {
	tenant string
	all    bool
}

func (f *tenantFlags) register(cmd *cobra.Command, a *app) {
	cmd.Flags().StringVarP(&f.tenant, "tenant", "t", "", "tenant of the objects (WEFT_TENANT)")
	complete(cmd, "tenant", a.completeTenants)
}

// registerAll adds -A for commands that list.
func (f *tenantFlags) registerAll(cmd *cobra.Command) {
	cmd.Flags().BoolVarP(&f.all, "all-tenants", "A", false, "objects of all tenants, whatever WEFT_TENANT says; the default without it")
	cmd.MarkFlagsMutuallyExclusive("tenant", "all-tenants")
}

// chosen returns the tenant, or nothing for all.
func (f *tenantFlags) chosen(a *app) string {
	if f.all {
		return ""
	}
	return cmp.Or(f.tenant, a.Getenv("WEFT_TENANT"))
}

// find returns the one object that a kind and a name as typed mean. Without a tenant the name must be unique.
func (a *app) find(cmd *cobra.Command, client weftv1connect.IntentServiceClient, kind topology.Kind, name, tenant string) (stored, error) {
	key, err := parseKey(cmd, kind, name, tenant)
	if err != nil {
		return stored{}, err
	}
	objects, err := a.list(cmd.Context(), client, kind, key.Tenant)
	if err != nil {
		return stored{}, err
	}
	var found []stored
	var others []string
	for _, o := range objects {
		if o.key().Name == key.Name {
			found = append(found, o)
		}
		others = append(others, o.key().Name)
	}
	switch len(found) {
	case 1:
		return found[0], nil
	case 0:
		hint := ""
		if near := nearest(key.Name, others); near != "" {
			hint = "; did you mean " + near + "?"
		}
		return stored{}, refused("%s does not exist%s", key, hint)
	}
	choices := make([]string, len(found))
	for i, o := range found {
		choices[i] = shortName(o.key())
	}
	return stored{}, usage(cmd, "several tenants have a %s %s: write %s", kind, key.Name, strings.Join(choices, " or "))
}

// shortName returns the key without its kind, as it can be typed again.
func shortName(k topology.Key) string {
	if k.Tenant == "" {
		return k.Name
	}
	return k.Tenant + "/" + k.Name
}

// enforced returns how many of the nodes concerned enforce an object: "3/3", or nothing where no node needs it.
func enforced(e *weftv1.Enforcement) output.Cell {
	done := len(e.GetEnforced())
	total := done + len(e.GetPending()) + len(e.GetStale())
	switch {
	case total == 0:
		return output.C("")
	case done == total:
		return output.Cell{Text: fmt.Sprintf("%d/%d", done, total), Colour: output.Good}
	}
	return output.Cell{Text: fmt.Sprintf("%d/%d", done, total), Colour: output.Notice}
}

// declaredAt returns "file:line" of a stored object.
func declaredAt(o *weftv1.Object) string {
	if o.GetLine() == 0 {
		return o.GetFile()
	}
	return fmt.Sprintf("%s:%d", o.GetFile(), o.GetLine())
}
