package topology

import (
	"fmt"
	"slices"
	"strings"
)

// FabricName is the only name that a Fabric may have.
const FabricName = "default"

// Validate returns everything that is wrong with an intent, and warnings. An intent without errors is
// consistent: every reference resolves.
func Validate(intent *Intent) Problems {
	v := validator{intent: intent}
	for _, o := range intent.Objects() {
		v.object(o)
	}
	v.ports()
	v.clients()
	v.peerings()
	v.overlaps()
	return v.problems.sorted()
}

// validator collects the problems of an intent.
type validator struct {
	intent   *Intent
	problems Problems
	names    map[Key][]string // see siblings
}

// errorf reports a problem at a field of an object.
func (v *validator) errorf(o *Object, path, format string, args ...any) {
	v.report(SeverityError, o, path, fmt.Sprintf(format, args...))
}

func (v *validator) warnf(o *Object, path, format string, args ...any) {
	v.report(SeverityWarning, o, path, fmt.Sprintf(format, args...))
}

// report adds a problem, unless decoding has said what is wrong there.
func (v *validator) report(s Severity, o *Object, path, message string) {
	if slices.ContainsFunc(o.faulty, func(f string) bool { return within(f, path) || within(path, f) }) {
		return
	}
	v.problems = append(v.problems, Problem{s, o.Origin.File, o.Line(path), fmt.Sprintf("%s: %s %s", o.Key, path, message)})
}

// broken reports whether decoding found errors, so that other objects can't be checked against o.
func (o *Object) broken() bool { return len(o.faulty) > 0 }

// within reports whether the field path is outer or a part of it.
func within(path, outer string) bool {
	rest, ok := strings.CutPrefix(path, outer)
	return ok && (rest == "" || outer == "" || rest[0] == '.' || rest[0] == '[')
}

// Line returns the line on which a field of the object, such as spec.subnets[0].ipv4, was written, or of
// the nearest field around it.
func (o *Object) Line(path string) int {
	fallback := o.Origin.Line
	var i int
	if n, _ := fmt.Sscanf(path, "spec.ingress[%d]", &i); n == 1 && i < len(o.RuleLines.Ingress) {
		fallback = o.RuleLines.Ingress[i]
	}
	if n, _ := fmt.Sscanf(path, "spec.egress[%d]", &i); n == 1 && i < len(o.RuleLines.Egress) {
		fallback = o.RuleLines.Egress[i]
	}
	return lineOf(o.lines, path, fallback)
}

// object checks an object alone, and that what it names exists.
func (v *validator) object(o *Object) {
	v.metadata(o)
	switch {
	case o.Fabric != nil:
		v.fabric(o)
	case o.Tenant != nil:
		v.posture(o, o.Tenant.Spec.Posture)
		if n := len(o.Tenant.Spec.Description); n > maxDescription {
			v.errorf(o, "spec.description", "has %d bytes, at most %d are allowed: shorten it", n, maxDescription)
		}
	case o.Network != nil:
		v.network(o)
	case o.Port != nil:
		v.port(o, v.intent.Port(o.Port.Ref()))
	case o.Client != nil:
		v.client(o)
	case o.FirewallPolicy != nil:
		v.firewallPolicy(o)
	case o.PlatformPolicy != nil:
		v.platformPolicy(o)
	case o.AddressGroup != nil:
		v.addressGroup(o)
	}
	for _, r := range o.references() {
		v.reference(o, r)
	}
}

// reference checks that an object exists, and suggests one with a similar name.
func (v *validator) reference(o *Object, r reference) {
	if v.intent.Get(r.to) != nil {
		return
	}
	hint := didYouMean(r.to.Name, v.siblings(r.to))
	if hint == "" {
		hint = ": declare it, or correct the name"
	}
	v.errorf(o, r.path, "names %s, which does not exist%s", r.to, hint)
}

// siblings returns the names of the objects with the kind and the tenant of k, in order, or nothing once
// there are so many problems that nobody reads suggestions.
func (v *validator) siblings(k Key) []string {
	if len(v.problems) > maxHints {
		return nil
	}
	if v.names == nil {
		v.names = map[Key][]string{}
		for _, o := range v.intent.Objects() {
			group := Key{Kind: o.Key.Kind, Tenant: o.Key.Tenant}
			v.names[group] = append(v.names[group], o.Key.Name)
		}
	}
	return v.names[Key{Kind: k.Kind, Tenant: k.Tenant}]
}

// maxHints is the number of problems after which no nearest names are searched.
const maxHints = 200
