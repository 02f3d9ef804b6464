package policy

import (
	"strings"

	"github.com/remit-ecs/remit/arn"
)

// query is a request prepared once for all documents.
type query struct {
	r            *Request
	service      string                     // lower case
	name         string                     // of the action, as given
	hash         uint64                     // of service and name
	anchors      [len(anchorLengths)]uint64 // of service and the first bytes of the name
	anchored     uint8                      // a bit for each of anchors that the name is long enough for
	boundary     bool                       // the principal has a permissions boundary
	account      string                     // of the resource
	crossAccount bool
}

// finding is what one layer says.
type finding struct {
	allow, deny         bool
	allowedBy, deniedBy StatementRef
	grants              grant // of a resource-based policy's allows
	unreadable          bool
}

// alwaysAllowed are actions that no policy can refuse.
//
// https://docs.aws.amazon.com/STS/latest/APIReference/API_GetCallerIdentity.html
// https://docs.aws.amazon.com/STS/latest/APIReference/API_GetSessionToken.html
func alwaysAllowed(service, name string) bool {
	return service == "sts" && (strings.EqualFold(name, "GetCallerIdentity") || strings.EqualFold(name, "GetSessionToken"))
}

// AlwaysAllowed reports whether no policy can refuse an action, so that none need
// be gathered to ask Authorize about it.
func AlwaysAllowed(action string) bool {
	service, name, ok := splitAction(action)
	return ok && alwaysAllowed(strings.ToLower(service), name)
}

// prepare makes the query; ok is false for an action that is none. Wildcards are
// refused: they would be compared as letters, and Denies would miss.
func prepare(r *Request, s *Set) (q query, ok bool) {
	service, name, ok := splitAction(r.Action)
	if !ok || strings.ContainsAny(r.Action, "*?") || r.Resource == "" {
		return q, false
	}
	q = query{r: r, service: strings.ToLower(service), name: name, boundary: s.Boundary != nil, account: r.ResourceAccount}
	q.hash = hashAction(service, "")
	done := 0
	for i, n := range anchorLengths {
		if n > len(name) {
			break
		}
		q.hash = hashLower(q.hash, name[done:n])
		q.anchors[i], q.anchored, done = hashAnchor(q.hash), q.anchored|1<<i, n
	}
	q.hash = hashLower(q.hash, name[done:])
	if q.account == "" {
		if a, err := arn.Parse(r.Resource); err == nil {
			q.account = a.Account
		}
	}
	// What AWS owns, like its managed policies, is everyone's own. A service, or
	// nobody, is of no account.
	q.crossAccount = r.Principal.inAccount() && q.account != "" && q.account != "aws" && q.account != r.Principal.Account
	return q, true
}

// Authorize decides a request. It is a pure function of its arguments.
func Authorize(r *Request, s *Set) Decision {
	q, ok := prepare(r, s)
	if !ok {
		return Decision{Layer: LayerIdentity, Diagnostics: []Diagnostic{{Text: "the request's action or resource cannot be read"}}}
	}
	if alwaysAllowed(q.service, q.name) {
		return Decision{Allowed: true, Effect: Allowed}
	}
	var v verdicts
	v.gather(&q, s)
	d := v.decide(&q, s)
	d.CrossAccount = q.crossAccount
	if v.unreadable {
		d = q.refuseUnreadable(s, d)
	}
	if d.Allowed && protected(q.service, q.name, r.Resource) {
		d = Decision{Layer: LayerProtected, CrossAccount: d.CrossAccount}
	}
	return d
}

// verdicts are the findings of all layers.
type verdicts struct {
	rcp, scp, vpce, resource, identity, boundary, session finding

	resourceLayer Layer // LayerResource or LayerTrust
	scpApplies    bool
	scpLacks      bool // a level without an allow
	unreadable    bool
}

// gather asks every layer that applies to the request.
func (v *verdicts) gather(q *query, s *Set) {
	who := &q.r.Principal
	linked := who.isServiceLinked()

	if len(s.RCP) > 0 && coveredByRCP(q.service, q.name) && !linked {
		for _, level := range s.RCP {
			q.layer(LayerRCP, level, &v.rcp)
		}
	}
	inAccount := who.inAccount()
	if s.SCP != nil && inAccount && !linked {
		v.scpApplies = true
		for _, level := range s.SCP {
			v.scp.allow = false // every level has to
			q.layer(LayerSCP, level, &v.scp)
			v.scpLacks = v.scpLacks || !v.scp.allow
		}
		v.scpLacks = v.scpLacks || len(s.SCP) == 0
	}
	if s.VPCEndpoint != nil {
		q.attached(LayerVPCEndpoint, s.VPCEndpoint, &v.vpce)
	}
	v.resourceLayer = LayerResource
	resource := s.Resource
	if q.asksTrust() {
		v.resourceLayer, resource = LayerTrust, s.Trust
	}
	if resource != nil {
		q.attached(v.resourceLayer, resource, &v.resource)
	}
	if inAccount {
		q.layer(LayerIdentity, s.Identity, &v.identity)
		if s.Boundary != nil && !linked {
			q.attached(LayerBoundary, s.Boundary, &v.boundary)
		} else {
			v.boundary.allow = true
		}
		if s.HasSession || len(s.Session) > 0 {
			q.layer(LayerSession, s.Session, &v.session)
		} else {
			v.session.allow = true
		}
	}
	for _, f := range v.findings() {
		v.unreadable = v.unreadable || f.unreadable
	}
}

// asksTrust reports whether a role's trust policy takes the place of a
// resource-based policy. Tagging a federated user concerns no role.
func (q *query) asksTrust() bool {
	return q.service == "sts" && isTrustAction(q.name) && !strings.Contains(q.r.Resource, ":federated-user/")
}

func (v *verdicts) findings() [7]*finding {
	return [...]*finding{&v.rcp, &v.scp, &v.vpce, &v.resource, &v.identity, &v.boundary, &v.session}
}

// decide combines the findings.
func (v *verdicts) decide(q *query, s *Set) Decision {
	for _, f := range v.findings() {
		if f.deny {
			return Decision{Effect: ExplicitDeny, Layer: f.deniedBy.Layer, Statement: f.deniedBy}
		}
	}
	if v.scpApplies && v.scpLacks {
		return Decision{Layer: LayerSCP}
	}
	if s.VPCEndpoint != nil && !v.vpce.allow {
		return Decision{Layer: LayerVPCEndpoint}
	}
	who := &q.r.Principal
	grants := v.resource.grants
	byResource := Decision{Allowed: true, Effect: Allowed, Layer: v.resourceLayer, Statement: v.resource.allowedBy}
	byIdentity := Decision{Allowed: true, Effect: Allowed, Layer: LayerIdentity, Statement: v.identity.allowedBy}

	identity := v.identity.allow
	switch who.Type {
	case Anonymous, Service, Federated:
		// They have no identity side: the resource must name them.
		if grants&(grantDirect|grantStar) != 0 {
			return byResource
		}
		return Decision{Layer: v.resourceLayer}
	case Root:
		identity = true
	case FederatedUser:
		// Without a session policy such a session has no permissions of its own.
		identity = identity && (s.HasSession || len(s.Session) > 0)
	}

	if q.crossAccount {
		return v.decideCross(identity, grants, byIdentity)
	}
	// A grant to the user or session itself, or to everyone, is not limited by
	// what boundary and session policy leave out.
	if grants&(grantDirect|grantStar) != 0 && (directGrantOverridesSession || v.session.allow && v.boundary.allow) {
		return byResource
	}
	granted := grants&(grantDirect|grantStar|grantRole) != 0
	if !granted {
		delegated := grants&grantAccount != 0
		if v.resourceLayer == LayerTrust {
			// A role has no implied trust in its account.
			if !delegated && !s.ResourceUnknown {
				return Decision{Layer: LayerTrust}
			}
		} else if !delegated && identity && isKMSKey(q) && !s.ResourceUnknown {
			// Nor has a KMS key.
			return Decision{Layer: LayerResource}
		}
		if !identity {
			return Decision{Layer: LayerIdentity}
		}
	}
	switch {
	case !v.boundary.allow:
		return Decision{Layer: LayerBoundary}
	case !v.session.allow:
		return Decision{Layer: LayerSession}
	case granted && !identity:
		return byResource
	}
	return byIdentity
}

// decideCross needs both sides: the resource's account and the principal's.
func (v *verdicts) decideCross(identity bool, grants grant, byIdentity Decision) Decision {
	switch {
	case grants == 0 && (v.resourceLayer == LayerTrust || identity):
		return Decision{Layer: v.resourceLayer}
	case !identity:
		return Decision{Layer: LayerIdentity}
	case !v.boundary.allow:
		return Decision{Layer: LayerBoundary}
	case !v.session.allow:
		return Decision{Layer: LayerSession}
	}
	return byIdentity
}

// isKMSKey reports whether the request is for a KMS key, whose key policy alone
// decides whether identity-based policies count.
func isKMSKey(q *query) bool {
	if q.service != "kms" {
		return false
	}
	a, err := arn.Parse(q.r.Resource)
	return err == nil && a.Service == "kms" && strings.HasPrefix(a.Resource, "key/")
}

// refuseUnreadable turns a decision into a denial that says what could not be
// read: it might have been a Deny.
func (q *query) refuseUnreadable(s *Set, d Decision) Decision {
	d.Diagnostics = q.diagnostics(s)
	if d.Allowed {
		layer := d.Layer
		if len(d.Diagnostics) > 0 {
			layer = d.Diagnostics[0].Layer
		}
		d.Allowed, d.Effect, d.Layer, d.Statement = false, ImplicitDeny, layer, StatementRef{}
	}
	return d
}

// diagnostics collects what could not be read in the policies that apply.
func (q *query) diagnostics(s *Set) []Diagnostic {
	var out []Diagnostic
	s.each(func(layer Layer, a *Attached) {
		if !q.applies(layer) {
			return
		}
		if a.Document == nil {
			out = append(out, Diagnostic{Layer: layer, Policy: a, Text: "the document is missing"})
			return
		}
		for _, d := range a.Document.Diagnostics {
			d.Layer, d.Policy = layer, a
			out = append(out, d)
		}
	})
	return out
}

// each calls f for every policy of the set, in the order of denials.
func (s *Set) each(f func(Layer, *Attached)) {
	list := func(layer Layer, l []Attached) {
		for i := range l {
			f(layer, &l[i])
		}
	}
	one := func(layer Layer, a *Attached) {
		if a != nil {
			f(layer, a)
		}
	}
	for _, level := range s.RCP {
		list(LayerRCP, level)
	}
	for _, level := range s.SCP {
		list(LayerSCP, level)
	}
	one(LayerVPCEndpoint, s.VPCEndpoint)
	one(LayerResource, s.Resource)
	one(LayerTrust, s.Trust)
	list(LayerIdentity, s.Identity)
	one(LayerBoundary, s.Boundary)
	list(LayerSession, s.Session)
}

// layer adds what the policies of a layer say, which is their union.
func (q *query) layer(layer Layer, policies []Attached, f *finding) {
	for i := range policies {
		q.attached(layer, &policies[i], f)
	}
}

// attached adds what one policy says.
func (q *query) attached(layer Layer, a *Attached, f *finding) {
	d := a.Document
	if d == nil {
		f.unreadable = true
		return
	}
	f.unreadable = f.unreadable || len(d.Diagnostics) > 0
	if d.index != nil {
		q.ask(layer, a, d.index[q.hash], f)
		for i := range q.anchors {
			if d.anchors&q.anchored&(1<<i) != 0 {
				q.ask(layer, a, d.index[q.anchors[i]], f)
			}
		}
	}
	q.ask(layer, a, d.rest, f)
}

// ask asks those statements of a policy that could be about the action. Which of
// several that allow, or deny, is named does not matter for the decision.
func (q *query) ask(layer Layer, a *Attached, list []candidate, f *finding) {
	for i := range list {
		c := &list[i]
		st := &a.Document.Statements[c.statement]
		switch {
		case st.deny && f.deny:
			continue
		case !st.deny && f.allow && st.principals == nil:
			continue // another allow adds nothing, unless it grants otherwise
		case !st.deny && len(a.Document.Diagnostics) > 0:
			continue // an unreadable policy allows nothing
		case q.among(c.actions) == st.notAction:
			continue
		}
		g, ok := q.matchesButAction(st)
		switch {
		case !ok:
		case st.deny:
			f.deny, f.deniedBy = true, StatementRef{layer, a, st.Index}
		default:
			if !f.allow {
				f.allow, f.allowedBy = true, StatementRef{layer, a, st.Index}
			}
			f.grants |= g
		}
	}
}

// matches reports whether a statement is about the request, and how its
// Principal element names the caller.
func (q *query) matches(st *Statement) (grant, bool) {
	if !q.matchesAction(st) {
		return 0, false
	}
	return q.matchesButAction(st)
}

func (q *query) matchesButAction(st *Statement) (grant, bool) {
	if !q.matchesResource(st) {
		return 0, false
	}
	g, ok := q.matchesPrincipal(st)
	if !ok {
		return 0, false
	}
	for i := range st.conditions {
		if !st.conditions[i].holds(q.r.Context) {
			return 0, false
		}
	}
	return g, true
}

func (q *query) matchesAction(st *Statement) bool {
	return q.among(st.actions) != st.notAction
}

func (q *query) among(actions []action) bool {
	for i := range actions {
		if actions[i].match(q.service, q.name) {
			return true
		}
	}
	return false
}

func (q *query) matchesResource(st *Statement) bool {
	if st.noResource {
		return true
	}
	for i := range st.resources {
		ok, noValue := st.resources[i].match(q.r.Resource, q.r.Context)
		if ok || noValue && st.notResource && !notResourceWithoutValueApplies {
			return !st.notResource
		}
	}
	return st.notResource
}

func (q *query) matchesPrincipal(st *Statement) (grant, bool) {
	if st.principals == nil {
		return 0, true
	}
	who := &q.r.Principal
	if !st.notPrincipal {
		g := st.principals.grant(who)
		return g, g != 0
	}
	if !st.deny {
		return 0, false // Allow with NotPrincipal would grant the whole world
	}
	// Documented: NotPrincipal denies whoever has a permissions boundary.
	// https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_elements_notprincipal.html
	return 0, q.boundary || !st.principals.exempts(who)
}
