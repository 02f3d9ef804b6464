// SPDX-License-Identifier: Apache-2.0

package wire

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"math"
	"reflect"
	"strconv"
	"unicode/utf16"
	"unicode/utf8"

	"github.com/remit-ecs/remit/internal/api"
)

// decodeJSON fills v from a JSON document. Keys are case-sensitive, which
// encoding/json's are not, and types are not converted: AWS answers
// SerializationException to a number where a string belongs.
func decodeJSON(shapes []api.Shape, shape int, body []byte, v reflect.Value) *api.Error {
	d := jsonDecoder{b: body, shapes: shapes, left: maxMemory}
	d.space()
	if d.pos == len(d.b) { // clients may send nothing where there is nothing to say
		return nil
	}
	if err := d.structure(&shapes[shape], v); err != nil {
		return err
	}
	if d.space(); d.pos != len(d.b) {
		return d.syntax()
	}
	return nil
}

type jsonDecoder struct {
	b      []byte
	pos    int
	depth  int
	shapes []api.Shape
	left   budget
	text   []byte // where strings with escapes are put together
}

func (d *jsonDecoder) syntax() *api.Error {
	return api.Malformed("Could not parse the request body into json at offset " + strconv.Itoa(d.pos) + ".")
}

// space skips white space.
func (d *jsonDecoder) space() {
	for d.pos < len(d.b) {
		switch d.b[d.pos] {
		case ' ', '\t', '\n', '\r':
			d.pos++
		default:
			return
		}
	}
}

// peek returns the next byte that is not white space, 0 at the end.
func (d *jsonDecoder) peek() byte {
	d.space()
	if d.pos == len(d.b) {
		return 0
	}
	return d.b[d.pos]
}

func (d *jsonDecoder) word(w string) bool {
	if len(d.b)-d.pos >= len(w) && string(d.b[d.pos:d.pos+len(w)]) == w {
		d.pos += len(w)
		return true
	}
	return false
}

// enter and the closing of a list or object count nesting.
func (d *jsonDecoder) enter() *api.Error {
	d.pos++
	if d.depth++; d.depth > maxDepth {
		return errDeep
	}
	return nil
}

// object calls each for every key of the object at pos, which each must
// consume the value of. The key is only valid until the next string is read.
func (d *jsonDecoder) object(each func(key []byte) *api.Error) *api.Error {
	if err := d.enter(); err != nil {
		return err
	}
	if d.peek() == '}' {
		d.pos++
		d.depth--
		return nil
	}
	for {
		if d.peek() != '"' {
			return d.syntax()
		}
		key, err := d.str()
		if err != nil {
			return err
		}
		if d.peek() != ':' {
			return d.syntax()
		}
		d.pos++
		d.space()
		if err := each(key); err != nil {
			return err
		}
		switch d.peek() {
		case ',':
			d.pos++
		case '}':
			d.pos++
			d.depth--
			return nil
		default:
			return d.syntax()
		}
	}
}

// array calls each for every element of the list at pos.
func (d *jsonDecoder) array(each func() *api.Error) *api.Error {
	if err := d.enter(); err != nil {
		return err
	}
	if d.peek() == ']' {
		d.pos++
		d.depth--
		return nil
	}
	for {
		d.space()
		if err := each(); err != nil {
			return err
		}
		switch d.peek() {
		case ',':
			d.pos++
		case ']':
			d.pos++
			d.depth--
			return nil
		default:
			return d.syntax()
		}
	}
}

func (d *jsonDecoder) structure(s *api.Shape, v reflect.Value) *api.Error {
	if d.peek() != '{' {
		return d.mismatch(s)
	}
	next := 0 // clients write members mostly in the model's order
	return d.object(func(key []byte) *api.Error {
		i := memberIndex(s, key, next)
		if i < 0 {
			return d.skip()
		}
		next = i + 1
		f := v.Field(i)
		f.SetZero() // of a key that stands twice, the last one counts
		if d.word("null") {
			return nil
		}
		return d.value(&d.shapes[s.Members[i].Shape], f)
	})
}

// memberIndex finds a member by its name on the network, trying next first.
func memberIndex(s *api.Shape, name []byte, next int) int {
	if next < len(s.Members) && s.Members[next].WireName() == string(name) {
		return next
	}
	for i := range s.Members {
		if s.Members[i].WireName() == string(name) {
			return i
		}
	}
	return -1
}

// value reads a value that is not null into f, a member or an entry.
func (d *jsonDecoder) value(s *api.Shape, f reflect.Value) *api.Error {
	c := d.peek()
	switch s.Kind {
	case api.Structure:
		if f.Kind() == reflect.Pointer && !d.left.spend(f.Type().Elem().Size()) {
			return errLarge
		}
		return d.structure(s, target(f))
	case api.List:
		if c != '[' {
			return d.mismatch(s)
		}
		elem := &d.shapes[s.Elem]
		f.Set(reflect.MakeSlice(f.Type(), 0, 0))
		size := f.Type().Elem().Size()
		return d.array(func() *api.Error {
			if d.word("null") {
				return api.Malformed("A list must not contain null.")
			}
			if !d.left.spend(2 * size) { // a growing slice is copied
				return errLarge
			}
			return d.value(elem, appendZero(f))
		})
	case api.Map:
		if c != '{' {
			return d.mismatch(s)
		}
		elem := &d.shapes[s.Value]
		f.Set(reflect.MakeMap(f.Type()))
		entry := reflect.New(f.Type().Elem()).Elem()
		return d.object(func(key []byte) *api.Error {
			k := reflect.ValueOf(string(key))
			if !d.left.spend(2*(entry.Type().Size()+16) + uintptr(len(key))) {
				return errLarge
			}
			if d.word("null") {
				return nil
			}
			entry.SetZero()
			if err := d.value(elem, entry); err != nil {
				return err
			}
			f.SetMapIndex(k, entry)
			return nil
		})
	case api.Document:
		start := d.pos
		if err := d.skip(); err != nil {
			return err
		}
		raw := d.b[start:d.pos]
		if !d.left.spend(uintptr(len(raw)) * 24) { // an empty object is a map in an interface
			return errLarge
		}
		var doc any
		if json.Unmarshal(raw, &doc) != nil {
			return d.syntax()
		}
		f.Set(reflect.ValueOf(doc))
		return nil
	case api.String:
		if c != '"' {
			return d.mismatch(s)
		}
		text, err := d.str()
		if err != nil {
			return err
		}
		target(f).SetString(string(text))
		return nil
	case api.Blob:
		if c != '"' {
			return d.mismatch(s)
		}
		text, err := d.str()
		if err != nil {
			return err
		}
		blob := make([]byte, base64.StdEncoding.DecodedLen(len(text)))
		n, derr := base64.StdEncoding.Decode(blob, text)
		if derr != nil || f.Kind() != reflect.Slice {
			return api.Malformed("A blob must be base64.")
		}
		f.SetBytes(blob[:n])
		return nil
	case api.Boolean:
		b := d.word("true")
		if !b && !d.word("false") {
			return d.mismatch(s)
		}
		target(f).SetBool(b)
		return nil
	case api.Integer, api.Long, api.Float, api.Double, api.Timestamp:
		return d.number(s, f, c)
	}
	return d.mismatch(s)
}

// appendZero grows a slice by one and returns its new element.
func appendZero(f reflect.Value) reflect.Value {
	n := f.Len()
	f.Grow(1)
	f.SetLen(n + 1)
	e := f.Index(n)
	e.SetZero()
	return e
}

// number reads numbers and timestamps.
func (d *jsonDecoder) number(s *api.Shape, f reflect.Value, c byte) *api.Error {
	var text []byte
	switch {
	case c == '"' && (s.Kind == api.Timestamp || s.Kind == api.Float || s.Kind == api.Double):
		t, err := d.str()
		if err != nil {
			return err
		}
		text = t
	case c == '-' || c >= '0' && c <= '9':
		start := d.pos
		if !d.skipNumber() {
			return d.syntax()
		}
		text = d.b[start:d.pos]
	default:
		return d.mismatch(s)
	}
	return setNumber(s, f, string(text))
}

// setNumber stores a number or timestamp written as text.
func setNumber(s *api.Shape, f reflect.Value, text string) *api.Error {
	bad := func() *api.Error {
		if len(text) > 64 {
			text = text[:64]
		}
		return api.Malformed("'" + text + "' can not be converted to " + article(s.Kind) + ".")
	}
	switch s.Kind {
	case api.Timestamp:
		t, err := api.ParseTime(text)
		if err != nil {
			return bad()
		}
		target(f).Set(reflect.ValueOf(t))
	case api.Integer, api.Long:
		bits := 32
		if s.Kind == api.Long {
			bits = 64
		}
		n, err := strconv.ParseInt(text, 10, bits)
		if err != nil { // 1e3 and 2.0 are whole numbers too
			x, ferr := strconv.ParseFloat(text, 64)
			if ferr != nil || x != math.Trunc(x) || math.Abs(x) > 1<<53 || bits == 32 && math.Abs(x) > math.MaxInt32 {
				return bad()
			}
			n = int64(x)
		}
		target(f).SetInt(n)
	default:
		x, err := strconv.ParseFloat(text, 64)
		if err != nil || (math.IsNaN(x) || math.IsInf(x, 0)) && text != "NaN" && text != "Infinity" && text != "-Infinity" {
			return bad()
		}
		target(f).SetFloat(x)
	}
	return nil
}

func article(k api.Kind) string {
	switch k {
	case api.String:
		return "a String"
	case api.Integer:
		return "an Integer"
	case api.Long:
		return "a Long"
	case api.Float, api.Double:
		return "a Double"
	case api.Boolean:
		return "a Boolean"
	case api.Timestamp:
		return "a Timestamp"
	case api.Blob:
		return "a Blob"
	}
	return "a " + k.String()
}

// mismatch words a value of the wrong type, or a broken document.
func (d *jsonDecoder) mismatch(s *api.Shape) *api.Error {
	kind := ""
	switch c := d.peek(); {
	case c == '{' || c == '[':
		if s.Kind == api.List {
			return api.Malformed("Expected list or null")
		}
		if c == '{' {
			return api.Malformed("Start of structure or map found where not expected.")
		}
		return api.Malformed("Start of list found where not expected.")
	case c == '"':
		kind = "STRING_VALUE"
	case c == '-' || c >= '0' && c <= '9':
		kind = "NUMBER_VALUE"
	case d.word("true"):
		kind = "TRUE_VALUE"
	case d.word("false"):
		kind = "FALSE_VALUE"
	case d.word("null"):
		kind = "NULL_VALUE"
	default:
		return d.syntax()
	}
	switch s.Kind {
	case api.List:
		return api.Malformed("Expected list or null")
	case api.Structure, api.Map:
		return api.Malformed("Unexpected field type")
	}
	return api.Malformed(kind + " can not be converted to " + article(s.Kind))
}

// skip passes over any value.
func (d *jsonDecoder) skip() *api.Error {
	switch c := d.peek(); {
	case c == '{':
		return d.object(func([]byte) *api.Error { return d.skip() })
	case c == '[':
		return d.array(d.skip)
	case c == '"':
		_, err := d.str()
		return err
	case c == '-' || c >= '0' && c <= '9':
		if d.skipNumber() {
			return nil
		}
	case d.word("true"), d.word("false"), d.word("null"):
		return nil
	}
	return d.syntax()
}

// skipNumber passes over a number as JSON writes them.
func (d *jsonDecoder) skipNumber() bool {
	digits := func() bool {
		start := d.pos
		for d.pos < len(d.b) && d.b[d.pos] >= '0' && d.b[d.pos] <= '9' {
			d.pos++
		}
		return d.pos > start
	}
	if d.b[d.pos] == '-' {
		d.pos++
	}
	start := d.pos
	if !digits() || d.b[start] == '0' && d.pos > start+1 {
		return false
	}
	if d.pos < len(d.b) && d.b[d.pos] == '.' {
		d.pos++
		if !digits() {
			return false
		}
	}
	if d.pos < len(d.b) && (d.b[d.pos] == 'e' || d.b[d.pos] == 'E') {
		d.pos++
		if d.pos < len(d.b) && (d.b[d.pos] == '+' || d.b[d.pos] == '-') {
			d.pos++
		}
		if !digits() {
			return false
		}
	}
	return true
}

// str reads the string at pos. The result is valid until the next call.
func (d *jsonDecoder) str() ([]byte, *api.Error) {
	d.pos++
	rest := d.b[d.pos:]
	end := bytes.IndexByte(rest, '"')
	if end < 0 {
		return nil, d.syntax()
	}
	plain := true
	for _, c := range rest[:end] {
		if c == '\\' || c < ' ' || c >= utf8.RuneSelf {
			plain = false
			break
		}
	}
	if plain {
		d.pos += end + 1
		return rest[:end], nil
	}
	out := d.text[:0]
	defer func() { d.text = out[:0] }()
	for d.pos < len(d.b) {
		switch c := d.b[d.pos]; {
		case c == '"':
			d.pos++
			return out, nil
		case c < ' ':
			return nil, d.syntax()
		case c == '\\':
			var ok bool
			if out, ok = d.escape(out); !ok {
				return nil, d.syntax()
			}
		case c < utf8.RuneSelf:
			out = append(out, c)
			d.pos++
		default:
			r, n := utf8.DecodeRune(d.b[d.pos:])
			if r == utf8.RuneError && n <= 1 {
				return nil, d.syntax()
			}
			out = append(out, d.b[d.pos:d.pos+n]...)
			d.pos += n
		}
	}
	return nil, d.syntax()
}

var escapes = [256]byte{'"': '"', '\\': '\\', '/': '/', 'b': '\b', 'f': '\f', 'n': '\n', 'r': '\r', 't': '\t'}

// escape appends what the escape sequence at pos stands for.
func (d *jsonDecoder) escape(out []byte) ([]byte, bool) {
	if d.pos+1 >= len(d.b) {
		return out, false
	}
	c := d.b[d.pos+1]
	if c != 'u' {
		d.pos += 2
		return append(out, escapes[c]), escapes[c] != 0
	}
	r, ok := d.hex(d.pos + 2)
	if !ok {
		return out, false
	}
	d.pos += 6
	if utf16.IsSurrogate(r) {
		pair := rune(utf8.RuneError)
		if d.pos+1 < len(d.b) && d.b[d.pos] == '\\' && d.b[d.pos+1] == 'u' {
			if low, ok := d.hex(d.pos + 2); ok {
				if pair = utf16.DecodeRune(r, low); pair != utf8.RuneError {
					d.pos += 6
				}
			}
		}
		r = pair
	}
	return utf8.AppendRune(out, r), true
}

func (d *jsonDecoder) hex(at int) (rune, bool) {
	if at+4 > len(d.b) {
		return 0, false
	}
	n := rune(0)
	for _, c := range d.b[at : at+4] {
		switch {
		case c >= '0' && c <= '9':
			c -= '0'
		case c >= 'a' && c <= 'f':
			c -= 'a' - 10
		case c >= 'A' && c <= 'F':
			c -= 'A' - 10
		default:
			return 0, false
		}
		n = n<<4 | rune(c)
	}
	return n, true
}
