package lab

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"maps"
	"net/netip"
	"slices"
	"time"

	"github.com/weftfabric/weft/fabric"
	"github.com/weftfabric/weft/lab/forge"
	"github.com/weftfabric/weft/lab/probe"
)

// Forgery is a frame that the fabric must drop, and the reason under which it must count it.
type Forgery struct {
	Name   string
	Reason string
	Frame  []byte
}

// Forgeries are frames with somebody else's addresses, as a workload could send them.
func Forgeries(a Attached, virtualMAC fabric.MAC) []Forgery {
	stranger := fabric.MAC{0x02, 0xba, 0xdb, 0xad, 0x00, 0x01}
	var out []Forgery
	for _, p := range a.Addresses {
		own, other := p.Addr(), neighbour(a, p)
		kind := familyName(own)
		packet := forge.Packet{SrcMAC: a.MAC, DstMAC: virtualMAC, Src: own, Dst: other, SrcPort: 5000, DstPort: 5000, Payload: []byte("forged")}
		forgedMAC, forgedSource := packet, packet
		forgedMAC.SrcMAC = stranger
		forgedSource.Src = other
		forgedSource.Dst = own
		out = append(out,
			Forgery{"source MAC (" + kind + ")", "spoof-mac", forgedMAC.Frame()},
			Forgery{"source address (" + kind + ")", "spoof-" + kind, forgedSource.Frame()})
		if own.Is4() {
			out = append(out, Forgery{"ARP sender", "spoof-arp", forge.ARP{
				SrcMAC: a.MAC, DstMAC: forge.Broadcast, SenderMAC: a.MAC, Sender: other, TargetMAC: a.MAC, Target: own, Reply: true}.Frame()})
			continue
		}
		out = append(out,
			Forgery{"ND target", "spoof-nd", forge.Advertisement{SrcMAC: a.MAC, DstMAC: virtualMAC, Src: own, Dst: other, Target: other, TargetMAC: a.MAC}.Frame()},
			Forgery{"router advertisement", "ra-guard", forge.RouterAdvertisement{SrcMAC: a.MAC, DstMAC: allNodesMAC, Src: a.MAC.LinkLocal(), Dst: allNodes}.Frame()})
	}
	return out
}

// The multicast group of all IPv6 nodes on a link, and its MAC (RFC 4291, section 2.7.1; RFC 2464, section 7).
var (
	allNodes    = netip.MustParseAddr("ff02::1")
	allNodesMAC = fabric.MAC{0x33, 0x33, 0, 0, 0, 1}
)

// neighbour returns an address of the subnet that is not the workload's.
func neighbour(a Attached, p netip.Prefix) netip.Addr {
	for other := p.Masked().Addr().Next().Next(); p.Contains(other); other = other.Next() {
		if !a.has(other) {
			return other
		}
	}
	return p.Addr()
}

// SendFrame sends a frame out of a container's interface.
func SendFrame(ctx context.Context, a Attached, frame []byte) error {
	client, err := probe.Dial(ctx, a.Control)
	if err != nil {
		return fmt.Errorf("%s does not run: %w", a.Ref(), err)
	}
	defer client.Close()
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	_, err = client.Ask(ctx, probe.Request{Raw: &probe.Raw{Interface: "eth0", Frame: frame}})
	return err
}

// dropTime bounds the wait for a drop to be counted: the switch gathers statistics about once a second.
const dropTime = 20 * time.Second

// WaitDrops waits until a node's agent has counted more drops for each of the reasons than before.
func WaitDrops(ctx context.Context, n Node, before map[string]uint64, reasons ...string) error {
	ctx, cancel := context.WithTimeout(ctx, dropTime)
	defer cancel()
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	for {
		status, err := AgentStatus(ctx, n)
		missing := slices.DeleteFunc(slices.Clone(reasons), func(r string) bool { return status.Drops[r] > before[r] })
		if err == nil && len(missing) == 0 {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("%s counted no drop for %v within %s; it counts %v: %w", n.Name, missing, dropTime, status.Drops, cmp.Or(err, ctx.Err()))
		case <-tick.C:
		}
	}
}

// showDrops lets a container send forged frames, and prints that its node dropped and counted them.
func (r *Record) showDrops(ctx context.Context, out io.Writer) error {
	i := slices.IndexFunc(r.Workloads, func(a Attached) bool { return a.Namespace != "" })
	if i < 0 {
		return nil
	}
	intent, err := r.Intent(ctx)
	if err != nil {
		return err
	}
	a := r.Workloads[i]
	n := r.NodeNamed(a.Node)
	before, err := AgentStatus(ctx, *n)
	if err != nil {
		return err
	}
	var reasons []string
	for _, f := range Forgeries(a, intent.Settings().VirtualMAC) {
		if err := SendFrame(ctx, a, f.Frame); err != nil {
			return err
		}
		reasons = append(reasons, f.Reason)
	}
	if err := WaitDrops(ctx, *n, before.Drops, reasons...); err != nil {
		return err
	}
	after, err := AgentStatus(ctx, *n)
	if err != nil {
		return err
	}
	fmt.Fprintf(out, "\n%s sent forged frames; %s dropped and counted them:\n", a.Ref(), n.Name)
	for _, reason := range slices.Sorted(maps.Keys(after.Drops)) {
		if d := after.Drops[reason] - before.Drops[reason]; d > 0 {
			fmt.Fprintf(out, "  %-12s %d\n", reason, d)
		}
	}
	return nil
}

func familyName(a netip.Addr) string {
	if a.Is4() {
		return "ipv4"
	}
	return "ipv6"
}
