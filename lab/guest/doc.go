// Package guest makes the lab's virtual machines: a small Linux guest whose initramfs is written here, from
// a distribution's kernel and modules, busybox, and the lab's probe program. It boots from memory, with no
// disk, under QEMU's software emulation, which needs nothing of the processor.
//
// Building an image is a pure function of the files that go into it; nothing of the host's boot is touched.
package guest
