package topology

import (
	"fmt"
	"strings"

	"github.com/weftfabric/weft/fabric"
)

// The limits of an object's metadata.
const (
	MaxLabels      = 64 // labels of one object
	maxLabelLen    = 63 // characters of a label's value, and of a key's name
	maxLabelPrefix = 253
	maxDescription = 1024
)

// metadata checks the name, the tenant and the labels.
func (v *validator) metadata(o *Object) {
	m := o.Metadata()
	if err := fabric.CheckName(m.Name); err != nil {
		v.errorf(o, "metadata.name", "is not valid: %v", err)
	}
	switch scopeOf(o.Key.Kind) {
	case platformScope:
		if m.Tenant != "" {
			v.errorf(o, "metadata.tenant", "is not allowed: a %s belongs to the platform; remove it", o.Key.Kind)
		}
	case tenantScope:
		if m.Tenant == "" {
			v.errorf(o, "metadata.tenant", "is missing: every %s belongs to a tenant", o.Key.Kind)
		}
	}
	if m.Tenant != "" {
		if err := fabric.CheckName(m.Tenant); err != nil {
			v.errorf(o, "metadata.tenant", "is not valid: %v", err)
		}
	}
	v.labels(o, "metadata.labels", m.Labels)
}

// scope says who owns the objects of a kind.
type scope uint8

const (
	platformScope scope = iota + 1
	tenantScope
	eitherScope
)

func scopeOf(k Kind) scope {
	switch k {
	case KindFabric, KindTenant, KindPlatformPolicy:
		return platformScope
	case KindAddressGroup:
		return eitherScope
	}
	return tenantScope
}

func (v *validator) labels(o *Object, path string, labels fabric.Labels) {
	if len(labels) > MaxLabels {
		v.errorf(o, path, "has %d labels, at most %d are allowed", len(labels), MaxLabels)
	}
	for _, k := range labels.Keys() {
		if err := checkLabel(k, labels[k]); err != nil {
			v.errorf(o, path+"."+k, "is not valid: %v", err)
		}
	}
}

// CheckLabels reports the first reason, in the order of the keys, why labels can't be those of a workload or
// an object: their number, or a key or a value that Kubernetes would refuse too.
func CheckLabels(labels fabric.Labels) error {
	if len(labels) > MaxLabels {
		return fmt.Errorf("%d labels, at most %d are allowed", len(labels), MaxLabels)
	}
	for _, k := range labels.Keys() {
		if err := checkLabel(k, labels[k]); err != nil {
			return err
		}
	}
	return nil
}

func checkLabel(key, value string) error {
	if err := CheckLabelKey(key); err != nil {
		return err
	}
	if err := CheckLabelValue(value); err != nil {
		return fmt.Errorf("label %s: %w", key, err)
	}
	return nil
}

// CheckLabelKey reports why s is not a label key: an optional DNS-1123 subdomain and "/", then a name of at
// most 63 letters, digits, '-', '_' and '.'.
func CheckLabelKey(s string) error {
	name := s
	if prefix, rest, ok := strings.Cut(s, "/"); ok {
		if err := checkSubdomain(prefix); err != nil {
			return fmt.Errorf("label key %q: the part before '/' %w", clip(s), err)
		}
		name = rest
	}
	if name == "" {
		return fmt.Errorf("label key %q has no name", clip(s))
	}
	if err := checkLabelText(name); err != nil {
		return fmt.Errorf("label key %q: the name %w", clip(s), err)
	}
	return nil
}

// CheckLabelValue reports why s is not a label value: empty, or at most 63 letters, digits, '-', '_' and '.'.
func CheckLabelValue(s string) error {
	if s == "" {
		return nil
	}
	if err := checkLabelText(s); err != nil {
		return fmt.Errorf("value %q %w", clip(s), err)
	}
	return nil
}

func checkLabelText(s string) error {
	if len(s) > maxLabelLen {
		return fmt.Errorf("has %d characters, at most %d are allowed", len(s), maxLabelLen)
	}
	for i := range len(s) {
		c := s[i]
		alnum := c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9'
		if !alnum && (strings.IndexByte("-_.", c) < 0 || i == 0 || i == len(s)-1) {
			return fmt.Errorf("may hold only letters, digits, '-', '_' and '.', and must start and end with a letter or digit")
		}
	}
	return nil
}

func checkSubdomain(s string) error {
	if len(s) > maxLabelPrefix {
		return fmt.Errorf("has %d characters, at most %d are allowed", len(s), maxLabelPrefix)
	}
	for part := range strings.SplitSeq(s, ".") {
		if fabric.CheckName(part) != nil {
			return fmt.Errorf("must be a DNS name such as example.com")
		}
	}
	return nil
}
