// SPDX-License-Identifier: Apache-2.0

package wire

import (
	"io"
	"net/http"
	"net/url"
	"reflect"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/remit-ecs/remit/internal/api"
)

// place is where in S3 a request points: nothing, a bucket, or an object.
type place struct {
	bucket, key string
}

// locate reads bucket and key from the host (BUCKET.s3.REGION.example) and the
// path, or from the path alone.
func locate(r *http.Request) (place, *api.Error) {
	bad := api.Validation("The request's path is not correctly URL-encoded.")
	var p place
	path := strings.TrimPrefix(r.URL.EscapedPath(), "/")
	if p.bucket = hostBucket(r.Host); p.bucket == "" {
		head, rest, _ := strings.Cut(path, "/")
		bucket, err := url.PathUnescape(head)
		if err != nil {
			return p, bad
		}
		p.bucket, path = bucket, rest
	}
	key, err := url.PathUnescape(path)
	if err != nil || !utf8.ValidString(key) || !utf8.ValidString(p.bucket) {
		return p, bad
	}
	p.key = key
	if p.bucket == "" && p.key != "" {
		return p, api.Validation("The request names an object but no bucket.")
	}
	return p, nil
}

// hostBucket returns the bucket that a host name begins with, or "". The label
// after the bucket is "s3"; the last such label counts, since bucket names may
// contain dots. Amazon's own old names (BUCKET.s3-REGION.amazonaws.com) count
// too, for clients that are made to reach us by them.
func hostBucket(host string) string {
	host, _, _ = strings.Cut(host, ":")
	at := strings.LastIndex(host, ".s3.")
	if at < 0 && strings.HasSuffix(host, ".amazonaws.com") {
		at = strings.LastIndex(host, ".s3-")
	}
	if at <= 0 {
		return ""
	}
	return host[:at]
}

func decodeRest(op *api.OpInfo, r Request, v reflect.Value) *api.Error {
	shapes, s := op.Service.Model.Shapes, op.InputShape()
	where, err := locate(r.HTTP)
	if err != nil {
		return err
	}
	query, qerr := url.ParseQuery(r.HTTP.URL.RawQuery)
	if qerr != nil {
		return api.Validation("The query string is not correctly URL-encoded.")
	}
	inBody := false
	for i := range s.Members {
		m := &s.Members[i]
		ms, f := &shapes[m.Shape], v.Field(i)
		var err *api.Error
		switch m.Location {
		case api.LocationURI:
			text := where.bucket
			if m.WireName() == "Key" {
				text = where.key
			}
			if text != "" {
				err = setText(ms, f, text)
			}
		case api.LocationQuery:
			if values, ok := query[m.WireName()]; ok {
				err = setTexts(shapes, ms, f, values)
			}
		case api.LocationHeader:
			err = decodeHeader(shapes, ms, f, r.HTTP, m.WireName())
		case api.LocationHeaders:
			decodePrefixed(f, r.HTTP.Header, m.WireName())
		case api.LocationBody:
			switch {
			case m.Streaming:
				if r.Stream != nil {
					f.Set(reflect.ValueOf(r.Stream))
				}
			case i == s.Payload:
				err = decodePayload(shapes, m, ms, f, r.Body)
			default:
				inBody = true
			}
		}
		if err != nil {
			if err.Idea == api.IdeaMalformed && m.Location != api.LocationBody {
				// MalformedXML would be an odd word for a header.
				return api.Validation(m.WireName() + ": " + err.Message)
			}
			return err
		}
	}
	if inBody && s.Payload < 0 && len(r.Body) > 0 {
		return decodeXML(shapes, s, r.Body, orDefault(s.LocationName, ""), v)
	}
	return nil
}

// setTexts stores the values of a query parameter, or the parts of a header.
func setTexts(shapes []api.Shape, s *api.Shape, f reflect.Value, texts []string) *api.Error {
	for _, t := range texts {
		if !utf8.ValidString(t) {
			return api.Validation("The request is not UTF-8.")
		}
	}
	if s.Kind != api.List {
		if texts[0] == "" && s.Kind != api.String {
			return nil // "?max-keys=" says nothing
		}
		return setText(s, f, texts[0])
	}
	f.Set(reflect.MakeSlice(f.Type(), 0, len(texts)))
	for _, t := range texts {
		if err := setText(&shapes[s.Elem], appendZero(f), strings.TrimSpace(t)); err != nil {
			return err
		}
	}
	return nil
}

func decodeHeader(shapes []api.Shape, s *api.Shape, f reflect.Value, r *http.Request, name string) *api.Error {
	if name == "Content-Length" { // net/http keeps it elsewhere
		if decoded := r.Header.Get("X-Amz-Decoded-Content-Length"); decoded != "" {
			return setText(s, f, decoded) // the body is in signed chunks; this is the object's
		}
		if r.ContentLength < 0 {
			return nil
		}
		return setText(s, f, strconv.FormatInt(r.ContentLength, 10))
	}
	values := r.Header.Values(name)
	if len(values) == 0 {
		return nil
	}
	if s.Kind == api.List {
		return setTexts(shapes, s, f, strings.Split(strings.Join(values, ","), ","))
	}
	return setTexts(shapes, s, f, values[:1])
}

// decodePrefixed collects x-amz-meta-*: names in lower case, without prefix.
func decodePrefixed(f reflect.Value, h http.Header, prefix string) {
	for name, values := range h {
		if len(name) <= len(prefix) || !strings.EqualFold(name[:len(prefix)], prefix) {
			continue
		}
		if f.IsNil() {
			f.Set(reflect.MakeMap(f.Type()))
		}
		value := strings.ToValidUTF8(strings.Join(values, ","), "\ufffd")
		f.SetMapIndex(reflect.ValueOf(strings.ToLower(name[len(prefix):])), reflect.ValueOf(value))
	}
}

func decodePayload(shapes []api.Shape, m *api.Member, s *api.Shape, f reflect.Value, body []byte) *api.Error {
	if len(body) == 0 {
		return nil
	}
	switch s.Kind {
	case api.Structure:
		return decodeXML(shapes, s, body, m.WireName(), target(f))
	case api.Blob:
		f.SetBytes(body)
	case api.String:
		if !utf8.Valid(body) {
			return api.Validation("The body is not UTF-8.")
		}
		target(f).SetString(string(body))
	}
	return nil
}

// The names of the root elements of S3's answers, which the service model does
// not hold because clients do not look at them. From the Amazon S3 API
// Reference.
var s3Roots = map[string]string{
	"ListBuckets":             "ListAllMyBucketsResult",
	"ListObjects":             "ListBucketResult",
	"ListObjectsV2":           "ListBucketResult",
	"ListObjectVersions":      "ListVersionsResult",
	"DeleteObjects":           "DeleteResult",
	"CreateMultipartUpload":   "InitiateMultipartUploadResult",
	"CompleteMultipartUpload": "CompleteMultipartUploadResult",
	"ListParts":               "ListPartsResult",
	"ListMultipartUploads":    "ListMultipartUploadsResult",
	"GetObjectAttributes":     "GetObjectAttributesResponse",
	"GetObjectTagging":        "Tagging",
	"GetBucketTagging":        "Tagging",
	"GetObjectAcl":            "AccessControlPolicy",
	"GetBucketAcl":            "AccessControlPolicy",
	"GetBucketVersioning":     "VersioningConfiguration",
}

func encodeRestOutput(op *api.OpInfo, w http.ResponseWriter, requestID string, v reflect.Value) error {
	h := w.Header()
	h["X-Amz-Request-Id"] = []string{requestID}
	status := op.Status
	if status == 0 {
		status = http.StatusOK
	}
	s := op.OutputShape()
	if s == nil || !v.IsValid() {
		return send(w, "", status, nil)
	}
	shapes := op.Service.Model.Shapes
	hasBody := false
	for i := range s.Members {
		m, f := &s.Members[i], v.Field(i)
		if m.Location == api.LocationBody {
			hasBody = true
			continue
		}
		if absent(f) {
			continue
		}
		switch m.Location {
		case api.LocationStatusCode:
			status = int(reflect.Indirect(f).Int())
		case api.LocationHeader:
			h.Set(m.WireName(), headerText(shapes, &shapes[m.Shape], f))
			if m.Name == "ContentRange" { // S3's model does not say 206
				status = http.StatusPartialContent
			}
		case api.LocationHeaders:
			for _, k := range sortedKeys(f) {
				// S3 writes the names of metadata in lower case, and
				// clients show them as they come.
				h[strings.ToLower(m.WireName()+k.String())] = []string{f.MapIndex(k).String()}
			}
		}
	}
	if s.Payload >= 0 {
		m, f := &s.Members[s.Payload], v.Field(s.Payload)
		if m.Streaming {
			return stream(w, status, f)
		}
		return encodePayload(op, w, status, m, f)
	}
	if !hasBody {
		if h.Get("Content-Length") != "" { // HeadObject: the length of what GET would send
			w.WriteHeader(status)
			return nil
		}
		return send(w, "", status, nil)
	}
	x := xmlWriter{shapes: shapes, layout: millisLayout}
	x.raw(xmlHeader)
	if op.Name == "GetBucketLocation" { // the one answer that is text in the root
		x.root("LocationConstraint", op.Service.XMLNamespace)
		x.text(v.Field(0).String())
		x.close("LocationConstraint")
	} else {
		root := orDefault(s3Roots[op.Name], orDefault(s.LocationName, op.Name+"Result"))
		x.root(root, op.Service.XMLNamespace)
		x.members(s, v)
		x.close(root)
	}
	return send(w, "application/xml", status, x.b)
}

const xmlHeader = `<?xml version="1.0" encoding="UTF-8"?>` + "\n"

func (x *xmlWriter) root(name, ns string) {
	x.raw("<" + name)
	x.namespace("", ns)
	x.raw(">")
}

func headerText(shapes []api.Shape, s *api.Shape, f reflect.Value) string {
	f = reflect.Indirect(f)
	switch s.Kind {
	case api.String:
		return f.String()
	case api.List:
		parts := make([]string, f.Len())
		for i := range parts {
			parts[i] = headerText(shapes, &shapes[s.Elem], f.Index(i))
		}
		return strings.Join(parts, ",")
	}
	return string(appendText(nil, s, f, http.TimeFormat))
}

func encodePayload(op *api.OpInfo, w http.ResponseWriter, status int, m *api.Member, f reflect.Value) error {
	if absent(f) {
		return send(w, "", status, nil)
	}
	shapes := op.Service.Model.Shapes
	s := &shapes[m.Shape]
	f = reflect.Indirect(f)
	switch s.Kind {
	case api.String: // a bucket policy
		return send(w, "application/json", status, []byte(f.String()))
	case api.Blob:
		return send(w, "application/octet-stream", status, f.Bytes())
	}
	x := xmlWriter{shapes: shapes, layout: millisLayout}
	x.raw(xmlHeader)
	x.root(m.WireName(), op.Service.XMLNamespace)
	x.content(s, f)
	x.close(m.WireName())
	return send(w, "application/xml", status, x.b)
}

// stream copies a streaming member to the caller and closes it.
func stream(w http.ResponseWriter, status int, f reflect.Value) error {
	h := w.Header()
	if h.Get("Content-Type") == "" {
		h.Set("Content-Type", "binary/octet-stream") // S3's default
	}
	if f.IsNil() {
		w.WriteHeader(status)
		return nil
	}
	body := f.Interface().(io.ReadCloser)
	defer body.Close()
	w.WriteHeader(status)
	_, err := io.Copy(w, body)
	return err
}
