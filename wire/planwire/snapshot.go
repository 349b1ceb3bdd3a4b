package planwire

import (
	"bytes"
	"crypto/sha256"
	"fmt"

	"google.golang.org/protobuf/proto"

	"github.com/weftfabric/weft/fabric"
	"github.com/weftfabric/weft/plan"
	weftv1 "github.com/weftfabric/weft/wire/weftpb/weft/v1"
)

// snapshotMagic starts a snapshot file: what it is, and the version of its layout.
const snapshotMagic = "weft plan snapshot 1\n"

// MarshalSnapshot returns the content of a snapshot file, with which an agent starts before it reaches the
// controller. The layout:
//
//	magic          21 bytes
//	SHA-256        32 bytes, of all that follows
//	length         1 byte, of the node's name
//	node's name
//	PlanUpdate     protobuf, to the end of the file
func MarshalSnapshot(revision uint64, n plan.Node) []byte {
	n = plan.Canonical(n)
	update := &weftv1.PlanUpdate{Revision: revision, Snapshot: true, Upsert: ToProtos(plan.Entries(n))}
	body := append([]byte{byte(len(n.Name))}, n.Name...)
	body, err := proto.MarshalOptions{Deterministic: true}.MarshalAppend(body, update)
	if err != nil {
		// Text in a plan is valid UTF-8: it was decoded from YAML or protobuf.
		panic(fmt.Sprintf("marshal plan snapshot: %v", err))
	}
	sum := sha256.Sum256(body)
	return bytes.Join([][]byte{[]byte(snapshotMagic), sum[:], body}, nil)
}

// UnmarshalSnapshot reads the content of a snapshot file. It refuses a file that is truncated, damaged, or of
// another layout: the agent then waits for the controller.
func UnmarshalSnapshot(b []byte) (revision uint64, n plan.Node, err error) {
	rest, ok := bytes.CutPrefix(b, []byte(snapshotMagic))
	if !ok {
		return 0, plan.Node{}, fmt.Errorf("not a plan snapshot of this version: it doesn't start with %q", snapshotMagic)
	}
	if len(rest) < sha256.Size+1 {
		return 0, plan.Node{}, fmt.Errorf("the plan snapshot is truncated to %d bytes", len(b))
	}
	sum, body := rest[:sha256.Size], rest[sha256.Size:]
	if got := sha256.Sum256(body); !bytes.Equal(got[:], sum) {
		return 0, plan.Node{}, fmt.Errorf("the plan snapshot is damaged: its checksum doesn't match")
	}
	length, body := int(body[0]), body[1:]
	if len(body) < length {
		return 0, plan.Node{}, fmt.Errorf("the plan snapshot is malformed: a name of %d bytes in %d", length, len(body))
	}
	name := string(body[:length])
	if err := fabric.CheckName(name); err != nil {
		return 0, plan.Node{}, fmt.Errorf("plan snapshot: node: %w", err)
	}
	var update weftv1.PlanUpdate
	if err := proto.Unmarshal(body[length:], &update); err != nil {
		return 0, plan.Node{}, fmt.Errorf("plan snapshot of %s: %w", name, err)
	}
	entries, err := FromProtos(update.GetUpsert())
	if err != nil {
		return 0, plan.Node{}, fmt.Errorf("plan snapshot of %s: %w", name, err)
	}
	n, err = plan.Apply(plan.Node{Name: fabric.NodeName(name)}, plan.Delta{Upsert: entries})
	if err != nil {
		return 0, plan.Node{}, err
	}
	return update.GetRevision(), n, nil
}
