package verify

import (
	"encoding/binary"
	"fmt"
	"slices"
	"strings"

	"github.com/weftfabric/weft/fabric"
	"github.com/weftfabric/weft/firewall"
	"github.com/weftfabric/weft/wire/openflow"
)

// class is a set of identities of one network that no flow and no rule tells apart.
type class struct {
	network fabric.NetworkID
	id      fabric.Identity // one of members
	members []fabric.Identity
}

func (c *class) holds(id fabric.Identity) bool { return slices.Contains(c.members, id) }

// classes tells identities apart. Two identities are alike if for each flow that names one there is one that names
// the other and is the same otherwise, and if they are in the same sets of all rules. Then either can take the
// other's place in any packet, and nothing changes.
type classes struct {
	signature map[fabric.Identity]string
	network   map[fabric.Identity]fabric.NetworkID
}

// classScope says what may tell identities apart.
type classScope struct {
	// tables says which tables count.
	tables func(uint8) bool
	// but is the register of the other end, whose value is not looked at; 0 for none.
	but openflow.Field
	// subjects and peers say which rules of a direction count.
	direction       firewall.Direction
	subjects, peers bool
}

func (v *verifier) classesOf(scope classScope) *classes {
	c := &classes{signature: make(map[fabric.Identity]string), network: make(map[fabric.Identity]fabric.NetworkID)}
	for _, a := range v.attachments {
		c.network[a.Identity] = a.Network
	}
	for _, i := range v.in.Plan.Identities {
		c.network[i.ID] = i.Network
	}
	tokens := make(map[fabric.Identity][]uint32)
	add := func(id fabric.Identity, token uint32) {
		if _, ok := c.network[id]; ok {
			tokens[id] = append(tokens[id], token)
		}
	}
	next := v.flowTokens(c, scope, add)
	for _, t := range v.in.Plan.Tables {
		for _, r := range t.Rules {
			if r.Direction != scope.direction {
				continue
			}
			if scope.subjects {
				next++
				for _, id := range r.Subject.IDs {
					add(id, next)
				}
			}
			if !scope.peers {
				continue
			}
			next++
			for _, id := range r.Peers.IDs {
				add(id, next)
			}
			for _, b := range r.Peers.Blocks {
				next++
				for id := range c.network {
					if b.Contains(id) {
						add(id, next)
					}
				}
			}
		}
	}
	for id, n := range c.network {
		list := tokens[id]
		slices.Sort(list)
		b := binary.AppendUvarint(nil, uint64(n))
		if v.known[id] {
			b = append(b, 1)
		} else {
			b = append(b, 0)
		}
		for _, x := range list {
			b = binary.AppendUvarint(b, uint64(x))
		}
		c.signature[id] = string(b)
	}
	return c
}

// flowTokens numbers what flows do with an identity that they name, and returns the last number.
func (v *verifier) flowTokens(c *classes, scope classScope, add func(fabric.Identity, uint32)) uint32 {
	numbers := make(map[string]uint32)
	type masked struct{ value, mask uint64 }
	partial := make(map[masked][]uint32)
	for _, f := range v.tables.flows {
		if !scope.tables(f.Table) {
			continue
		}
		for i, m := range f.Match {
			if !v.tables.carriers[m.Field] || m.Field == scope.but {
				continue
			}
			var b strings.Builder
			fmt.Fprintf(&b, "%d %d %d %s\x00", f.Table, f.Priority, m.Field, f.effect)
			for j, o := range f.Match {
				if j != i {
					fmt.Fprintf(&b, "%d %x %x %x %x,", o.Field, o.Value.Hi, o.Value.Lo, o.Mask.Hi, o.Mask.Lo)
				}
			}
			token, ok := numbers[b.String()]
			if !ok {
				token = uint32(len(numbers) + 1)
				numbers[b.String()] = token
			}
			if m.Mask.Lo&0xffffffff == 0xffffffff {
				add(fabric.Identity(m.Value.Lo), token)
			} else {
				k := masked{m.Value.Lo, m.Mask.Lo}
				partial[k] = append(partial[k], token)
			}
		}
	}
	for k, list := range partial {
		for id := range c.network {
			if uint64(id)&k.mask == k.value {
				for _, t := range list {
					add(id, t)
				}
			}
		}
	}
	return uint32(len(numbers))
}

// of groups identities by their classes, in the order of ids.
func (c *classes) of(ids []fabric.Identity) []class {
	var out []class
	place := make(map[string]int)
	for _, id := range ids {
		k := c.signature[id]
		i, ok := place[k]
		if !ok {
			i = len(out)
			place[k] = i
			out = append(out, class{network: c.network[id], id: id})
		}
		out[i].members = append(out[i].members, id)
	}
	return out
}

// localIdentities returns those of a network that have an address of the family on this node.
func (v *verifier) localIdentities(n fabric.NetworkID, f family) []fabric.Identity {
	var out []fabric.Identity
	for _, a := range v.attachments {
		if a.Network == n && slices.ContainsFunc(a.Addresses, f.has) {
			out = append(out, a.Identity)
		}
	}
	slices.Sort(out)
	return slices.Compact(out)
}

// plannedIdentities returns those of a network that the plan knows.
func (v *verifier) plannedIdentities(n fabric.NetworkID) []fabric.Identity {
	var out []fabric.Identity
	for _, i := range v.in.Plan.Identities {
		if i.Network == n && i.ID != 0 {
			out = append(out, i.ID)
		}
	}
	slices.Sort(out)
	return slices.Compact(out)
}

// subjectKey names the rules that govern an identity in one direction.
type subjectKey struct {
	network   fabric.NetworkID
	direction firewall.Direction
	id        fabric.Identity // 0: rules for any
}

// indexSubjects finds the rules of each identity.
func (v *verifier) indexSubjects() {
	for n, t := range v.policy {
		for i, r := range t.Rules {
			if r.Subject.Any {
				k := subjectKey{n, r.Direction, 0}
				v.subjects[k] = append(v.subjects[k], i)
				continue
			}
			for _, id := range r.Subject.IDs {
				k := subjectKey{n, r.Direction, id}
				v.subjects[k] = append(v.subjects[k], i)
			}
		}
	}
}
