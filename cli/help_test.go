package cli

import (
	"testing"

	"github.com/spf13/cobra"
)

// Every command says what it is for, at length and by example.
func TestHelp(t *testing.T) {
	var walk func(*cobra.Command)
	walk = func(c *cobra.Command) {
		topic := !c.Runnable() && !c.HasSubCommands() // such as exit-codes
		if c.Short == "" || c.Long == "" || c.Example == "" && !topic {
			t.Errorf("%s: Short, Long or Example is missing", c.CommandPath())
		}
		for _, sub := range c.Commands() {
			walk(sub)
		}
	}
	a := &app{}
	walk(a.root())
}
