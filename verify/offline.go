package verify

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/netip"
	"strconv"
	"strings"

	"github.com/weftfabric/weft/fabric"
	"github.com/weftfabric/weft/plan"
	"github.com/weftfabric/weft/wire/openflow"
)

// ParseFlows reads what "ovs-ofctl -O OpenFlow15 dump-flows BRIDGE" prints, or a file for add-flows: one flow a line;
// replies' headings, comments and empty lines are left out. A line that it doesn't understand is an error: a flow that is
// left out could do anything.
func ParseFlows(text []byte) ([]openflow.Flow, error) {
	var out []openflow.Flow
	n := 0
	for line := range bytes.Lines(text) {
		n++
		s := strings.TrimSpace(string(line))
		if s == "" || strings.HasPrefix(s, "#") || strings.HasPrefix(s, "OFPST_FLOW reply") || strings.HasPrefix(s, "NXST_FLOW reply") {
			continue
		}
		f, err := openflow.ParseFlow(s)
		if err != nil {
			return nil, fmt.Errorf("line %d: %w", n, err)
		}
		out = append(out, f)
	}
	return out, nil
}

// ParseMeters reads what "ovs-ofctl -O OpenFlow15 dump-meters BRIDGE" prints: one meter a line, of one band that drops.
func ParseMeters(text []byte) ([]openflow.MeterDesc, error) {
	var out []openflow.MeterDesc
	for line := range strings.Lines(string(text)) {
		if line = strings.TrimSpace(line); line == "" || strings.HasPrefix(line, "OFPST_METER_CONFIG reply") {
			continue
		}
		var m openflow.MeterDesc
		for _, word := range strings.Fields(line) {
			key, value, _ := strings.Cut(strings.TrimPrefix(word, "bands="), "=")
			to := map[string]*uint32{"meter": &m.ID, "rate": &m.Rate, "burst_size": &m.Burst}[key]
			switch {
			case key == "pktps":
				m.Packets = true
			case key == "stats":
				m.Stats = true
			case key == "kbps", key == "burst", key == "type" && value == "drop":
			case to != nil:
				n, err := strconv.ParseUint(value, 10, 32)
				if err != nil {
					return nil, fmt.Errorf("%q: %w", line, err)
				}
				*to = uint32(n)
			default:
				return nil, fmt.Errorf("%q: %q is not known", line, word)
			}
		}
		out = append(out, m)
	}
	return out, nil
}

// Ports are the ports of a switch as its database has them.
type Ports struct {
	Attachments []Attachment
	TunnelPort  uint32
}

// The keys of external_ids that say what is attached to an interface, and the name of the tunnel's.
const (
	keyMAC       = "attached-mac"
	keyStatus    = "iface-status"
	keyKind      = "weft-kind"
	keyPort      = "weft-port"
	keyNetwork   = "weft-network"
	keyLabels    = "weft-labels"
	keyAddresses = "weft-addresses"
	tunnelName   = "weft-vxlan"
)

// Interface is an interface of the switch and what its database says of it.
type Interface struct {
	Name        string
	OFPort      uint32
	ExternalIDs map[string]string
}

// ParsePorts reads what "ovs-vsctl -f json --columns=name,ofport,external_ids list Interface" prints, and returns PortsOf it.
func ParsePorts(text []byte, n plan.Node) (Ports, error) {
	var table struct {
		Headings []string            `json:"headings"`
		Data     [][]json.RawMessage `json:"data"`
	}
	if err := json.Unmarshal(text, &table); err != nil {
		return Ports{}, fmt.Errorf("not the JSON of ovs-vsctl -f json list Interface: %w", err)
	}
	var all []Interface
	for i, row := range table.Data {
		columns := make(map[string]json.RawMessage)
		for j, h := range table.Headings {
			if j < len(row) {
				columns[h] = row[j]
			}
		}
		var f Interface
		if err := json.Unmarshal(columns["name"], &f.Name); err != nil {
			return Ports{}, fmt.Errorf("interface %d: the column name is missing: %w", i+1, err)
		}
		var port int64
		if json.Unmarshal(columns["ofport"], &port) != nil || port <= 0 {
			continue // the switch hasn't given it a port number: ["set", []], or -1
		}
		f.OFPort = uint32(port)
		var err error
		if f.ExternalIDs, err = parseMap(columns["external_ids"]); err != nil {
			return Ports{}, fmt.Errorf("interface %s: %w", f.Name, err)
		}
		all = append(all, f)
	}
	return PortsOf(all, n)
}

// PortsOf tells what is attached. The plan gives networks and label sets their numbers; interfaces that it doesn't tell them
// for are left out, like those that nobody attached: packets from there must be dropped.
func PortsOf(all []Interface, n plan.Node) (Ports, error) {
	var out Ports
	for _, f := range all {
		switch {
		case f.OFPort == 0:
			continue
		case f.Name == tunnelName:
			out.TunnelPort = f.OFPort
			continue
		case f.ExternalIDs[keyKind] == "" || f.ExternalIDs[keyStatus] == "inactive":
			continue // not the fabric's, or not connected
		}
		a, err := attachmentOf(f.ExternalIDs, n)
		if err != nil {
			return Ports{}, fmt.Errorf("interface %s: %w", f.Name, err)
		}
		if a.Network == 0 || a.Identity == 0 {
			continue // the plan doesn't tell what it is: its port must stay closed
		}
		a.Interface, a.OFPort = f.Name, f.OFPort
		out.Attachments = append(out.Attachments, a)
	}
	return out, nil
}

// parseMap reads a column of maps: ["map", [[key, value], ...]] (RFC 7047, section 5.1).
func parseMap(raw json.RawMessage) (map[string]string, error) {
	var outer [2]json.RawMessage
	var pairs [][2]string
	if err := json.Unmarshal(raw, &outer); err != nil {
		return nil, fmt.Errorf("external_ids: %w", err)
	}
	if err := json.Unmarshal(outer[1], &pairs); err != nil {
		return nil, fmt.Errorf("external_ids: %w", err)
	}
	out := make(map[string]string, len(pairs))
	for _, p := range pairs {
		out[p[0]] = p[1]
	}
	return out, nil
}

// attachmentOf reads the agent's record of an attachment. A network or label set that the plan doesn't know is 0.
func attachmentOf(ids map[string]string, n plan.Node) (Attachment, error) {
	var a Attachment
	var err error
	if text := ids[keyMAC]; text != "" {
		if a.MAC, err = fabric.ParseMAC(text); err != nil {
			return a, err
		}
	}
	for text := range strings.SplitSeq(ids[keyAddresses], ",") {
		if text == "" {
			continue
		}
		addr, err := netip.ParseAddr(text)
		if err != nil {
			return a, fmt.Errorf("%s: %w", keyAddresses, err)
		}
		a.Addresses = append(a.Addresses, addr)
	}
	if ref := ids[keyPort]; ref != "" {
		for _, p := range n.Ports {
			if p.Ref.String() == ref {
				a.Network, a.Identity, a.MAC = p.Network, p.Identity, p.MAC
				if len(p.Addresses) > 0 {
					a.Addresses = p.Addresses
				}
			}
		}
		return a, nil
	}
	for _, net := range n.Networks {
		if net.Ref.String() == ids[keyNetwork] {
			a.Network = net.ID
		}
	}
	for _, id := range n.Identities {
		if id.Network == a.Network && id.Labels.String() == policyLabels(ids[keyLabels], n.Settings.IgnoredLabels) {
			a.Identity = id.ID
		}
	}
	return a, nil
}

// policyLabels leaves out the labels that are no part of an identity.
func policyLabels(text string, ignored []string) string {
	var kept []string
	for pair := range strings.SplitSeq(text, ",") {
		key, _, _ := strings.Cut(pair, "=")
		drop := false
		for _, i := range ignored {
			drop = drop || key == i || strings.HasSuffix(i, "/") && strings.HasPrefix(key, i)
		}
		if !drop {
			kept = append(kept, pair)
		}
	}
	return strings.Join(kept, ",")
}
