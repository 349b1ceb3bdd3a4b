package agent

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"github.com/weftfabric/weft/agent/ovs"
	"github.com/weftfabric/weft/fabric"
	"github.com/weftfabric/weft/wire/cniwire"
)

// kind says who plugged an attachment's interface.
type kind string

// The kinds; their texts are stored.
const (
	kindContainer kind = "container" // a veth that the agent made and plugged
	kindTap       kind = "tap"       // a tap that the agent plugged
	kindBound     kind = "bound"     // plugged by somebody else, and bound by its iface-id
)

// The keys of an interface's external_ids. The first three are Open vSwitch's convention
// (ovs-vswitchd.conf.db(5)), the others are the agent's record of the attachment.
const (
	keyIfaceID     = "iface-id"
	keyAttachedMAC = "attached-mac"
	keyIfaceStatus = "iface-status"
	keyKind        = "weft-kind"
	keyPort        = "weft-port"    // tenant/name of the declared Port
	keyNetwork     = "weft-network" // tenant/name
	keySubnet      = "weft-subnet"
	keyLabels      = "weft-labels"    // as fabric.Labels.String writes them
	keyAddresses   = "weft-addresses" // joined by commas
	keyContainer   = "weft-container"
	keyIfName      = "weft-ifname"
	keyNetns       = "weft-netns"
	keyName        = "weft-name"
	keyConfig      = "weft-config"   // the name of the runtime's network configuration
	keyOwnsTap     = "weft-owns-tap" // "true" when the agent made the tap
	keyBoundID     = "weft-bound-id" // the iface-id that was bound
)

// attachment is a workload's interface on the switch, as it is recorded in the database.
type attachment struct {
	Interface string // on the node; unique
	Kind      kind
	// Port names the declared Port, if it is one; then the plan tells network, labels and MAC.
	Port    fabric.PortRef
	Network fabric.NetworkRef
	Subnet  string
	Labels  fabric.Labels
	MAC     fabric.MAC
	// Addresses are at most one of each family.
	Addresses []netip.Addr
	Container cniwire.Attachment
	Netns     string
	Name      string
	Config    string // the runtime's network configuration that attached it
	OwnsTap   bool
	BoundID   string
	// Number is the port number that a reservation is to ask for; it is no part of the record.
	Number uint32
}

// equal reports whether two records are the same in every respect.
func (a attachment) equal(b attachment) bool {
	return a.Interface == b.Interface && a.Kind == b.Kind && a.Port == b.Port && a.Network == b.Network && a.Subnet == b.Subnet &&
		a.Labels.String() == b.Labels.String() && a.MAC == b.MAC && slices.Equal(a.Addresses, b.Addresses) && a.Container == b.Container &&
		a.Netns == b.Netns && a.Config == b.Config && a.OwnsTap == b.OwnsTap && a.BoundID == b.BoundID
}

// externalIDs returns the record as it is stored. A key without content is present with an empty value, so that
// storing removes what an earlier record had there.
func (a attachment) externalIDs() map[string]string {
	ids := map[string]string{
		keyKind: string(a.Kind), keyPort: "", keyNetwork: a.Network.String(), keySubnet: a.Subnet, keyLabels: a.Labels.String(),
		keyAddresses: joinAddresses(a.Addresses), keyContainer: a.Container.ContainerID, keyIfName: a.Container.IfName,
		keyNetns: a.Netns, keyName: a.Name, keyConfig: a.Config, keyOwnsTap: "", keyBoundID: a.BoundID,
	}
	if !a.Port.IsZero() {
		ids[keyPort] = a.Port.String()
	}
	if a.OwnsTap {
		ids[keyOwnsTap] = "true"
	}
	if a.Kind == kindBound {
		return ids // iface-id and attached-mac are those of whoever plugged it
	}
	ids[keyAttachedMAC] = a.MAC.String()
	ids[keyIfaceID] = a.Port.String()
	if a.Port.IsZero() {
		ids[keyIfaceID] = a.Container.ContainerID + "/" + a.Container.IfName
	}
	return ids
}

// recordOf reads the attachment that an interface's external_ids hold; ok is false when they hold none.
func recordOf(i ovs.Interface) (a attachment, ok bool, err error) {
	ids := i.ExternalIDs
	a = attachment{
		Interface: i.Name, Kind: kind(ids[keyKind]), Subnet: ids[keySubnet], Netns: ids[keyNetns], Name: ids[keyName], Config: ids[keyConfig],
		Container: cniwire.Attachment{ContainerID: ids[keyContainer], IfName: ids[keyIfName]},
		OwnsTap:   ids[keyOwnsTap] == "true", BoundID: ids[keyBoundID],
	}
	if a.Kind == "" {
		return attachment{}, false, nil
	}
	fail := func(err error) error {
		return fmt.Errorf("interface %s: its external_ids are damaged: %w: unplug it and attach it again", i.Name, err)
	}
	if !slices.Contains([]kind{kindContainer, kindTap, kindBound}, a.Kind) {
		return attachment{}, false, fail(fmt.Errorf("%s is %q", keyKind, a.Kind))
	}
	if a.Network, err = fabric.ParseNetworkRef(ids[keyNetwork]); err != nil {
		return attachment{}, false, fail(err)
	}
	if s := ids[keyPort]; s != "" {
		if a.Port, err = fabric.ParsePortRef(s); err != nil {
			return attachment{}, false, fail(err)
		}
	}
	if a.Labels, err = parseLabels(ids[keyLabels]); err != nil {
		return attachment{}, false, fail(err)
	}
	if a.Addresses, err = parseAddresses(ids[keyAddresses]); err != nil {
		return attachment{}, false, fail(err)
	}
	if s := ids[keyAttachedMAC]; s != "" && a.Kind != kindBound {
		if a.MAC, err = fabric.ParseMAC(s); err != nil {
			return attachment{}, false, fail(err)
		}
	}
	return a, true, nil
}

// joinAddresses writes addresses as they are stored.
func joinAddresses(addrs []netip.Addr) string {
	texts := make([]string, len(addrs))
	for i, a := range addrs {
		texts[i] = a.String()
	}
	return strings.Join(texts, ",")
}

// parseAddresses is the inverse of joinAddresses.
func parseAddresses(s string) ([]netip.Addr, error) {
	var out []netip.Addr
	for text := range strings.SplitSeq(s, ",") {
		if text == "" {
			continue
		}
		a, err := netip.ParseAddr(text)
		if err != nil {
			return nil, fmt.Errorf("address %q: %w", text, err)
		}
		out = append(out, a)
	}
	return out, nil
}

// parseLabels is the inverse of fabric.Labels.String.
func parseLabels(s string) (fabric.Labels, error) {
	out := fabric.Labels{}
	for pair := range strings.SplitSeq(s, ",") {
		if pair == "" {
			continue
		}
		k, v, ok := strings.Cut(pair, "=")
		if !ok {
			return nil, fmt.Errorf("label %q has no value", pair)
		}
		out[k] = v
	}
	return out, nil
}

// hostName returns the name of the node's end of a container's veth: the same for the same attachment, so that a
// DEL finds it without a record. Names of Linux interfaces have at most 15 bytes.
func hostName(c cniwire.Attachment) string {
	sum := sha256.Sum256([]byte(c.ContainerID + "\x00" + c.IfName))
	return "weft" + hex.EncodeToString(sum[:])[:11]
}

// containerMAC returns the locally administered address of a container's interface.
func containerMAC(c cniwire.Attachment) fabric.MAC {
	sum := sha256.Sum256([]byte("mac\x00" + c.ContainerID + "\x00" + c.IfName))
	m := fabric.MAC(sum[:6])
	m[0] = 0x02
	return m
}
