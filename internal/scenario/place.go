package scenario

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"reflect"
	"strings"
)

// read reads a file of text as UTF-8. PowerShell's > writes other encodings.
func read(name string) ([]byte, error) {
	text, err := os.ReadFile(name)
	if err != nil {
		return nil, err
	}
	if bytes.HasPrefix(text, []byte("\xff\xfe")) || bytes.HasPrefix(text, []byte("\xfe\xff")) {
		return nil, fmt.Errorf("%s is UTF-16, as PowerShell's > writes it; save it as UTF-8", name)
	}
	return bytes.TrimPrefix(text, []byte("\xef\xbb\xbf")), nil
}

// strict decodes JSON and refuses members that nobody would honour.
func strict(name string, text []byte, v any) error {
	if err := json.Unmarshal(text, v); err != nil {
		return place(name, text, err)
	}
	return checkMembers(name, text, reflect.TypeOf(v))
}

// place puts file, line and column before a JSON error.
func place(name string, text []byte, err error) error {
	var syntax *json.SyntaxError
	var kind *json.UnmarshalTypeError
	switch {
	case errors.As(err, &syntax):
		return at(name, text, syntax.Offset-1, err)
	case errors.As(err, &kind):
		return at(name, text, kind.Offset-1, err)
	}
	return fmt.Errorf("%s: %w", name, err)
}

// at puts file, line and column before an error; both count from 1, and columns
// count bytes.
func at(name string, text []byte, offset int64, err error) error {
	before := text[:min(max(offset, 0), int64(len(text)))]
	line := bytes.Count(before, []byte("\n")) + 1
	column := len(before) - bytes.LastIndexByte(before, '\n')
	return fmt.Errorf("%s:%d:%d: %w", name, line, column, err)
}

// checkMembers finds what encoding/json passes over: members that the type does
// not have, and members that are there twice. text is valid JSON for the type.
func checkMembers(name string, text []byte, t reflect.Type) error {
	m := members{dec: json.NewDecoder(bytes.NewReader(text))}
	err := m.value(t)
	if err == nil {
		return nil
	}
	end := m.dec.InputOffset() // behind the member's name
	return at(name, text, int64(bytes.LastIndexByte(text[:max(end-1, 0)], '"')), err)
}

type members struct {
	dec  *json.Decoder
	once bool // no member may be there twice, also where anything goes
}

var unmarshaler = reflect.TypeFor[json.Unmarshaler]()

// once reports whether no object in valid JSON has a member twice.
func once(text string) bool {
	m := members{dec: json.NewDecoder(strings.NewReader(text)), once: true}
	return m.value(nil) == nil
}

// value goes through one value; a nil type is one that takes anything.
func (m *members) value(t reflect.Type) error {
	for t != nil && t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	if t != nil && (t.Kind() == reflect.Interface || reflect.PointerTo(t).Implements(unmarshaler)) {
		t = nil
	}
	tok, err := m.dec.Token()
	if err != nil {
		return err
	}
	switch tok {
	case json.Delim('{'):
		return m.object(t)
	case json.Delim('['):
		switch {
		case t != nil && (t.Kind() == reflect.Slice || t.Kind() == reflect.Array):
			t = t.Elem()
		default:
			t = nil // a dropped answer of any kind
		}
		for m.dec.More() {
			if err := m.value(t); err != nil {
				return err
			}
		}
		_, err = m.dec.Token()
	}
	return err
}

func (m *members) object(t reflect.Type) error {
	seen := map[string]bool{}
	for m.dec.More() {
		tok, err := m.dec.Token()
		if err != nil {
			return err
		}
		name, _ := tok.(string)
		of, key, ok := member(t, name)
		if !ok {
			return fmt.Errorf("unknown field %q", name)
		}
		if (t != nil || m.once) && seen[key] {
			return fmt.Errorf("field %q is there twice", name)
		}
		seen[key] = true
		if err := m.value(of); err != nil {
			return err
		}
	}
	_, err := m.dec.Token()
	return err
}

// member is the type of an object's member, and the name under which
// encoding/json would store it: that of a struct regardless of case.
func member(t reflect.Type, name string) (of reflect.Type, key string, ok bool) {
	switch {
	case t == nil:
		return nil, name, true
	case t.Kind() == reflect.Map:
		return t.Elem(), name, true
	case t.Kind() != reflect.Struct:
		return nil, "", false
	}
	for _, f := range reflect.VisibleFields(t) {
		if !f.IsExported() || f.Anonymous {
			continue
		}
		called, _, _ := strings.Cut(f.Tag.Get("json"), ",")
		if called == "" {
			called = f.Name
		}
		if strings.EqualFold(called, name) {
			return f.Type, called, true
		}
	}
	return nil, "", false
}
