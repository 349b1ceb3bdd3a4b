package flowlog

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"sync"
)

// The bounds of a node's log: the current file and older ones.
const (
	maxFileSize = 8 << 20
	maxOlder    = 3
	maxLine     = 64 << 10
)

// File is the log on disk: NAME, and older parts NAME.1 to NAME.3, the last one the oldest. Records survive the end of
// the agent; a power failure can take the latest ones. Its methods may be called at the same time.
type File struct {
	path string
	max  int64

	mu      sync.Mutex
	f       *os.File
	size    int64
	waiting map[chan Record]*uint64 // followers, with how many records each has missed
}

// NewFile returns the log at a path, which is opened with the first record. size is the length at which a new part
// begins; 0 takes the usual one.
func NewFile(path string, size int64) *File {
	if size == 0 {
		size = maxFileSize
	}
	return &File{path: path, max: size, waiting: make(map[chan Record]*uint64)}
}

// Write appends a record and tells it to followers.
func (f *File) Write(r Record) error {
	line, err := json.Marshal(r)
	if err != nil {
		return err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	for c, missed := range f.waiting {
		select {
		case c <- r:
		default:
			*missed++
		}
	}
	return f.append(append(line, '\n'))
}

// append writes a line; a part of it that can't be written is taken back, so that the next one stands alone.
func (f *File) append(line []byte) error {
	if f.f != nil && f.size+int64(len(line)) > f.max {
		if err := f.rotate(); err != nil {
			return err
		}
	}
	if f.f == nil {
		if err := f.open(); err != nil {
			return err
		}
	}
	if _, err := f.f.Write(line); err != nil {
		return errors.Join(err, f.f.Truncate(f.size))
	}
	f.size += int64(len(line))
	return nil
}

func (f *File) open() error {
	file, err := os.OpenFile(f.path, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		return err
	}
	info, err := file.Stat()
	if err != nil {
		return errors.Join(err, file.Close())
	}
	f.f, f.size = file, info.Size()
	if f.size > 0 {
		return f.endLine()
	}
	return nil
}

// endLine ends what a crash has left of a line.
func (f *File) endLine() error {
	file, err := os.Open(f.path)
	if err != nil {
		return err
	}
	defer func() { _ = file.Close() }()
	var last [1]byte
	if _, err := file.ReadAt(last[:], f.size-1); err != nil || last[0] == '\n' {
		return err
	}
	n, err := f.f.Write([]byte{'\n'})
	f.size += int64(n)
	return err
}

// rotate makes the current part the first of the older ones.
func (f *File) rotate() error {
	err := f.f.Close()
	f.f = nil
	for i := maxOlder; i > 0 && err == nil; i-- {
		if err = os.Rename(f.part(i-1), f.part(i)); errors.Is(err, os.ErrNotExist) {
			err = nil
		}
	}
	return err
}

// part returns the name of a part: 0 is the current one.
func (f *File) part(i int) string {
	if i == 0 {
		return f.path
	}
	return fmt.Sprintf("%s.%d", f.path, i)
}

// Close closes the file. Records that come later open it again.
func (f *File) Close() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.f == nil {
		return nil
	}
	err := f.f.Close()
	f.f = nil
	return err
}

// Read calls each with all records in the file, the oldest first, until it fails. Lines that are no records are left out
// and counted.
func (f *File) Read(each func(Record) error) (damaged int, err error) {
	parts, err := f.parts()
	if err != nil {
		return 0, err
	}
	defer func() {
		for _, p := range parts {
			_ = p.Close()
		}
	}()
	for _, p := range parts {
		n, err := readRecords(p, each)
		damaged += n
		if err != nil {
			return damaged, err
		}
	}
	return damaged, nil
}

// parts opens all parts as they are now, the oldest first.
func (f *File) parts() (out []*os.File, err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for i := maxOlder; i >= 0; i-- {
		p, err := os.Open(f.part(i))
		switch {
		case err == nil:
			out = append(out, p)
		case !errors.Is(err, os.ErrNotExist):
			for _, p := range out {
				_ = p.Close()
			}
			return nil, err
		}
	}
	return out, nil
}

func readRecords(r io.Reader, each func(Record) error) (damaged int, err error) {
	lines := bufio.NewScanner(r)
	lines.Buffer(nil, maxLine)
	for lines.Scan() {
		var record Record
		if err := json.Unmarshal(lines.Bytes(), &record); err != nil {
			if len(bytes.TrimSpace(lines.Bytes())) > 0 {
				damaged++
			}
			continue
		}
		if err := each(record); err != nil {
			return damaged, err
		}
	}
	if errors.Is(lines.Err(), bufio.ErrTooLong) {
		return damaged + 1, nil
	}
	return damaged, lines.Err()
}

// followed is how many records a follower may be behind.
const followed = 1000

// Follow returns a channel of the records that are written from now on. A reader that doesn't keep up misses records;
// the function tells how many. stop ends it.
func (f *File) Follow() (records <-chan Record, missed func() uint64, stop func()) {
	c := make(chan Record, followed)
	f.mu.Lock()
	defer f.mu.Unlock()
	f.waiting[c] = new(uint64)
	missed = func() uint64 {
		f.mu.Lock()
		defer f.mu.Unlock()
		n := f.waiting[c]
		if n == nil {
			return 0
		}
		was := *n
		*n = 0
		return was
	}
	return c, missed, func() {
		f.mu.Lock()
		defer f.mu.Unlock()
		delete(f.waiting, c)
	}
}
