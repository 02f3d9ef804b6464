package organization

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
)

// maxDepth bounds how deep the file may nest. Organizational units and policy
// documents together need less than half of it.
const maxDepth = 64

// node is a JSON value that knows where it stands: what is wrong in the file is
// said with its place. encoding/json alone keeps no places, and takes the last
// of two members with one name.
type node struct {
	start, end int    // bytes of the text
	kind       byte   // '{', '[', '"', or 'x' for what the file has no use for
	text       string // of a string
	members    []member
	items      []node
}

type member struct {
	name  string
	at    int
	value node
}

// what names the kind of a node for people.
func (n *node) what() string {
	switch n.kind {
	case '{':
		return "an object"
	case '[':
		return "an array"
	case '"':
		return "a string"
	}
	return "a number, true, false or null"
}

// fault is something wrong at a place of a text.
type fault struct {
	at     int
	path   string // of the member, "organization.root.accounts[0]"
	reason string
}

func (f *fault) Error() string { return f.reason }

func faultAt(at int, path, format string, args ...any) *fault {
	return &fault{at, path, fmt.Sprintf(format, args...)}
}

// parseNode reads a text that is one JSON value.
func parseNode(text []byte) (*node, *fault) {
	r := &reader{text: text, dec: json.NewDecoder(bytes.NewReader(text))}
	r.dec.UseNumber()
	n, err := r.value(0)
	if err != nil {
		return nil, err
	}
	if _, terr := r.dec.Token(); !errors.Is(terr, io.EOF) {
		return nil, faultAt(r.skip(), "", "something follows the JSON object")
	}
	return n, nil
}

type reader struct {
	text []byte
	dec  *json.Decoder
}

// skip is where the next token begins.
func (r *reader) skip() int {
	at := int(r.dec.InputOffset())
	for at < len(r.text) && strings.IndexByte(" \t\r\n:,", r.text[at]) >= 0 {
		at++
	}
	return at
}

func (r *reader) token() (json.Token, int, *fault) {
	at := r.skip()
	t, err := r.dec.Token()
	if err == nil {
		return t, at, nil
	}
	var syntax *json.SyntaxError
	switch {
	case errors.As(err, &syntax):
		// The decoder's offset is behind the token's first byte only where the
		// fault is inside the token.
		return nil, at, faultAt(max(at, min(int(syntax.Offset)-1, len(r.text))), "", "not JSON: %s", syntax)
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		return nil, at, faultAt(len(r.text), "", "not JSON: the text ends too early")
	}
	return nil, at, faultAt(at, "", "not JSON: %s", err)
}

func (r *reader) value(depth int) (*node, *fault) {
	t, at, err := r.token()
	if err != nil {
		return nil, err
	}
	n := &node{start: at, kind: 'x'}
	switch t := t.(type) {
	case string:
		n.kind, n.text = '"', t
	case json.Delim:
		if depth == maxDepth {
			return nil, faultAt(at, "", "nested more than %d deep", maxDepth)
		}
		n.kind = byte(t)
		if err := r.inside(n, depth+1); err != nil {
			return nil, err
		}
	}
	n.end = int(r.dec.InputOffset())
	return n, nil
}

// inside reads the members of an object or the items of an array, and the
// closing bracket.
func (r *reader) inside(n *node, depth int) *fault {
	seen := map[string]bool{}
	for r.dec.More() {
		var m member
		if n.kind == '{' {
			name, at, err := r.token()
			if err != nil {
				return err
			}
			m.name, m.at = name.(string), at // the decoder takes no other
			if seen[m.name] {
				return faultAt(at, "", "the member %q is repeated", m.name)
			}
			seen[m.name] = true
		}
		v, err := r.value(depth)
		if err != nil {
			return err
		}
		if n.kind == '{' {
			m.value = *v
			n.members = append(n.members, m)
		} else {
			n.items = append(n.items, *v)
		}
	}
	_, _, err := r.token()
	return err
}

// place turns a byte offset into line and column, both from 1.
func place(text []byte, at int) (line, column int) {
	before := text[:min(at, len(text))]
	return 1 + bytes.Count(before, []byte("\n")), len(before) - bytes.LastIndexByte(before, '\n')
}

// alone is a text in which all but n is blank, so that whatever reads n as a
// document finds it at the lines and columns of the file.
func (n *node) alone(text []byte) []byte {
	out := bytes.Clone(text[:n.end])
	for i := range out[:n.start] {
		if out[i] != '\n' {
			out[i] = ' '
		}
	}
	return out
}
