// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"slices"
	"strings"
)

// plan is what will be written for one service: which shapes, at which index,
// under which Go name.
type plan struct {
	name   string
	model  *model
	ops    []*plannedOp
	shapes []*plannedShape
	byName map[string]*plannedShape // nested and scalar shapes, by model name
	errors []string                 // error shapes that served operations name
	taken  map[string]string        // Go identifiers and what holds them
}

type plannedOp struct {
	name   string
	op     operation
	served bool
	in     *plannedShape // nil for none
	out    *plannedShape
}

type plannedShape struct {
	index  int
	name   string // in the model
	goName string // Go type; "" for shapes without a type of their own
	shape  shape
	use    ref // how an operation uses it (inputs and outputs only)
}

func newPlan(name string, m *model, served map[string]bool) (*plan, error) {
	p := &plan{name: name, model: m, byName: map[string]*plannedShape{}, taken: map[string]string{}}
	for op := range served {
		if _, ok := m.Operations.values[op]; !ok && op != "*" {
			return nil, fmt.Errorf("served.txt names %s, which the model does not have", op)
		}
	}
	for _, n := range slices.Sorted(slices.Values(m.Operations.keys)) {
		o := m.Operations.values[n]
		p.ops = append(p.ops, &plannedOp{name: n, op: o, served: served["*"] || served[n]})
		if err := p.take(n, "operation"); err != nil {
			return nil, err
		}
	}
	if err := p.take("API", "service"); err != nil {
		return nil, err
	}
	for _, o := range p.ops {
		if !o.served {
			continue
		}
		var err error
		if o.in, err = p.root(o.name+"Input", o.op.Input); err != nil {
			return nil, err
		}
		if o.out, err = p.root(o.name+"Output", o.op.Output); err != nil {
			return nil, err
		}
		for _, e := range o.op.Errors {
			if !slices.Contains(p.errors, e.Shape) {
				p.errors = append(p.errors, e.Shape)
			}
		}
	}
	// Errors that no operation names are still the service's, and often the
	// common ones.
	for _, n := range m.Shapes.keys {
		if m.Shapes.values[n].Exception && !slices.Contains(p.errors, n) && served["*"] {
			p.errors = append(p.errors, n)
		}
	}
	slices.Sort(p.errors)
	for _, n := range p.errors {
		if _, err := p.visit(n); err != nil {
			return nil, err
		}
	}
	return p, nil
}

// take reserves a Go identifier of the package.
func (p *plan) take(id, holder string) error {
	if by, ok := p.taken[id]; ok {
		return fmt.Errorf("the name %s is wanted by %s and %s", id, by, holder)
	}
	p.taken[id] = holder
	return nil
}

// root plans an operation's own input or output. Each operation gets its own
// type even where the model shares a shape.
func (p *plan) root(goName string, use ref) (*plannedShape, error) {
	if err := p.take(goName, "operation"); err != nil {
		return nil, err
	}
	if use.Shape == "" {
		return nil, nil
	}
	s, ok := p.model.Shapes.values[use.Shape]
	if !ok {
		return nil, fmt.Errorf("no shape %s", use.Shape)
	}
	ps := &plannedShape{index: len(p.shapes), name: use.Shape, goName: goName, shape: s, use: use}
	p.shapes = append(p.shapes, ps)
	return ps, p.visitMembers(s)
}

// visit plans a shape and everything below it.
func (p *plan) visit(name string) (*plannedShape, error) {
	if ps, ok := p.byName[name]; ok {
		return ps, nil
	}
	s, ok := p.model.Shapes.values[name]
	if !ok {
		return nil, fmt.Errorf("no shape %s", name)
	}
	if s.EventStream {
		return nil, fmt.Errorf("shape %s is an event stream, which awsgen does not know", name)
	}
	ps := &plannedShape{index: len(p.shapes), name: name, shape: s}
	if s.Exception || (s.Type == "structure" && !s.Document) || (s.Type == "string" && len(s.Enum) > 0) {
		ps.goName = exported(name)
		if err := p.take(ps.goName, "shape "+name); err != nil {
			// An operation and a type may share a name; the operation keeps it.
			ps.goName += "Type"
			if err := p.take(ps.goName, "shape "+name); err != nil {
				return nil, err
			}
		}
	}
	p.byName[name] = ps
	p.shapes = append(p.shapes, ps)
	return ps, p.visitMembers(s)
}

func (p *plan) visitMembers(s shape) error {
	for _, m := range s.Members.keys {
		if _, err := p.visit(s.Members.values[m].Shape); err != nil {
			return err
		}
	}
	for _, r := range []ref{s.Member, s.Key, s.Value} {
		if r.Shape != "" {
			if _, err := p.visit(r.Shape); err != nil {
				return err
			}
		}
	}
	return nil
}

// goType returns the Go type of a member, or of an entry of a list or map.
func (p *plan) goType(r ref, entry bool) string {
	ps := p.byName[r.Shape]
	star := "*"
	if entry {
		star = ""
	}
	switch s := ps.shape; s.Type {
	case "string":
		if ps.goName != "" {
			return ps.goName
		}
		return star + "string"
	case "boolean":
		return star + "bool"
	case "integer":
		return star + "int32"
	case "long":
		return star + "int64"
	case "float", "double":
		return star + "float64"
	case "timestamp":
		return star + "api.Time"
	case "blob":
		if r.Streaming {
			return "io.ReadCloser"
		}
		return "[]byte"
	case "list":
		return "[]" + p.goType(s.Member, true)
	case "map":
		return "map[string]" + p.goType(s.Value, true)
	case "structure":
		if s.Document {
			return "any"
		}
		return star + ps.goName
	}
	panic("unknown type " + ps.shape.Type + " of shape " + ps.name) // a model we cannot read
}

// exported makes a Go identifier of a name in a model.
func exported(name string) string {
	name = strings.TrimLeft(name, "_")
	return strings.ToUpper(name[:1]) + name[1:]
}

// constant makes the part of a constant's name that comes from a value of an
// enumeration: FARGATE_SPOT becomes FargateSpot, aws:kms AwsKms.
func constant(value string) string {
	var b strings.Builder
	for _, w := range strings.FieldsFunc(value, func(r rune) bool {
		return (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') && (r < '0' || r > '9')
	}) {
		if w == strings.ToUpper(w) {
			w = strings.ToLower(w)
		}
		b.WriteString(exported(w))
	}
	return b.String()
}
