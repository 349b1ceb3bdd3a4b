package lab

import (
	"context"
	"errors"
	"fmt"
	"io"
)

// Demo builds a lab, probes it, shows what the fabric did with forged packets, and removes it again. It reports
// whether packets did what was predicted.
func Demo(ctx context.Context, o Options, p Patience, out io.Writer) (equal bool, err error) {
	start := o.Now()
	r, err := Up(ctx, o)
	if err != nil {
		return false, err
	}
	defer func() {
		err = errors.Join(err, r.remove(ctx))
		fmt.Fprintf(out, "\nThe lab is removed. The whole took %.1f s.\n", o.Now().Sub(start).Seconds())
	}()
	fmt.Fprintln(out, "\nProbing every pair of workloads with ping, TCP and UDP ...")
	m, err := r.Probe(ctx, o.Topology.Intent, p)
	if err != nil {
		return false, err
	}
	fmt.Fprintln(out)
	if err := m.Print(out); err != nil {
		return false, err
	}
	if err := r.showDrops(ctx, out); err != nil {
		return false, err
	}
	return m.OK(), nil
}
