package main

import (
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"github.com/weftfabric/weft/controller"
)

func backupCommand(o *options) *cobra.Command {
	return &cobra.Command{
		Use:   "backup FILE",
		Short: "Write the store of a controller that doesn't run to a file",
		Long: `backup writes everything that is declared and allocated, the members and the CA's key to a file with checksums, which
only its owner can read. Whoever has it can speak for any node: keep it like a key.

It opens the store in --data-dir (or --etcd) itself. For a controller that runs, use "weft backup".`,
		Example: `  weft-controller backup /root/weft-2026-01-02.backup
  weft-controller --data-dir /srv/weft backup weft.backup`,
		Args: cobra.ExactArgs(1), SilenceUsage: true, SilenceErrors: true,
		RunE: func(cmd *cobra.Command, args []string) error {
			cfg, err := o.config()
			if err != nil {
				return err
			}
			b, err := controller.Backup(cmd.Context(), cfg, args[0])
			if err != nil {
				return err
			}
			_, err = fmt.Fprintf(cmd.OutOrStdout(), "%s holds revision %d (%d keys)\n", args[0], b.Revision, len(b.Entries))
			return err
		},
	}
}

func restoreCommand(o *options) *cobra.Command {
	return &cobra.Command{
		Use:   "restore FILE",
		Short: "Make the store of a new controller from a backup",
		Long: `restore makes the store in --data-dir, which must have none, or fills an external etcd (--etcd) that holds no fabric. The
file is checked as a whole first: one that is damaged changes nothing.

The nodes know the CA and stay members: they connect again by themselves. The restored store begins at a new
million of revisions. What was declared or allocated after the backup is lost; apply it again. Join tokens are
not in a backup.`,
		Example: `  systemctl stop weft-controller && mv /var/lib/weft/etcd /var/lib/weft/etcd.lost
  sudo -u weft weft-controller restore weft-2026-01-02.backup && systemctl start weft-controller`,
		Args: cobra.ExactArgs(1), SilenceUsage: true, SilenceErrors: true,
		RunE: func(cmd *cobra.Command, args []string) error {
			cfg, err := o.config()
			if err != nil {
				return err
			}
			b, err := controller.Restore(cmd.Context(), cfg, args[0])
			if err != nil {
				return err
			}
			_, err = fmt.Fprintf(cmd.OutOrStdout(), "restored revision %d of %s (%d keys); start the controller\n", b.Revision, b.Made.Format(time.DateTime), len(b.Entries))
			return err
		},
	}
}
