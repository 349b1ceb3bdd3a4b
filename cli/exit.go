package cli

import (
	"context"
	"errors"
	"fmt"

	"github.com/spf13/cobra"
)

// ExitCode is what the process returns to its caller.
type ExitCode int

// The exit codes; "weft help exit-codes" prints their meaning.
const (
	ExitOK          ExitCode = 0
	ExitRefused     ExitCode = 1 // errors in the input, or the request was refused
	ExitUsage       ExitCode = 2
	ExitUnreachable ExitCode = 3 // no answer from the controller or the agent
	ExitChanges     ExitCode = 4 // plan --detailed-exitcode: something would change
	ExitNotEnforced ExitCode = 5 // --wait: not every node enforced in time
	ExitInterrupted ExitCode = 130
)

const exitCodesHelp = `The exit codes of weft:

    0   done
    1   errors in the input, or the request was refused; nothing changed. "weft ipam verify": something disagrees
    2   wrong usage: an unknown command, flag, kind or output format, or missing arguments
    3   no answer from the controller (or, for "weft port attach" and "detach", from the node's agent)
    4   "weft plan --detailed-exitcode" only: valid, and it would change something
    5   "--wait" only: stored, but not every node confirmed it within --timeout
  130   interrupted by Ctrl-C or SIGTERM

Data is printed on standard output; problems, warnings and progress on standard error.`

// Error is an error that decides the exit code.
type Error struct {
	Code ExitCode
	Err  error
	// Help names the command whose --help tells more; usage errors have it.
	Help string
}

// Error implements error.
func (e *Error) Error() string { return e.Err.Error() }

// Unwrap returns the error without its code.
func (e *Error) Unwrap() error { return e.Err }

// usage returns an error about how cmd was called.
func usage(cmd *cobra.Command, format string, args ...any) error {
	return &Error{Code: ExitUsage, Err: fmt.Errorf(format, args...), Help: cmd.CommandPath()}
}

// refused returns an error about a request that was understood and not done.
func refused(format string, args ...any) error {
	return &Error{Code: ExitRefused, Err: fmt.Errorf(format, args...)}
}

// reported is the error of a command that has already said everything on standard error.
func reported(code ExitCode) error { return &Error{Code: code, Err: errReported} }

var errReported = errors.New("already reported")

// exitCoder is the error of a command that ran another program for its user: that program's exit code is passed on, and
// nothing is said. The method isn't called ExitCode, which errors of programs have that a command runs for itself
// (os/exec.ExitError): those are to be told.
type exitCoder interface{ PassExitCode() int }

// codeOf returns the exit code for a command's error.
func codeOf(ctx context.Context, err error) ExitCode {
	var (
		e     *Error
		inner exitCoder
	)
	switch {
	case err == nil:
		return ExitOK
	case ctx.Err() != nil:
		return ExitInterrupted
	case errors.As(err, &e):
		return e.Code
	case errors.As(err, &inner):
		return ExitCode(inner.PassExitCode())
	}
	return ExitRefused
}
