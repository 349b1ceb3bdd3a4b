package lab

import (
	"context"
	"fmt"

	"connectrpc.com/connect"

	weftv1 "github.com/weftfabric/weft/wire/weftpb/weft/v1"
)

// warmTunnels waits until each encrypted tunnel carries packets: a handshake that the other end wasn't ready for is
// tried again only after a moment, and probes don't wait so long.
func (r *Record) warmTunnels(ctx context.Context) error {
	client, err := r.Client()
	if err != nil {
		return err
	}
	defer client.Close()
	res, err := client.Intent.Overlay(ctx, connect.NewRequest(&weftv1.OverlayRequest{}))
	if err != nil {
		return fmt.Errorf("ask for the overlay: %w", err)
	}
	if !res.Msg.GetEncrypted() {
		return nil
	}
	vteps := map[string]string{}
	for _, n := range res.Msg.GetNodes() {
		vteps[n.GetName()] = n.GetVtep()
	}
	for _, n := range res.Msg.GetNodes() {
		for _, t := range n.GetTunnels() {
			if _, err := command(ctx, within(r.namespaceName(n.GetName()), "ping", "-q", "-c", "1", "-w", "20", vteps[t.GetNode()])...); err != nil {
				return fmt.Errorf("the tunnel from %s to %s carries nothing: %w", n.GetName(), t.GetNode(), err)
			}
		}
	}
	return nil
}
