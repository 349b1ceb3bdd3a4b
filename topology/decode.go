package topology

import (
	"fmt"
	"reflect"
	"strings"

	"go.yaml.in/yaml/v3"
)

// LabAPIPrefix starts the apiVersion of documents that belong to the lab: they may stand beside the
// declared kinds, and Decode hands them on unread.
const LabAPIPrefix = "lab.weft.dev/"

// AuditAPIPrefix starts the apiVersion of what audits ask and answer, which may stand there too.
const AuditAPIPrefix = "audit.weft.dev/"

// Document is a document of another API, decoded by whoever owns that API.
type Document struct {
	File       string
	Line       int
	APIVersion string
	Kind       string

	root  *yaml.Node
	lines map[string]int
}

// Decode fills the struct that into points to, with the strictness and the messages of the declared
// kinds. Fields are named by json tags; those without omitzero or omitempty are required. apiVersion and
// kind need no field.
func (d *Document) Decode(into any) Problems {
	dec := decoder{file: d.File, subject: subjectOf(d.Kind, d.root), lines: map[string]int{}}
	dec.decode(d.root, reflect.ValueOf(into).Elem(), "")
	d.lines = dec.lines
	return dec.problems.sorted()
}

// Problem returns an error at a field of the document, such as spec.node. The nearest field around it that
// was written gives the line.
func (d *Document) Problem(path, format string, args ...any) Problem {
	message := subjectOf(d.Kind, d.root) + ": " + path + " " + fmt.Sprintf(format, args...)
	return Problem{SeverityError, d.File, lineOf(d.lines, path, d.Line), message}
}

// Decode reads the declared objects of sources, in order. It fills in each object's defaults. An object
// with errors is returned too, so that references to it are not reported as well: use the objects only
// when there are no errors. foreign holds the documents of other APIs.
func Decode(sources []Source) (objects []*Object, foreign []Document, problems Problems) {
	p := newParser()
	first := map[Key]*Object{}
	total := 0
	for _, s := range sources {
		if total += len(s.Content); total > MaxTotalSize {
			p.fault(s.Name, 1, "the files have more than %d MiB together: apply them in several parts", MaxTotalSize>>20)
			return nil, nil, p.problems
		}
	}
	for _, s := range sources {
		p.parse(s, func(doc document) {
			o, other, faults := decodeDocument(doc)
			p.add(faults...)
			switch {
			case other != nil:
				foreign = append(foreign, *other)
			case o == nil:
			case first[o.Key] != nil:
				at := first[o.Key].Origin
				p.fault(o.Origin.File, o.Origin.Line, "%s is declared twice, first at %s:%d: remove or rename one", o.Key, at.File, at.Line)
			default:
				first[o.Key] = o
				objects = append(objects, o)
			}
		})
	}
	return objects, foreign, p.problems.sorted()
}

// decodeDocument returns the object, or the foreign document, that doc holds.
func decodeDocument(doc document) (*Object, *Document, Problems) {
	d := decoder{file: doc.file, lines: map[string]int{}}
	if doc.root.Kind != yaml.MappingNode {
		d.fault(doc.root, "", "a document must be a mapping with apiVersion, kind, metadata and spec, not %s", describe(doc.root))
		return nil, nil, d.problems
	}
	api, kind := d.header(doc.root)
	switch {
	case len(d.problems) > 0:
		return nil, nil, d.problems
	case strings.HasPrefix(api, LabAPIPrefix), strings.HasPrefix(api, AuditAPIPrefix):
		return nil, &Document{File: doc.file, Line: doc.line, APIVersion: api, Kind: kind, root: doc.root}, nil
	case api != APIVersion:
		d.fault(child(doc.root, "apiVersion"), "apiVersion", "%q is not known: write %s", clip(api), APIVersion)
		return nil, nil, d.problems
	}
	o := newObject(Kind(kind))
	if o == nil {
		hint := didYouMean(kind, kindNames())
		if hint == "" {
			hint = ", write " + oneOf(Kinds)
		}
		d.fault(child(doc.root, "kind"), "", "unknown kind %q%s", clip(kind), hint)
		return nil, nil, d.problems
	}
	d.subject = subjectOf(kind, doc.root)
	d.decode(doc.root, reflect.ValueOf(o.body()).Elem(), "")
	o.finish()
	o.Origin = Origin{File: doc.file, Line: doc.line}
	o.lines = d.lines
	o.RuleLines = ruleLines(o)
	o.faulty = d.faulty
	if o.Key.Name == "" {
		return nil, nil, d.problems // the name was reported
	}
	return o, nil, d.problems
}

// header returns apiVersion and kind.
func (d *decoder) header(root *yaml.Node) (api, kind string) {
	for _, f := range []struct {
		name string
		to   *string
	}{{"apiVersion", &api}, {"kind", &kind}} {
		n := child(root, f.name)
		if n == nil {
			d.fault(root, f.name, "is missing: a document starts with apiVersion: %s and kind", APIVersion)
			continue
		}
		*f.to, _ = d.text(n, f.name)
	}
	return api, kind
}

// child returns the value of a key of a mapping, or nil.
func child(n *yaml.Node, key string) *yaml.Node {
	n = resolve(n)
	if n.Kind != yaml.MappingNode {
		return nil
	}
	for i := 0; i+1 < len(n.Content); i += 2 {
		if n.Content[i].Value == key {
			return resolve(n.Content[i+1])
		}
	}
	return nil
}

// subjectOf names a document in messages as well as its metadata allows: "Network acme/prod".
func subjectOf(kind string, root *yaml.Node) string {
	metadata := child(root, "metadata")
	if metadata == nil {
		return kind
	}
	k := Key{Kind: Kind(kind)}
	if n := child(metadata, "tenant"); n != nil && n.Kind == yaml.ScalarNode {
		k.Tenant = clip(n.Value)
	}
	if n := child(metadata, "name"); n != nil && n.Kind == yaml.ScalarNode {
		k.Name = clip(n.Value)
	}
	if k.Name == "" {
		return kind
	}
	return k.String()
}

// lineOf returns the line of the innermost written field around path.
func lineOf(lines map[string]int, path string, fallback int) int {
	for path != "" {
		if line, ok := lines[path]; ok {
			return line
		}
		path = path[:max(strings.LastIndexAny(path, ".["), 0)]
	}
	return fallback
}

func ruleLines(o *Object) RuleLines {
	ingress, egress := o.rules()
	lines := func(direction string, n int) []int {
		var out []int
		for i := range n {
			out = append(out, lineOf(o.lines, fmt.Sprintf("spec.%s[%d]", direction, i), o.Origin.Line))
		}
		return out
	}
	return RuleLines{Ingress: lines("ingress", len(ingress)), Egress: lines("egress", len(egress))}
}

func kindNames() []string {
	names := make([]string, len(Kinds))
	for i, k := range Kinds {
		names[i] = string(k)
	}
	return names
}
