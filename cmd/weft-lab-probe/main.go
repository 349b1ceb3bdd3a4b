// Command weft-lab-probe runs inside each workload of `weft lab`; package lab/probe does the work.
package main

import (
	"context"
	"flag"
	"fmt"
	"net"
	"os"
	"os/signal"
	"strings"
	"sync"
	"syscall"

	"github.com/weftfabric/weft/lab/probe"
)

func main() {
	name := flag.String("name", "", "the workload's name, which every answer holds")
	listen := flag.String("listen", "", "services to answer, such as tcp/80,udp/53")
	socket := flag.String("socket", "", "unix socket for the lab's requests")
	serial := flag.String("serial", "", "serial line for the lab's requests, in raw mode")
	parallel := flag.Int("parallel", 64, "requests at a time")
	flag.Parse()

	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx, options{*name, *listen, *socket, *serial, *parallel})
	stop()
	report(err)
	if err != nil {
		os.Exit(1)
	}
}

func report(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, "weft-lab-probe:", err)
	}
}

type options struct {
	name, listen, socket, serial string
	parallel                     int
}

func run(ctx context.Context, o options) error {
	r := &probe.Responder{Name: o.name}
	for s := range strings.SplitSeq(o.listen, ",") {
		if s == "" {
			continue
		}
		service, err := probe.ParseService(s)
		if err != nil {
			return err
		}
		r.Listen = append(r.Listen, service)
	}
	control, err := openControl(o)
	if err != nil {
		return err
	}
	var wg sync.WaitGroup
	defer wg.Wait()
	return r.Serve(ctx, func() { wg.Go(func() { control(ctx, r) }) })
}

// openControl opens the way on which the lab asks, and returns what serves it.
func openControl(o options) (func(context.Context, *probe.Responder), error) {
	if o.serial != "" {
		line, err := os.OpenFile(o.serial, os.O_RDWR, 0)
		if err != nil {
			return nil, err
		}
		return func(ctx context.Context, r *probe.Responder) {
			defer context.AfterFunc(ctx, func() { line.Close() })()
			report(r.ServeStream(ctx, line, o.parallel))
		}, nil
	}
	l, err := net.Listen("unix", o.socket)
	if err != nil {
		return nil, err
	}
	return func(ctx context.Context, r *probe.Responder) {
		var wg sync.WaitGroup
		defer wg.Wait()
		defer context.AfterFunc(ctx, func() { l.Close() })()
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			wg.Go(func() {
				defer conn.Close()
				defer context.AfterFunc(ctx, func() { conn.Close() })()
				report(r.ServeStream(ctx, conn, o.parallel))
			})
		}
	}, nil
}
