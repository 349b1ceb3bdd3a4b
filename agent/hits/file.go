package hits

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/weftfabric/weft/fabric"
	"github.com/weftfabric/weft/firewall"
)

// The file of a book is text: a heading, a line for each row with network, rule, hits, the last hit's time in
// nanoseconds since 1970, and the counter of the switch; and at the end the SHA-256 of all before it, in hexadecimal.
const heading = "weft-hits 1\n"

// Marshal returns the book's file.
func (b *Book) Marshal() []byte {
	var out bytes.Buffer
	out.WriteString(heading)
	for _, row := range b.sorted() {
		e := b.rows[row]
		last := int64(0)
		if !e.Last.IsZero() {
			last = e.Last.UnixNano()
		}
		fmt.Fprintf(&out, "%d %d %d %d %d\n", row.Network, row.Rule, e.Hits, last, e.seen)
	}
	sum := sha256.Sum256(out.Bytes())
	out.WriteString("sha256 " + hex.EncodeToString(sum[:]) + "\n")
	return out.Bytes()
}

// Unmarshal reads a book's file. It fails when the file isn't whole as it was written.
func Unmarshal(b []byte) (*Book, error) {
	content, end, ok := cut(b)
	if !ok || !bytes.HasPrefix(content, []byte(heading)) {
		return nil, errors.New("it is no file of rule hits, or not a whole one")
	}
	if sum := sha256.Sum256(content); end != hex.EncodeToString(sum[:]) {
		return nil, errors.New("it is damaged: its checksum is wrong")
	}
	book := NewBook()
	for line := range strings.Lines(string(content[len(heading):])) {
		fields := strings.Fields(line)
		if len(fields) != 5 {
			return nil, fmt.Errorf("the line %.80q has not five numbers", line)
		}
		var n [5]uint64
		for i, bits := range [5]int{16, 32, 64, 63, 64} {
			v, err := strconv.ParseUint(fields[i], 10, bits)
			if err != nil {
				return nil, fmt.Errorf("the line %.80q: %w", line, err)
			}
			n[i] = v
		}
		e := entry{Count: Count{Hits: n[2]}, seen: n[4]}
		if n[3] != 0 {
			e.Last = time.Unix(0, int64(n[3]))
		}
		book.rows[Row{fabric.NetworkID(n[0]), firewall.RuleID(n[1])}] = e
	}
	return book, nil
}

// cut splits a file before its last line, which holds the checksum.
func cut(b []byte) (content []byte, sum string, ok bool) {
	text, ok := bytes.CutSuffix(b, []byte("\n"))
	if !ok {
		return nil, "", false
	}
	at := bytes.LastIndexByte(text, '\n') + 1
	last, ok := bytes.CutPrefix(text[at:], []byte("sha256 "))
	return b[:at], string(last), ok
}
