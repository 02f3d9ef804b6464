package policy

import (
	"encoding/json"
	"fmt"
	"strings"
)

// ChangeKind is what to do with a policy.
type ChangeKind uint8

const (
	AddStatement    ChangeKind = iota // add Statement to the policy, or to a new one of the layer
	ChangeStatement                   // remove or narrow the statement at Ref, which denies
	RepairPolicy                      // make the policy readable
)

// String is the kind's name in a Report.
func (k ChangeKind) String() string {
	return [...]string{"addStatement", "changeStatement", "repairPolicy"}[k]
}

// Change is one step towards allowing a request: what would, not what should.
type Change struct {
	Kind  ChangeKind
	Layer Layer

	// Of is whose policy is to change: the ARN of the user or role for its
	// identity-based policies and boundary, of the session for its session
	// policies, of the resource for its policy, of the role for its trust policy.
	Of string

	// Policy is the policy to change; nil where any policy of the layer, or a
	// new one, will do.
	Policy *Attached

	// Level is, for service control policies, the level of the organization
	// that lacks an allow: 1 is the root.
	Level int

	Statement string       // of AddStatement, as JSON
	Ref       StatementRef // of ChangeStatement
}

// String is the change as a sentence.
func (c Change) String() string {
	switch c.Kind {
	case ChangeStatement:
		return fmt.Sprintf("change %s of %s, which denies: no allow outweighs it", c.Ref.Get().label(), c.Policy.label())
	case RepairPolicy:
		return "repair " + c.Policy.label() + " (" + c.Layer.String() + "), which cannot be read"
	}
	switch c.Layer {
	case LayerSession:
		return "make the session with a session policy that has " + c.Statement
	case LayerSCP:
		return fmt.Sprintf("add to a service control policy at level %d of the organization %s", c.Level, c.Statement)
	case LayerVPCEndpoint:
		return "add to the VPC endpoint policy " + c.Statement
	case LayerIdentity:
		return fmt.Sprintf("add to an identity-based policy of %s %s", c.Of, c.Statement)
	}
	return fmt.Sprintf("add to the %s of %s %s", c.Layer, c.Of, c.Statement)
}

// Changes are the smallest changes that, made together, would allow a denied
// request. There are none for an allowed request, nor where nothing helps: for
// a malformed request, and for what AWS lets nobody change. Where a policy
// cannot be read only its repair is listed, as nobody knows what comes after.
func (w *Reasons) Changes() []Change {
	r := w.request
	q, ok := prepare(r, w.set)
	if !ok || w.Decision.Allowed || protected(q.service, q.name, r.Resource) {
		return nil
	}
	if len(w.Decision.Diagnostics) > 0 {
		return repairs(w.Decision.Diagnostics)
	}
	p := newPlan(&q, w.set)
	for range 16 { // each layer at most twice
		d := Authorize(r, &p.set)
		switch {
		case d.Allowed:
			return p.changes
		case d.Effect == ExplicitDeny:
			p.dropDenies()
		case !p.allow(d.Layer):
			return nil
		}
	}
	return nil
}

// repairs has one change for each policy that cannot be read.
func repairs(list []Diagnostic) []Change {
	var out []Change
	for _, d := range list {
		if n := len(out); n > 0 && out[n-1].Policy == d.Policy {
			continue
		}
		out = append(out, Change{Kind: RepairPolicy, Layer: d.Layer, Policy: d.Policy})
	}
	return out
}

// plan makes changes in a copy of a set until the copy allows the request.
type plan struct {
	q       *query
	set     Set
	origin  map[*Attached]*Attached // of the copies
	tried   map[Layer]bool
	changes []Change
}

func newPlan(q *query, s *Set) *plan {
	p := &plan{q: q, set: *s, origin: map[*Attached]*Attached{}, tried: map[Layer]bool{}}
	list := func(from []Attached) []Attached {
		to := append([]Attached(nil), from...)
		for i := range from {
			p.origin[&to[i]] = &from[i]
		}
		return to
	}
	one := func(from *Attached) *Attached {
		if from == nil {
			return nil
		}
		to := *from
		p.origin[&to] = from
		return &to
	}
	levels := func(from [][]Attached) [][]Attached {
		if from == nil {
			return nil
		}
		to := make([][]Attached, len(from))
		for i := range from {
			to[i] = list(from[i])
		}
		return to
	}
	p.set.Identity, p.set.Session = list(s.Identity), list(s.Session)
	p.set.SCP, p.set.RCP = levels(s.SCP), levels(s.RCP)
	p.set.Boundary, p.set.VPCEndpoint, p.set.Resource, p.set.Trust = one(s.Boundary), one(s.VPCEndpoint), one(s.Resource), one(s.Trust)
	return p
}

// dropDenies takes out every statement that denies the request.
func (p *plan) dropDenies() {
	p.set.each(func(layer Layer, a *Attached) {
		if !p.q.applies(layer) || a.Document == nil {
			return
		}
		var denies []int
		for i := range a.Document.Statements {
			st := &a.Document.Statements[i]
			if _, ok := p.q.matches(st); ok && st.deny && !st.unreadable {
				denies = append(denies, i)
				origin := p.origin[a]
				p.changes = append(p.changes, Change{Kind: ChangeStatement, Layer: layer, Of: p.owner(layer), Policy: origin,
					Ref: StatementRef{layer, origin, i}})
			}
		}
		if len(denies) > 0 {
			a.Document = a.Document.without(denies)
		}
	})
}

// allow adds an allow to a layer; false if that was done already.
func (p *plan) allow(layer Layer) bool {
	if layer == LayerIdentity && p.tried[layer] && p.q.r.Principal.Type == FederatedUser {
		layer = LayerSession // without one such a session has no permissions
	}
	if p.tried[layer] {
		return false
	}
	p.tried[layer] = true
	kind := map[Layer]Kind{LayerSession: KindSession, LayerResource: KindResource, LayerTrust: KindTrust,
		LayerSCP: KindSCP, LayerVPCEndpoint: KindVPCEndpoint}[layer]
	text := p.statement(kind)
	doc, err := Parse(kind, []byte(`{"Version":"2012-10-17","Statement":`+text+`}`))
	if err != nil {
		return false
	}
	added := Attached{Layer: layer, Name: "suggested", Document: doc}
	into := func(a **Attached) {
		if *a == nil {
			*a = &added
			return
		}
		extended := **a
		extended.Document = extended.Document.with(doc.Statements[0])
		p.origin[&extended] = p.origin[*a]
		*a = &extended
	}
	change := Change{Kind: AddStatement, Layer: layer, Of: p.owner(layer), Statement: text}
	switch layer {
	case LayerIdentity:
		p.set.Identity = append(p.set.Identity, added)
	case LayerSession:
		p.set.Session, p.set.HasSession = append(p.set.Session, added), true
	case LayerBoundary:
		change.Policy = p.origin[p.set.Boundary]
		into(&p.set.Boundary)
	case LayerVPCEndpoint:
		change.Policy = p.origin[p.set.VPCEndpoint]
		into(&p.set.VPCEndpoint)
	case LayerResource:
		change.Policy = p.origin[p.set.Resource]
		into(&p.set.Resource)
	case LayerTrust:
		change.Policy = p.origin[p.set.Trust]
		into(&p.set.Trust)
	case LayerSCP:
		if len(p.set.SCP) == 0 {
			p.set.SCP = [][]Attached{nil}
		}
		for i, level := range p.set.SCP {
			var f finding
			if p.q.layer(LayerSCP, level, &f); !f.allow {
				p.set.SCP[i] = append(level, added)
				change.Level = i + 1
				p.changes = append(p.changes, change)
			}
		}
		return true
	default:
		return false
	}
	p.changes = append(p.changes, change)
	return true
}

// owner is whose policies the layer's are.
func (p *plan) owner(layer Layer) string {
	who := &p.q.r.Principal
	switch layer {
	case LayerIdentity, LayerBoundary:
		if who.RoleARN != "" {
			return who.RoleARN
		}
		return who.label()
	case LayerSession:
		return who.label()
	case LayerResource, LayerTrust:
		return p.q.r.Resource
	}
	return ""
}

// statement is the smallest statement that allows the request.
func (p *plan) statement(kind Kind) string {
	r := p.q.r
	text := `{"Effect":"Allow"`
	if kind.hasPrincipal() {
		text += `,"Principal":` + r.Principal.element()
	}
	text += `,"Action":` + jsonText(r.Action)
	// Trust policies have no Resource element, and those of ECR take none.
	if kind != KindTrust && !(kind == KindResource && p.q.service == "ecr") {
		text += `,"Resource":` + jsonText(literalResource(r.Resource))
	}
	return text + "}"
}

// element is a Principal element that names the caller.
func (who *Principal) element() string {
	switch who.Type {
	case Anonymous:
		return `"*"`
	case Service:
		return `{"Service":` + jsonText(who.Service) + `}`
	case Federated:
		return `{"Federated":` + jsonText(who.Provider) + `}`
	}
	name := who.ARN
	if who.Type == AssumedRole && who.RoleARN != "" {
		name = who.RoleARN
	}
	if name == "" {
		name = who.Account
	}
	return `{"AWS":` + jsonText(name) + `}`
}

// Suggest is Changes in one text: where one statement in an identity-based
// policy is enough, that statement as JSON; else sentences. It is empty for an
// allowed request.
func (w *Reasons) Suggest() string {
	if w.Decision.Allowed {
		return ""
	}
	changes := w.Changes()
	switch {
	case w.Decision.Layer == LayerProtected:
		return "nothing does: it belongs to AWS"
	case len(changes) == 0:
		return "nothing does"
	case len(changes) == 1 && changes[0].Kind == AddStatement && changes[0].Layer == LayerIdentity:
		return changes[0].Statement
	}
	texts := make([]string, len(changes))
	for i, c := range changes {
		texts[i] = c.String()
	}
	return strings.Join(texts, "; and ")
}

// literalResource writes a resource so that the wildcards in it are themselves.
func literalResource(resource string) string {
	if resource == "*" || !strings.ContainsAny(resource, "*?$") {
		return resource
	}
	return strings.NewReplacer("*", "${*}", "?", "${?}", "$", "${$}").Replace(resource)
}

// jsonText is a JSON string, with '<', '>' and '&' as they are.
func jsonText(s string) string {
	var b strings.Builder
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	_ = e.Encode(s) // a string cannot fail
	return strings.TrimSuffix(b.String(), "\n")
}
