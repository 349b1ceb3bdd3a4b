// Package backup is the file that a store is backed up to: what the fabric's keys held at one revision.
//
// A file is lines of JSON: a header, one line for each key in order, and at the end the SHA-256 sum of everything
// before it. A file that is cut off, longer than it was, or changed in any bit is refused as a whole. It holds the
// fabric's CA key, so whoever reads it can speak for any node. The package knows nothing of what keys mean.
package backup

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"hash"
	"io"
	"time"
)

// format stands in the header; it changes with the form of the file.
const format = "weft-backup/1"

// maxLine bounds a line: etcd's largest value, in base64, and some room.
const maxLine = 64 << 20

// Entry is one key of the store.
type Entry struct {
	Key   string `json:"key"`
	Value []byte `json:"value"`
}

// Backup is what a file holds.
type Backup struct {
	// Revision is the one of the store.
	Revision uint64
	Made     time.Time
	// Version is the controller's that made it.
	Version string
	Entries []Entry // in order of their keys
}

type header struct {
	Format   string    `json:"format"`
	Revision uint64    `json:"revision"`
	Made     time.Time `json:"made"`
	Version  string    `json:"version"`
	Entries  int       `json:"entries"`
}

type trailer struct {
	SHA256 string `json:"sha256"` // of all lines before, in hexadecimal
}

// ErrDamaged says that a file is not what was written.
var ErrDamaged = errors.New("the backup is damaged")

// Write writes a file.
func Write(w io.Writer, b Backup) error {
	buffered := bufio.NewWriter(w)
	sum := sha256.New()
	lines := json.NewEncoder(io.MultiWriter(buffered, sum)) // Encode ends each value with a newline
	if err := lines.Encode(header{format, b.Revision, b.Made.UTC(), b.Version, len(b.Entries)}); err != nil {
		return fmt.Errorf("write the backup: %w", err)
	}
	for _, e := range b.Entries {
		if err := lines.Encode(e); err != nil {
			return fmt.Errorf("write the backup: %w", err)
		}
	}
	if err := json.NewEncoder(buffered).Encode(trailer{hex.EncodeToString(sum.Sum(nil))}); err != nil {
		return fmt.Errorf("write the backup: %w", err)
	}
	if err := buffered.Flush(); err != nil {
		return fmt.Errorf("write the backup: %w", err)
	}
	return nil
}

// Read reads a file, and checks all of it. The error is ErrDamaged when it is not what Write wrote.
func Read(r io.Reader) (Backup, error) {
	in := &reader{lines: bufio.NewScanner(r), sum: sha256.New()}
	in.lines.Buffer(nil, maxLine)
	in.lines.Split(wholeLines)
	var h header
	if err := in.next(&h); err != nil {
		return Backup{}, err
	}
	switch {
	case h.Format != format:
		return Backup{}, fmt.Errorf("the file is no backup of this version: its format is %.40q, not %q", h.Format, format)
	case h.Entries < 0:
		return Backup{}, fmt.Errorf("%w: %d entries", ErrDamaged, h.Entries)
	}
	b := Backup{Revision: h.Revision, Made: h.Made, Version: h.Version}
	for range h.Entries {
		var e Entry
		if err := in.next(&e); err != nil {
			return Backup{}, err
		}
		if n := len(b.Entries); n > 0 && b.Entries[n-1].Key >= e.Key {
			return Backup{}, fmt.Errorf("%w: line %d is out of order", ErrDamaged, in.line)
		}
		b.Entries = append(b.Entries, e)
	}
	return b, in.end()
}

// reader reads lines and sums them up.
type reader struct {
	lines *bufio.Scanner
	sum   hash.Hash
	line  int
}

// next reads a line into v.
func (r *reader) next(v any) error {
	line, err := r.text()
	if err != nil {
		return err
	}
	r.sum.Write(line)
	return r.decode(line, v)
}

func (r *reader) decode(line []byte, v any) error {
	strict := json.NewDecoder(bytes.NewReader(line))
	strict.DisallowUnknownFields()
	if err := strict.Decode(v); err != nil {
		return fmt.Errorf("%w: line %d: %w", ErrDamaged, r.line, err)
	}
	return nil
}

// text returns the next line, with its newline.
func (r *reader) text() ([]byte, error) {
	r.line++
	if !r.lines.Scan() {
		if err := r.lines.Err(); err != nil {
			return nil, fmt.Errorf("%w: line %d: %w", ErrDamaged, r.line, err)
		}
		return nil, fmt.Errorf("%w: it is cut off before line %d", ErrDamaged, r.line)
	}
	return r.lines.Bytes(), nil
}

// end checks the sum, and that nothing follows it.
func (r *reader) end() error {
	line, err := r.text()
	if err != nil {
		return err
	}
	want, err := json.Marshal(trailer{hex.EncodeToString(r.sum.Sum(nil))})
	if err != nil {
		return err
	}
	if !bytes.Equal(line, append(want, '\n')) {
		return fmt.Errorf("%w: its last line is not the checksum of the others", ErrDamaged)
	}
	if r.lines.Scan() {
		return fmt.Errorf("%w: something follows its end", ErrDamaged)
	}
	return nil
}

// wholeLines is a bufio.SplitFunc that keeps newlines, and takes what lacks one for cut off.
func wholeLines(data []byte, atEOF bool) (advance int, token []byte, err error) {
	if i := bytes.IndexByte(data, '\n'); i >= 0 {
		return i + 1, data[:i+1], nil
	}
	if atEOF && len(data) > 0 {
		return 0, nil, io.ErrUnexpectedEOF
	}
	return 0, nil, nil
}
