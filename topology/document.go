package topology

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"regexp"
	"strconv"
	"strings"
	"unicode/utf8"

	"go.yaml.in/yaml/v3"
)

// The limits on a document's shape. Aliases count with all that they stand for, so that a few lines can't
// explode into gigabytes.
const (
	maxDepth      = 32
	maxAliasNodes = 20_000 // nodes that aliases stand for, in all documents of a Decode
	maxFaults     = 1000   // faults reported per file
)

// document is one YAML document of a source.
type document struct {
	file string
	line int // of its first node
	root *yaml.Node
}

// parser splits sources into documents and checks their shape.
type parser struct {
	documents int
	aliases   int // nodes that aliases may still stand for
	before    int // problems of the files before
	problems  Problems
}

func newParser() *parser { return &parser{aliases: maxAliasNodes} }

func (p *parser) fault(file string, line int, format string, args ...any) {
	p.add(Problem{SeverityError, file, max(line, 1), fmt.Sprintf(format, args...)})
}

// add keeps problems, as long as somebody may read so many.
func (p *parser) add(problems ...Problem) {
	if len(p.problems)-p.before <= maxFaults {
		p.problems = append(p.problems, problems...)
	}
}

// parse returns the documents of a source whose shape is right, empty ones left out. A document with a
// syntax error doesn't stop the next one.
func (p *parser) parse(s Source, yield func(document)) {
	if len(s.Content) > MaxFileSize {
		p.fault(s.Name, 1, "the file has more than %d MiB: split it", MaxFileSize>>20)
		return
	}
	if i := invalidUTF8(s.Content); i >= 0 {
		p.fault(s.Name, 1+bytes.Count(s.Content[:i], []byte("\n")), "the file is not UTF-8 text: convert it")
		return
	}
	p.before = len(p.problems)
	for line, part := range splitDocuments(s.Content) {
		p.parsePart(s.Name, line, part, yield)
		if len(p.problems)-p.before > maxFaults {
			p.problems = append(p.problems[:p.before+maxFaults], Problem{SeverityError, s.Name, line + 1, "too many errors: the rest of the file was not read"})
			return
		}
	}
}

// parsePart parses the text of one document, which starts after offset lines of its file.
func (p *parser) parsePart(file string, offset int, text []byte, yield func(document)) {
	dec := yaml.NewDecoder(bytes.NewReader(text))
	for {
		var n yaml.Node
		err := dec.Decode(&n)
		if errors.Is(err, io.EOF) {
			return
		}
		if err != nil {
			line, what := syntaxError(err)
			p.fault(file, offset+line, "not valid YAML: %s", what)
			return
		}
		if len(n.Content) == 0 || isEmpty(n.Content[0]) {
			continue
		}
		if p.documents++; p.documents > MaxDocuments {
			if p.documents == MaxDocuments+1 {
				p.fault(file, offset+n.Line, "more than %d documents: apply them in several parts", MaxDocuments)
			}
			return
		}
		root := n.Content[0]
		shiftLines(root, offset)
		if p.inspect(file, root, 0, false) {
			yield(document{file: file, line: root.Line, root: root})
		}
	}
}

// shiftLines adds the lines before a document to the lines of its nodes. Each node is the content of one
// other; what an alias stands for is reached where it is anchored.
func shiftLines(n *yaml.Node, offset int) {
	n.Line += offset
	for _, c := range n.Content {
		shiftLines(c, offset)
	}
}

func isEmpty(n *yaml.Node) bool {
	return n.Kind == yaml.ScalarNode && n.ShortTag() == "!!null" && n.Value == ""
}

// splitDocuments yields the parts of a text that "---" lines separate, with the number of lines before
// each (YAML 1.2, section 9.1: such a line ends a document even within a block scalar).
func splitDocuments(text []byte) func(yield func(int, []byte) bool) {
	return func(yield func(int, []byte) bool) {
		start, startLine, line := 0, 0, 0
		for pos := 0; pos < len(text); line++ {
			end := len(text)
			if i := bytes.IndexByte(text[pos:], '\n'); i >= 0 {
				end = pos + i + 1
			}
			if pos > start && isMarker(text[pos:end]) {
				if !yield(startLine, text[start:pos]) {
					return
				}
				start, startLine = pos, line
			}
			pos = end
		}
		if start < len(text) {
			yield(startLine, text[start:])
		}
	}
}

func isMarker(line []byte) bool {
	rest, ok := bytes.CutPrefix(line, []byte("---"))
	return ok && (len(rest) == 0 || strings.IndexByte(" \t\r\n", rest[0]) >= 0)
}

func invalidUTF8(b []byte) int {
	for i := 0; i < len(b); {
		r, n := utf8.DecodeRune(b[i:])
		if r == utf8.RuneError && n == 1 {
			return i
		}
		i += n
	}
	return -1
}

// syntaxError takes the line out of an error of package yaml: "yaml: line 3: did not find ...".
func syntaxError(err error) (line int, what string) {
	what = strings.TrimPrefix(err.Error(), "yaml: ")
	if m := yamlLine.FindStringSubmatch(what); m != nil {
		line, _ = strconv.Atoi(m[1])
		what = m[2]
	}
	return line, what
}

var yamlLine = regexp.MustCompile(`^line (\d+): (.*)$`)

// inspect reports whether the shape below n is acceptable: its depth, the size of aliases, keys that are
// texts and unique, no tags and no merge keys.
func (p *parser) inspect(file string, n *yaml.Node, depth int, aliased bool) bool {
	if depth > maxDepth {
		p.fault(file, n.Line, "nested deeper than %d levels", maxDepth)
		return false
	}
	if aliased {
		if p.aliases == 0 {
			p.fault(file, n.Line, "aliases stand for more than %d values: write them out", maxAliasNodes)
			return false
		}
		p.aliases--
	}
	switch n.Kind {
	case yaml.AliasNode:
		return p.inspect(file, n.Alias, depth+1, true)
	case yaml.MappingNode:
		return p.inspectMapping(file, n, depth, aliased)
	case yaml.SequenceNode:
		for _, c := range n.Content {
			if !p.inspect(file, c, depth+1, aliased) {
				return false
			}
		}
	}
	if n.Style&yaml.TaggedStyle != 0 {
		p.fault(file, n.Line, "the YAML tag %s is not supported: remove it, and quote texts", n.Tag)
		return false
	}
	return true
}

func (p *parser) inspectMapping(file string, n *yaml.Node, depth int, aliased bool) bool {
	ok := true
	lines := make(map[string]int, len(n.Content)/2)
	for i := 0; i+1 < len(n.Content); i += 2 {
		key := n.Content[i]
		switch first, seen := lines[key.Value]; {
		case key.Kind != yaml.ScalarNode:
			p.fault(file, key.Line, "a key must be a plain text")
			ok = false
			continue
		case key.ShortTag() == "!!merge":
			p.fault(file, key.Line, "merge keys (<<) are not supported: write the fields out")
			ok = false
			continue
		case seen:
			p.fault(file, key.Line, "key %q is given twice, first on line %d: remove one", clip(key.Value), first)
			ok = false
		default:
			lines[key.Value] = key.Line
		}
		if !p.inspect(file, n.Content[i+1], depth+1, aliased) {
			return false
		}
	}
	return ok
}

// clip shortens a text of the user for a message.
func clip(s string) string {
	if len(s) > 60 {
		return strings.ToValidUTF8(s[:57], "") + "..."
	}
	return s
}

// resolve follows aliases to the node that they stand for.
func resolve(n *yaml.Node) *yaml.Node {
	for n.Kind == yaml.AliasNode {
		n = n.Alias
	}
	return n
}
