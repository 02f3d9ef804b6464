// SPDX-License-Identifier: Apache-2.0

package wire

import (
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/remit-ecs/remit/internal/api"
)

// maxComplaints bounds how many broken constraints one message names.
const maxComplaints = 100

// Validate checks an operation's input against the constraints of the model:
// required members, lengths, ranges, patterns and enumerations. It returns nil,
// or one error (api.Validation) that names every broken constraint in the words
// of AWS. Values of sensitive members are shown as ***.
func Validate(op *api.OpInfo, in any) *api.Error {
	v, err := structOf(op, op.InputShape(), in)
	if err != nil {
		return api.Internal(err)
	}
	if op.Input < 0 {
		return nil
	}
	c := checker{op: op, shapes: op.Service.Model.Shapes}
	c.structure(op.InputShape(), v, "", false)
	return c.err()
}

// ValidateOutput checks an answer against the model. It is for tests: answers
// of ours that do not fit are bugs.
func ValidateOutput(op *api.OpInfo, out any) error {
	if out == nil {
		if s := op.OutputShape(); s != nil {
			for i := range s.Members {
				if s.Members[i].Required {
					return fmt.Errorf("wire: %s: no output, though %s is required", op.Action(), s.Members[i].Name)
				}
			}
		}
		return nil
	}
	v, err := structOf(op, op.OutputShape(), out)
	if err != nil {
		return err
	}
	if op.Output < 0 {
		return nil
	}
	c := checker{op: op, shapes: op.Service.Model.Shapes, output: true}
	c.structure(op.OutputShape(), v, "", false)
	if e := c.err(); e != nil {
		return errors.New("wire: " + op.Action() + ": " + e.Message)
	}
	return nil
}

type checker struct {
	op         *api.OpInfo
	shapes     []api.Shape
	output     bool
	complaints []string
}

func (c *checker) err() *api.Error {
	n := len(c.complaints)
	if n == 0 {
		return nil
	}
	noun := " validation errors detected: "
	if n == 1 {
		noun = " validation error detected: "
	}
	return api.Validation(strconv.Itoa(n) + noun + strings.Join(c.complaints, "; "))
}

func (c *checker) complain(value, path, constraint string) {
	if len(c.complaints) < maxComplaints {
		c.complaints = append(c.complaints, "Value "+value+" at '"+path+"' failed to satisfy constraint: "+constraint)
	}
}

func (c *checker) structure(s *api.Shape, v reflect.Value, path string, hidden bool) {
	for i := range s.Members {
		m := &s.Members[i]
		f := v.Field(i)
		if absent(f) {
			if m.Required && !m.Streaming {
				c.complain("null", join(path, m.Name), "Member must not be null")
			}
			continue
		}
		if m.Streaming {
			continue
		}
		ms := &c.shapes[m.Shape]
		if !constrained(ms) {
			continue
		}
		c.value(ms, f, join(path, m.Name), hidden || sensitive(c.op.Service, s, m))
	}
}

// join makes the path of a member: names begin with a small letter, whatever
// the model says.
func join(path, name string) string {
	if path == "" {
		return lowerFirst(name)
	}
	return path + "." + lowerFirst(name)
}

func lowerFirst(s string) string {
	if s == "" || s[0] < 'A' || s[0] > 'Z' {
		return s
	}
	return string(s[0]|0x20) + s[1:]
}

func (c *checker) value(s *api.Shape, f reflect.Value, path string, hidden bool) {
	f = reflect.Indirect(f)
	hidden = hidden || s.Sensitive
	for _, constraint := range broken(s, f, c.output) {
		c.complain(show(c.shapes, s, f, hidden), path, constraint)
	}
	switch s.Kind {
	case api.Structure:
		c.structure(s, f, path, hidden)
	case api.List:
		elem := &c.shapes[s.Elem]
		if !constrained(elem) {
			return
		}
		if elem.Kind == api.Structure || elem.Kind == api.List || elem.Kind == api.Map {
			for i := range f.Len() {
				c.value(elem, f.Index(i), path+"."+strconv.Itoa(i+1)+".member", hidden)
			}
			return
		}
		for i := range f.Len() {
			if len(broken(elem, f.Index(i), c.output)) > 0 {
				c.complain(show(c.shapes, s, f, hidden), path, "Member must satisfy constraint: "+all(elem))
				break
			}
		}
	case api.Map:
		c.mapping(s, f, path, hidden)
	}
}

func (c *checker) mapping(s *api.Shape, f reflect.Value, path string, hidden bool) {
	key, elem := &c.shapes[s.Key], &c.shapes[s.Value]
	badKey, badValue := false, false
	for _, k := range sortedKeys(f) {
		badKey = badKey || len(broken(key, k, c.output)) > 0
		value := f.MapIndex(k)
		if elem.Kind == api.Structure || elem.Kind == api.List || elem.Kind == api.Map {
			c.value(elem, value, path+"."+clip(k.String())+".member", hidden)
			continue
		}
		badValue = badValue || len(broken(elem, value, c.output)) > 0
	}
	if badKey {
		c.complain(show(c.shapes, s, f, hidden), path, "Map keys must satisfy constraint: "+all(key))
	}
	if badValue {
		c.complain(show(c.shapes, s, f, hidden), path, "Map value must satisfy constraint: "+all(elem))
	}
}

// broken returns the constraints of the shape itself that a value breaks.
func broken(s *api.Shape, f reflect.Value, output bool) []string {
	var out []string
	switch s.Kind {
	case api.String, api.Blob, api.List, api.Map:
		if !s.HasMin && !s.HasMax && s.Pattern == "" && len(s.Enum) == 0 {
			return nil
		}
		n := f.Len()
		if s.Kind == api.String && (s.HasMin || s.HasMax) {
			n = utf8.RuneCountInString(f.String())
		}
		// AWS answers with empty lists whose model wants one entry at least.
		if s.HasMin && float64(n) < s.Min && !(output && s.Kind == api.List) {
			out = append(out, atLeast(s))
		}
		if s.HasMax && float64(n) > s.Max {
			out = append(out, atMost(s))
		}
		if s.Kind != api.String {
			return out
		}
		if s.Pattern != "" && !output { // what we stored, we accepted
			if re := pattern(s.Pattern); re != nil && !re.MatchString(f.String()) {
				out = append(out, matches(s))
			}
		}
		if len(s.Enum) > 0 && !contains(s.Enum, f.String()) {
			out = append(out, oneOf(s))
		}
	case api.Integer, api.Long:
		out = ranged(s, float64(f.Int()))
	case api.Float, api.Double:
		out = ranged(s, f.Float())
	}
	return out
}

func ranged(s *api.Shape, x float64) (out []string) {
	if s.HasMin && !(x >= s.Min) { // NaN is in no range
		out = append(out, atLeast(s))
	}
	if s.HasMax && !(x <= s.Max) {
		out = append(out, atMost(s))
	}
	return out
}

func contains(list []string, s string) bool {
	for _, v := range list {
		if v == s {
			return true
		}
	}
	return false
}

func quality(s *api.Shape) string {
	switch s.Kind {
	case api.Integer, api.Long, api.Float, api.Double:
		return "value"
	}
	return "length"
}

func bound(x float64) string { return strconv.FormatFloat(x, 'f', -1, 64) }

func atLeast(s *api.Shape) string {
	return "Member must have " + quality(s) + " greater than or equal to " + bound(s.Min)
}

func atMost(s *api.Shape) string {
	return "Member must have " + quality(s) + " less than or equal to " + bound(s.Max)
}

func matches(s *api.Shape) string {
	return "Member must satisfy regular expression pattern: " + s.Pattern
}

func oneOf(s *api.Shape) string {
	return "Member must satisfy enum value set: [" + strings.Join(s.Enum, ", ") + "]"
}

// all lists every constraint of an element: AWS does not say which one broke.
func all(s *api.Shape) string {
	var out []string
	if s.HasMax {
		out = append(out, atMost(s))
	}
	if s.HasMin {
		out = append(out, atLeast(s))
	}
	if s.Pattern != "" {
		out = append(out, matches(s))
	}
	if len(s.Enum) > 0 {
		out = append(out, oneOf(s))
	}
	return "[" + strings.Join(out, ", ") + "]"
}

// maxShown bounds how much of a value is repeated to the caller.
const maxShown = 2048

// show writes a value between quotes as AWS does: lists as [a, b], maps as
// {k=v}. Structures are not taken apart; their members may be sensitive.
func show(shapes []api.Shape, s *api.Shape, f reflect.Value, hidden bool) string {
	if hidden {
		return "'***'"
	}
	var b strings.Builder
	write(&b, shapes, s, f)
	text := b.String()
	if len(text) > maxShown {
		text = strings.ToValidUTF8(text[:maxShown], "") + "..."
	}
	return "'" + text + "'"
}

func write(b *strings.Builder, shapes []api.Shape, s *api.Shape, f reflect.Value) {
	f = reflect.Indirect(f)
	if b.Len() > maxShown {
		return
	}
	if s.Sensitive {
		b.WriteString("***")
		return
	}
	switch s.Kind {
	case api.String:
		b.WriteString(f.String())
	case api.List:
		b.WriteByte('[')
		for i := range f.Len() {
			if i > 0 {
				b.WriteString(", ")
			}
			write(b, shapes, &shapes[s.Elem], f.Index(i))
		}
		b.WriteByte(']')
	case api.Map:
		b.WriteByte('{')
		for i, k := range sortedKeys(f) {
			if i > 0 {
				b.WriteString(", ")
			}
			b.WriteString(k.String() + "=")
			write(b, shapes, &shapes[s.Value], f.MapIndex(k))
		}
		b.WriteByte('}')
	case api.Structure:
		b.WriteString(s.Name)
	case api.Blob:
		b.WriteString("java.nio.HeapByteBuffer[pos=0 lim=" + strconv.Itoa(f.Len()) + " cap=" + strconv.Itoa(f.Len()) + "]")
	case api.Document:
		raw, _ := json.Marshal(f.Interface()) // what cannot be written is not shown
		b.Write(raw)
	default:
		b.Write(appendText(nil, s, f, secondsLayout))
	}
}

// constrained reports whether anything about a value of the shape could be
// wrong, so that most scalars need no look.
func constrained(s *api.Shape) bool {
	switch s.Kind {
	case api.Structure, api.List, api.Map:
		return true
	}
	return s.HasMin || s.HasMax || s.Pattern != "" || len(s.Enum) > 0
}
