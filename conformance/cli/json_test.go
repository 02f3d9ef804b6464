package cli

import (
	"bytes"
	"encoding/json"
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"
)

// stdoutJSON checks one place of the last output. With a value, what stands
// there must be it; with -m it must match a regular expression; alone, it must
// be there. A leading ! turns each around.
//
//	stdout-json Role.RoleName app
//	stdout-json Roles[0].Tags[*].Key env team
//	stdout-json length(Roles) 3
//	! stdout-json Role.PermissionsBoundary
func stdoutJSON(ts *testscript.TestScript, neg bool, args []string) {
	match := len(args) > 0 && args[0] == "-m"
	if match {
		args = args[1:]
	}
	if len(args) == 0 || match && len(args) != 2 {
		ts.Fatalf("usage: stdout-json PATH [VALUE...] or stdout-json -m PATH REGEXP")
	}
	text := ts.ReadFile("stdout")
	got, ok, err := at(text, args[0])
	ts.Check(err)
	want := strings.Join(args[1:], " ")
	fine := ok
	switch {
	case match:
		re, err := regexp.Compile(want)
		ts.Check(err)
		fine = ok && re.MatchString(got)
	case len(args) > 1:
		fine = ok && got == want
	}
	if fine == neg {
		if !ok {
			got = "nothing"
		}
		ts.Fatalf("%s is %s in\n%s", args[0], got, text)
	}
}

// capture keeps what stands at a path of the last output as a variable.
func capture(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: capture NAME PATH")
	}
	got, ok, err := at(ts.ReadFile("stdout"), args[1])
	ts.Check(err)
	if !ok {
		ts.Fatalf("no %s in\n%s", args[1], ts.ReadFile("stdout"))
	}
	ts.Setenv(args[0], got)
}

// captureLine keeps the last output, which must be one line, as a variable.
func captureLine(ts *testscript.TestScript, neg bool, args []string) {
	line := strings.TrimSuffix(ts.ReadFile("stdout"), "\n")
	if neg || len(args) != 1 || line == "" || strings.Contains(line, "\n") {
		ts.Fatalf("usage: capture-line NAME, after one line of output")
	}
	ts.Setenv(args[0], line)
}

// writeJSON writes a string that stands in the last output to a file.
func writeJSON(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: write-json FILE PATH")
	}
	got, _, err := at(ts.ReadFile("stdout"), args[1])
	ts.Check(err)
	ts.Check(writeFile(ts.MkAbs(args[0]), []byte(got)))
}

// at finds a path in a JSON text: names with dots between them, [N] for an
// element, [*] for each. A name that holds a dot is written in quotes.
// length(PATH) is how many elements a list has. Strings, numbers and booleans
// read as themselves, several with a space between them, everything else as
// compact JSON.
func at(text, path string) (string, bool, error) {
	path, count := strings.CutPrefix(path, "length(")
	if count {
		path = strings.TrimSuffix(path, ")")
	}
	dec := json.NewDecoder(strings.NewReader(text))
	dec.UseNumber()
	var v any
	if err := dec.Decode(&v); err != nil {
		return "", false, fmt.Errorf("the output is not JSON: %w\n%s", err, text)
	}
	steps, err := parsePath(path)
	if err != nil {
		return "", false, err
	}
	found := []any{v}
	for _, step := range steps {
		var next []any
		for _, v := range found {
			next = append(next, step.from(v)...)
		}
		found = next
	}
	if count {
		if len(found) != 1 {
			return "", false, nil
		}
		list, ok := found[0].([]any)
		return strconv.Itoa(len(list)), ok, nil
	}
	words := make([]string, len(found))
	for i, v := range found {
		if words[i], err = word(v); err != nil {
			return "", false, err
		}
	}
	return strings.Join(words, " "), len(found) > 0, nil
}

func word(v any) (string, error) {
	switch v := v.(type) {
	case string:
		return v, nil
	case json.Number:
		return v.String(), nil
	}
	b, err := json.Marshal(v)
	return string(b), err
}

// step is one step of a path: a name, or something in brackets.
type step struct {
	name    string
	bracket bool
}

var pathStep = regexp.MustCompile(`^(?:\.?"([^"]+)"|\.?([^.\[\]"]+)|\[([0-9]+|\*)\])`)

func parsePath(path string) ([]step, error) {
	var steps []step
	for rest := path; rest != ""; {
		m := pathStep.FindStringSubmatch(rest)
		if m == nil {
			return nil, fmt.Errorf("path %q: cannot read %q", path, rest)
		}
		steps = append(steps, step{m[1] + m[2] + m[3], m[3] != ""})
		rest = rest[len(m[0]):]
	}
	return steps, nil
}

func (s step) from(v any) []any {
	if !s.bracket {
		m, _ := v.(map[string]any)
		if got, ok := m[s.name]; ok && got != nil {
			return []any{got}
		}
		return nil
	}
	list, ok := v.([]any)
	switch {
	case !ok:
		return nil
	case s.name == "*":
		return list
	}
	if i, err := strconv.Atoi(s.name); err == nil && i < len(list) {
		return list[i : i+1]
	}
	return nil
}

// indent writes a JSON text with sorted keys.
func indent(ts *testscript.TestScript, text string) string {
	dec := json.NewDecoder(strings.NewReader(text))
	dec.UseNumber()
	var v any
	ts.Check(dec.Decode(&v))
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", "  ")
	ts.Check(enc.Encode(v))
	return b.String()
}

func TestAt(t *testing.T) {
	const text = `{"Role": {"Name": "app", "Max": 3600, "Tags": [{"Key": "a.b"}, {"Key": "c"}], "Nothing": null}, "a.b": true}`
	for path, want := range map[string]string{
		"Role.Name":         "app",
		"Role.Max":          "3600",
		"length(Role.Tags)": "2",
		"Role.Tags[*].Key":  "a.b c",
		"Role.Tags[1].Key":  "c",
		"Role.Tags[1]":      `{"Key":"c"}`,
		`"a.b"`:             "true",
		"Role.Nothing":      "",
		"Role.Tags[2]":      "",
		"Role[0]":           "",
	} {
		got, ok, err := at(text, path)
		if err != nil || got != want || ok != (want != "") {
			t.Errorf("at %s: %q, %v, %v, want %q", path, got, ok, err, want)
		}
	}
	if _, _, err := at(text, "Role.[x]"); err == nil {
		t.Error("a path that cannot be read is no error")
	}
}
