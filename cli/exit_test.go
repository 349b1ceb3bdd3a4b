package cli

import (
	"errors"
	"fmt"
	"os/exec"
	"testing"
)

type passing struct{ error }

func (passing) PassExitCode() int { return 77 }

// A program that a command runs for itself and that fails isn't the user's program: its exit code is not ours, and what
// it said must be told.
func TestExitCodes(t *testing.T) {
	failed := exec.Command("false").Run()
	if failed == nil {
		t.Fatal("false succeeded")
	}
	for _, row := range []struct {
		err  error
		want ExitCode
	}{
		{nil, ExitOK},
		{fmt.Errorf("run a tool: %w", failed), ExitRefused},
		{fmt.Errorf("exec: %w", passing{errors.New("x")}), 77},
		{&Error{Code: ExitUsage, Err: failed}, ExitUsage},
	} {
		if got := codeOf(t.Context(), row.err); got != row.want {
			t.Errorf("%v: exit code %d, want %d", row.err, got, row.want)
		}
	}
}
