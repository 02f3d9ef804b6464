// SPDX-License-Identifier: Apache-2.0

package wire

import (
	"encoding/base64"
	"mime"
	"net/http"
	"net/url"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/remit-ecs/remit/internal/api"
)

// maxParameters bounds the number of pairs in a form.
const maxParameters = 100_000

// isForm reports whether the body of a request is a form.
func isForm(h http.Header) bool {
	switch h.Get("Content-Type") {
	case "application/x-www-form-urlencoded", "application/x-www-form-urlencoded; charset=utf-8":
		return true // as every SDK writes it
	}
	t, _, _ := mime.ParseMediaType(h.Get("Content-Type"))
	return t == "application/x-www-form-urlencoded"
}

// formOf returns the parameters of a Query request: those of the query string
// and those of the body. A parameter that stands in both is refused, since
// whoever looked at only one of them was looking at another request.
func formOf(r *http.Request, body []byte) (form, *api.Error) {
	f, err := parseForm(r.URL.RawQuery)
	if err != nil {
		return nil, err
	}
	if r.Method != http.MethodPost || !isForm(r.Header) {
		return f, nil
	}
	inBody, err := parseForm(string(body))
	if err != nil {
		return nil, err
	}
	if len(f) == 0 {
		return inBody, nil
	}
	f = append(f, inBody...)
	if k, ok := f.twice(); ok {
		return nil, api.Malformed("The parameter " + clip(k) + " stands in the query string and in the body.")
	}
	return f, nil
}

// form holds parameters in the order in which they came, each name once.
type form []parameter

type parameter struct{ name, value string }

// get returns the value of a parameter, "" where it is not there.
func (f form) get(name string) string {
	for i := range f {
		if f[i].name == name {
			return f[i].value
		}
	}
	return ""
}

// twice returns a name that stands more than once.
func (f form) twice() (string, bool) {
	const few = 16
	if len(f) > few {
		seen := make(map[string]struct{}, len(f))
		for i := range f {
			if _, ok := seen[f[i].name]; ok {
				return f[i].name, true
			}
			seen[f[i].name] = struct{}{}
		}
		return "", false
	}
	for i := range f {
		for j := range i {
			if f[i].name == f[j].name {
				return f[i].name, true
			}
		}
	}
	return "", false
}

// parseForm reads what url.ParseQuery does, without its map of lists.
func parseForm(raw string) (form, *api.Error) {
	if raw == "" {
		return nil, nil
	}
	n := strings.Count(raw, "&")
	if n >= maxParameters {
		return nil, errLarge
	}
	f := make(form, 0, n+1)
	for pair := range strings.SplitSeq(raw, "&") {
		if pair == "" {
			continue
		}
		k, v, _ := strings.Cut(pair, "=")
		name, err := url.QueryUnescape(k)
		value, verr := url.QueryUnescape(v)
		if err != nil || verr != nil || strings.Contains(pair, ";") {
			return nil, api.Malformed("The parameters are not correctly URL-encoded.")
		}
		f = append(f, parameter{name, value})
	}
	if k, ok := f.twice(); ok {
		return nil, api.Malformed("The parameter " + clip(k) + " stands more than once.")
	}
	for i := range f {
		if !utf8.ValidString(f[i].name) || !utf8.ValidString(f[i].value) {
			return nil, api.Malformed("The parameters are not UTF-8.")
		}
	}
	return f, nil
}

// clip shortens what a caller sent so that it can stand in a message.
func clip(s string) string {
	if len(s) > 128 {
		return strings.ToValidUTF8(s[:128], "") + "..."
	}
	return s
}

// node is a parameter name taken apart at its dots: Tags.member.1.Key.
type node struct {
	value string
	set   bool // value was sent
	kids  map[string]*node
}

func decodeQuery(shapes []api.Shape, shape int, r Request, v reflect.Value) *api.Error {
	s := &shapes[shape]
	f, err := formOf(r.HTTP, r.Body)
	if err != nil || len(s.Members) == 0 {
		return err
	}
	root := &node{}
	left := budget(maxMemory)
	for i := range f {
		k := f[i].name
		// Only what the operation knows is worth a tree.
		head, _, _ := strings.Cut(k, ".")
		if !hasParameter(shapes, s, head) {
			continue
		}
		n := root
		for depth := 0; ; depth++ {
			part, rest, more := strings.Cut(k, ".")
			if depth > maxDepth {
				return errDeep
			}
			kid := n.kids[part]
			if kid == nil {
				if !left.spend(reflect.TypeFor[node]().Size() + 64) {
					return errLarge
				}
				if n.kids == nil {
					n.kids = make(map[string]*node)
				}
				kid = &node{}
				n.kids[part] = kid
			}
			if n, k = kid, rest; !more {
				break
			}
		}
		n.value, n.set = f[i].value, true
	}
	d := queryDecoder{shapes: shapes, left: left}
	return d.structure(s, root, v)
}

type queryDecoder struct {
	shapes []api.Shape
	left   budget
}

func (d *queryDecoder) structure(s *api.Shape, n *node, v reflect.Value) *api.Error {
	for i := range s.Members {
		m := &s.Members[i]
		kid := n.kids[parameterName(d.shapes, m)]
		if kid == nil {
			continue
		}
		ms := &d.shapes[m.Shape]
		if err := d.value(ms, kid, v.Field(i), m.Flattened || ms.Flattened); err != nil {
			return err
		}
	}
	return nil
}

// parameterName returns the name of a member in a form: a list without an
// element around its entries goes by the name of the entries.
func parameterName(shapes []api.Shape, m *api.Member) string {
	s := &shapes[m.Shape]
	if (m.Flattened || s.Flattened) && s.Kind == api.List && s.MemberName != "" {
		return s.MemberName
	}
	return m.WireName()
}

func hasParameter(shapes []api.Shape, s *api.Shape, name string) bool {
	for i := range s.Members {
		if parameterName(shapes, &s.Members[i]) == name {
			return true
		}
	}
	return false
}

func (d *queryDecoder) value(s *api.Shape, n *node, f reflect.Value, flat bool) *api.Error {
	switch s.Kind {
	case api.Structure:
		if f.Kind() == reflect.Pointer && !d.left.spend(f.Type().Elem().Size()) {
			return errLarge
		}
		return d.structure(s, n, target(f))
	case api.List:
		f.Set(reflect.MakeSlice(f.Type(), 0, 0))
		elem := &d.shapes[s.Elem]
		name := s.MemberName
		if name == "" {
			name = "member"
		}
		items, err := d.items(n, name, flat)
		if err != nil {
			return err
		}
		for _, item := range items {
			if !d.left.spend(2 * f.Type().Elem().Size()) {
				return errLarge
			}
			if err := d.value(elem, item, appendZero(f), elem.Flattened); err != nil {
				return err
			}
		}
		return nil
	case api.Map:
		f.Set(reflect.MakeMap(f.Type()))
		elem := &d.shapes[s.Value]
		items, err := d.items(n, "entry", flat)
		if err != nil {
			return err
		}
		for _, item := range items {
			key, value := item.kids[orDefault(s.KeyName, "key")], item.kids[orDefault(s.ValueName, "value")]
			if key == nil || !key.set || value == nil {
				return api.Malformed("An entry of a map needs a key and a value.")
			}
			entry := reflect.New(f.Type().Elem()).Elem()
			if !d.left.spend(2 * (entry.Type().Size() + 16)) {
				return errLarge
			}
			if err := d.value(elem, value, entry, elem.Flattened); err != nil {
				return err
			}
			f.SetMapIndex(reflect.ValueOf(key.value), entry)
		}
		return nil
	}
	if !n.set {
		return api.Malformed("A simple value was expected where parameters with dots were found.")
	}
	return setText(s, f, n.value)
}

func orDefault(s, otherwise string) string {
	if s == "" {
		return otherwise
	}
	return s
}

// items returns the numbered entries below n in the order of their numbers.
// Numbers may have gaps, as with AWS; two spellings of one number are refused.
func (d *queryDecoder) items(n *node, name string, flat bool) ([]*node, *api.Error) {
	if !flat {
		inner := n.kids[name]
		if inner == nil {
			if len(n.kids) > 0 || n.value != "" {
				return nil, api.Malformed("A list or map is written as NAME." + name + ".N.")
			}
			return nil, nil // "Name=" is an empty list
		}
		n = inner
	}
	type numbered struct {
		at int
		n  *node
	}
	items := make([]numbered, 0, len(n.kids))
	for k, kid := range n.kids {
		at, err := strconv.ParseUint(k, 10, 31)
		if err != nil || at == 0 {
			return nil, api.Malformed("'" + clip(k) + "' is not the number of an entry.")
		}
		items = append(items, numbered{int(at), kid})
	}
	slices.SortFunc(items, func(x, y numbered) int { return x.at - y.at })
	out := make([]*node, len(items))
	for i, it := range items {
		if i > 0 && items[i-1].at == it.at {
			return nil, api.Malformed("The entry " + strconv.Itoa(it.at) + " stands more than once.")
		}
		out[i] = it.n
	}
	return out, nil
}

// setText stores a value that is written as text: in a form, a header, a query
// string, or XML.
func setText(s *api.Shape, f reflect.Value, text string) *api.Error {
	switch s.Kind {
	case api.String:
		target(f).SetString(text)
		return nil
	case api.Boolean:
		switch {
		case strings.EqualFold(text, "true"):
			target(f).SetBool(true)
		case strings.EqualFold(text, "false"):
			target(f).SetBool(false)
		default:
			return api.Malformed("'" + clip(text) + "' can not be converted to a Boolean.")
		}
		return nil
	case api.Blob:
		blob, err := base64.StdEncoding.DecodeString(strings.TrimSpace(text))
		if err != nil || f.Kind() != reflect.Slice {
			return api.Malformed("A blob must be base64.")
		}
		f.SetBytes(blob)
		return nil
	case api.Integer, api.Long, api.Float, api.Double, api.Timestamp:
		return setNumber(s, f, text)
	}
	return api.Malformed("'" + clip(text) + "' can not be converted to " + article(s.Kind) + ".")
}
