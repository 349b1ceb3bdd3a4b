package guest

import (
	"fmt"
	"io"
)

// cpioWriter writes an archive in the "new ASCII" format, which the kernel unpacks as its first root file
// system (Documentation/driver-api/early-userspace/buffer-format.rst). Each entry is a header of 13 fields of
// 8 hexadecimal digits after the magic, the name and the content, both padded to 4 bytes:
//
//	070701 ino mode uid gid nlink mtime filesize devmajor devminor rdevmajor rdevminor namesize check
type cpioWriter struct {
	w   io.Writer
	ino uint32
	err error
}

// File types and permissions of entries (cpio(5)).
const (
	modeDir     = 0o040755
	modeFile    = 0o100644
	modeProgram = 0o100755
	modeLink    = 0o120777
	modeChar    = 0o020600
)

// entry is one file of the archive. Names have no leading slash; directories come before what is in them.
type entry struct {
	name         string
	mode         uint32
	content      []byte // a symbolic link's target, too
	major, minor uint32 // of a device
}

func (c *cpioWriter) write(e entry) {
	c.ino++
	name := e.name + "\x00"
	header := fmt.Sprintf("070701%08x%08x%08x%08x%08x%08x%08x%08x%08x%08x%08x%08x%08x",
		c.ino, e.mode, 0, 0, 1, 0, len(e.content), 0, 0, e.major, e.minor, len(name), 0)
	c.put(header + name)
	c.pad(len(header) + len(name))
	if c.err == nil {
		_, c.err = c.w.Write(e.content)
	}
	c.pad(len(e.content))
}

// close writes the trailer and returns the first error of all.
func (c *cpioWriter) close() error {
	c.write(entry{name: "TRAILER!!!"})
	return c.err
}

func (c *cpioWriter) put(s string) {
	if c.err == nil {
		_, c.err = io.WriteString(c.w, s)
	}
}

func (c *cpioWriter) pad(n int) { c.put("\x00\x00\x00"[:-n&3]) }
