package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"

	"connectrpc.com/connect"
	"github.com/spf13/cobra"

	"github.com/weftfabric/weft/controller/backup"
	weftv1 "github.com/weftfabric/weft/wire/weftpb/weft/v1"
	"github.com/weftfabric/weft/wire/weftpb/weft/v1/weftv1connect"
)

func (a *app) backupCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "backup FILE",
		Short: "Write the controller's store to a file",
		Long: `Write everything that is declared and allocated, the members and the CA's key to a new file with checksums, which only
its owner can read, while the controller goes on. The file is read again before it is kept.

Whoever has it can speak for any node: keep it like a key. "weft-controller restore" makes a controller of it.`,
		Example: `  weft backup weft-$(date +%F).backup`,
		Args:    cobra.ExactArgs(1),
		ValidArgsFunction: func(*cobra.Command, []string, string) ([]cobra.Completion, cobra.ShellCompDirective) {
			return nil, cobra.ShellCompDirectiveDefault // files
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			client, err := a.client(cmd)
			if err != nil {
				return err
			}
			b, err := backup.Save(args[0], func(w io.Writer) error { return a.fetchBackup(cmd.Context(), client, w) })
			switch {
			case errors.Is(err, fs.ErrExist):
				return refused("%s exists, and is kept: choose another name", args[0])
			case err != nil:
				return err
			}
			_, err = fmt.Fprintf(a.Stdout, "%s holds revision %d (%s)\n", args[0], b.Revision, count(len(b.Entries), "key"))
			return err
		},
	}
}

// fetchBackup writes what the controller sends.
func (a *app) fetchBackup(ctx context.Context, client weftv1connect.IntentServiceClient, w io.Writer) (err error) {
	stream, err := client.Backup(ctx, connect.NewRequest(&weftv1.BackupRequest{}))
	if err != nil {
		return explain(a.server(), err)
	}
	defer func() { err = errors.Join(err, stream.Close()) }()
	for stream.Receive() {
		if _, err := w.Write(stream.Msg().GetData()); err != nil {
			return err
		}
	}
	if err := stream.Err(); err != nil {
		return explain(a.server(), err)
	}
	return nil
}
