package policy

import (
	"fmt"
	"sort"
	"strings"
)

// Reasons explain a decision. They are built on demand, by Explain: deciding
// does not pay for them. They are shown in three ways: [Reasons.Message] is
// AWS's one line, [Reasons.Tree] is for people, and [Reasons.Report], which is
// also their JSON, is for programs and for records of past decisions.
type Reasons struct {
	Decision Decision

	// Layers are the kinds of policies that a request can meet, in the order in
	// which a denial is attributed to them, and what each said. There are none
	// for an action that no policy can refuse.
	Layers []LayerReason

	// Determining are the statements that decided: for an explicit denial all
	// statements that deny, in every layer; for an allowed request those that
	// allow, on both sides where both were needed.
	Determining []StatementReason

	// Nearest are, for an implicit denial, the statements of the layer that did
	// not allow which came nearest to it, best first, at most three.
	Nearest []StatementReason

	// MissingContext are the condition keys, as written, that statements about
	// the action refer to and the request did not bring; each once.
	MissingContext []string

	request *Request
	set     *Set
}

// Verdict is what the policies of one layer say.
type Verdict uint8

const (
	NotAsked   Verdict = iota // the layer has no say in such a request
	Absent                    // there is no policy of the kind
	Allows                    // a statement allows, or none is needed
	Silent                    // no statement allows
	Denies                    // a statement denies
	Unreadable                // a policy cannot be read, so nothing is allowed
)

var verdictNames = [...]string{NotAsked: "notAsked", Absent: "absent", Allows: "allows", Silent: "silent", Denies: "denies", Unreadable: "unreadable"}

// String is the verdict's name in a Report.
func (v Verdict) String() string {
	if int(v) < len(verdictNames) {
		return verdictNames[v]
	}
	return "unknown"
}

// LayerReason is what one layer said and why.
type LayerReason struct {
	Layer    Layer
	Verdict  Verdict
	Decided  bool   // the decision is this layer's
	Note     string // what the verdict does not say by itself; often empty
	Policies []*Attached

	// Statements are those behind Allows or Denies. Nearest are, for Silent,
	// those that came nearest to allowing, best first, at most three.
	Statements []StatementReason
	Nearest    []StatementReason
}

// StatementReason is how one statement compares with a request.
type StatementReason struct {
	Ref       StatementRef
	Action    bool // whether each of its parts matches the request
	Resource  bool
	Principal bool
	// Conditions are the statement's conditions, each with its outcome.
	Conditions []ConditionReason
	// Differences say in sentences why the statement does not match.
	Differences []string
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
	Means    []string // Wanted with policy variables replaced; nil where there are none
	Found    []string // in the request; none if the key is missing
	Negated  bool     // a StringNotEquals or its like: none of Wanted may match
	Met      bool
	Note     string // why an outcome is not what it looks like; mostly empty
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
	if c.Means != nil {
		wanted += ", here " + quoted(c.Means)
	}
	state := "is not met"
	if c.Met {
		state = "is met"
	}
	if c.Note != "" {
		state += "; " + c.Note
	}
	return fmt.Sprintf("condition %s %s: %s (%s)", c.Operator, wanted, found, state)
}

func quoted(values []string) string {
	q := make([]string, len(values))
	for i, v := range values {
		q[i] = fmt.Sprintf("%q", v)
	}
	return strings.Join(q, ", ")
}

// maxNearest is how many statements are shown that nearly allowed.
const maxNearest = 3

// Explain decides a request as Authorize does, and says why. Request and set
// must not change while the Reasons are in use.
func Explain(r *Request, s *Set) *Reasons {
	why := &Reasons{Decision: Authorize(r, s), request: r, set: s}
	q, ok := prepare(r, s)
	if !ok || alwaysAllowed(q.service, q.name) {
		return why
	}
	var v verdicts
	v.gather(&q, s)
	missing := map[string]bool{}
	for _, layer := range [...]Layer{LayerRCP, LayerSCP, LayerVPCEndpoint, v.resourceLayer, LayerIdentity, LayerBoundary, LayerSession} {
		l := LayerReason{Layer: layer, Decided: layer == why.Decision.Layer}
		l.Verdict, l.Note = v.verdict(&q, s, layer)
		if l.Verdict == NotAsked || l.Verdict == Absent {
			why.Layers = append(why.Layers, l)
			continue
		}
		q.weigh(&l, s, func(key string) {
			if lower := strings.ToLower(key); !missing[lower] {
				missing[lower] = true
				why.MissingContext = append(why.MissingContext, key)
			}
		})
		if why.Decision.Allowed && l.Verdict == Silent && layer != LayerResource && layer != LayerTrust {
			l.Note = joined(l.Note, "not needed: the "+why.Decision.Layer.String()+" names the caller")
		}
		why.Layers = append(why.Layers, l)
	}
	for i := range why.Layers {
		switch l, d := &why.Layers[i], &why.Decision; {
		case d.Effect == ExplicitDeny && l.Verdict == Denies,
			d.Allowed && l.Verdict == Allows && (l.Decided || l.Layer == v.resourceLayer && v.delegates(&q)):
			why.Determining = append(why.Determining, l.Statements...)
		case d.Effect == ImplicitDeny && !d.Allowed && l.Decided:
			why.Nearest = append(why.Nearest, l.Nearest...)
		}
	}
	return why
}

// delegates reports whether identity-based policies count only because the
// resource's policy lets them.
func (v *verdicts) delegates(q *query) bool {
	return q.crossAccount || v.resourceLayer == LayerTrust || isKMSKey(q)
}

// verdict is what a layer said, and a note where that needs one.
func (v *verdicts) verdict(q *query, s *Set, layer Layer) (Verdict, string) {
	who := &q.r.Principal
	switch layer {
	case LayerRCP:
		switch {
		case !coveredByRCP(q.service, q.name):
			return NotAsked, "they do not cover " + q.r.Action
		case who.isServiceLinked():
			return NotAsked, "service-linked roles are exempt"
		case len(s.RCP) == 0:
			return Absent, ""
		}
		v.rcp.allow = true // they only take away
		return v.rcp.verdict(), ""
	case LayerSCP:
		switch {
		case !who.inAccount():
			return NotAsked, who.label() + " belongs to no account"
		case who.isServiceLinked():
			return NotAsked, "service-linked roles are exempt"
		case s.SCP == nil:
			return Absent, ""
		}
		f := v.scp
		f.allow = !v.scpLacks
		if !v.scpLacks {
			return f.verdict(), ""
		}
		for i, level := range s.SCP {
			var one finding
			if q.layer(LayerSCP, level, &one); !one.allow {
				return f.verdict(), fmt.Sprintf("level %d of %d has no policy that allows it", i+1, len(s.SCP))
			}
		}
		return f.verdict(), "no level has a policy"
	case LayerVPCEndpoint:
		if s.VPCEndpoint == nil {
			return Absent, ""
		}
		return v.vpce.verdict(), ""
	case LayerResource, LayerTrust:
		if v.resourceLayer == LayerResource && s.Resource == nil || v.resourceLayer == LayerTrust && s.Trust == nil {
			if s.ResourceUnknown {
				return Absent, "not known: taken to leave it to identity-based policies"
			}
			return Absent, ""
		}
		f := v.resource
		f.allow = f.grants != 0
		return f.verdict(), v.resource.grants.note()
	case LayerIdentity:
		switch {
		case !who.inAccount():
			return NotAsked, who.label() + " has no identity-based policies"
		case who.Type == Root && !v.identity.deny && !v.identity.unreadable:
			return Allows, "the root user of account " + who.Account + " needs no identity-based policy"
		case who.Type == FederatedUser && !s.HasSession && len(s.Session) == 0:
			f := v.identity
			f.allow = false
			return f.verdict(), "a federated session without session policies has no permissions of its own"
		case len(s.Identity) == 0:
			return Silent, "no policy is attached"
		}
		return v.identity.verdict(), ""
	case LayerBoundary:
		switch {
		case !who.inAccount():
			return NotAsked, ""
		case s.Boundary == nil:
			return Absent, ""
		case who.isServiceLinked():
			return NotAsked, "service-linked roles have none"
		}
		return v.boundary.verdict(), ""
	case LayerSession:
		switch {
		case !who.inAccount():
			return NotAsked, ""
		case !s.HasSession && len(s.Session) == 0:
			return Absent, ""
		}
		return v.session.verdict(), ""
	}
	return NotAsked, ""
}

// verdict is a finding in one word.
func (f *finding) verdict() Verdict {
	switch {
	case f.deny:
		return Denies
	case f.unreadable:
		return Unreadable
	case f.allow:
		return Allows
	}
	return Silent
}

// note says whom a grant names, since that decides which other layers count.
func (g grant) note() string {
	switch {
	case g&grantDirect != 0:
		return "it names the caller"
	case g&grantStar != 0:
		return "it names everyone"
	case g&grantRole != 0:
		return "it names the identity behind the session"
	case g&grantAccount != 0:
		return "it names the account, which leaves it to identity-based policies"
	}
	return ""
}

func joined(a, b string) string {
	if a == "" {
		return b
	}
	return a + "; " + b
}

// weigh compares the statements of a layer with the request. Condition keys
// that statements about the action want, and the request lacks, go to missing.
func (q *query) weigh(l *LayerReason, s *Set, missing func(key string)) {
	type scored struct {
		StatementReason
		score float64
	}
	var near []scored
	s.each(func(layer Layer, a *Attached) {
		if layer != l.Layer {
			return
		}
		l.Policies = append(l.Policies, a)
		if a.Document == nil {
			return
		}
		for i := range a.Document.Statements {
			st := &a.Document.Statements[i]
			if st.unreadable {
				continue
			}
			sr := q.compare(StatementRef{layer, a, i}, st)
			if sr.Action {
				st.keys(func(key string) {
					if len(q.r.Context[strings.ToLower(key)]) == 0 {
						missing(key)
					}
				})
			}
			switch matches := sr.Matches(); {
			case matches && st.deny && l.Verdict == Denies, matches && !st.deny && l.Verdict == Allows:
				l.Statements = append(l.Statements, sr)
			case !matches && !st.deny && l.Verdict == Silent:
				if score := q.nearness(&sr, st); score > 0 {
					near = append(near, scored{sr, score})
				}
			}
		}
	})
	sort.SliceStable(near, func(i, j int) bool { return near[i].score > near[j].score })
	for _, n := range near[:min(maxNearest, len(near))] {
		if near[0].Action && !n.Action {
			break // the right service is no news beside the right action
		}
		l.Nearest = append(l.Nearest, n.StatementReason)
	}
}

// applies reports whether a layer's policies have a say in the request.
func (q *query) applies(layer Layer) bool {
	who := &q.r.Principal
	inAccount := who.inAccount()
	trust := q.asksTrust()
	switch layer {
	case LayerRCP:
		return coveredByRCP(q.service, q.name) && !who.isServiceLinked()
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
		sr.Conditions = append(sr.Conditions, st.conditions[i].reason(q.r.Context))
	}
	sr.Differences = q.differences(&sr, st)
	return sr
}

// reason is the outcome of a condition with all that led to it.
func (c *condition) reason(context map[string][]string) ConditionReason {
	r := ConditionReason{Operator: c.name, Key: c.keyText, Found: context[c.key], Negated: c.negated, Met: c.holds(context)}
	for i := range c.operands {
		o := &c.operands[i]
		r.Wanted = append(r.Wanted, o.text)
		if len(o.vars) == 0 {
			if r.Means != nil {
				r.Means = append(r.Means, o.text)
			}
			continue
		}
		if r.Means == nil {
			r.Means = append([]string{}, r.Wanted[:i]...)
		}
		if fill, ok := resolve(nil, o.vars, context); ok {
			r.Means = append(r.Means, plain(o.parts, fill))
		} else {
			r.Means = append(r.Means, o.text)
			r.Note = "a policy variable in it has no value"
		}
	}
	switch n := len(r.Found); {
	case c.op == opNull:
	case n == 0 && c.ifExists && r.Met:
		r.Note = "IfExists lets a missing key pass"
	case n == 0 && c.negated && r.Met && c.set == noSet:
		r.Note = "a missing key differs from every value"
	case n == 0 && c.set == forAllValues && r.Met:
		r.Note = "ForAllValues holds for no values at all"
	case n > 0 && c.set == noSet && multiValuedNeedsSetOperator && (n > 1 || c.multi):
		r.Note = "a key with several values needs ForAllValues or ForAnyValue"
	}
	return r
}

// differences lists why a statement does not match.
func (q *query) differences(sr *StatementReason, st *Statement) []string {
	var out []string
	say := func(format string, args ...any) { out = append(out, fmt.Sprintf(format, args...)) }
	if !sr.Action {
		if st.notAction {
			say("NotAction %s leaves out the action %s", quoted(st.Actions()), q.r.Action)
		} else {
			say("the action %s is not in %s", q.r.Action, quoted(st.Actions()))
		}
	}
	if !sr.Resource {
		if st.notResource {
			say("NotResource %s leaves out the resource %s", quoted(st.Resources()), q.r.Resource)
		} else {
			say("the resource %s is not in %s", q.r.Resource, quoted(st.Resources()))
		}
		if q.r.Resource == "*" {
			say("%s has no resource types: only \"*\" matches", q.r.Action)
		}
		for i := range st.resources {
			if _, ok := resolve(nil, st.resources[i].vars, q.r.Context); !ok {
				say("a policy variable in %q has no value", st.resources[i].source)
			}
		}
	}
	if !sr.Principal {
		switch {
		case st.notPrincipal && !st.deny:
			say("Allow with NotPrincipal grants nothing")
		case st.notPrincipal:
			say("NotPrincipal leaves out the principal %s", q.r.Principal.label())
		default:
			say("the principal %s is not named", q.r.Principal.label())
		}
	}
	for _, c := range sr.Conditions {
		if !c.Met {
			say("%s", c)
		}
	}
	return out
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

// Message is AWS's one line about a denial, as [Decision.Message] words it for
// the request; empty if it is allowed.
func (w *Reasons) Message() string {
	return w.Decision.Message(w.request.Principal.ARN, w.request.Action, w.request.Resource)
}

// String is the tree.
func (w *Reasons) String() string { return w.Tree() }

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
