package lab

import (
	"fmt"
	"os"
	"strings"
	"testing"
)

// TestGuests: four virtual machines at once on two nodes, which ask for their addresses by DHCP, reach each other as is
// declared and not otherwise. One has the address of another tenant's.
func TestGuests(t *testing.T) {
	if testing.Short() || os.Getenv("WEFT_GUEST_DIR") == "" {
		t.Skip("WEFT_GUEST_DIR is not set, or the test is to be short: `make test` runs it")
	}
	r, topo := testLab(t, "testdata/guests")
	wantPredicted(t, r, topo.Intent)
	for _, a := range r.Workloads {
		console, err := os.ReadFile(a.Console)
		if err != nil {
			t.Fatal(err)
		}
		if want := fmt.Sprintf("DHCP: %s mtu %d ", a.Addresses[0], a.MTU); !strings.Contains(string(console), want) {
			t.Errorf("the console of %s lacks %q:\n%s", a.Ref(), want, console)
		}
	}
}
