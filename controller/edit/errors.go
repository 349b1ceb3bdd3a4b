package edit

import "fmt"

// Reason classifies why a node's request is refused.
type Reason uint8

// The reasons.
const (
	Invalid   Reason = iota + 1 // it can't ever succeed as it is
	NotFound                    // what it names does not exist
	Exhausted                   // nothing is left
)

// Error is a refusal; Message says what to do.
type Error struct {
	Reason  Reason
	Message string
}

// Error implements error.
func (e *Error) Error() string { return e.Message }

func invalid(format string, args ...any) error {
	return &Error{Reason: Invalid, Message: fmt.Sprintf(format, args...)}
}

func notFound(format string, args ...any) error {
	return &Error{Reason: NotFound, Message: fmt.Sprintf(format, args...)}
}
