package lab

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
)

// netnsDir is where `ip netns` keeps its namespaces (ip-netns(8)).
const netnsDir = "/run/netns"

// command runs a program to its end and returns what it printed. An error holds it, too.
func command(ctx context.Context, args ...string) (string, error) {
	return commandWith(ctx, "", nil, args...)
}

func commandWith(ctx context.Context, stdin string, env []string, args ...string) (string, error) {
	cmd := exec.CommandContext(ctx, args[0], args[1:]...)
	cmd.Stdin = strings.NewReader(stdin)
	if env != nil {
		cmd.Env = append(os.Environ(), env...)
	}
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	if err := cmd.Run(); err != nil {
		if ctx.Err() != nil {
			return "", ctx.Err()
		}
		return stdout.String(), fmt.Errorf("%s: %w: %s", strings.Join(args, " "), err, strings.TrimSpace(stderr.String()+stdout.String()))
	}
	return stdout.String(), nil
}

// within returns the command line that runs args in a namespace.
func within(namespace string, args ...string) []string {
	return append([]string{"ip", "netns", "exec", namespace}, args...)
}

// makeNamespace makes a namespace with its loopback interface up, and settings of /proc/sys/net in it.
func (r *Record) makeNamespace(ctx context.Context, name string, settings ...string) error {
	if err := r.addNamespace(name); err != nil {
		return err
	}
	if _, err := command(ctx, "ip", "netns", "add", name); err != nil {
		return err
	}
	script := "ip link set lo up"
	for _, s := range settings {
		key, value, _ := strings.Cut(s, "=")
		path := filepath.Join("/proc/sys/net", key)
		script += fmt.Sprintf("; [ ! -e %s ] || echo %s >%s", path, value, path)
	}
	_, err := command(ctx, within(name, "sh", "-ec", script)...)
	return err
}

// Settings of namespaces that carry no IPv6 of their own, and of those whose bridge must not ask netfilter.
var (
	noIPv6 = []string{"ipv6/conf/all/disable_ipv6=1", "ipv6/conf/default/disable_ipv6=1"}
	// The kernel sees what comes to a network card although Open vSwitch has taken it. Asked for the address of the bridge
	// that the card is in, it would answer for the card, too, and whoever heard that last would send tunnel packets astray.
	oneAnswer   = []string{"ipv4/conf/all/arp_ignore=1"}
	noNetfilter = []string{"bridge/bridge-nf-call-iptables=0", "bridge/bridge-nf-call-ip6tables=0", "bridge/bridge-nf-call-arptables=0"}
)

// runIP runs lines of `ip`, all or the first ones up to an error.
func runIP(ctx context.Context, lines ...string) error {
	_, err := command(ctx, "sh", "-ec", "ip "+strings.Join(lines, "\nip "))
	return err
}

// deleteNamespace removes a namespace; removing what is not there succeeds.
func deleteNamespace(ctx context.Context, name string) error {
	path := filepath.Join(netnsDir, name)
	if _, err := os.Lstat(path); os.IsNotExist(err) {
		return nil
	}
	if _, err := command(ctx, "ip", "netns", "del", name); err == nil {
		return nil
	}
	// A crash between making the file and mounting the namespace leaves a plain file.
	_ = syscall.Unmount(path, syscall.MNT_DETACH)
	if err := os.Remove(path); err != nil && !os.IsNotExist(err) {
		return fmt.Errorf("remove namespace %s: %w", name, err)
	}
	return nil
}
