package cni

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/containernetworking/cni/pkg/ns"
	"github.com/containernetworking/cni/pkg/skel"
	"github.com/containernetworking/cni/pkg/types"
	"github.com/containernetworking/cni/pkg/version"

	"github.com/weftfabric/weft/wire/cniwire"
)

// The time that each call may take. An ADD may wait for other nodes to learn a new label set.
const (
	addTimeout    = 45 * time.Second
	delTimeout    = 20 * time.Second
	checkTimeout  = 10 * time.Second
	statusTimeout = 5 * time.Second
	gcTimeout     = 60 * time.Second // it may have many to detach
	undoTimeout   = 10 * time.Second
)

// Error codes of the specification that the library has no name for, and the plugin's own, from 100 on.
const (
	codePluginNotAvailable uint = 50
	codeNotFound           uint = 100
	codeConflict           uint = 101
	codeExhausted          uint = 102
)

// Versions are the specification versions that the plugin speaks.
func Versions() version.PluginInfo {
	return version.PluginSupports("0.3.1", "0.4.0", "1.0.0", "1.1.0")
}

// Plugin answers CNI calls by asking the agent.
type Plugin struct {
	// Stdout receives results.
	Stdout io.Writer
	// Now tells the time, for the log.
	Now func() time.Time
}

// Funcs returns the calls in the form that the CNI skeleton takes.
func (p *Plugin) Funcs() skel.CNIFuncs {
	return skel.CNIFuncs{
		Add:    p.logged("ADD", p.Add),
		Del:    p.logged("DEL", p.Del),
		Check:  p.logged("CHECK", p.Check),
		Status: p.logged("STATUS", p.Status),
		GC:     p.logged("GC", p.GC),
	}
}

// Add attaches a container and prints the result. When the attachment can't be confirmed to the runtime, it
// is undone.
func (p *Plugin) Add(call *skel.CmdArgs) error {
	add, conf, err := NewAdd(call)
	if err != nil {
		return types.NewError(types.ErrInvalidNetworkConfig, err.Error(), "")
	}
	if err := checkNetns(call.Netns); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(context.Background(), addTimeout)
	defer cancel()
	resp, err := Ask(ctx, conf.Socket, cniwire.Request{Add: &add})
	var lost *UnansweredError
	switch {
	case errors.As(err, &lost) && lost.Sent:
		return asCNI(undo(conf.Socket, add, err))
	case err != nil:
		return asCNI(err)
	case resp.Interface == nil:
		return asCNI(undo(conf.Socket, add, fmt.Errorf("weft-agent's answer to ADD holds no interface: are plugin and agent of one version?")))
	}
	if err := p.print(add, *resp.Interface, conf); err != nil {
		return asCNI(undo(conf.Socket, add, err))
	}
	return nil
}

// print writes the result in the version that the configuration asks for.
func (p *Plugin) print(add cniwire.Add, iface cniwire.Interface, conf Config) error {
	result, err := NewResult(add, iface)
	if err != nil {
		return err
	}
	prev, err := previous(conf)
	if err != nil {
		return err
	}
	versioned, err := chain(prev, result).GetAsVersion(conf.CNIVersion)
	if err != nil {
		return fmt.Errorf("state the result in version %s: %w", conf.CNIVersion, err)
	}
	return versioned.PrintTo(p.Stdout)
}

// Del detaches a container. It reads nothing of the configuration but where the agent is, so that a
// container can be removed after its configuration was broken.
func (p *Plugin) Del(call *skel.CmdArgs) error {
	conf, _ := ParseConfig(call.StdinData)
	ctx, cancel := context.WithTimeout(context.Background(), delTimeout)
	defer cancel()
	_, err := Ask(ctx, conf.Socket, cniwire.Request{Del: &cniwire.Del{Attachment: attachmentOf(call), Netns: call.Netns}})
	return asCNI(err)
}

// Check asks the agent whether the interface is as ADD left it.
func (p *Plugin) Check(call *skel.CmdArgs) error {
	conf, err := ParseConfig(call.StdinData)
	if err != nil {
		return types.NewError(types.ErrInvalidNetworkConfig, err.Error(), "")
	}
	check, err := NewCheck(call, conf)
	if err != nil {
		return types.NewError(types.ErrInvalidNetworkConfig, err.Error(), "")
	}
	ctx, cancel := context.WithTimeout(context.Background(), checkTimeout)
	defer cancel()
	_, err = Ask(ctx, conf.Socket, cniwire.Request{Check: &check})
	return asCNI(err)
}

// Status reports whether the plugin could serve an ADD now.
func (p *Plugin) Status(call *skel.CmdArgs) error {
	conf, err := ParseConfig(call.StdinData)
	if err != nil {
		return types.NewError(types.ErrInvalidNetworkConfig, err.Error(), "")
	}
	ctx, cancel := context.WithTimeout(context.Background(), statusTimeout)
	defer cancel()
	resp, err := Ask(ctx, conf.Socket, cniwire.Request{Status: &cniwire.Status{Brief: true}})
	switch {
	case err != nil:
		return types.NewError(codePluginNotAvailable, err.Error(), "")
	case resp.Status == nil:
		return types.NewError(codePluginNotAvailable, "weft-agent's answer to STATUS holds no status", "")
	case !resp.Status.Ready:
		return types.NewError(codePluginNotAvailable, "weft-agent is not ready: "+resp.Status.Reason, "")
	}
	return nil
}

// GC detaches the containers that were attached by this configuration and that the runtime doesn't name any more.
func (p *Plugin) GC(call *skel.CmdArgs) error {
	conf, err := ParseConfig(call.StdinData)
	if err != nil {
		return types.NewError(types.ErrInvalidNetworkConfig, err.Error(), "")
	}
	if conf.Valid == nil {
		return types.NewError(types.ErrInvalidNetworkConfig, fmt.Sprintf("field %q is missing: GC without it would detach every container", validField), "")
	}
	gc := cniwire.GC{Config: conf.Name}
	for _, v := range conf.Valid {
		gc.Keep = append(gc.Keep, cniwire.Attachment{ContainerID: v.ContainerID, IfName: v.IfName})
	}
	ctx, cancel := context.WithTimeout(context.Background(), gcTimeout)
	defer cancel()
	_, err = Ask(ctx, conf.Socket, cniwire.Request{GC: &gc})
	return asCNI(err)
}

// undo takes back an attachment whose ADD failed on the way, and returns why it failed.
func undo(socket string, add cniwire.Add, cause error) error {
	ctx, cancel := context.WithTimeout(context.Background(), undoTimeout)
	defer cancel()
	_, err := Ask(ctx, socket, cniwire.Request{Del: &cniwire.Del{Attachment: add.Attachment, Netns: add.Netns}})
	if err != nil {
		return errors.Join(cause, fmt.Errorf("undo: %w", err))
	}
	return cause
}

// checkNetns refuses before anything is attached what the skeleton would refuse afterwards.
func checkNetns(path string) error {
	if _, err := os.Stat(path); err != nil {
		return types.NewError(types.ErrInvalidNetNS, fmt.Sprintf("the container's network namespace: %v", err), "")
	}
	own, err := ns.CheckNetNS(path)
	switch {
	case err != nil:
		return err
	case own:
		return types.NewError(types.ErrInvalidNetNS, fmt.Sprintf("%s is the plugin's own network namespace: a container with host networking needs no plugin", path), "")
	}
	return nil
}

func attachmentOf(call *skel.CmdArgs) cniwire.Attachment {
	return cniwire.Attachment{ContainerID: call.ContainerID, IfName: call.IfName}
}

// asCNI gives an error the code by which runtimes decide whether to try again.
func asCNI(err error) error {
	if err == nil {
		return nil
	}
	code := types.ErrInternal
	var answer *cniwire.Error
	var lost *UnansweredError
	switch {
	case errors.As(err, &lost):
		code = types.ErrTryAgainLater
	case errors.As(err, &answer):
		code = codeOf(answer.Code)
	}
	return types.NewError(code, err.Error(), "")
}

func codeOf(c cniwire.Code) uint {
	switch c {
	case cniwire.CodeInvalid:
		return types.ErrInvalidNetworkConfig
	case cniwire.CodeNotFound:
		return codeNotFound
	case cniwire.CodeConflict:
		return codeConflict
	case cniwire.CodeExhausted:
		return codeExhausted
	case cniwire.CodeUnavailable:
		return types.ErrTryAgainLater
	}
	return types.ErrInternal
}
