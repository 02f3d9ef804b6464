// SPDX-License-Identifier: Apache-2.0

package wire_test

import (
	"encoding/json"
	"encoding/xml"
	"io"
	"net/http/httptest"
	"net/url"
	"reflect"
	"strconv"
	"testing"
	"time"

	"github.com/remit-ecs/remit/internal/api"
	"github.com/remit-ecs/remit/internal/wire"
)

// fill sets every member of a value, down to a depth.
func fill(shapes []api.Shape, s *api.Shape, v reflect.Value, depth int) {
	if v.Kind() == reflect.Pointer {
		v.Set(reflect.New(v.Type().Elem()))
		v = v.Elem()
	}
	switch s.Kind {
	case api.Structure:
		for i := range s.Members {
			m := &s.Members[i]
			k := shapes[m.Shape].Kind
			if m.Streaming || depth == 0 && (k == api.Structure || k == api.List || k == api.Map || k == api.Document) {
				continue
			}
			fill(shapes, &shapes[m.Shape], v.Field(i), depth-1)
		}
	case api.List:
		v.Set(reflect.MakeSlice(v.Type(), 2, 2))
		for i := range 2 {
			fill(shapes, &shapes[s.Elem], v.Index(i), depth-1)
		}
	case api.Map:
		v.Set(reflect.MakeMap(v.Type()))
		for _, k := range []string{"one", "two"} {
			e := reflect.New(v.Type().Elem()).Elem()
			fill(shapes, &shapes[s.Value], e, depth-1)
			v.SetMapIndex(reflect.ValueOf(k), e)
		}
	case api.String:
		v.SetString("a <b> & \"c\" é")
		if len(s.Enum) > 0 {
			v.SetString(s.Enum[len(s.Enum)-1])
		}
	case api.Boolean:
		v.SetBool(true)
	case api.Integer, api.Long:
		v.SetInt(7)
	case api.Float, api.Double:
		v.SetFloat(0.5)
	case api.Timestamp:
		v.Set(reflect.ValueOf(*api.At(time.Unix(1700000000, 0))))
	case api.Blob:
		v.SetBytes([]byte{0, 255})
	case api.Document:
		v.Set(reflect.ValueOf(map[string]any{"a": []any{1.5, nil}}))
	}
}

// form writes a value as clients of Query services do.
func form(shapes []api.Shape, s *api.Shape, v reflect.Value, name string, to url.Values) {
	v = reflect.Indirect(v)
	switch s.Kind {
	case api.Structure:
		for i := range s.Members {
			if f := v.Field(i); f.Kind() != reflect.Pointer && f.Kind() != reflect.Slice && f.Kind() != reflect.Map || !f.IsNil() {
				key := s.Members[i].WireName()
				if name != "" {
					key = name + "." + key
				}
				form(shapes, &shapes[s.Members[i].Shape], f, key, to)
			}
		}
	case api.List:
		for i := range v.Len() {
			form(shapes, &shapes[s.Elem], v.Index(i), name+".member."+strconv.Itoa(i+1), to)
		}
	case api.Map:
		for i, k := range v.MapKeys() {
			at := name + ".entry." + strconv.Itoa(i+1)
			to.Set(at+".key", k.String())
			form(shapes, &shapes[s.Value], v.MapIndex(k), at+".value", to)
		}
	case api.String:
		to.Set(name, v.String())
	case api.Timestamp:
		to.Set(name, v.Interface().(api.Time).Format(time.RFC3339))
	default:
		b, _ := json.Marshal(v.Interface())
		text := string(b)
		if unquoted, err := strconv.Unquote(text); err == nil {
			text = unquoted
		}
		to.Set(name, text)
	}
}

// Every served operation's output, with every member set, can be written, and
// read back where we can read it.
func TestEveryOutput(t *testing.T) {
	for _, svc := range services {
		for _, op := range svc.Ops {
			if !op.Served() {
				continue
			}
			out := op.NewOutput()
			if s := op.OutputShape(); s != nil {
				fill(svc.Model.Shapes, s, reflect.ValueOf(out).Elem(), 6)
			}
			w := httptest.NewRecorder()
			if err := wire.EncodeOutput(op, w, "id", out); err != nil {
				t.Errorf("%s: %v", op.Action(), err)
				continue
			}
			wire.RedactedOutput(op, out)
			if svc.Protocol.IsJSON() {
				again := op.NewOutput()
				if err := json.Unmarshal(w.Body.Bytes(), again); err != nil || !reflect.DeepEqual(out, again) {
					t.Errorf("%s: written as %s (%v)", op.Action(), w.Body, err)
				}
				continue
			}
			if w.Header().Get("Content-Type") != "text/xml" && w.Header().Get("Content-Type") != "application/xml" {
				continue
			}
			d := xml.NewDecoder(w.Body)
			for {
				if _, err := d.Token(); err == io.EOF {
					break
				} else if err != nil {
					t.Errorf("%s: %v", op.Action(), err)
					break
				}
			}
		}
	}
}

// Every served operation's input, with every member set, is read as it was
// written.
func TestEveryInput(t *testing.T) {
	for _, svc := range services {
		for _, op := range svc.Ops {
			if !op.Served() || op.Input < 0 || svc.Protocol == api.RestXML {
				continue
			}
			in, again := op.NewInput(), op.NewInput()
			fill(svc.Model.Shapes, op.InputShape(), reflect.ValueOf(in).Elem(), 6)
			r := post("application/x-amz-json-1.1")
			body, err := json.Marshal(in)
			if err != nil {
				t.Fatal(err)
			}
			if svc.Protocol == api.Query {
				r = post("application/x-www-form-urlencoded")
				values := url.Values{}
				form(svc.Model.Shapes, op.InputShape(), reflect.ValueOf(in), "", values)
				body = []byte(values.Encode())
			}
			if err := wire.DecodeInput(op, wire.Request{HTTP: r, Body: body}, again); err != nil {
				t.Errorf("%s: %v", op.Action(), err)
				continue
			}
			if !reflect.DeepEqual(in, again) {
				a, _ := json.Marshal(in)
				b, _ := json.Marshal(again)
				t.Errorf("%s: %s\nwas read as %s", op.Action(), a, b)
			}
			wire.Validate(op, in)
			wire.RedactedInput(op, in)
		}
	}
}
