package lab

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"time"

	"github.com/weftfabric/weft/lab/probe"
)

// Streams are what a command in a workload reads and writes.
type Streams struct {
	In       io.Reader
	Out, Err io.Writer
}

// guestCommandTime bounds a command in a virtual machine, where nobody can interrupt it.
const guestCommandTime = 60 * time.Second

// Exec runs a command in a workload, or in a node, and returns its exit code. In a container and in a node it
// has our terminal; in a virtual machine it goes over a serial line: no input, and the output comes at the end.
func Exec(ctx context.Context, r *Record, name string, args []string, s Streams) (int, error) {
	if n := r.NodeNamed(name); n != nil {
		return execWithin(ctx, r, n.Namespace, append(n.ovsEnv(), "OVS_DB="+n.OVSDB()), args, s)
	}
	w, err := r.Find(name)
	if err != nil {
		return 0, err
	}
	if w.Namespace != "" {
		return execWithin(ctx, r, w.Namespace, nil, args, s)
	}
	client, err := probe.Dial(ctx, w.Control)
	if err != nil {
		return 0, fmt.Errorf("%s: %w", w.Ref(), err)
	}
	defer client.Close()
	ctx, cancel := context.WithTimeout(ctx, guestCommandTime+5*time.Second)
	defer cancel()
	answer, err := client.Ask(ctx, probe.Request{Run: &probe.Run{Args: args, Timeout: guestCommandTime}})
	if err != nil {
		return 0, fmt.Errorf("%s: %w", w.Ref(), err)
	}
	if answer.Output == nil {
		return 0, fmt.Errorf("%s: the answer holds no output", w.Ref())
	}
	_, err = io.WriteString(s.Out, answer.Output.Text)
	return answer.Output.Code, err
}

func execWithin(ctx context.Context, r *Record, namespace string, env, args []string, s Streams) (int, error) {
	argv := within(namespace, args...)
	cmd := exec.CommandContext(ctx, argv[0], argv[1:]...)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = s.In, s.Out, s.Err
	cmd.Env = append(append(os.Environ(), markEnv+"="+r.dir), env...)
	err := cmd.Run()
	var exit *exec.ExitError
	if errors.As(err, &exit) && ctx.Err() == nil {
		return exit.ExitCode(), nil
	}
	return 0, err
}
