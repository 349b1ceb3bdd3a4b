package lab

import (
	"context"
	"encoding/json"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	types100 "github.com/containernetworking/cni/pkg/types/100"

	"github.com/weftfabric/weft/cni"
	"github.com/weftfabric/weft/fabric"
	"github.com/weftfabric/weft/lab/guest"
	"github.com/weftfabric/weft/lab/probe"
	"github.com/weftfabric/weft/wire/cniwire"
)

// The time that attaching a workload, the start of its program, and the boot of a guest may take.
const (
	attachTime = 60 * time.Second
	probeStart = 20 * time.Second
	guestBoot  = 180 * time.Second
)

// guestParallel are the requests that a guest carries out at a time: it is emulated and slow.
const guestParallel = 8

// echo is answered by every workload, so that each pair can exchange each protocol (RFC 862's port).
var echo = []probe.Service{{Protocol: probe.TCP, Port: 7}, {Protocol: probe.UDP, Port: 7}}

// services are what a workload's program answers: what is declared, and echo.
func (w Workload) services() []probe.Service {
	var out []probe.Service
	for _, text := range w.Spec.Listen {
		if s, err := probe.ParseService(strings.TrimSpace(text)); err == nil && !slices.Contains(out, s) {
			out = append(out, s)
		}
	}
	for _, s := range echo {
		if !slices.Contains(out, s) {
			out = append(out, s)
		}
	}
	return out
}

func (w Workload) listenText() []string {
	var out []string
	for _, s := range w.services() {
		out = append(out, s.String())
	}
	return out
}

// attach makes a workload and attaches it to the fabric. A VM boots on when attach returns.
func (r *Record) attach(ctx context.Context, w Workload, files guest.Files) (Attached, error) {
	node := fmt.Sprintf("node%d", w.Spec.Node)
	n := r.NodeNamed(node)
	if n == nil {
		return Attached{}, fmt.Errorf("%s: %s does not exist", w.Ref(), node)
	}
	ctx, cancel := context.WithTimeout(ctx, attachTime)
	defer cancel()
	a := Attached{
		Workload: w, Node: node,
		// The path of a unix socket is short: the workload's number, not its name.
		Control: filepath.Join(r.dir, "workload", fmt.Sprintf("%d.sock", len(r.Workloads))),
	}
	var err error
	if w.Spec.Type == VM {
		err = r.attachVM(ctx, *n, &a, files)
	} else {
		err = r.attachContainer(ctx, *n, &a)
	}
	if err != nil {
		return Attached{}, fmt.Errorf("attach %s to %s: %w", w.Ref(), node, err)
	}
	r.Workloads = append(r.Workloads, a)
	return a, r.save()
}

// attachContainer makes a namespace and attaches it as a container runtime does, by the plugin's binary.
func (r *Record) attachContainer(ctx context.Context, n Node, a *Attached) error {
	w := a.Workload
	a.Namespace = r.namespaceName(w.Metadata.Tenant + "." + w.Metadata.Name)
	if err := r.makeNamespace(ctx, a.Namespace, "ipv4/ping_group_range=0 0"); err != nil {
		return err
	}
	out, err := r.cniCall(ctx, "ADD", n, *a, "")
	if err != nil {
		return err
	}
	var result types100.Result
	if err := json.Unmarshal([]byte(out), &result); err != nil {
		return fmt.Errorf("weft-cni's result: %w", err)
	}
	if err := a.fill(result); err != nil {
		return err
	}
	p, err := r.start(spec{name: "workload/" + w.Ref(), namespace: a.Namespace, args: []string{
		filepath.Join(r.BinDir, "weft-lab-probe"), "-name", w.Ref(), "-listen", strings.Join(w.listenText(), ","), "-socket", a.Control}})
	if err != nil {
		return err
	}
	return waitFor(ctx, p, probeStart, "its socket", exists(a.Control))
}

// fill takes the interface from a plugin's result: the host's end first, the container's after it.
func (a *Attached) fill(result types100.Result) error {
	if len(result.Interfaces) != 2 || len(result.IPs) == 0 {
		return fmt.Errorf("weft-cni's result has %d interfaces and %d addresses", len(result.Interfaces), len(result.IPs))
	}
	mac, err := fabric.ParseMAC(result.Interfaces[1].Mac)
	if err != nil {
		return fmt.Errorf("weft-cni's result: %w", err)
	}
	a.Interface, a.MAC, a.MTU = result.Interfaces[0].Name, mac, result.Interfaces[1].Mtu
	for _, ip := range result.IPs {
		addr, _ := netip.AddrFromSlice(ip.Address.IP)
		bits, _ := ip.Address.Mask.Size()
		a.Addresses = append(a.Addresses, netip.PrefixFrom(addr.Unmap(), bits))
		if gw, ok := netip.AddrFromSlice(ip.Gateway); ok {
			a.Gateways = append(a.Gateways, gw.Unmap())
		}
	}
	return nil
}

// CNIVersion is the version of the configurations that the lab gives to the plugin.
const CNIVersion = "1.1.0"

// cniCall runs the plugin's binary on a node for a container's interface eth0.
func (r *Record) cniCall(ctx context.Context, verb string, n Node, a Attached, prevResult string) (string, error) {
	w := a.Workload
	conf := map[string]any{"cniVersion": CNIVersion, "name": "weft-lab", "type": "weft-cni", "tenant": w.Metadata.Tenant, "socket": n.AgentSocket()}
	if w.Spec.Port != "" {
		conf["port"] = w.Spec.Port
	} else {
		conf["network"] = w.Spec.Network
		if w.Spec.Subnet != "" {
			conf["subnet"] = w.Spec.Subnet
		}
	}
	if prevResult != "" {
		conf["prevResult"] = json.RawMessage(prevResult)
	}
	stdin, err := json.Marshal(conf)
	if err != nil {
		return "", err
	}
	args := "K8S_POD_NAME=" + w.Metadata.Name
	if w.Spec.Port == "" && len(w.Metadata.Labels) > 0 {
		args += ";WEFT_LABELS=" + cni.FormatLabels(w.Metadata.Labels)
	}
	env := []string{
		"CNI_COMMAND=" + verb, "CNI_CONTAINERID=" + a.Namespace, "CNI_IFNAME=eth0", "CNI_PATH=" + r.BinDir,
		"CNI_NETNS=" + filepath.Join(netnsDir, a.Namespace), "CNI_ARGS=" + args,
	}
	return commandWith(ctx, string(stdin), env, within(n.Namespace, filepath.Join(r.BinDir, "weft-cni"))...)
}

// attachVM asks the node's agent for a tap, as `weft port attach` does, and boots a guest on it.
func (r *Record) attachVM(ctx context.Context, n Node, a *Attached, files guest.Files) error {
	w := a.Workload
	resp, err := cni.Ask(ctx, n.AgentSocket(), cniwire.Request{Attach: &cniwire.Attach{Port: w.portRef(), Tap: fmt.Sprintf("tap%d", len(r.Workloads))}})
	if err != nil {
		return err
	}
	if resp.Interface == nil {
		return fmt.Errorf("weft-agent's answer holds no interface")
	}
	a.Interface, a.MAC, a.MTU = resp.Interface.HostName, resp.Interface.MAC, resp.Interface.MTU
	a.Addresses, a.Gateways = resp.Interface.Addresses, resp.Interface.Gateways
	a.Console = filepath.Join(r.dir, "log", strings.ReplaceAll(w.Ref(), "/", "-")+".console")

	initramfs, err := r.initramfs(files)
	if err != nil {
		return err
	}
	m := guest.Machine{
		Kernel: files.Kernel(), Initramfs: initramfs, Name: w.Ref(), Tap: a.Interface, MAC: a.MAC, MTU: a.MTU,
		Addresses: a.Addresses, Gateways: a.Gateways, Listen: w.listenText(), Control: a.Control, Console: a.Console,
	}
	_, err = r.start(spec{name: "workload/" + w.Ref(), namespace: n.Namespace, args: m.Command()})
	return err
}

// initramfs writes the guests' file system once per lab.
func (r *Record) initramfs(files guest.Files) (string, error) {
	path := filepath.Join(r.dir, "initramfs")
	if _, err := os.Stat(path); err == nil {
		return path, nil
	}
	f, err := os.Create(path + ".new")
	if err != nil {
		return "", err
	}
	defer f.Close()
	if err := guest.WriteInitramfs(f, files); err != nil {
		return "", fmt.Errorf("write the guests' file system: %w", err)
	}
	if err := f.Close(); err != nil {
		return "", err
	}
	return path, os.Rename(path+".new", path)
}

// waitWorkload waits until the program in a workload answers, for a VM until it booted.
func (r *Record) waitWorkload(ctx context.Context, a Attached) error {
	processes := r.processesNamed("workload/" + a.Ref())
	if len(processes) == 0 {
		return fmt.Errorf("%s was not started", a.Ref())
	}
	p := processes[len(processes)-1]
	if a.Console != "" {
		p.Log = a.Console
	}
	return waitFor(ctx, p, guestBoot, "an answer of the program inside", func(ctx context.Context) bool {
		ctx, cancel := context.WithTimeout(ctx, 2*time.Second)
		defer cancel()
		client, err := probe.Dial(ctx, a.Control)
		if err != nil {
			return false
		}
		defer client.Close()
		_, err = client.Ask(ctx, probe.Request{Seen: &probe.Seen{}})
		return err == nil
	})
}
