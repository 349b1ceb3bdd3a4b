package bench

import (
	"bufio"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// sampleRate is how often perf looks at a process that runs, in Hz. It is prime, so that it doesn't keep step with
// anything.
const sampleRate = 4999

// profile tells by samples of perf(1) where processes spend their time.
type profile struct {
	cmd  *exec.Cmd
	file string
}

// canProfile reports whether perf is there.
func canProfile() bool {
	_, err := exec.LookPath("perf")
	return err == nil
}

// startProfile begins to look at processes, and returns once it does.
func startProfile(tb testing.TB, pids []string) *profile {
	tb.Helper()
	p := &profile{file: filepath.Join(tb.TempDir(), "perf.data")}
	p.cmd = exec.Command("perf", "record", "-q", "-F", fmt.Sprint(sampleRate), "-e", "cpu-clock", "-p", strings.Join(pids, ","), "-o", p.file)
	if err := p.cmd.Start(); err != nil {
		tb.Fatal(err)
	}
	eventually(tb, "perf's file", 10*time.Second, func() bool {
		s, err := os.Stat(p.file)
		return err == nil && s.Size() > 0
	})
	return p
}

// userTime ends the profile, and returns how long the processes ran outside of the kernel.
func (p *profile) userTime(tb testing.TB) time.Duration {
	tb.Helper()
	if err := p.cmd.Process.Signal(syscall.SIGINT); err != nil {
		tb.Fatal(err)
	}
	_ = p.cmd.Wait() // it ends by the signal
	samples := 0
	lines := bufio.NewScanner(strings.NewReader(run(tb, "perf", "report", "-i", p.file, "--stdio", "--sort", "dso", "-F", "sample,dso")))
	for lines.Scan() {
		var n int
		var object string
		if c, _ := fmt.Sscan(lines.Text(), &n, &object); c == 2 && ofUser(object) {
			samples += n
		}
	}
	return time.Duration(samples) * time.Second / sampleRate
}

// ofUser reports whether perf's name of an object is that of a program or its libraries; BPF programs and what perf
// can't name run in the kernel.
func ofUser(object string) bool {
	return object == "[vdso]" || !strings.HasPrefix(object, "[") && !strings.HasPrefix(object, "bpf_prog_")
}
