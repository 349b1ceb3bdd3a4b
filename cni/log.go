package cni

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"os"

	"github.com/containernetworking/cni/pkg/skel"
)

// logged wraps a call so that it leaves one line in the configuration's log file. A log that can't be written
// doesn't stop a container: the runtime finds the problem on standard error.
func (p *Plugin) logged(command string, call func(*skel.CmdArgs) error) func(*skel.CmdArgs) error {
	return func(args *skel.CmdArgs) error {
		start := p.Now()
		err := call(args)
		if !bytes.Contains(args.StdinData, []byte(`"logFile"`)) {
			return err
		}
		conf, _ := ParseConfig(args.StdinData)
		if conf.LogFile == "" {
			return err
		}
		f, openErr := os.OpenFile(conf.LogFile, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o640)
		if openErr != nil {
			fmt.Fprintf(os.Stderr, "weft-cni: field \"logFile\": %v\n", openErr)
			return err
		}
		defer f.Close()
		attrs := []slog.Attr{
			slog.String("command", command),
			slog.String("container", args.ContainerID),
			slog.String("interface", args.IfName),
			slog.String("netns", args.Netns),
			slog.Duration("took", p.Now().Sub(start)),
		}
		level := slog.LevelInfo
		if err != nil {
			level = slog.LevelError
			attrs = append(attrs, slog.String("error", err.Error()))
		}
		slog.New(slog.NewJSONHandler(f, nil)).LogAttrs(context.Background(), level, "cni call", attrs...)
		return err
	}
}
