package lab

import (
	"context"
	"fmt"
	"time"

	"github.com/weftfabric/weft/cni"
	"github.com/weftfabric/weft/wire/cniwire"
)

// AgentStatus asks a node's agent for its state.
func AgentStatus(ctx context.Context, n Node) (cniwire.AgentStatus, error) {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	resp, err := cni.Ask(ctx, n.AgentSocket(), cniwire.Request{Status: &cniwire.Status{}})
	if err != nil {
		return cniwire.AgentStatus{}, err
	}
	if resp.Status == nil {
		return cniwire.AgentStatus{}, fmt.Errorf("%s: the agent's answer holds no status", n.Name)
	}
	return *resp.Status, nil
}

// waitAgent waits until a node's agent is ready to attach workloads.
func (r *Record) waitAgent(ctx context.Context, n Node, p Process) error {
	return waitFor(ctx, p, agentStart, "its readiness", func(ctx context.Context) bool {
		status, err := AgentStatus(ctx, n)
		return err == nil && status.Ready
	})
}

// RestartAgent ends a node's agent and starts it again; the switch goes on meanwhile.
func (r *Record) RestartAgent(ctx context.Context, n Node) error {
	if err := stop(r.processesNamed(string(n.Name) + "/weft-agent")); err != nil {
		return err
	}
	p, err := r.runAgent(n)
	if err != nil {
		return err
	}
	return r.waitAgent(ctx, n, p)
}
