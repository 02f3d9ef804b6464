// SPDX-License-Identifier: Apache-2.0

package wire

import (
	"bytes"
	"encoding/xml"
	"io"
	"reflect"
	"strings"

	"github.com/remit-ecs/remit/internal/api"
)

var errXML = api.Malformed("The XML you provided was not well-formed or did not validate against our published schema")

// decodeXML fills v from a document whose root element is called root; ""
// admits any. Namespaces are not looked at: clients send several.
func decodeXML(shapes []api.Shape, s *api.Shape, body []byte, root string, v reflect.Value) *api.Error {
	d := xmlDecoder{d: xml.NewDecoder(bytes.NewReader(body)), shapes: shapes, left: maxMemory}
	seen := false
	for {
		t, err := d.d.Token()
		if err == io.EOF {
			if !seen {
				return errXML
			}
			return nil
		}
		if err != nil {
			return errXML
		}
		switch t := t.(type) {
		case xml.StartElement:
			if seen || root != "" && t.Name.Local != root {
				return errXML
			}
			seen = true
			if err := d.structure(s, t, v); err != nil {
				return err
			}
		case xml.CharData:
			if len(bytes.TrimSpace(t)) > 0 {
				return errXML
			}
		case xml.Directive: // a DOCTYPE has no business here
			return errXML
		}
	}
}

type xmlDecoder struct {
	d      *xml.Decoder
	depth  int
	shapes []api.Shape
	left   budget
}

// children calls each for every element below the one that was just opened,
// until that one is closed; each must consume the element. What each returns
// for text is the element's own.
func (d *xmlDecoder) children(each func(xml.StartElement) *api.Error) *api.Error {
	if d.depth++; d.depth > maxDepth {
		return errDeep
	}
	for {
		t, err := d.d.Token()
		if err != nil {
			return errXML
		}
		switch t := t.(type) {
		case xml.StartElement:
			if err := each(t); err != nil {
				return err
			}
		case xml.EndElement:
			d.depth--
			return nil
		case xml.CharData:
			if len(bytes.TrimSpace(t)) > 0 {
				return errXML
			}
		case xml.Directive:
			return errXML
		}
	}
}

func (d *xmlDecoder) structure(s *api.Shape, start xml.StartElement, v reflect.Value) *api.Error {
	for _, a := range start.Attr {
		for i := range s.Members {
			if m := &s.Members[i]; m.XMLAttribute && localName(m.WireName()) == a.Name.Local && a.Name.Space != "xmlns" {
				if err := setText(&d.shapes[m.Shape], v.Field(i), a.Value); err != nil {
					return err
				}
			}
		}
	}
	return d.children(func(e xml.StartElement) *api.Error {
		for i := range s.Members {
			m := &s.Members[i]
			ms := &d.shapes[m.Shape]
			flat := m.Flattened || ms.Flattened
			name := m.WireName()
			if flat && ms.Kind == api.List {
				name = orDefault(ms.MemberName, name)
			}
			if name != e.Name.Local || m.XMLAttribute || m.Location != api.LocationBody {
				continue
			}
			f := v.Field(i)
			if flat && ms.Kind == api.List {
				return d.entry(ms, e, f)
			}
			f.SetZero()
			return d.value(ms, e, f)
		}
		return d.skip()
	})
}

// localName strips the prefix of xsi:type.
func localName(name string) string { return name[strings.IndexByte(name, ':')+1:] }

// entry appends one element of a list.
func (d *xmlDecoder) entry(list *api.Shape, e xml.StartElement, f reflect.Value) *api.Error {
	if f.IsNil() {
		f.Set(reflect.MakeSlice(f.Type(), 0, 0))
	}
	if !d.left.spend(2 * f.Type().Elem().Size()) {
		return errLarge
	}
	return d.value(&d.shapes[list.Elem], e, appendZero(f))
}

func (d *xmlDecoder) value(s *api.Shape, e xml.StartElement, f reflect.Value) *api.Error {
	switch s.Kind {
	case api.Structure:
		if f.Kind() == reflect.Pointer && !d.left.spend(f.Type().Elem().Size()) {
			return errLarge
		}
		return d.structure(s, e, target(f))
	case api.List:
		f.Set(reflect.MakeSlice(f.Type(), 0, 0))
		name := orDefault(s.MemberName, "member")
		return d.children(func(e xml.StartElement) *api.Error {
			if e.Name.Local != name {
				return d.skip()
			}
			return d.entry(s, e, f)
		})
	case api.Map:
		f.Set(reflect.MakeMap(f.Type()))
		return d.children(func(xml.StartElement) *api.Error { return d.mapEntry(s, f) })
	}
	text, err := d.text()
	if err != nil {
		return err
	}
	if s.Kind != api.String {
		text = strings.TrimSpace(text)
	}
	return setText(s, f, text)
}

func (d *xmlDecoder) mapEntry(s *api.Shape, f reflect.Value) *api.Error {
	var key string
	entry := reflect.New(f.Type().Elem()).Elem()
	if !d.left.spend(2 * (entry.Type().Size() + 16)) {
		return errLarge
	}
	err := d.children(func(e xml.StartElement) *api.Error {
		switch e.Name.Local {
		case orDefault(s.KeyName, "key"):
			text, err := d.text()
			key = text
			return err
		case orDefault(s.ValueName, "value"):
			return d.value(&d.shapes[s.Value], e, entry)
		}
		return d.skip()
	})
	if err == nil {
		f.SetMapIndex(reflect.ValueOf(key), entry)
	}
	return err
}

// text reads the content of an element that holds only text.
func (d *xmlDecoder) text() (string, *api.Error) {
	var b []byte
	for {
		t, err := d.d.Token()
		if err != nil {
			return "", errXML
		}
		switch t := t.(type) {
		case xml.CharData:
			b = append(b, t...)
		case xml.EndElement:
			return string(b), nil
		case xml.StartElement, xml.Directive:
			return "", errXML
		}
	}
}

// skip passes over the element that was just opened.
func (d *xmlDecoder) skip() *api.Error {
	for depth := d.depth; ; {
		t, err := d.d.Token()
		if err != nil {
			return errXML
		}
		switch t.(type) {
		case xml.StartElement:
			if depth++; depth > maxDepth {
				return errDeep
			}
		case xml.EndElement:
			if depth--; depth < d.depth {
				return nil
			}
		}
	}
}
