package cli

import (
	"fmt"
	"runtime/debug"

	"github.com/spf13/cobra"

	"github.com/weftfabric/weft/cli/output"
	"github.com/weftfabric/weft/version"
	weftv1 "github.com/weftfabric/weft/wire/weftpb/weft/v1"
)

// build says which weft this is.
type build struct {
	Version  string `json:"version"`
	Commit   string `json:"commit"`
	Time     string `json:"time"` // of the commit
	Modified bool   `json:"modified"`
	Go       string `json:"go"`
	// Controller is the controller's version; only with --controller.
	Controller string `json:"controller,omitempty"`
}

func (a *app) versionCommand() *cobra.Command {
	var (
		format formatFlag
		ask    bool
	)
	cmd := &cobra.Command{
		Use:   "version",
		Short: "Show which weft this is",
		Long:  "Show the version of this program, the commit that it was built from, and, if asked to, the controller's version.",
		Example: `  weft version
  weft version --controller
  weft version -o json`,
		Args: cobra.NoArgs,
	}
	format.register(cmd, output.Table, output.JSON, output.YAML)
	cmd.Flags().BoolVar(&ask, "controller", false, "also ask the controller for its version")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		of, err := format.parse(cmd)
		if err != nil {
			return err
		}
		b := buildOf(version.Version)
		if ask {
			client, err := a.client(cmd)
			if err != nil {
				return err
			}
			res, err := call(cmd.Context(), a, client.Info, &weftv1.InfoRequest{})
			if err != nil {
				return err
			}
			b.Controller = res.GetVersion()
		}
		return a.print(of, b, func() error {
			fmt.Fprintf(a.Stdout, "weft %s", b.Version)
			if b.Commit != "" {
				fmt.Fprintf(a.Stdout, " (commit %.12s of %s)", b.Commit, b.Time)
			}
			fmt.Fprintf(a.Stdout, ", %s\n", b.Go)
			if b.Controller != "" {
				fmt.Fprintf(a.Stdout, "controller %s\n", b.Controller)
			}
			return nil
		})
	}
	return cmd
}

// buildOf returns what the linker was told and what the Go toolchain recorded.
func buildOf(linked string) build {
	b := build{Version: linked}
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return b
	}
	b.Go = info.GoVersion
	for _, s := range info.Settings {
		switch s.Key {
		case "vcs.revision":
			b.Commit = s.Value
		case "vcs.time":
			b.Time = s.Value
		case "vcs.modified":
			b.Modified = s.Value == "true"
		}
	}
	return b
}
