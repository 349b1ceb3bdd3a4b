package ovs

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// Packet is a packet that doesn't exist, in the syntax of ofproto/trace (ovs-vswitchd(8)).
type Packet struct {
	Flow string
	// CTNext are what the connection tracker finds, one lookup after the other: values of --ct-next.
	CTNext []string
}

// packetOctets are what the description of a packet may consist of. Above all it must not look like an option: with
// -generate the switch would really send the packet.
const packetOctets = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_=,.:/+()|! "

// check reports what is wrong with a packet from elsewhere.
func (p Packet) check() error {
	for _, s := range append([]string{p.Flow}, p.CTNext...) {
		if s == "" || strings.Trim(s, packetOctets) != "" || strings.ContainsFunc(s, func(r rune) bool { return !strings.ContainsRune(packetOctets, r) }) {
			return fmt.Errorf("%.200q is not the description of a packet", s)
		}
	}
	return nil
}

// Trace asks the switch what it would do with a packet. Nothing is sent, and no counter counts.
func (d Dialer) Trace(ctx context.Context, p Packet) (string, error) {
	if err := p.check(); err != nil {
		return "", err
	}
	args := []string{d.Bridge, p.Flow}
	for _, s := range p.CTNext {
		args = append(args, "--ct-next", s)
	}
	return d.control(ctx, "ofproto/trace", args)
}

// control gives vswitchd a command over its control socket, as ovs-appctl does: JSON-RPC 1.0, where error is text too.
func (d Dialer) control(ctx context.Context, method string, args []string) (string, error) {
	conn, err := d.dialControl(ctx)
	if err != nil {
		return "", err
	}
	defer func() { _ = conn.Close() }() // everything has been read
	stop := context.AfterFunc(ctx, func() { _ = conn.SetDeadline(time.Unix(1, 0)) })
	defer stop()
	request := struct {
		ID     int      `json:"id"`
		Method string   `json:"method"`
		Params []string `json:"params"`
	}{0, method, args}
	var reply struct {
		Result *string `json:"result"`
		Error  *string `json:"error"`
	}
	if err := json.NewEncoder(conn).Encode(request); err != nil {
		return "", fmt.Errorf("ovs-vswitchd: %s: %w", method, err)
	}
	if err := json.NewDecoder(conn).Decode(&reply); err != nil {
		return "", fmt.Errorf("ovs-vswitchd: %s: %w", method, err)
	}
	switch {
	case reply.Error != nil:
		return "", fmt.Errorf("ovs-vswitchd: %s: %s", method, strings.TrimSpace(*reply.Error))
	case reply.Result == nil:
		return "", fmt.Errorf("ovs-vswitchd: %s: an answer without a result", method)
	}
	return *reply.Result, nil
}

// dialControl connects to the control socket of vswitchd, whose name has its process id in it; sockets of earlier processes may
// be left over.
func (d Dialer) dialControl(ctx context.Context) (net.Conn, error) {
	found, err := filepath.Glob(filepath.Join(d.RunDir, "ovs-vswitchd*.ctl"))
	if err != nil {
		return nil, err
	}
	slices.Sort(found)
	var errs []error
	for _, path := range found {
		c, err := new(net.Dialer).DialContext(ctx, "unix", path)
		if err == nil {
			return c, nil
		}
		errs = append(errs, err)
	}
	return nil, fmt.Errorf("no control socket of ovs-vswitchd in %s answers: %w", d.RunDir, errors.Join(errs...))
}
