// SPDX-License-Identifier: Apache-2.0

package wire

import (
	"fmt"
	"io"
	"net/http"
	"reflect"
	"strconv"
	"sync"

	"github.com/remit-ecs/remit/internal/api"
)

// Limits on what a caller may make us build. The body itself is bounded by
// whoever reads it.
const (
	maxDepth  = 64       // nesting of lists, maps and structures
	maxMemory = 64 << 20 // bytes of Go values that one request may unfold into
)

// Request is an HTTP request whose body was read, or will be.
type Request struct {
	HTTP   *http.Request
	Body   []byte        // the whole body, where the operation does not stream
	Stream io.ReadCloser // becomes the streaming member, where there is one; may be nil
}

// DecodeInput fills in, a pointer to the operation's input type, from the
// request. What it reports is the caller's fault (api.Malformed), except where
// in is not the operation's type.
//
// Absent members stay zero. Present but empty lists, maps and blobs become
// empty, not nil. Members that the model does not know are ignored, as AWS
// does.
func DecodeInput(op *api.OpInfo, r Request, in any) *api.Error {
	v, err := structOf(op, op.InputShape(), in)
	if err != nil {
		return api.Internal(err)
	}
	if op.Input < 0 {
		return nil
	}
	shapes := op.Service.Model.Shapes
	switch op.Service.Protocol {
	case api.JSON11, api.JSON10:
		return decodeJSON(shapes, op.Input, r.Body, v)
	case api.Query:
		return decodeQuery(shapes, op.Input, r, v)
	case api.RestXML:
		return decodeRest(op, r, v)
	}
	return api.Internal(fmt.Errorf("wire: %s: cannot decode %v", op.Action(), op.Service.Protocol))
}

// EncodeOutput writes the answer of a successful operation. out is a pointer to
// the operation's output type; nil stands for an empty one. A streaming member
// is copied and closed. An error means that the answer may have been cut short.
func EncodeOutput(op *api.OpInfo, w http.ResponseWriter, requestID string, out any) error {
	var v reflect.Value
	if out != nil {
		var err error
		if v, err = structOf(op, op.OutputShape(), out); err != nil {
			return err
		}
	}
	switch op.Service.Protocol {
	case api.JSON11, api.JSON10:
		return encodeJSONOutput(op, w, requestID, v)
	case api.Query:
		return encodeQueryOutput(op, w, requestID, v)
	case api.RestXML:
		return encodeRestOutput(op, w, requestID, v)
	}
	return fmt.Errorf("wire: %s: cannot encode %v", op.Action(), op.Service.Protocol)
}

// structOf returns the struct behind p after checking that it can be walked
// along the shape.
func structOf(op *api.OpInfo, s *api.Shape, p any) (reflect.Value, error) {
	v := reflect.ValueOf(p)
	if v.Kind() != reflect.Pointer || v.IsNil() || v.Elem().Kind() != reflect.Struct {
		return reflect.Value{}, fmt.Errorf("wire: %s: %T is not a pointer to a struct", op.Action(), p)
	}
	members := 0
	if s != nil {
		members = len(s.Members)
	}
	if v.Elem().NumField() != members {
		return reflect.Value{}, fmt.Errorf("wire: %s: %T is not its type: %d fields for %d members", op.Action(), p, v.Elem().NumField(), members)
	}
	return v.Elem(), nil
}

// budget bounds the memory that a small message can make us allocate: a list
// of a million empty structures is two megabytes on the network.
type budget int

// spend reports whether n more bytes are allowed.
func (b *budget) spend(n uintptr) bool {
	if n > maxMemory {
		return false
	}
	*b -= budget(n)
	return *b >= 0
}

var (
	errDeep  = api.Malformed("The request is nested too deeply.")
	errLarge = api.TooLarge("The request is too large.")
)

// target returns the value that a scalar, blob or structure member is stored
// in, making what the pointer of an absent one points to.
func target(v reflect.Value) reflect.Value {
	if v.Kind() == reflect.Pointer {
		if v.IsNil() {
			v.Set(reflect.New(v.Type().Elem()))
		}
		return v.Elem()
	}
	return v
}

// absent reports whether a member is not there.
func absent(v reflect.Value) bool {
	switch v.Kind() {
	case reflect.Pointer, reflect.Slice, reflect.Map, reflect.Interface:
		return v.IsNil()
	case reflect.String: // a member of an enumeration; entries of lists are never asked
		return v.Len() == 0
	}
	return false
}

func timeOf(v reflect.Value) api.Time {
	if v.CanAddr() { // no allocation
		return *v.Addr().Interface().(*api.Time)
	}
	return v.Interface().(api.Time)
}

// buffers are reused between answers, unless one grew large.
var buffers = sync.Pool{New: func() any { b := make([]byte, 0, 4<<10); return &b }}

const keepBuffer = 1 << 20

// send writes a whole answer.
func send(w http.ResponseWriter, contentType string, status int, body []byte) error {
	h := w.Header()
	if contentType != "" {
		h["Content-Type"] = []string{contentType}
	}
	if status != http.StatusNoContent && status != http.StatusNotModified { // which say nothing of a body
		h["Content-Length"] = []string{strconv.Itoa(len(body))}
	}
	w.WriteHeader(status)
	if len(body) == 0 {
		return nil
	}
	_, err := w.Write(body)
	return err
}
