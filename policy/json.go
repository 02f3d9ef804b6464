package policy

import (
	"fmt"
	"strings"
	"unicode/utf16"
	"unicode/utf8"
)

// A policy document is read by a parser of its own because encoding/json keeps
// neither positions, which explanations and simulations show, nor repeated
// keys, of which all but the last would silently be lost: a Deny, perhaps.

type nodeKind uint8

const (
	nullNode nodeKind = iota
	boolNode
	numberNode
	stringNode
	arrayNode
	objectNode
)

// node is a JSON value and where it stands.
type node struct {
	kind       nodeKind
	text       string // of a string, unquoted; of a number or boolean, as written
	items      []node // of an array
	members    []member
	start, end int // bytes from the beginning of the text
}

// member is a key and its value.
type member struct {
	key   string
	at    int
	value node
}

// get is the first member of that name, nil if there is none.
func (n *node) get(key string) *node {
	for i := range n.members {
		if n.members[i].key == key {
			return &n.members[i].value
		}
	}
	return nil
}

// repeated is a key that the object has twice, "" if none.
func (n *node) repeated() string {
	if len(n.members) > 8 {
		seen := make(map[string]bool, len(n.members))
		for i := range n.members {
			if key := n.members[i].key; seen[key] {
				return key
			}
			seen[n.members[i].key] = true
		}
		return ""
	}
	for i := range n.members {
		for j := range i {
			if n.members[i].key == n.members[j].key {
				return n.members[i].key
			}
		}
	}
	return ""
}

// maxDepth bounds nesting. The policy language needs six levels.
const maxDepth = 32

type jsonError struct {
	at   int
	text string
}

func (e *jsonError) Error() string { return e.text }

type jsonParser struct {
	text []byte
	pos  int
}

// parseJSON reads one JSON value that fills the text.
func parseJSON(text []byte) (n node, err *jsonError) {
	p := &jsonParser{text: text}
	if n, err = p.value(0); err != nil {
		return node{}, err
	}
	p.space()
	if p.pos < len(text) {
		return node{}, p.fail("unexpected text after the document")
	}
	return n, nil
}

func (p *jsonParser) fail(format string, args ...any) *jsonError {
	return &jsonError{p.pos, fmt.Sprintf(format, args...)}
}

func (p *jsonParser) space() {
	for p.pos < len(p.text) && strings.IndexByte(" \t\r\n", p.text[p.pos]) >= 0 {
		p.pos++
	}
}

// eat takes the byte c if it is next.
func (p *jsonParser) eat(c byte) bool {
	if p.pos < len(p.text) && p.text[p.pos] == c {
		p.pos++
		return true
	}
	return false
}

func (p *jsonParser) value(depth int) (node, *jsonError) {
	if depth > maxDepth {
		return node{}, p.fail("nested more than %d levels deep", maxDepth)
	}
	p.space()
	if p.pos == len(p.text) {
		return node{}, p.fail("unexpected end of the document")
	}
	n := node{start: p.pos}
	var err *jsonError
	switch c := p.text[p.pos]; {
	case c == '{':
		n.kind = objectNode
		n.members, err = p.object(depth)
	case c == '[':
		n.kind = arrayNode
		n.items, err = p.array(depth)
	case c == '"':
		n.kind = stringNode
		n.text, err = p.string()
	case c == '-' || c >= '0' && c <= '9':
		n.kind = numberNode
		n.text, err = p.number()
	default:
		for _, word := range [...]struct {
			text string
			kind nodeKind
		}{{"true", boolNode}, {"false", boolNode}, {"null", nullNode}} {
			if strings.HasPrefix(string(p.text[p.pos:min(p.pos+5, len(p.text))]), word.text) {
				n.kind, n.text = word.kind, word.text
				p.pos += len(word.text)
				n.end = p.pos
				return n, nil
			}
		}
		return node{}, p.fail("unexpected character %q", rune(c))
	}
	n.end = p.pos
	return n, err
}

func (p *jsonParser) object(depth int) ([]member, *jsonError) {
	p.pos++
	var members []member
	p.space()
	if p.eat('}') {
		return nil, nil
	}
	for {
		p.space()
		at := p.pos
		if p.pos == len(p.text) || p.text[p.pos] != '"' {
			return nil, p.fail("expected a key in double quotes")
		}
		key, err := p.string()
		if err != nil {
			return nil, err
		}
		p.space()
		if !p.eat(':') {
			return nil, p.fail("expected a colon after the key %q", key)
		}
		v, err := p.value(depth + 1)
		if err != nil {
			return nil, err
		}
		members = append(members, member{key, at, v})
		p.space()
		if p.eat('}') {
			return members, nil
		}
		if !p.eat(',') {
			return nil, p.fail("expected a comma or a closing brace")
		}
	}
}

func (p *jsonParser) array(depth int) ([]node, *jsonError) {
	p.pos++
	var items []node
	p.space()
	if p.eat(']') {
		return nil, nil
	}
	for {
		v, err := p.value(depth + 1)
		if err != nil {
			return nil, err
		}
		items = append(items, v)
		p.space()
		if p.eat(']') {
			return items, nil
		}
		if !p.eat(',') {
			return nil, p.fail("expected a comma or a closing bracket")
		}
	}
}

func (p *jsonParser) number() (string, *jsonError) {
	start := p.pos
	digits := func() bool {
		from := p.pos
		for p.pos < len(p.text) && p.text[p.pos] >= '0' && p.text[p.pos] <= '9' {
			p.pos++
		}
		return p.pos > from
	}
	p.eat('-')
	if !p.eat('0') && !digits() {
		return "", p.fail("malformed number")
	}
	if p.eat('.') && !digits() {
		return "", p.fail("malformed number")
	}
	if p.eat('e') || p.eat('E') {
		if !p.eat('+') {
			p.eat('-')
		}
		if !digits() {
			return "", p.fail("malformed number")
		}
	}
	return string(p.text[start:p.pos]), nil
}

func (p *jsonParser) string() (string, *jsonError) {
	p.pos++
	start := p.pos
	var b []byte // set at the first escape
	for p.pos < len(p.text) {
		switch c := p.text[p.pos]; {
		case c == '"':
			s := string(b)
			if b == nil {
				s = string(p.text[start:p.pos])
			}
			if !utf8.ValidString(s) {
				return "", p.fail("a string is not UTF-8")
			}
			p.pos++
			return s, nil
		case c < ' ':
			return "", p.fail("a control character in a string")
		case c == '\\':
			if b == nil {
				b = append(make([]byte, 0, p.pos-start+16), p.text[start:p.pos]...)
			}
			p.pos++
			r, err := p.escape()
			if err != nil {
				return "", err
			}
			b = utf8.AppendRune(b, r)
		default:
			if b != nil {
				b = append(b, c)
			}
			p.pos++
		}
	}
	return "", p.fail("a string without end")
}

// escape reads what follows a backslash.
func (p *jsonParser) escape() (rune, *jsonError) {
	if p.pos == len(p.text) {
		return 0, p.fail("a string without end")
	}
	c := p.text[p.pos]
	p.pos++
	if i := strings.IndexByte(`"\/bfnrt`, c); i >= 0 {
		return rune("\"\\/\b\f\n\r\t"[i]), nil
	}
	if c != 'u' {
		return 0, p.fail("unknown escape \\%c", c)
	}
	r, ok := p.hex4()
	if !ok {
		return 0, p.fail("malformed \\u escape")
	}
	if utf16.IsSurrogate(r) {
		if p.pos+1 < len(p.text) && p.text[p.pos] == '\\' && p.text[p.pos+1] == 'u' {
			p.pos += 2
			if low, ok := p.hex4(); ok {
				if full := utf16.DecodeRune(r, low); full != utf8.RuneError {
					return full, nil
				}
			}
		}
		return 0, p.fail("half a surrogate pair")
	}
	return r, nil
}

func (p *jsonParser) hex4() (rune, bool) {
	if p.pos+4 > len(p.text) {
		return 0, false
	}
	var r rune
	for _, c := range p.text[p.pos : p.pos+4] {
		switch {
		case c >= '0' && c <= '9':
			r = r<<4 | rune(c-'0')
		case c >= 'a' && c <= 'f':
			r = r<<4 | rune(c-'a'+10)
		case c >= 'A' && c <= 'F':
			r = r<<4 | rune(c-'A'+10)
		default:
			return 0, false
		}
	}
	p.pos += 4
	return r, true
}

// lines finds the line and column of offsets in a text.
type lines []int // where each line begins

func newLines(text []byte) lines {
	l := lines{0}
	for i, c := range text {
		if c == '\n' {
			l = append(l, i+1)
		}
	}
	return l
}

func (l lines) position(offset int) Position {
	lo, hi := 0, len(l)
	for hi-lo > 1 {
		if mid := (lo + hi) / 2; l[mid] <= offset {
			lo = mid
		} else {
			hi = mid
		}
	}
	return Position{Offset: offset, Line: lo + 1, Column: offset - l[lo] + 1}
}
