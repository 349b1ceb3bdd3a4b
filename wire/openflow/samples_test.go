package openflow_test

import (
	"bufio"
	"os"
	"strings"
	"testing"
)

// sampleFlows reads testdata/flows.txt: flows as ovs-ofctl dump-flows writes them, one for every field and
// every action at least.
func sampleFlows(tb testing.TB) []string {
	tb.Helper()
	f, err := os.Open("testdata/flows.txt")
	if err != nil {
		tb.Fatal(err)
	}
	defer f.Close()
	var out []string
	for s := bufio.NewScanner(f); s.Scan(); {
		if line := s.Text(); line != "" && !strings.HasPrefix(line, "#") {
			out = append(out, line)
		}
	}
	return out
}
