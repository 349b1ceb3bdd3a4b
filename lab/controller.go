package lab

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"time"

	"connectrpc.com/connect"

	"github.com/weftfabric/weft/topology"
	"github.com/weftfabric/weft/wire/apiclient"
	weftv1 "github.com/weftfabric/weft/wire/weftpb/weft/v1"
)

// The time that controller and agents have to come up, and that a change has to reach every switch.
const (
	controllerStart = 60 * time.Second
	agentStart      = 60 * time.Second
	enforceTime     = 60 * time.Second
	tokenLife       = 10 * time.Minute
)

// Client returns a client of the lab's controller, with an administrator's rights. It is to be closed.
func (r *Record) Client() (*apiclient.Client, error) {
	return apiclient.New("unix://"+r.ControllerSocket(), nil)
}

// startController starts the controller in its namespace and waits until it answers.
func (r *Record) startController(ctx context.Context) error {
	data := filepath.Dir(r.ControllerSocket())
	if err := os.MkdirAll(data, 0o700); err != nil {
		return err
	}
	p, err := r.start(spec{name: "weft-controller", namespace: r.controllerNamespace(), args: []string{
		filepath.Join(r.BinDir, "weft-controller"), "--data-dir", data, "--socket", r.ControllerSocket(), "--listen", r.controllerAddr().String(),
		"--metrics", netip.AddrPortFrom(r.controllerAddr().Addr(), controllerMetrics).String()}})
	if err != nil {
		return err
	}
	client, err := r.Client()
	if err != nil {
		return err
	}
	defer client.Close()
	return waitFor(ctx, p, controllerStart, "an answer", func(ctx context.Context) bool {
		_, err := client.Intent.Info(ctx, connect.NewRequest(&weftv1.InfoRequest{}))
		return err == nil
	})
}

func (r *Record) controllerAddr() netip.AddrPort {
	return netip.AddrPortFrom(hostAddr(managementNet, controllerHost), controllerPort)
}

// startAgent joins a node with a token of its own, and starts its agent.
func (r *Record) startAgent(ctx context.Context, n Node) (Process, error) {
	client, err := r.Client()
	if err != nil {
		return Process{}, err
	}
	defer client.Close()
	res, err := client.Intent.CreateToken(ctx, connect.NewRequest(&weftv1.CreateTokenRequest{Node: string(n.Name), TtlSeconds: int64(tokenLife / time.Second)}))
	if err != nil {
		return Process{}, fmt.Errorf("make a join token for %s: %w", n.Name, err)
	}
	return r.runAgent(n, "WEFT_TOKEN="+res.Msg.GetToken())
}

// nodeLabel is the label of each node with its name, for selectors over nodes.
const nodeLabel = "lab.weft.dev/node"

// runAgent starts a node's agent. A node that joined earlier needs no token.
func (r *Record) runAgent(n Node, env ...string) (Process, error) {
	args := []string{
		filepath.Join(r.BinDir, "weft-agent"),
		"--node", string(n.Name),
		"--controller", "https://" + r.controllerAddr().String(),
		"--state-dir", filepath.Join(n.Dir, "agent"),
		"--socket", n.AgentSocket(),
		"--ovsdb", n.OVSDB(),
		"--ovs-rundir", n.OVSDir(),
		"--vtep", n.VTEP.String(),
		"--datapath", n.datapath(),
		"--wireguard-device", r.wireguardDevice(n),
		"--metrics", netip.AddrPortFrom(n.Management, agentMetrics).String(),
	}
	args = append(args, n.labelFlags()...)
	if n.NAT {
		args = append(args, "--nat")
	}
	return r.start(spec{name: string(n.Name) + "/weft-agent", namespace: n.Namespace, env: append(n.ovsEnv(), env...), args: append(args, r.AgentFlags...)})
}

// datapath is the agent's --datapath. The userspace one is there on every kernel.
func (n Node) datapath() string {
	if n.Kernel {
		return "system"
	}
	return "netdev"
}

// wireguardDevice names a node's WireGuard device: its control socket is in a directory that all labs share.
func (r *Record) wireguardDevice(n Node) string {
	sum := sha256.Sum256([]byte(r.Name + "/" + string(n.Name)))
	return "wg-" + hex.EncodeToString(sum[:5])
}

// apply stores the topology through the API.
func (r *Record) apply(ctx context.Context, t Topology) error {
	client, err := r.Client()
	if err != nil {
		return err
	}
	defer client.Close()
	req := &weftv1.ApplyRequest{}
	for _, s := range t.Sources {
		req.Files = append(req.Files, &weftv1.File{Name: s.Name, Content: s.Content})
	}
	res, err := client.Intent.Apply(ctx, connect.NewRequest(req))
	if err != nil {
		return fmt.Errorf("apply the topology: %w", err)
	}
	if !res.Msg.GetApplied() {
		var lines []string
		for _, p := range res.Msg.GetProblems() {
			if p.GetSeverity() == weftv1.Problem_SEVERITY_ERROR {
				lines = append(lines, fmt.Sprintf("%s:%d: %s", p.GetFile(), p.GetLine(), p.GetMessage()))
			}
		}
		return fmt.Errorf("the controller refused the topology:\n%s", strings.Join(lines, "\n"))
	}
	return nil
}

// WaitEnforced waits until every node's switch has confirmed the plan that the controller has for it now.
func (r *Record) WaitEnforced(ctx context.Context) error {
	client, err := r.Client()
	if err != nil {
		return err
	}
	defer client.Close()
	ctx, cancel := context.WithTimeout(ctx, enforceTime)
	defer cancel()
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for {
		res, err := client.Intent.ListNodes(ctx, connect.NewRequest(&weftv1.ListNodesRequest{}))
		if err == nil {
			waiting := r.notEnforced(res.Msg.GetNodes())
			if len(waiting) == 0 {
				return nil
			}
			err = fmt.Errorf("not enforced yet: %s", strings.Join(waiting, ", "))
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("the nodes' switches did not follow within %s: %w", enforceTime, err)
		case <-tick.C:
		}
	}
}

func (r *Record) notEnforced(nodes []*weftv1.NodeInfo) []string {
	known := map[string]*weftv1.NodeInfo{}
	for _, n := range nodes {
		known[n.GetName()] = n
	}
	var waiting []string
	for _, n := range r.Nodes {
		switch info := known[string(n.Name)]; {
		case info == nil:
			waiting = append(waiting, string(n.Name)+" (not registered)")
		case !info.GetConnected():
			waiting = append(waiting, string(n.Name)+" (not connected)")
		case info.GetEnforcedRevision() < info.GetPlannedRevision():
			waiting = append(waiting, fmt.Sprintf("%s (revision %d of %d)", n.Name, info.GetEnforcedRevision(), info.GetPlannedRevision()))
		}
	}
	return waiting
}

// Intent reads the declared objects from the lab's controller.
func (r *Record) Intent(ctx context.Context) (*topology.Intent, error) {
	client, err := r.Client()
	if err != nil {
		return nil, err
	}
	defer client.Close()
	res, err := client.Intent.List(ctx, connect.NewRequest(&weftv1.ListRequest{}))
	if err != nil {
		return nil, fmt.Errorf("read the topology from the lab's controller: %w", err)
	}
	var objects []*topology.Object
	for _, o := range res.Msg.GetObjects() {
		object, err := topology.UnmarshalObject(o.GetJson())
		if err != nil {
			return nil, fmt.Errorf("%s %s/%s: %w", o.GetKey().GetKind(), o.GetKey().GetTenant(), o.GetKey().GetName(), err)
		}
		objects = append(objects, object)
	}
	return topology.NewIntent(objects...), nil
}
