// Command weft declares, inspects and operates a fabric; package cli is what it does.
package main

import (
	"context"
	"os"
	"os/signal"
	"syscall"

	"github.com/weftfabric/weft/cli"
	"github.com/weftfabric/weft/cmd/weft/labcmd"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop) // a second Ctrl-C ends the process at once
	os.Exit(int(cli.Run(ctx, cli.ProcessEnv(), os.Args[1:], labcmd.Command())))
}
