package host

import (
	"fmt"
	"runtime"
	"sync"
	"unsafe"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// shieldName is the name of the filter, by which it is found again.
const shieldName = "weft-shield"

// shield drops what comes in on a link before the node's network stack sees it.
//
// The userspace datapath reads a port through a packet socket, which gets a copy; the original goes on into the
// kernel. Without the shield a workload could reach the node's own addresses past every policy. Packet
// sockets come before the traffic-control hook (net/core/dev.c, __netif_receive_skb_core), so the switch still
// gets everything.
func shield(link netlink.Link, drop *dropProgram) error {
	index := link.Attrs().Index
	qdisc := &netlink.Clsact{QdiscAttrs: netlink.QdiscAttrs{LinkIndex: index, Handle: netlink.MakeHandle(0xffff, 0), Parent: netlink.HANDLE_CLSACT}}
	if err := netlink.QdiscReplace(qdisc); err != nil {
		return fmt.Errorf("add the clsact queueing discipline (CONFIG_NET_CLS_ACT): %w", err)
	}
	program, err := drop.descriptor()
	if err != nil {
		return err
	}
	filter := &netlink.BpfFilter{
		FilterAttrs: netlink.FilterAttrs{LinkIndex: index, Parent: netlink.HANDLE_MIN_INGRESS, Handle: 1, Priority: 1, Protocol: unix.ETH_P_ALL},
		Fd:          program, Name: shieldName, DirectAction: true,
	}
	if err := netlink.FilterReplace(filter); err != nil {
		return fmt.Errorf("add the BPF filter (CONFIG_NET_CLS_BPF): %w", err)
	}
	return nil
}

// dropProgram is the filter's program, loaded when it is needed first. Its descriptor goes with the
// process; filters keep the program.
type dropProgram struct {
	mu sync.Mutex
	fd int // 0 until it is loaded
}

// descriptor returns the program's descriptor.
func (p *dropProgram) descriptor() (int, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.fd == 0 {
		fd, err := loadDrop()
		if err != nil {
			return -1, err
		}
		p.fd = fd
	}
	return p.fd, nil
}

// instruction is struct bpf_insn (linux/bpf.h).
type instruction struct {
	op        uint8
	_         uint8 // registers: both are 0
	_         int16 // offset
	immediate int32
}

// programLoad is the beginning of union bpf_attr for BPF_PROG_LOAD (linux/bpf.h).
type programLoad struct {
	programType, count      uint32
	instructions, license   unsafe.Pointer
	logLevel, logSize       uint32
	log                     unsafe.Pointer
	kernelVersion, flags    uint32
	name                    [16]byte
	ifindex, attachTypeHint uint32
}

// loadDrop loads the program "return TC_ACT_SHOT", and returns its descriptor.
func loadDrop() (int, error) {
	const (
		movR0     = 0xb7 // BPF_ALU64 | BPF_MOV | BPF_K
		exit      = 0x95 // BPF_JMP | BPF_EXIT
		tcActShot = 2
	)
	program := [...]instruction{{op: movR0, immediate: tcActShot}, {op: exit}}
	license := [...]byte{'A', 'p', 'a', 'c', 'h', 'e', 0}
	load := programLoad{
		programType: unix.BPF_PROG_TYPE_SCHED_CLS, count: uint32(len(program)),
		instructions: unsafe.Pointer(&program), license: unsafe.Pointer(&license),
	}
	copy(load.name[:], "weft_shield")
	fd, _, errno := unix.Syscall(unix.SYS_BPF, unix.BPF_PROG_LOAD, uintptr(unsafe.Pointer(&load)), unsafe.Sizeof(load))
	runtime.KeepAlive(&program)
	runtime.KeepAlive(&license)
	if errno != 0 {
		return -1, fmt.Errorf("load a BPF program (CONFIG_BPF_SYSCALL): %w", errno)
	}
	return int(fd), nil
}
