package output_test

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.yaml.in/yaml/v3"
	"google.golang.org/protobuf/types/known/timestamppb"
	"pgregory.net/rapid"

	"github.com/weftfabric/weft/cli/output"
	weftv1 "github.com/weftfabric/weft/wire/weftpb/weft/v1"
)

func TestYAML(t *testing.T) {
	tests := []struct{ name, json, want string }{
		{"order is kept", `{"b":1,"a":2}`, "b: 1\na: 2\n"},
		{"texts that look like others", `{"a":"true","b":"1","c":"","d":"null","e":"1e3"}`, "a: \"true\"\nb: \"1\"\nc: \"\"\nd: \"null\"\ne: \"1e3\"\n"},
		{"numbers", `[1,-2,1.5,1e3,18446744073709551615]`, "- 1\n- -2\n- 1.5\n- 1e3\n- 18446744073709551615\n"},
		{"nothing", `{"a":[],"b":{},"c":null}`, "a: []\nb: {}\nc: null\n"},
		{"nested", `{"a":[{"b":[true,false]}]}`, "a:\n  - b:\n      - true\n      - false\n"},
		{"lines", `{"a":"x\ny\n"}`, "a: |\n  x\n  y\n"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var b strings.Builder
			if err := output.WriteDocument(&b, output.YAML, output.Document(tt.json)); err != nil {
				t.Fatal(err)
			}
			if b.String() != tt.want {
				t.Errorf("got\n%swant\n%s", b.String(), tt.want)
			}
		})
	}
}

// What YAML shows is what JSON holds, for any value.
func TestYAMLMeansJSON(t *testing.T) {
	value := rapid.Custom(func(t *rapid.T) any { return anyValue(t, 3) })
	rapid.Check(t, func(t *rapid.T) {
		want := map[string]any{"v": value.Draw(t, "value")}
		d, err := output.Marshal(want)
		if err != nil {
			t.Fatal(err)
		}
		var b strings.Builder
		if err := output.WriteDocument(&b, output.YAML, d); err != nil {
			t.Fatal(err)
		}
		var got map[string]any
		if err := yaml.Unmarshal([]byte(b.String()), &got); err != nil {
			t.Fatalf("%v in\n%s", err, b.String())
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s\nin\n%s", diff, b.String())
		}
	})
}

func anyValue(t *rapid.T, depth int) any {
	switch kind := rapid.IntRange(0, 5).Draw(t, "kind"); {
	case kind == 0:
		return rapid.Int().Draw(t, "int")
	case kind == 1:
		return rapid.Bool().Draw(t, "bool")
	case kind == 2 && depth > 0:
		list := []any{}
		for range rapid.IntRange(0, 3).Draw(t, "length") {
			list = append(list, anyValue(t, depth-1))
		}
		return list
	case kind == 3 && depth > 0:
		m := map[string]any{}
		for range rapid.IntRange(0, 3).Draw(t, "length") {
			m[printable(t)] = anyValue(t, depth-1)
		}
		return m
	}
	return printable(t)
}

// printable draws a text of what declarations hold: any runes but those that YAML can't hold.
func printable(t *rapid.T) string {
	return rapid.StringOfN(rapid.RuneFrom([]rune(" -:#'\"{}[]&*!|>%@`,?~\\/.0123456789abcnotruefalsyxeé世🙂\t\n")), 0, 12, -1).Draw(t, "text")
}

func TestFromMessage(t *testing.T) {
	tests := []struct {
		name string
		in   output.Message
		want string
	}{
		{"empty fields are shown", &weftv1.ApplyResponse{}, `{"revision":0,"changes":[],"problems":[],"applied":false}`},
		{"big numbers are numbers", &weftv1.ApplyResponse{Revision: 1 << 60}, `{"revision":1152921504606846976,"changes":[],"problems":[],"applied":false}`},
		{"enums are words", &weftv1.Problem{Severity: weftv1.Problem_SEVERITY_WARNING, Message: "<a> & b"}, `{"severity":"warning","file":"","line":0,"message":"<a> & b"}`},
		{"an enum's unknown value", &weftv1.Problem{Severity: 9}, `{"severity":"9","file":"","line":0,"message":""}`},
		{"times", &weftv1.TokenInfo{Id: "a", Expires: timestamppb.New(time.Unix(0, 0))}, `{"id":"a","node":"","expires":"1970-01-01T00:00:00Z"}`},
		{"absent messages", &weftv1.TokenInfo{}, `{"id":"","node":"","expires":null}`},
		{"maps in order", &weftv1.Attachment{Labels: map[string]string{"b": "2", "a": "1"}}, `{"interface":"","network":"","port":"","workload":"","mac":"","addresses":[],"identity":0,"labels":{"a":"1","b":"2"}}`},
		{"objects are embedded", &weftv1.Object{Json: []byte(`{"kind": "Tenant"}`)}, `{"key":null,"json":{"kind":"Tenant"},"revision":0,"file":"","line":0,"applySet":"","enforcement":null}`},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got, err := output.FromMessage(tt.in)
			if err != nil {
				t.Fatal(err)
			}
			if string(got) != tt.want {
				t.Errorf("got  %s\nwant %s", got, tt.want)
			}
		})
	}
}

func TestGrid(t *testing.T) {
	g := output.Grid{Header: []string{"NAME", "STATE"}}
	g.Add(output.C("é"), output.Cell{Text: "connected", Colour: output.Good})
	g.Add(output.C("longer"), output.C(""))
	tests := []struct {
		name  string
		style output.Style
		want  string
	}{
		{"plain", output.Style{}, "NAME     STATE\né        connected\nlonger   -\n"},
		{"colours don't move columns", output.Style{Colours: true}, "\x1b[1mNAME\x1b[0m     \x1b[1mSTATE\x1b[0m\né        \x1b[32mconnected\x1b[0m\nlonger   -\n"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var b strings.Builder
			if err := g.Write(&b, tt.style); err != nil {
				t.Fatal(err)
			}
			if b.String() != tt.want {
				t.Errorf("got\n%swant\n%s", b.String(), tt.want)
			}
		})
	}
}
