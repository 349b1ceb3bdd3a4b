package fabric

import (
	"fmt"
	"strings"
)

// NodeName names a machine that runs a weft agent. It is a DNS-1123 label of at most 63 bytes.
type NodeName string

// NetworkRef names a Network: an isolated, routed address space of one tenant.
type NetworkRef struct {
	Tenant string `json:"tenant"`
	Name   string `json:"name"`
}

// String returns "tenant/name", the form that users see and type.
func (r NetworkRef) String() string { return r.Tenant + "/" + r.Name }

// IsZero reports whether r names nothing.
func (r NetworkRef) IsZero() bool { return r == NetworkRef{} }

// Compare orders references by tenant, then by name.
func (r NetworkRef) Compare(o NetworkRef) int {
	if c := strings.Compare(r.Tenant, o.Tenant); c != 0 {
		return c
	}
	return strings.Compare(r.Name, o.Name)
}

// ParseNetworkRef parses "tenant/name".
func ParseNetworkRef(s string) (NetworkRef, error) {
	tenant, name, ok := strings.Cut(s, "/")
	if !ok || CheckName(tenant) != nil || CheckName(name) != nil {
		return NetworkRef{}, fmt.Errorf("%q is not a network reference: write tenant/network", s)
	}
	return NetworkRef{Tenant: tenant, Name: name}, nil
}

// PortRef names a declared Port of a tenant.
type PortRef struct {
	Tenant string `json:"tenant"`
	Name   string `json:"name"`
}

// String returns "tenant/name".
func (r PortRef) String() string { return r.Tenant + "/" + r.Name }

// IsZero reports whether r names nothing.
func (r PortRef) IsZero() bool { return r == PortRef{} }

// Compare orders references by tenant, then by name.
func (r PortRef) Compare(o PortRef) int { return NetworkRef(r).Compare(NetworkRef(o)) }

// ParsePortRef parses "tenant/name".
func ParsePortRef(s string) (PortRef, error) {
	r, err := ParseNetworkRef(s)
	if err != nil {
		return PortRef{}, fmt.Errorf("%q is not a port reference: write tenant/port", s)
	}
	return PortRef(r), nil
}

// MaxNameLen is the longest name of an object, a tenant or a node (RFC 1123 label).
const MaxNameLen = 63

// CheckName reports why s is not a valid object, tenant or node name: a lower-case RFC 1123 label.
func CheckName(s string) error {
	switch {
	case s == "":
		return fmt.Errorf("a name is missing")
	case len(s) > MaxNameLen:
		return fmt.Errorf("name %.20q... has %d characters, at most %d are allowed", s, len(s), MaxNameLen)
	}
	for i := range len(s) {
		c := s[i]
		alnum := c >= 'a' && c <= 'z' || c >= '0' && c <= '9'
		if !alnum && (c != '-' || i == 0 || i == len(s)-1) {
			return fmt.Errorf("name %q may hold only a-z, 0-9 and '-', and must start and end with a letter or digit", s)
		}
	}
	return nil
}
