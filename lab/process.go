package lab

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// Process is a process that the lab started. A process id alone may be another process by now: together with
// the start time it is unique.
type Process struct {
	Name  string `json:"name"`
	PID   int    `json:"pid"`
	Start uint64 `json:"start"` // in clock ticks after boot (proc_pid_stat(5), field 22)
	Log   string `json:"log,omitempty"`
}

// markEnv marks all processes that a lab started, for the moment between start and record.
const markEnv = "WEFT_LAB_DIR"

// startTime returns a live process's start time; ok is false for one that ended, a zombie included. A process whose first
// thread has ended shows as a zombie while others still end: until the last one is gone, it holds its files and locks.
func startTime(pid int) (start uint64, ok bool) {
	data, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return 0, false
	}
	// The command's name stands in parentheses and may hold anything; field 3 follows it.
	fields := strings.Fields(string(data[bytes.LastIndexByte(data, ')')+1:]))
	const state, startField = 0, 22 - 3
	if len(fields) <= startField || fields[state] == "X" || fields[state] == "Z" && !hasOtherThreads(pid) {
		return 0, false
	}
	start, err = strconv.ParseUint(fields[startField], 10, 64)
	return start, err == nil
}

// hasOtherThreads reports whether a process has threads beside its first one.
func hasOtherThreads(pid int) bool {
	threads, err := os.ReadDir(fmt.Sprintf("/proc/%d/task", pid))
	return err == nil && len(threads) > 1
}

// Alive reports whether the process still runs.
func (p Process) Alive() bool {
	start, ok := startTime(p.PID)
	return ok && start == p.Start
}

// spec describes a process to be started: a name for people, and the namespace and program.
type spec struct {
	name, namespace string
	args            []string
	env             []string
}

// start runs a program in a namespace, apart from the terminal, its output in a log of the lab's directory,
// and records it. It outlives us.
func (r *Record) start(s spec) (Process, error) {
	log := filepath.Join(r.dir, "log", strings.ReplaceAll(s.name, "/", "-")+".log")
	out, err := os.OpenFile(log, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return Process{}, err
	}
	defer out.Close()
	// "ip netns exec" becomes the program: the process id stays.
	cmd := exec.Command("ip", append([]string{"netns", "exec", s.namespace}, s.args...)...)
	cmd.Dir = r.dir
	cmd.Stdout, cmd.Stderr = out, out
	cmd.Env = append(append(os.Environ(), markEnv+"="+r.dir), s.env...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	if err := cmd.Start(); err != nil {
		return Process{}, fmt.Errorf("start %s: %w", s.name, err)
	}
	p := Process{Name: s.name, PID: cmd.Process.Pid, Log: log}
	p.Start, _ = startTime(p.PID)
	if err := cmd.Process.Release(); err != nil {
		return Process{}, err
	}
	r.Processes = append(r.Processes, p)
	return p, r.save()
}

// waitFor waits until done reports true, and gives up when the process ended or the time is over.
func waitFor(ctx context.Context, p Process, limit time.Duration, what string, done func(context.Context) bool) error {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for !done(ctx) {
		if !p.Alive() {
			return fmt.Errorf("%s ended before %s: %s", p.Name, what, tail(p.Log))
		}
		select {
		case <-ctx.Done():
			if errors.Is(ctx.Err(), context.Canceled) {
				return ctx.Err()
			}
			return fmt.Errorf("%s: %s did not happen within %s: %s", p.Name, what, limit, tail(p.Log))
		case <-tick.C:
		}
	}
	return nil
}

// tail returns the end of a log, for an error message.
func tail(path string) string {
	data, err := os.ReadFile(path)
	if err != nil {
		return err.Error()
	}
	const most = 2000
	if len(data) > most {
		data = data[len(data)-most:]
	}
	if len(bytes.TrimSpace(data)) == 0 {
		return path + " is empty"
	}
	return path + " ends with:\n" + string(bytes.TrimSpace(data))
}

// The time that processes have to end by themselves, and after they were killed.
const (
	graceTime = 3 * time.Second
	killTime  = 5 * time.Second
)

// stop ends processes, all at once, and waits until they are gone.
func stop(processes []Process) error {
	left := signalAll(processes, syscall.SIGTERM)
	if left = waitGone(left, graceTime); len(left) == 0 {
		return nil
	}
	if left = waitGone(signalAll(left, syscall.SIGKILL), killTime); len(left) == 0 {
		return nil
	}
	var errs []error
	for _, p := range left {
		errs = append(errs, fmt.Errorf("process %d (%s) does not end", p.PID, p.Name))
	}
	return errors.Join(errs...)
}

func signalAll(processes []Process, sig syscall.Signal) []Process {
	var alive []Process
	for _, p := range processes {
		if p.Alive() && syscall.Kill(p.PID, sig) == nil {
			alive = append(alive, p)
		}
	}
	return alive
}

func waitGone(processes []Process, limit time.Duration) []Process {
	deadline := time.Now().Add(limit)
	for {
		var left []Process
		for _, p := range processes {
			if p.Alive() {
				left = append(left, p)
			} else {
				reap(p)
			}
		}
		if len(left) == 0 || time.Now().After(deadline) {
			return left
		}
		processes = left
		time.Sleep(10 * time.Millisecond)
	}
}

// reap collects the exit status of a process that ended, in case it is our own child.
func reap(p Process) {
	var status syscall.WaitStatus
	_, _ = syscall.Wait4(p.PID, &status, syscall.WNOHANG, nil)
}

// marked finds the processes that carry the lab's mark and stand in no record: those that a crash separated
// from it, and what users run by `weft lab exec`.
func marked(dir string) []Process {
	entries, err := os.ReadDir("/proc")
	if err != nil {
		return nil
	}
	want := []byte(markEnv + "=" + dir)
	var found []Process
	for _, e := range entries {
		pid, err := strconv.Atoi(e.Name())
		if err != nil || pid == os.Getpid() {
			continue
		}
		env, err := os.ReadFile(filepath.Join("/proc", e.Name(), "environ"))
		if err != nil {
			continue
		}
		for v := range bytes.SplitSeq(env, []byte{0}) {
			if bytes.Equal(v, want) {
				if start, ok := startTime(pid); ok {
					found = append(found, Process{Name: "pid " + e.Name(), PID: pid, Start: start})
				}
			}
		}
	}
	return found
}
