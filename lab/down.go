package lab

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"time"
)

// downTime bounds the removal of a lab.
const downTime = 60 * time.Second

// Down removes a lab: its processes, namespaces and directory. It works for a lab that came up in part, and
// after a crash. While another process builds the lab, it is refused.
func Down(ctx context.Context, stateDir, name string) error {
	r, err := Open(stateDir, name)
	if err != nil {
		return err
	}
	if r.Starter.PID != os.Getpid() && r.Starter.Alive() && !r.Ready {
		return fmt.Errorf("lab %s is being built by process %d: interrupt that one, it cleans up", name, r.Starter.PID)
	}
	return r.remove(ctx)
}

// remove takes down what the record names, in the reverse order of its making. It runs to the end although
// the context is cancelled: a half removed lab helps nobody.
func (r *Record) remove(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), downTime)
	defer cancel()
	var errs []error
	for _, order := range [][]Process{r.workloadProcesses(), r.agentProcesses(), r.Processes, marked(r.dir)} {
		errs = append(errs, stop(order))
	}
	for _, name := range slices.Backward(r.Namespaces) {
		errs = append(errs, deleteNamespace(ctx, name))
	}
	if err := errors.Join(errs...); err != nil {
		return fmt.Errorf("lab %s is not completely removed, try again: %w", r.Name, err)
	}
	if err := os.RemoveAll(r.dir); err != nil {
		return err
	}
	removeDefaultStateDir(filepath.Dir(r.dir))
	return nil
}

// removeDefaultStateDir removes the directory that labs make for their state, and the one above it, once they are
// empty. A directory that the user named is the user's.
func removeDefaultStateDir(dir string) {
	if dir != DefaultStateDir {
		return
	}
	for _, d := range []string{dir, filepath.Dir(dir)} {
		if os.Remove(d) != nil {
			return // another lab, or the node's own agent, is in it
		}
	}
}

// workloadProcesses are stopped first, then the agents, then switches and the controller.
func (r *Record) workloadProcesses() []Process {
	return r.processesNamed("workload/*")
}

func (r *Record) agentProcesses() []Process { return r.processesNamed("*/weft-agent") }

func (r *Record) processesNamed(pattern string) []Process {
	return slices.DeleteFunc(slices.Clone(r.Processes), func(p Process) bool {
		ok, err := filepath.Match(pattern, p.Name)
		return err != nil || !ok
	})
}
