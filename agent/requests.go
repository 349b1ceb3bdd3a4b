package agent

import (
	"context"
	"fmt"
	"path/filepath"
	"strings"

	"github.com/weftfabric/weft/fabric"
	"github.com/weftfabric/weft/wire/cniwire"
)

// maxIfName is the longest name of a Linux interface.
const maxIfName = 15

// Handle answers one request of the socket.
func (a *Agent) Handle(ctx context.Context, r cniwire.Request) cniwire.Response {
	ctx, cancel := context.WithTimeout(ctx, requestTimeout)
	defer cancel()
	var resp cniwire.Response
	err := checkOne(r)
	if err == nil {
		switch {
		case r.Add != nil:
			resp.Interface, err = a.add(ctx, *r.Add)
		case r.Del != nil:
			err = a.del(ctx, *r.Del)
		case r.Check != nil:
			err = a.check(ctx, *r.Check)
		case r.Attach != nil:
			resp.Interface, err = a.attach(ctx, *r.Attach)
		case r.Detach != nil:
			err = a.detach(ctx, *r.Detach)
		case r.GC != nil:
			err = a.collect(ctx, *r.GC)
		case r.Status != nil:
			resp.Status, err = a.status(ctx, *r.Status)
		}
	}
	if err != nil {
		return cniwire.Response{Error: explain(err)}
	}
	return resp
}

// checkOne reports a request that asks for nothing, or for several things.
func checkOne(r cniwire.Request) error {
	set := 0
	for _, present := range []bool{r.Add != nil, r.Del != nil, r.Check != nil, r.Attach != nil, r.Detach != nil, r.GC != nil, r.Status != nil} {
		if present {
			set++
		}
	}
	if set != 1 {
		return refuse(cniwire.CodeInvalid, "a request asks for exactly one thing; this one asks for %d", set)
	}
	return nil
}

// checkAttachment reports an attachment's name that can't be one.
func checkAttachment(c cniwire.Attachment) error {
	if c.ContainerID == "" || len(c.ContainerID) > 256 || strings.ContainsFunc(c.ContainerID, isControl) {
		return refuse(cniwire.CodeInvalid, "container id %.40q: it must have 1 to 256 printable characters", c.ContainerID)
	}
	return checkIfName(c.IfName)
}

// checkIfName reports a name that Linux doesn't take for an interface (net/core/dev.c, dev_valid_name).
func checkIfName(name string) error {
	if name == "" || len(name) > maxIfName || name == "." || name == ".." || strings.ContainsAny(name, "/: \t\n\r\v\f\x00") {
		return refuse(cniwire.CodeInvalid, "interface name %.40q: it must have 1 to %d characters, without '/', ':' and spaces", name, maxIfName)
	}
	return nil
}

// checkLabels reports labels whose text form would be ambiguous.
func checkLabels(labels fabric.Labels) error {
	for _, k := range labels.Keys() {
		if k == "" || strings.ContainsAny(k, "=,") || strings.ContainsAny(labels[k], "=,") || strings.ContainsFunc(k+labels[k], isControl) {
			return refuse(cniwire.CodeInvalid, "label %.60q: keys and values may not hold '=', ',' and control characters, and a key may not be empty", k+"="+labels[k])
		}
	}
	return nil
}

// checkAdd reports why an ADD can't ever succeed as it is.
func checkAdd(r cniwire.Add) error {
	if err := checkAttachment(r.Attachment); err != nil {
		return err
	}
	if !filepath.IsAbs(r.Netns) {
		return refuse(cniwire.CodeInvalid, "network namespace %.80q: it must be an absolute path", r.Netns)
	}
	if r.Port.IsZero() == r.Network.IsZero() {
		return refuse(cniwire.CodeInvalid, "name either a port or a network")
	}
	if !r.Port.IsZero() && (r.Subnet != "" || len(r.Labels) > 0) {
		return refuse(cniwire.CodeInvalid, "port %s tells subnet and labels: leave them out", r.Port)
	}
	ref, what := fabric.NetworkRef(r.Port), "port"
	if r.Port.IsZero() {
		ref, what = r.Network, "network"
	}
	for _, name := range []string{ref.Tenant, ref.Name} {
		if err := fabric.CheckName(name); err != nil {
			return refuse(cniwire.CodeInvalid, "%s %.140q: %v", what, ref, err)
		}
	}
	seen := map[family]bool{}
	for _, addr := range r.Addresses {
		if !addr.IsValid() || addr.Is4In6() || addr.Zone() != "" {
			return refuse(cniwire.CodeInvalid, "address %s can't be a workload's", addr)
		}
		if seen[familyOf(addr)] {
			return refuse(cniwire.CodeInvalid, "at most one address of each family can be asked for")
		}
		seen[familyOf(addr)] = true
	}
	return checkLabels(r.Labels)
}

// isControl reports whether a character can't be shown.
func isControl(r rune) bool { return r < ' ' || r == 0x7f || r == '\uFFFD' }

// purpose is what a container's link is for, as its alias tells.
func purpose(c cniwire.Attachment, name string) string {
	text := fmt.Sprintf("container %s %s", c.ContainerID, c.IfName)
	if name != "" {
		text += " of " + name
	}
	return text[:min(len(text), 200)] // the kernel takes 255 bytes
}
