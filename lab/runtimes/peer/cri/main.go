// Command cri asks a container runtime for a pod through the Container Runtime Interface, as a kubelet does.
//
//	cri --socket PATH status             print whether runtime and network are ready
//	cri --socket PATH run IMAGE < POD    make a sandbox and a container of the image in it; prints what they are
//	cri --socket PATH exec CONTAINER COMMAND [ARG ...]
//	cri --socket PATH stop SANDBOX
//	cri --socket PATH remove SANDBOX
//
// POD is a PodSandboxConfig in JSON, with the field names of the interface's definition.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	criv1 "k8s.io/cri-api/pkg/apis/runtime/v1"
)

// timeout bounds a whole command.
const timeout = 50 * time.Second

func main() {
	if err := run(os.Args[1:], os.Stdin, os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "cri:", err)
		os.Exit(1)
	}
}

func run(args []string, in io.Reader, out io.Writer) error {
	flags := flag.NewFlagSet("cri", flag.ContinueOnError)
	socket := flags.String("socket", "", "the runtime's socket")
	if err := flags.Parse(args); err != nil {
		return err
	}
	args = flags.Args()
	if *socket == "" || len(args) == 0 {
		return errors.New("say --socket PATH and what to do: status, run, exec, stop or remove")
	}
	conn, err := grpc.NewClient("unix://"+*socket, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		return err
	}
	defer func() { _ = conn.Close() }()
	ctx, cancel := context.WithTimeout(context.Background(), timeout)
	defer cancel()
	c := client{criv1.NewRuntimeServiceClient(conn), out}
	verb, args := args[0], args[1:]
	switch {
	case verb == "status" && len(args) == 0:
		return c.status(ctx)
	case verb == "run" && len(args) == 1:
		return c.run(ctx, args[0], in)
	case verb == "exec" && len(args) > 1:
		return c.exec(ctx, args[0], args[1:])
	case verb == "stop" && len(args) == 1:
		_, err := c.runtime.StopPodSandbox(ctx, &criv1.StopPodSandboxRequest{PodSandboxId: args[0]})
		return err
	case verb == "remove" && len(args) == 1:
		_, err := c.runtime.RemovePodSandbox(ctx, &criv1.RemovePodSandboxRequest{PodSandboxId: args[0]})
		return err
	}
	return fmt.Errorf("%s with %d arguments is unknown", verb, len(args))
}

type client struct {
	runtime criv1.RuntimeServiceClient
	out     io.Writer
}

// status fails unless the runtime and its network are ready.
func (c client) status(ctx context.Context) error {
	res, err := c.runtime.Status(ctx, &criv1.StatusRequest{})
	if err != nil {
		return err
	}
	for _, condition := range res.GetStatus().GetConditions() {
		if !condition.GetStatus() {
			return fmt.Errorf("%s: %s: %s", condition.GetType(), condition.GetReason(), condition.GetMessage())
		}
	}
	return nil
}

// pod is what run made.
type pod struct {
	Sandbox   string   `json:"sandbox"`
	Container string   `json:"container"`
	Addresses []string `json:"addresses"`
	Namespace string   `json:"namespace"` // of the network, a path
}

// run makes a sandbox and a container in it. What it made stays when it fails: the caller looks at it, or removes it.
func (c client) run(ctx context.Context, image string, in io.Reader) error {
	var config criv1.PodSandboxConfig
	decoder := json.NewDecoder(in)
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(&config); err != nil {
		return fmt.Errorf("the pod on standard input: %w", err)
	}
	sandbox, err := c.runtime.RunPodSandbox(ctx, &criv1.RunPodSandboxRequest{Config: &config})
	if err != nil {
		return fmt.Errorf("run the sandbox: %w", err)
	}
	made := pod{Sandbox: sandbox.GetPodSandboxId()}
	status, err := c.runtime.PodSandboxStatus(ctx, &criv1.PodSandboxStatusRequest{PodSandboxId: made.Sandbox, Verbose: true})
	if err != nil {
		return fmt.Errorf("status of the sandbox: %w", err)
	}
	network := status.GetStatus().GetNetwork()
	made.Addresses = append(made.Addresses, network.GetIp())
	for _, ip := range network.GetAdditionalIps() {
		made.Addresses = append(made.Addresses, ip.GetIp())
	}
	if made.Namespace, err = networkNamespace(status.GetInfo()["info"]); err != nil {
		return err
	}
	container, err := c.runtime.CreateContainer(ctx, &criv1.CreateContainerRequest{PodSandboxId: made.Sandbox, SandboxConfig: &config, Config: &criv1.ContainerConfig{
		Metadata: &criv1.ContainerMetadata{Name: "main"}, Image: &criv1.ImageSpec{Image: image},
		Linux: &criv1.LinuxContainerConfig{SecurityContext: &criv1.LinuxContainerSecurityContext{Capabilities: &criv1.Capability{AddCapabilities: []string{"NET_RAW"}}}},
	}})
	if err != nil {
		return fmt.Errorf("create the container: %w", err)
	}
	made.Container = container.GetContainerId()
	if _, err := c.runtime.StartContainer(ctx, &criv1.StartContainerRequest{ContainerId: made.Container}); err != nil {
		return fmt.Errorf("start the container: %w", err)
	}
	return json.NewEncoder(c.out).Encode(made)
}

// networkNamespace reads the path of a sandbox's network namespace from what containerd tells beyond the interface.
func networkNamespace(info string) (string, error) {
	var verbose struct {
		RuntimeSpec struct {
			Linux struct {
				Namespaces []struct{ Type, Path string }
			}
		}
	}
	if err := json.Unmarshal([]byte(info), &verbose); err != nil {
		return "", fmt.Errorf("the sandbox's verbose status: %w", err)
	}
	for _, ns := range verbose.RuntimeSpec.Linux.Namespaces {
		if ns.Type == "network" {
			return ns.Path, nil
		}
	}
	return "", errors.New("the sandbox has no network namespace")
}

func (c client) exec(ctx context.Context, container string, command []string) error {
	res, err := c.runtime.ExecSync(ctx, &criv1.ExecSyncRequest{ContainerId: container, Cmd: command, Timeout: int64(timeout / time.Second)})
	if err != nil {
		return err
	}
	if _, err := fmt.Fprintf(c.out, "%s%s", res.GetStdout(), res.GetStderr()); err != nil {
		return err
	}
	if code := res.GetExitCode(); code != 0 {
		return fmt.Errorf("%v ended with %d", command, code)
	}
	return nil
}
