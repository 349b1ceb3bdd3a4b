package ovs

import (
	"context"
	"strconv"

	"github.com/weftfabric/weft/agent/conntrack"
)

// Settle returns once no packet is handled any more by what the tables said before the call.
func (d Dialer) Settle(ctx context.Context) error {
	_, err := d.control(ctx, "revalidator/wait", []string{})
	return err
}

// Connections returns what the connection tracker holds of a zone, be it the kernel's or that of the userspace datapath.
// While vswitchd lists connections it does nothing else, in proportion to the connections of all zones.
func (d Dialer) Connections(ctx context.Context, zone uint16) ([]conntrack.Connection, error) {
	text, err := d.control(ctx, "dpctl/dump-conntrack", []string{"zone=" + strconv.Itoa(int(zone))})
	if err != nil {
		return nil, err
	}
	return conntrack.Parse(text)
}
