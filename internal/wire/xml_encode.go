// SPDX-License-Identifier: Apache-2.0

package wire

import (
	"encoding/base64"
	"fmt"
	"maps"
	"math"
	"net/http"
	"reflect"
	"slices"
	"strconv"
	"time"
	"unicode/utf8"

	"github.com/remit-ecs/remit/internal/api"
)

// xmlWriter appends the XML of shapes to a buffer.
type xmlWriter struct {
	b      []byte
	shapes []api.Shape
	layout string // of timestamps
}

// Query services write whole seconds, S3 milliseconds.
const (
	secondsLayout = "2006-01-02T15:04:05Z"
	millisLayout  = "2006-01-02T15:04:05.000Z"
)

func encodeQueryOutput(op *api.OpInfo, w http.ResponseWriter, requestID string, v reflect.Value) error {
	buf := buffers.Get().(*[]byte)
	x := xmlWriter{b: (*buf)[:0], shapes: op.Service.Model.Shapes, layout: secondsLayout}
	x.raw("<")
	x.raw(op.Name)
	x.raw(`Response xmlns="`)
	x.raw(op.Service.XMLNamespace)
	x.raw(`">`)
	if op.Output >= 0 {
		x.open(op.ResultWrapper)
		if v.IsValid() {
			x.members(op.OutputShape(), v)
		}
		x.close(op.ResultWrapper)
	}
	x.raw("<ResponseMetadata><RequestId>")
	x.text(requestID)
	x.raw("</RequestId></ResponseMetadata></")
	x.raw(op.Name)
	x.raw("Response>\n")
	w.Header()["X-Amzn-Requestid"] = []string{requestID}
	err := send(w, "text/xml", http.StatusOK, x.b)
	if cap(x.b) <= keepBuffer {
		*buf = x.b
		buffers.Put(buf)
	}
	return err
}

func (x *xmlWriter) raw(s string) { x.b = append(x.b, s...) }

func (x *xmlWriter) open(name string) {
	x.b = append(x.b, '<')
	x.b = append(x.b, name...)
	x.b = append(x.b, '>')
}

func (x *xmlWriter) close(name string) {
	x.b = append(x.b, '<', '/')
	x.b = append(x.b, name...)
	x.b = append(x.b, '>')
}

// text appends s escaped. Characters that XML does not know become U+FFFD.
func (x *xmlWriter) text(s string) {
	i := 0
	for i < len(s) && ' ' <= s[i] && s[i] < utf8.RuneSelf && s[i] != '&' && s[i] != '<' && s[i] != '>' && s[i] != '"' {
		i++
	}
	x.b = append(x.b, s[:i]...) // most often, all of it
	start := i
	for i < len(s) {
		r, n := rune(s[i]), 1
		if r >= utf8.RuneSelf {
			r, n = utf8.DecodeRuneInString(s[i:])
		}
		esc := ""
		switch {
		case r == '&':
			esc = "&amp;"
		case r == '<':
			esc = "&lt;"
		case r == '>':
			esc = "&gt;"
		case r == '"':
			esc = "&quot;"
		case r == '\r':
			esc = "&#xD;"
		case r == utf8.RuneError && n == 1, r < ' ' && r != '\t' && r != '\n', r == 0xFFFE, r == 0xFFFF:
			esc = "\ufffd"
		}
		if esc != "" {
			x.b = append(x.b, s[start:i]...)
			x.b = append(x.b, esc...)
			start = i + n
		}
		i += n
	}
	x.b = append(x.b, s[start:]...)
}

// members appends the elements of a structure, not those that travel in
// headers or as attributes.
func (x *xmlWriter) members(s *api.Shape, v reflect.Value) {
	for i := range s.Members {
		m := &s.Members[i]
		f := v.Field(i)
		if m.Location != api.LocationBody || m.XMLAttribute || m.Streaming || absent(f) {
			continue
		}
		x.member(m, f)
	}
}

func (x *xmlWriter) member(m *api.Member, f reflect.Value) {
	s := &x.shapes[m.Shape]
	name := m.WireName()
	switch flat := m.Flattened || s.Flattened; {
	case flat && s.Kind == api.List:
		x.list(s, f, orDefault(s.MemberName, name))
	case flat && s.Kind == api.Map:
		x.mapping(s, f, name)
	default:
		x.element(name, m, s, f)
	}
}

// element appends a value in an element of its own; m is nil for entries.
func (x *xmlWriter) element(name string, m *api.Member, s *api.Shape, f reflect.Value) {
	if f.Kind() == reflect.Pointer {
		f = f.Elem()
	}
	x.b = append(x.b, '<')
	x.b = append(x.b, name...)
	switch {
	case m != nil && m.XMLNSURI != "":
		x.namespace(m.XMLNSPrefix, m.XMLNSURI)
	case s.XMLNSPrefix != "": // of its attributes: xsi:type
		x.namespace(s.XMLNSPrefix, s.XMLNSURI)
	}
	if s.Kind == api.Structure {
		for i := range s.Members {
			if a := &s.Members[i]; a.XMLAttribute && !absent(f.Field(i)) {
				x.raw(" " + a.WireName() + `="`)
				x.text(fmt.Sprint(deref(f.Field(i))))
				x.raw(`"`)
			}
		}
	}
	x.b = append(x.b, '>')
	x.content(s, f)
	x.close(name)
}

func deref(f reflect.Value) any {
	if f.Kind() == reflect.Pointer {
		f = f.Elem()
	}
	return f.Interface()
}

func (x *xmlWriter) namespace(prefix, uri string) {
	x.raw(" xmlns")
	if prefix != "" {
		x.raw(":" + prefix)
	}
	x.raw(`="`)
	x.text(uri)
	x.raw(`"`)
}

func (x *xmlWriter) list(s *api.Shape, f reflect.Value, name string) {
	elem := &x.shapes[s.Elem]
	for i := range f.Len() {
		x.element(name, nil, elem, f.Index(i))
	}
}

func (x *xmlWriter) mapping(s *api.Shape, f reflect.Value, name string) {
	key, value := orDefault(s.KeyName, "key"), orDefault(s.ValueName, "value")
	elem := &x.shapes[s.Value]
	for _, k := range sortedKeys(f) {
		x.open(name)
		x.open(key)
		x.text(k.String())
		x.close(key)
		x.element(value, nil, elem, f.MapIndex(k))
		x.close(name)
	}
}

func (x *xmlWriter) content(s *api.Shape, f reflect.Value) {
	switch s.Kind {
	case api.Structure:
		x.members(s, f)
	case api.List:
		x.list(s, f, orDefault(s.MemberName, "member"))
	case api.Map:
		x.mapping(s, f, "entry")
	case api.String:
		x.text(f.String())
	default:
		x.b = appendText(x.b, s, f, x.layout)
	}
}

// appendText appends a scalar that is not a string.
func appendText(b []byte, s *api.Shape, f reflect.Value, layout string) []byte {
	switch s.Kind {
	case api.Boolean:
		return strconv.AppendBool(b, f.Bool())
	case api.Integer, api.Long:
		return strconv.AppendInt(b, f.Int(), 10)
	case api.Float, api.Double:
		switch n := f.Float(); {
		case math.IsInf(n, 1):
			return append(b, "Infinity"...)
		case math.IsInf(n, -1):
			return append(b, "-Infinity"...)
		default:
			return strconv.AppendFloat(b, n, 'g', -1, 64) // NaN is NaN
		}
	case api.Blob:
		return base64.StdEncoding.AppendEncode(b, f.Bytes())
	case api.Timestamp:
		t := timeOf(f)
		switch s.TimestampFormat {
		case api.TimestampUnix:
			return t.AppendEpoch(b, 3)
		case api.TimestampRFC822:
			layout = http.TimeFormat
		case api.TimestampISO8601:
			if layout == http.TimeFormat {
				layout = secondsLayout
			}
		}
		return t.In(time.UTC).AppendFormat(b, layout)
	}
	return b
}

// EncodeError writes an error as clients of the service expect it. svc is nil
// where no service could be found for the request.
func EncodeError(svc *api.Service, w http.ResponseWriter, requestID string, err *api.Error) {
	e := Spell(svc, err)
	if svc == nil || svc.Protocol != api.Query && svc.Protocol != api.RestXML {
		encodeJSONError(svc, w, requestID, e)
		return
	}
	x := xmlWriter{}
	if svc.Protocol == api.Query {
		x.raw(`<ErrorResponse xmlns="`)
		x.raw(svc.XMLNamespace)
		x.raw(`"><Error><Type>`)
		if e.Fault == api.FaultServer {
			x.raw("Receiver")
		} else {
			x.raw("Sender")
		}
		x.raw("</Type>")
		x.errorBody(e)
		x.raw("</Error><RequestId>")
		x.text(requestID)
		x.raw("</RequestId></ErrorResponse>\n")
		w.Header()["X-Amzn-Requestid"] = []string{requestID}
		_ = send(w, "text/xml", e.Status, x.b) // nobody is left to tell
		return
	}
	x.raw(`<?xml version="1.0" encoding="UTF-8"?>` + "\n<Error>")
	x.errorBody(e)
	x.raw("<RequestId>")
	x.text(requestID)
	x.raw("</RequestId></Error>")
	w.Header()["X-Amz-Request-Id"] = []string{requestID}
	if region, ok := e.Fields["Region"].(string); ok {
		// Where to find the bucket; the answer to HEAD has no other place for it.
		w.Header()["X-Amz-Bucket-Region"] = []string{region}
	}
	if e.Status == http.StatusNotModified { // which has no body
		w.WriteHeader(e.Status)
		return
	}
	// The answer to HEAD has no body either; net/http sees to it.
	_ = send(w, "application/xml", e.Status, x.b)
}

func (x *xmlWriter) errorBody(e *api.Error) {
	x.raw("<Code>")
	x.text(e.Code)
	x.raw("</Code><Message>")
	x.text(e.Message)
	x.raw("</Message>")
	for _, k := range slices.Sorted(maps.Keys(e.Fields)) {
		x.open(k)
		x.text(fmt.Sprint(e.Fields[k]))
		x.close(k)
	}
}
