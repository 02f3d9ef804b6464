package policy

import (
	"encoding/json"
	"fmt"
	"sort"
	"strings"
)

// Reasons explain a decision. They are built on demand, by Explain: deciding
// does not pay for them.
type Reasons struct {
	Decision Decision

	// Determining are the statements that decided: for an explicit denial all
	// statements that deny, for an allowed request those that allow.
	Determining []StatementReason

	// Nearest are, for an implicit denial, the statements of the layer that did
	// not allow which came nearest to it, best first, at most three.
	Nearest []StatementReason

	// MissingContext are the condition keys, lower case, that statements about
	// the action refer to and the request did not bring.
	MissingContext []string

	request *Request
	set     *Set
}

// StatementReason is how one statement compares with a request.
type StatementReason struct {
	Ref       StatementRef
	Action    bool // whether each of its parts matches the request
	Resource  bool
	Principal bool
	// Conditions are the statement's conditions, each with its outcome.
	Conditions []ConditionReason
}

// Statement is the statement itself.
func (s *StatementReason) Statement() *Statement { return s.Ref.Get() }

// Matches reports whether the whole statement matches the request.
func (s *StatementReason) Matches() bool {
	for _, c := range s.Conditions {
		if !c.Met {
			return false
		}
	}
	return s.Action && s.Resource && s.Principal
}

// ConditionReason is one key under one operator, with what was found and wanted.
type ConditionReason struct {
	Operator string   // as written: "ForAnyValue:StringLike"
	Key      string   // as written
	Wanted   []string // as written in the policy
	Found    []string // in the request; none if the key is missing
	Negated  bool     // a StringNotEquals or its like: none of Wanted may match
	Met      bool
}

// String is the condition as a line for people.
func (c ConditionReason) String() string {
	found := "the request has no " + c.Key
	if len(c.Found) > 0 {
		found = c.Key + " is " + quoted(c.Found)
	}
	wanted := quoted(c.Wanted)
	switch {
	case c.Negated && len(c.Wanted) > 1:
		wanted = "none of " + wanted
	case len(c.Wanted) > 1:
		wanted = "one of " + wanted
	}
	state := "is not met"
	if c.Met {
		state = "is met"
	}
	return fmt.Sprintf("condition %s %s: %s %s", c.Operator, wanted, found, "("+state+")")
}

func quoted(values []string) string {
	q := make([]string, len(values))
	for i, v := range values {
		q[i] = fmt.Sprintf("%q", v)
	}
	return strings.Join(q, ", ")
}

// Explain decides a request as Authorize does, and says why.
func Explain(r *Request, s *Set) *Reasons {
	why := &Reasons{Decision: Authorize(r, s), request: r, set: s}
	q, ok := prepare(r, s)
	if !ok {
		return why
	}
	type scored struct {
		StatementReason
		score float64
	}
	var near []scored
	missing := map[string]bool{}
	s.each(func(layer Layer, a *Attached) {
		if a.Document == nil || !q.applies(layer) {
			return
		}
		for i := range a.Document.Statements {
			st := &a.Document.Statements[i]
			if st.unreadable {
				continue
			}
			sr := q.compare(StatementRef{layer, a, i}, st)
			if sr.Action {
				for _, c := range st.conditions {
					if len(r.Context[c.key]) == 0 && !missing[c.key] {
						missing[c.key] = true
						why.MissingContext = append(why.MissingContext, c.key)
					}
				}
			}
			switch d := &why.Decision; {
			case sr.Matches() && st.deny && d.Effect == ExplicitDeny,
				sr.Matches() && !st.deny && d.Allowed && (layer == d.Layer ||
					d.CrossAccount && (layer == LayerResource || layer == LayerTrust)):
				why.Determining = append(why.Determining, sr)
			case !sr.Matches() && !st.deny && !d.Allowed && d.Effect == ImplicitDeny && layer == d.Layer:
				if score := q.nearness(&sr, st); score > 0 {
					near = append(near, scored{sr, score})
				}
			}
		}
	})
	sort.SliceStable(near, func(i, j int) bool { return near[i].score > near[j].score })
	for _, n := range near[:min(3, len(near))] {
		if near[0].Action && !n.Action {
			break // the right service is no news beside the right action
		}
		why.Nearest = append(why.Nearest, n.StatementReason)
	}
	return why
}

// applies reports whether a layer's policies have a say in the request.
func (q *query) applies(layer Layer) bool {
	who := &q.r.Principal
	inAccount := who.inAccount()
	trust := q.service == "sts" && isTrustAction(q.name)
	switch layer {
	case LayerRCP:
		return rcpServices[q.service] && !who.isServiceLinked()
	case LayerSCP, LayerBoundary:
		return inAccount && !who.isServiceLinked()
	case LayerIdentity, LayerSession:
		return inAccount
	case LayerResource:
		return !trust
	case LayerTrust:
		return trust
	}
	return true
}

// compare compares all parts of a statement, where evaluation would stop at the
// first that does not match.
func (q *query) compare(ref StatementRef, st *Statement) StatementReason {
	sr := StatementReason{Ref: ref, Action: q.matchesAction(st), Resource: q.matchesResource(st)}
	_, sr.Principal = q.matchesPrincipal(st)
	for i := range st.conditions {
		c := &st.conditions[i]
		reason := ConditionReason{Operator: c.name, Key: c.keyText, Found: q.r.Context[c.key],
			Negated: c.negated, Met: c.holds(q.r.Context)}
		for _, o := range c.operands {
			reason.Wanted = append(reason.Wanted, o.text)
		}
		sr.Conditions = append(sr.Conditions, reason)
	}
	return sr
}

// nearness ranks statements that nearly allowed: the action counts most, then
// resource and principal, then conditions. Zero is not near at all.
func (q *query) nearness(sr *StatementReason, st *Statement) float64 {
	score := 0.0
	if sr.Action {
		score = 8
	} else {
		for _, a := range st.actions {
			if a.service == q.service {
				score = 1 // the right service at least
			}
		}
	}
	if score == 0 {
		return 0
	}
	if sr.Resource {
		score += 3
	}
	if sr.Principal {
		score += 3
	}
	for _, c := range sr.Conditions {
		if !c.Met {
			score -= 1 / float64(len(sr.Conditions)+1)
		}
	}
	return score
}

// String is the explanation for people, several lines.
func (w *Reasons) String() string {
	var b strings.Builder
	d := &w.Decision
	switch {
	case d.Allowed && d.Layer == LayerNone:
		fmt.Fprintf(&b, "allowed: %s needs no permission\n", w.request.Action)
	case d.Allowed && len(w.Determining) == 0:
		fmt.Fprintf(&b, "allowed: the root user of account %s\n", w.request.Principal.Account)
	case d.Allowed:
		fmt.Fprintf(&b, "allowed by the %s\n", d.Layer)
	case d.Layer == LayerProtected:
		fmt.Fprintf(&b, "denied: AWS owns %s, and no policy lets anybody change it\n", w.request.Resource)
	case d.Effect == ExplicitDeny:
		fmt.Fprintf(&b, "explicit deny in the %s\n", d.Layer)
	default:
		fmt.Fprintf(&b, "implicit deny: no %s allows %s on %s\n", d.Layer, w.request.Action, w.request.Resource)
	}
	for i := range w.Determining {
		sr := &w.Determining[i]
		fmt.Fprintf(&b, "  %s in %s, %s\n", sr.Statement().Effect, sr.Ref.Policy.label(), sr.Statement().label())
		for _, c := range sr.Conditions {
			fmt.Fprintf(&b, "    %s\n", c)
		}
	}
	for i := range w.Nearest {
		sr := &w.Nearest[i]
		fmt.Fprintf(&b, "  nearest: %s, %s\n", sr.Ref.Policy.label(), sr.Statement().label())
		w.differences(&b, sr)
	}
	for _, diag := range d.Diagnostics {
		fmt.Fprintf(&b, "  unreadable, so denied: %s\n", diag)
	}
	if !d.Allowed {
		fmt.Fprintf(&b, "  to allow it: %s\n", w.Suggest())
	}
	return b.String()
}

// differences lists why a statement does not match.
func (w *Reasons) differences(b *strings.Builder, sr *StatementReason) {
	st := sr.Statement()
	if !sr.Action {
		fmt.Fprintf(b, "    the action %s is not in %s\n", w.request.Action, quoted(st.Actions()))
	}
	if !sr.Resource {
		fmt.Fprintf(b, "    the resource %s is not in %s\n", w.request.Resource, quoted(st.Resources()))
		if w.request.Resource == "*" {
			fmt.Fprintf(b, "    %s has no resource types: only \"*\" matches\n", w.request.Action)
		}
	}
	if !sr.Principal {
		fmt.Fprintf(b, "    the principal %s is not named\n", w.request.Principal.label())
	}
	for _, c := range sr.Conditions {
		if !c.Met {
			fmt.Fprintf(b, "    %s\n", c)
		}
	}
}

// label names a principal for people.
func (who *Principal) label() string {
	for _, s := range [...]string{who.ARN, who.Service, who.Provider} {
		if s != "" {
			return s
		}
	}
	return "anonymous"
}

// Actions are the elements of Action or NotAction as written.
func (st *Statement) Actions() []string {
	out := make([]string, len(st.actions))
	for i := range st.actions {
		out[i] = st.actions[i].text
	}
	return out
}

// Resources are the elements of Resource or NotResource as written.
func (st *Statement) Resources() []string {
	out := make([]string, len(st.resources))
	for i := range st.resources {
		out[i] = st.resources[i].source
	}
	return out
}

// Suggest is what would allow a denied request: the smallest statement, as JSON,
// where adding it to an identity-based policy is enough; else a sentence. It is
// empty for an allowed request. It says what would, not what should.
func (w *Reasons) Suggest() string {
	d, r := &w.Decision, w.request
	if d.Allowed {
		return ""
	}
	if len(d.Diagnostics) > 0 {
		return "repair the policies that cannot be read"
	}
	if d.Layer == LayerProtected {
		return "nothing does: it belongs to AWS"
	}
	if d.Effect == ExplicitDeny {
		var where []string
		for i := range w.Determining {
			sr := &w.Determining[i]
			where = append(where, fmt.Sprintf("%s of %s", sr.Statement().label(), sr.Ref.Policy.label()))
		}
		return "an explicit deny cannot be outweighed: change " + strings.Join(where, " and ")
	}
	statement := fmt.Sprintf(`{"Effect":"Allow","Action":%s,"Resource":%s}`, jsonText(r.Action), jsonText(literalResource(r.Resource)))
	if d.Layer == LayerIdentity {
		after, ok := w.with(statement)
		if ok && after.Allowed {
			return statement
		}
		if ok {
			return "an identity-based policy with " + statement + ", and then: " + after.need(r)
		}
	}
	return d.need(r)
}

// with decides again as if the statement were in an identity-based policy.
func (w *Reasons) with(statement string) (Decision, bool) {
	doc, err := Parse(KindIdentity, []byte(`{"Version":"2012-10-17","Statement":`+statement+`}`))
	if err != nil {
		return Decision{}, false
	}
	set := *w.set
	set.Identity = append(append([]Attached(nil), set.Identity...), Attached{Name: "suggested", Document: doc})
	after := Authorize(w.request, &set)
	return after, after.Layer != LayerIdentity || after.Allowed
}

// need is a sentence about the layer that lacks an allow.
func (d *Decision) need(r *Request) string {
	on := r.Action + " on " + r.Resource
	switch d.Layer {
	case LayerResource:
		return "the resource-based policy of " + r.Resource + " must allow " + r.Principal.label() + " " + r.Action
	case LayerTrust:
		return "the trust policy of " + r.Resource + " must allow " + r.Principal.label() + " " + r.Action
	case LayerBoundary:
		return "the permissions boundary must allow " + on
	case LayerSession:
		return "the session policy must allow " + on + "; it is given when the session is made"
	case LayerSCP:
		return "a service control policy at every level of the organization must allow " + on
	case LayerVPCEndpoint:
		return "the VPC endpoint policy must allow " + on
	}
	return "an identity-based policy must allow " + on
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
