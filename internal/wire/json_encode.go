// SPDX-License-Identifier: Apache-2.0

package wire

import (
	"encoding/base64"
	"encoding/json"
	"maps"
	"math"
	"net/http"
	"reflect"
	"slices"
	"strconv"
	"unicode/utf8"

	"github.com/remit-ecs/remit/internal/api"
)

func jsonContentType(p api.Protocol) string {
	if p == api.JSON10 {
		return "application/x-amz-json-1.0"
	}
	return "application/x-amz-json-1.1"
}

func encodeJSONOutput(op *api.OpInfo, w http.ResponseWriter, requestID string, v reflect.Value) error {
	buf := buffers.Get().(*[]byte)
	b := (*buf)[:0]
	if op.Output < 0 || !v.IsValid() {
		b = append(b, '{', '}')
	} else {
		b = appendJSONStruct(b, op.Service.Model.Shapes, op.OutputShape(), v)
	}
	w.Header()["X-Amzn-Requestid"] = []string{requestID}
	err := send(w, jsonContentType(op.Service.Protocol), http.StatusOK, b)
	if cap(b) <= keepBuffer {
		*buf = b
		buffers.Put(buf)
	}
	return err
}

func appendJSONStruct(b []byte, shapes []api.Shape, s *api.Shape, v reflect.Value) []byte {
	b = append(b, '{')
	first := true
	for i := range s.Members {
		f := v.Field(i)
		if absent(f) {
			continue
		}
		if !first {
			b = append(b, ',')
		}
		first = false
		b = append(b, '"')
		b = append(b, s.Members[i].WireName()...)
		b = append(b, '"', ':')
		b = appendJSON(b, shapes, &shapes[s.Members[i].Shape], f)
	}
	return append(b, '}')
}

func appendJSON(b []byte, shapes []api.Shape, s *api.Shape, f reflect.Value) []byte {
	if f.Kind() == reflect.Pointer {
		f = f.Elem()
	}
	switch s.Kind {
	case api.Structure:
		return appendJSONStruct(b, shapes, s, f)
	case api.List:
		b = append(b, '[')
		elem := &shapes[s.Elem]
		for i := range f.Len() {
			if i > 0 {
				b = append(b, ',')
			}
			b = appendJSON(b, shapes, elem, f.Index(i))
		}
		return append(b, ']')
	case api.Map:
		b = append(b, '{')
		elem := &shapes[s.Value]
		for i, k := range sortedKeys(f) {
			if i > 0 {
				b = append(b, ',')
			}
			b = appendJSONString(b, k.String())
			b = append(b, ':')
			b = appendJSON(b, shapes, elem, f.MapIndex(k))
		}
		return append(b, '}')
	case api.String:
		return appendJSONString(b, f.String())
	case api.Boolean:
		return strconv.AppendBool(b, f.Bool())
	case api.Integer, api.Long:
		return strconv.AppendInt(b, f.Int(), 10)
	case api.Float, api.Double:
		return appendJSONFloat(b, f.Float())
	case api.Timestamp:
		return timeOf(f).AppendEpoch(b, 3)
	case api.Blob:
		b = append(b, '"')
		b = base64.StdEncoding.AppendEncode(b, f.Bytes())
		return append(b, '"')
	case api.Document:
		return appendJSONAny(b, f.Interface())
	}
	return append(b, "null"...)
}

// sortedKeys returns a map's keys in order, so that the same answer is the same
// bytes.
func sortedKeys(m reflect.Value) []reflect.Value {
	keys := m.MapKeys()
	slices.SortFunc(keys, func(x, y reflect.Value) int {
		switch a, b := x.String(), y.String(); {
		case a < b:
			return -1
		case a > b:
			return 1
		}
		return 0
	})
	return keys
}

func appendJSONFloat(b []byte, x float64) []byte {
	switch {
	case math.IsNaN(x):
		return append(b, `"NaN"`...)
	case math.IsInf(x, 1):
		return append(b, `"Infinity"`...)
	case math.IsInf(x, -1):
		return append(b, `"-Infinity"`...)
	}
	return strconv.AppendFloat(b, x, 'g', -1, 64)
}

func appendJSONAny(b []byte, v any) []byte {
	raw, err := json.Marshal(v)
	if err != nil {
		return append(b, "null"...)
	}
	return append(b, raw...)
}

const hexDigits = "0123456789abcdef"

// appendJSONString appends s as a JSON string. Bytes that are not UTF-8 become
// U+FFFD.
func appendJSONString(b []byte, s string) []byte {
	b = append(b, '"')
	start := 0
	for i := 0; i < len(s); {
		c := s[i]
		if c >= ' ' && c != '"' && c != '\\' && c < utf8.RuneSelf {
			i++
			continue
		}
		if c >= utf8.RuneSelf {
			r, n := utf8.DecodeRuneInString(s[i:])
			if r != utf8.RuneError || n > 1 {
				i += n
				continue
			}
		}
		b = append(b, s[start:i]...)
		switch {
		case c >= utf8.RuneSelf:
			b = append(b, "\ufffd"...)
		case c == '"' || c == '\\':
			b = append(b, '\\', c)
		case c == '\n':
			b = append(b, '\\', 'n')
		case c == '\r':
			b = append(b, '\\', 'r')
		case c == '\t':
			b = append(b, '\\', 't')
		default:
			b = append(b, '\\', 'u', '0', '0', hexDigits[c>>4], hexDigits[c&15])
		}
		i++
		start = i
	}
	b = append(b, s[start:]...)
	return append(b, '"')
}

func encodeJSONError(svc *api.Service, w http.ResponseWriter, requestID string, e *api.Error) {
	b := append([]byte(nil), `{"__type":`...)
	b = appendJSONString(b, e.Code)
	b = append(b, `,"`...)
	b = append(b, messageMember(svc, e.Code)...)
	b = append(b, `":`...)
	b = appendJSONString(b, e.Message)
	for _, k := range slices.Sorted(maps.Keys(e.Fields)) {
		b = append(b, ',')
		b = appendJSONString(b, k)
		b = append(b, ':')
		b = appendJSONAny(b, e.Fields[k])
	}
	b = append(b, '}')
	protocol := api.JSON11
	if svc != nil {
		protocol = svc.Protocol
	}
	w.Header()["X-Amzn-Requestid"] = []string{requestID}
	w.Header()["X-Amzn-Errortype"] = []string{e.Code}
	_ = send(w, jsonContentType(protocol), e.Status, b) // nobody is left to tell
}

// messageMember returns the name of the message in an error: the one of the
// error's shape, of which some services write the first letter large.
func messageMember(svc *api.Service, code string) string {
	if svc != nil {
		for i := range svc.Model.Shapes {
			s := &svc.Model.Shapes[i]
			if s.Exception == nil || s.Exception.Code != code {
				continue
			}
			for _, m := range s.Members {
				if m.Name == "Message" {
					return m.Name
				}
			}
			break
		}
	}
	return "message"
}
