// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"fmt"
	"go/format"
	"slices"
	"strings"
)

// generate returns the files of one service's package.
func generate(name string, m *model, served map[string]bool) (map[string][]byte, error) {
	p, err := newPlan(name, m, served)
	if err != nil {
		return nil, err
	}
	files := map[string][]byte{}
	for _, part := range []struct {
		file  string
		write func(*plan, *bytes.Buffer) error
	}{
		{"service.go", writeService},
		{"operations.go", writeOperations},
		{"types.go", writeTypes},
		{"enums.go", writeEnums},
		{"errors.go", writeErrors},
		{"shapes.go", writeShapes},
	} {
		var body bytes.Buffer
		if err := part.write(p, &body); err != nil {
			return nil, err
		}
		if body.Len() == 0 {
			continue
		}
		var b bytes.Buffer
		fmt.Fprintf(&b, "// SPDX-License-Identifier: Apache-2.0\n\n%s\n\n", generatedMark)
		if part.file == "service.go" {
			fmt.Fprintf(&b, "// Package %sapi is the API of %s, version %s, as its service model\n"+
				"// describes it: operations, types, errors and the tables that package wire\n// reads. It does nothing by itself.\n",
				name, m.Metadata.ServiceID, m.Metadata.APIVersion)
		}
		fmt.Fprintf(&b, "package %sapi\n\n", name)
		b.WriteString(imports(body.Bytes()))
		b.Write(body.Bytes())
		src, err := format.Source(b.Bytes())
		if err != nil {
			return nil, fmt.Errorf("%s: %w", part.file, err)
		}
		files[part.file] = src
	}
	return files, nil
}

// imports returns the import declaration that the body of a file needs.
func imports(body []byte) string {
	var s string
	if bytes.Contains(body, []byte(" io.")) {
		s += "\"io\"\n\n"
	}
	if bytes.Contains(body, []byte("api.")) {
		s += "\"github.com/remit-ecs/remit/internal/api\"\n"
	}
	if s == "" {
		return ""
	}
	return "import (\n" + s + ")\n"
}

func writeService(p *plan, b *bytes.Buffer) error {
	md := p.model.Metadata
	protocols := map[string]string{"query": "api.Query", "ec2": "api.EC2Query", "rest-xml": "api.RestXML",
		"rest-json": "api.RestJSON", "json": "api.JSON11"}
	protocol, ok := protocols[md.Protocol]
	if !ok {
		return fmt.Errorf("unknown protocol %q", md.Protocol)
	}
	if md.JSONVersion == "1.0" {
		protocol = "api.JSON10"
	}
	signing := md.SigningName
	if signing == "" {
		signing = md.EndpointPrefix
	}
	ns := md.XMLNamespace
	if md.Protocol == "rest-xml" && ns == "" {
		ns = "http://s3.amazonaws.com/doc/" + md.APIVersion + "/"
	}
	fmt.Fprintf(b, "// API describes the service.\nvar API = &service\n\nvar service = api.Service{\n")
	field := func(name, value string) {
		if value != "" {
			fmt.Fprintf(b, "%s: %q,\n", name, value)
		}
	}
	field("Name", p.name)
	field("ID", md.ServiceID)
	field("SigningName", signing)
	field("TargetPrefix", md.TargetPrefix)
	field("APIVersion", md.APIVersion)
	field("XMLNamespace", ns)
	field("EventSource", signing+".amazonaws.com")
	field("EndpointName", md.EndpointPrefix)
	fmt.Fprintf(b, "Protocol: %s,\n", protocol)
	if p.name == "iam" {
		b.WriteString("Global: true,\n")
	}
	b.WriteString("Model: &model,\n}\n\n")
	b.WriteString("// Operations point to the service and the service to them, which Go does not\n" +
		"// let two initialisers do.\nfunc init() { service.Ops = all[:] }\n\n")
	fmt.Fprintf(b, "var all = [...]*api.OpInfo{\n")
	for i := range p.ops {
		fmt.Fprintf(b, "&ops[%d],\n", i)
	}
	b.WriteString("}\n")
	return nil
}

func writeOperations(p *plan, b *bytes.Buffer) error {
	b.WriteString("// The operations that have Go types.\nvar (\n")
	for i, o := range p.ops {
		if o.served {
			fmt.Fprintf(b, "%s = api.Op[%sInput, %sOutput]{Info: &ops[%d]}\n", o.name, o.name, o.name, i)
		}
	}
	b.WriteString(")\n\nvar ops = [...]api.OpInfo{\n")
	for _, o := range p.ops {
		fmt.Fprintf(b, "{Service: &service, Name: %q, Method: %q, URI: %q, ", o.name, o.op.HTTP.Method, o.op.HTTP.RequestURI)
		if c := o.op.HTTP.ResponseCode; c != 0 && c != 200 {
			fmt.Fprintf(b, "Status: %d, ", c)
		}
		index := func(s *plannedShape) int {
			if s == nil {
				return -1
			}
			return s.index
		}
		fmt.Fprintf(b, "Input: %d, Output: %d, ", index(o.in), index(o.out))
		if w := o.op.Output.ResultWrapper; w != "" {
			fmt.Fprintf(b, "ResultWrapper: %q, ", w)
		}
		if len(o.op.Errors) > 0 {
			b.WriteString("Errors: []string{")
			for _, e := range o.op.Errors {
				fmt.Fprintf(b, "%q, ", e.Shape)
			}
			b.WriteString("}, ")
		}
		flag := func(name string, on bool) {
			if on {
				fmt.Fprintf(b, "%s: true, ", name)
			}
		}
		flag("StreamingInput", o.in != nil && p.streams(o.in.shape))
		flag("StreamingOutput", o.out != nil && p.streams(o.out.shape))
		flag("Unsigned", o.op.AuthType == "none")
		flag("ReadOnly", readOnly(o.name))
		flag("ChecksumNeeded", o.op.Checksum.Required)
		if o.served {
			fmt.Fprintf(b, "NewInput: func() any { return new(%sInput) }, NewOutput: func() any { return new(%sOutput) }", o.name, o.name)
		}
		b.WriteString("},\n")
	}
	b.WriteString("}\n")
	return nil
}

// readOnly tells by the name whether an operation changes nothing.
func readOnly(op string) bool {
	for _, prefix := range []string{"Get", "List", "Describe", "Head", "AssumeRole", "DecodeAuthorization", "Lookup", "BatchGet", "BatchCheck", "Filter", "Simulate", "Discover", "Validate"} {
		if strings.HasPrefix(op, prefix) {
			return true
		}
	}
	return false
}

// streams reports whether the payload of a structure is a stream.
func (p *plan) streams(s shape) bool {
	m, ok := s.Members.values[s.Payload]
	return ok && m.Streaming
}

func writeTypes(p *plan, b *bytes.Buffer) error {
	type named struct {
		goName, doc string
		shape       shape
	}
	var types []named
	for _, o := range p.ops {
		if !o.served {
			continue
		}
		for _, side := range []struct {
			suffix, doc string
			ps          *plannedShape
		}{{"Input", "what a caller of " + o.name + " sends", o.in}, {"Output", "what " + o.name + " answers", o.out}} {
			t := named{goName: o.name + side.suffix, doc: side.doc}
			if side.ps != nil {
				t.shape = side.ps.shape
			}
			types = append(types, t)
		}
	}
	for _, ps := range p.shapes {
		if ps.goName != "" && ps.shape.Type == "structure" && !ps.shape.Exception && p.byName[ps.name] == ps {
			types = append(types, named{ps.goName, "the structure " + ps.name + " of the model", ps.shape})
		}
	}
	slices.SortFunc(types, func(x, y named) int { return strings.Compare(x.goName, y.goName) })
	for _, t := range types {
		fmt.Fprintf(b, "// %s is %s.\ntype %s struct {\n", t.goName, t.doc, t.goName)
		for _, m := range t.shape.Members.keys {
			r := t.shape.Members.values[m]
			tag := m + ",omitzero"
			if r.Streaming {
				tag = "-"
			}
			note := ""
			if slices.Contains(t.shape.Required, m) {
				note = " // required"
			}
			fmt.Fprintf(b, "%s %s `json:%q`%s\n", exported(m), p.goType(r, false), tag, note)
		}
		b.WriteString("}\n\n")
	}
	return nil
}

func writeEnums(p *plan, b *bytes.Buffer) error {
	var enums []*plannedShape
	for _, ps := range p.shapes {
		if ps.goName != "" && ps.shape.Type == "string" {
			enums = append(enums, ps)
		}
	}
	slices.SortFunc(enums, func(x, y *plannedShape) int { return strings.Compare(x.goName, y.goName) })
	for _, ps := range enums {
		fmt.Fprintf(b, "// %s is an enumeration; \"\" means absent.\ntype %s string\n\n", ps.goName, ps.goName)
		fmt.Fprintf(b, "// The values of %s.\nconst (\n", ps.goName)
		for _, v := range ps.shape.Enum {
			id := ps.goName + constant(v)
			for p.take(id, "value "+v) != nil {
				id += "Value"
			}
			fmt.Fprintf(b, "%s %s = %q\n", id, ps.goName, v)
		}
		b.WriteString(")\n\n")
	}
	return nil
}

func writeErrors(p *plan, b *bytes.Buffer) error {
	for _, n := range p.errors {
		ps := p.byName[n]
		code, status, fault := p.exception(ps)
		fmt.Fprintf(b, "// %s makes the error %s (HTTP %d).\n", ps.goName, code, status)
		fmt.Fprintf(b, "func %s(format string, args ...any) *api.Error {\nreturn api.Errorf(%q, %d, %s, format, args...)\n}\n\n",
			ps.goName, code, status, fault)
	}
	return nil
}

// statuses are of errors whose model forgets to say them. From the table of
// error responses in the Amazon S3 API Reference.
var statuses = map[string]int{
	"s3:BucketAlreadyExists":            409,
	"s3:BucketAlreadyOwnedByYou":        409,
	"s3:NoSuchBucket":                   404,
	"s3:NoSuchKey":                      404,
	"s3:NoSuchUpload":                   404,
	"s3:ObjectNotInActiveTierError":     403,
	"s3:ObjectAlreadyInActiveTierError": 403,
}

// exception returns an error shape's code, HTTP status and fault.
func (p *plan) exception(ps *plannedShape) (code string, status int, fault string) {
	code, status, fault = ps.name, ps.shape.Error.HTTPStatusCode, "api.FaultClient"
	if ps.shape.Error.Code != "" {
		code = ps.shape.Error.Code
	}
	if ps.shape.Fault || status >= 500 {
		fault = "api.FaultServer"
	}
	if status == 0 {
		status = statuses[p.name+":"+ps.name]
	}
	if status == 0 {
		status = 400
		if fault == "api.FaultServer" {
			status = 500
		}
	}
	return code, status, fault
}

var kinds = map[string]string{"string": "String", "boolean": "Boolean", "integer": "Integer", "long": "Long",
	"float": "Float", "double": "Double", "timestamp": "Timestamp", "blob": "Blob", "list": "List", "map": "Map",
	"structure": "Structure"}

func writeShapes(p *plan, b *bytes.Buffer) error {
	b.WriteString("var model = api.Model{Shapes: shapes[:]}\n\nvar shapes = [...]api.Shape{\n")
	for _, ps := range p.shapes {
		s := ps.shape
		kind, ok := kinds[s.Type]
		if !ok {
			return fmt.Errorf("shape %s has unknown type %q", ps.name, s.Type)
		}
		if s.Document {
			kind = "Document"
		}
		fmt.Fprintf(b, "%d: {Kind: api.%s, Name: %q, ", ps.index, kind, ps.name)
		w := writer{b}
		payload := -1
		if s.Type == "structure" && len(s.Members.keys) > 0 {
			b.WriteString("Members: []api.Member{\n")
			for i, n := range s.Members.keys {
				if n == s.Payload {
					payload = i
				}
				if err := p.writeMember(w, s, n); err != nil {
					return fmt.Errorf("shape %s: %w", ps.name, err)
				}
			}
			b.WriteString("}, ")
		}
		if s.Type == "structure" {
			fmt.Fprintf(b, "Payload: %d, ", payload)
		}
		w.flag("Union", s.Union)
		if s.Type == "list" {
			fmt.Fprintf(b, "Elem: %d, ", p.byName[s.Member.Shape].index)
			w.text("MemberName", s.Member.LocationName)
		}
		if s.Type == "map" {
			fmt.Fprintf(b, "Key: %d, Value: %d, ", p.byName[s.Key.Shape].index, p.byName[s.Value.Shape].index)
			w.text("KeyName", s.Key.LocationName)
			w.text("ValueName", s.Value.LocationName)
		}
		w.flag("Flattened", s.Flattened)
		location, ns := s.LocationName, s.XMLNamespace
		if ps.use.LocationName != "" {
			location = ps.use.LocationName
		}
		if ps.use.XMLNamespace.URI != "" {
			ns = ps.use.XMLNamespace
		}
		w.text("LocationName", location)
		w.text("XMLNSPrefix", ns.Prefix)
		w.text("XMLNSURI", ns.URI)
		if f := s.TimestampFormat; f != "" {
			names := map[string]string{"iso8601": "ISO8601", "rfc822": "RFC822", "unixTimestamp": "Unix"}
			if names[f] == "" {
				return fmt.Errorf("shape %s has unknown timestamp format %q", ps.name, f)
			}
			fmt.Fprintf(b, "TimestampFormat: api.Timestamp%s, ", names[f])
		}
		if s.Min != "" {
			fmt.Fprintf(b, "HasMin: true, Min: %s, ", s.Min)
		}
		if s.Max != "" {
			fmt.Fprintf(b, "HasMax: true, Max: %s, ", s.Max)
		}
		w.text("Pattern", s.Pattern)
		if len(s.Enum) > 0 {
			fmt.Fprintf(b, "Enum: %#v, ", s.Enum)
		}
		w.flag("Sensitive", s.Sensitive)
		if s.Exception {
			code, status, fault := p.exception(ps)
			fmt.Fprintf(b, "Exception: &api.Exception{Code: %q, Status: %d, Fault: %s}, ", code, status, fault)
		}
		b.WriteString("},\n")
	}
	b.WriteString("}\n")
	return nil
}

func (p *plan) writeMember(w writer, s shape, name string) error {
	r := s.Members.values[name]
	locations := map[string]string{"": "", "header": "Header", "headers": "Headers", "uri": "URI",
		"querystring": "Query", "statusCode": "StatusCode"}
	location, ok := locations[r.Location]
	if !ok {
		return fmt.Errorf("member %s has unknown location %q", name, r.Location)
	}
	target := p.byName[r.Shape]
	fmt.Fprintf(w.b, "{Name: %q, Shape: %d, ", name, target.index)
	w.flag("Required", slices.Contains(s.Required, name))
	if location != "" {
		fmt.Fprintf(w.b, "Location: api.Location%s, ", location)
	}
	if r.LocationName != name {
		w.text("LocationName", r.LocationName)
	}
	w.flag("Flattened", r.Flattened)
	w.flag("XMLAttribute", r.XMLAttribute)
	w.text("XMLNSPrefix", r.XMLNamespace.Prefix)
	w.text("XMLNSURI", r.XMLNamespace.URI)
	w.flag("Streaming", r.Streaming)
	w.flag("Sensitive", target.shape.Sensitive)
	w.flag("IdempotencyToken", r.IdempotencyToken)
	w.flag("Deprecated", r.Deprecated)
	w.b.WriteString("},\n")
	return nil
}

// writer writes fields of composite literals that are not zero.
type writer struct{ b *bytes.Buffer }

func (w writer) text(field, value string) {
	if value != "" {
		fmt.Fprintf(w.b, "%s: %q, ", field, value)
	}
}

func (w writer) flag(field string, on bool) {
	if on {
		fmt.Fprintf(w.b, "%s: true, ", field)
	}
}
