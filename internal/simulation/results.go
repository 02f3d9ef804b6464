package simulation

import (
	"maps"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/remit-ecs/remit/internal/api"
	"github.com/remit-ecs/remit/internal/api/iamapi"
	"github.com/remit-ecs/remit/policy"
)

// pageCost bounds what a page costs: bytes of documents times questions. The
// largest policies that can be attached to a user allow a thousand questions.
const pageCost = 1 << 27

// Page evaluates actions from the one at index from, at most size of them, each
// on every resource ("*" where there are none). IAM documents that it may return
// fewer than asked for; next is where to go on, 0 at the end.
func (s *Simulation) Page(actions, resources []string, from, size int) (results []iamapi.EvaluationResult, next int, err error) {
	s.set(policy.KindResource) // counts the bytes
	cost, spent := (s.bytes+1)*max(1, len(resources)), 0
	if cost > pageCost {
		return nil, 0, iamapi.InvalidInputException("The simulation is too large: fewer resources or smaller policies are needed.")
	}
	results = []iamapi.EvaluationResult{}
	for i := from; i < len(actions); i++ {
		if len(results) == size || spent+cost > pageCost {
			return results, i, nil
		}
		spent += cost
		results = append(results, s.Evaluate(actions[i], resources))
	}
	return results, 0, nil
}

// Evaluate decides about an action on each of the resources, or on "*". The
// decision about several is the one that allows least.
//
// https://docs.aws.amazon.com/IAM/latest/APIReference/API_EvaluationResult.html
func (s *Simulation) Evaluate(action string, resources []string) iamapi.EvaluationResult {
	if anyResource(resources) {
		a := s.ask(action, "*")
		return a.result(action, "*")
	}
	whole := s.ask(action, resources[0])
	specific := []iamapi.ResourceSpecificResult{whole.about(resources[0])}
	name := resources[0]
	for _, resource := range resources[1:] {
		a := s.ask(action, resource)
		specific = append(specific, a.about(resource))
		whole.merge(&a)
		name = "*"
	}
	out := whole.result(action, name)
	out.ResourceSpecificResults = specific
	if out.EvalDecisionDetails = whole.details; whole.details == nil {
		out.EvalDecisionDetails = map[string]iamapi.PolicyEvaluationDecisionType{} // documented: returned, and empty
	}
	return out
}

// answer is what is said about one resource, or about several together.
type answer struct {
	decision     iamapi.PolicyEvaluationDecisionType
	matched      []iamapi.Statement
	missing      []string
	boundary     *bool                                          // nil without a permissions boundary
	organization *bool                                          // nil without an organization
	details      map[string]iamapi.PolicyEvaluationDecisionType // across accounts only
}

// ask evaluates one action on one resource.
func (s *Simulation) ask(action, resource string) answer {
	r, set := s.request(action, resource), s.set(ResourceKind(action))
	d := policy.Authorize(r, set)
	a := answer{decision: iamapi.PolicyEvaluationDecisionType(d.Effect.String())}
	if d.CrossAccount && s.Resource != nil {
		a.details = map[string]iamapi.PolicyEvaluationDecisionType{}
	}
	for _, resource := range [...]*policy.Attached{set.Resource, set.Trust} {
		if resource != nil {
			a.layer(s, r, set, iamapi.PolicySourceTypeResourcePolicy, []policy.Attached{*resource}, &d)
		}
	}
	a.layer(s, r, set, iamapi.PolicySourceTypeIamPolicy, set.Identity, &d)
	a.layer(s, r, set, iamapi.PolicySourceTypeIamPolicy, set.Session, &d)
	if set.Boundary != nil {
		if effect, asked := a.layer(s, r, set, iamapi.PolicySourceTypePermissionsBoundaryPolicy, []policy.Attached{*set.Boundary}, &d); asked {
			a.boundary = api.Ptr(effect == policy.Allowed)
		}
	}
	if d.Effect == policy.ImplicitDeny {
		a.missing = s.missing(action)
	}
	if set.SCP != nil {
		a.organization = api.Ptr(organizationAllows(r, set))
		if !*a.organization { // then nothing of the other policies is told
			a.matched, a.missing = nil, nil
		}
	}
	return a
}

// layer asks one kind of policies: it lists the statements that determine the
// decision, which are all that deny, or of an allowed request those that allow.
// What a boundary allows grants nothing.
func (a *answer) layer(s *Simulation, r *policy.Request, set *policy.Set, kind iamapi.PolicySourceType, list []policy.Attached, d *policy.Decision) (policy.Effect, bool) {
	effect, asked := policy.ImplicitDeny, false
	for i := range list {
		allows, denies, ok := policy.Matching(r, set, list[i].Layer, &list[i])
		asked = asked || ok
		switch {
		case len(denies) > 0:
			effect = policy.ExplicitDeny
		case len(allows) > 0 && effect == policy.ImplicitDeny:
			effect = policy.Allowed
		}
		switch {
		case d.Effect == policy.ExplicitDeny:
			a.match(s, kind, denies)
		case d.Allowed && list[i].Layer != policy.LayerBoundary:
			a.match(s, kind, allows)
		}
	}
	if r.Principal.Type == policy.Root && kind == iamapi.PolicySourceTypeIamPolicy && effect == policy.ImplicitDeny {
		effect = policy.Allowed // the root user needs no policy
	}
	if a.details != nil && (len(list) > 0 || kind == iamapi.PolicySourceTypeIamPolicy && a.details[string(kind)] == "") {
		a.details[string(kind)] = iamapi.PolicyEvaluationDecisionType(effect.String())
	}
	return effect, asked
}

// organizationAllows reports whether every level of the organization allows, and
// none denies. Service-linked roles and services are not bound by it.
func organizationAllows(r *policy.Request, set *policy.Set) bool {
	for _, level := range set.SCP {
		levelAllows := false
		for i := range level {
			allows, denies, asked := policy.Matching(r, set, policy.LayerSCP, &level[i])
			if !asked {
				return true
			}
			if len(denies) > 0 {
				return false
			}
			levelAllows = levelAllows || len(allows) > 0
		}
		if !levelAllows {
			return false
		}
	}
	return len(set.SCP) > 0
}

func (a *answer) match(s *Simulation, kind iamapi.PolicySourceType, refs []policy.StatementRef) {
	for _, ref := range refs {
		p := s.texts[ref.Policy.Document]
		start, end := span(p.Text, ref.Policy.Document, ref.Index)
		a.matched = append(a.matched, iamapi.Statement{SourcePolicyId: &p.ID, SourcePolicyType: kind, StartPosition: start, EndPosition: end})
	}
}

// missing are the keys that the policies refer to and that were not supplied,
// also where they follow from the caller and whatever they are about. An allowed
// or explicitly denied request lacks nothing.
func (s *Simulation) missing(action string) []string {
	kind := ResourceKind(action)
	if keys, known := s.lacking[kind]; known {
		return keys
	}
	set := s.set(kind)
	var docs []*policy.Document
	for _, list := range [...][]policy.Attached{set.Identity, set.Session} {
		for i := range list {
			docs = append(docs, list[i].Document)
		}
	}
	for _, a := range [...]*policy.Attached{set.Boundary, set.Resource, set.Trust} {
		if a != nil {
			docs = append(docs, a.Document)
		}
	}
	var keys []string
	for _, key := range policy.ContextKeys(docs...) {
		if _, supplied := s.Context[strings.ToLower(key)]; !supplied {
			keys = append(keys, key)
		}
	}
	s.lacking[kind] = keys
	return keys
}

// merge makes of the answers about two resources one about both.
func (a *answer) merge(b *answer) {
	a.decision = least(a.decision, b.decision)
	for _, st := range b.matched {
		if !slices.ContainsFunc(a.matched, func(other iamapi.Statement) bool { return sameStatement(other, st) }) {
			a.matched = append(a.matched, st)
		}
	}
	for _, key := range b.missing {
		if !slices.Contains(a.missing, key) {
			a.missing = append(a.missing, key)
		}
	}
	both := func(x, y *bool) *bool {
		if x == nil || y == nil {
			return x
		}
		return api.Ptr(*x && *y)
	}
	a.boundary, a.organization = both(a.boundary, b.boundary), both(a.organization, b.organization)
	if a.details == nil {
		a.details = b.details
		return
	}
	merged := maps.Clone(a.details) // the first resource's own answer has it too
	for kind, decision := range b.details {
		if other, ok := merged[kind]; ok {
			decision = least(other, decision)
		}
		merged[kind] = decision
	}
	a.details = merged
}

func least(a, b iamapi.PolicyEvaluationDecisionType) iamapi.PolicyEvaluationDecisionType {
	for _, d := range [...]iamapi.PolicyEvaluationDecisionType{iamapi.PolicyEvaluationDecisionTypeExplicitDeny, iamapi.PolicyEvaluationDecisionTypeImplicitDeny} {
		if a == d || b == d {
			return d
		}
	}
	return a
}

// sameStatement reports whether two entries are of the same statement: policies
// of one kind have different ids.
func sameStatement(a, b iamapi.Statement) bool {
	return *a.SourcePolicyId == *b.SourcePolicyId && a.SourcePolicyType == b.SourcePolicyType &&
		*a.EndPosition.Line == *b.EndPosition.Line && *a.EndPosition.Column == *b.EndPosition.Column
}

// result is the answer as that about an action. Its lists are there when empty.
func (a *answer) result(action, resource string) iamapi.EvaluationResult {
	return iamapi.EvaluationResult{
		EvalActionName: &action, EvalResourceName: &resource, EvalDecision: a.decision,
		MatchedStatements: append([]iamapi.Statement{}, a.matched...), MissingContextValues: append([]string{}, a.missing...),
		PermissionsBoundaryDecisionDetail: a.boundaryDetail(), OrganizationsDecisionDetail: a.organizationDetail(),
	}
}

// about is the answer as that about one of the resources.
func (a *answer) about(resource string) iamapi.ResourceSpecificResult {
	return iamapi.ResourceSpecificResult{
		EvalResourceName: &resource, EvalResourceDecision: a.decision, MatchedStatements: slices.Clone(a.matched),
		MissingContextValues: slices.Clone(a.missing), EvalDecisionDetails: a.details, PermissionsBoundaryDecisionDetail: a.boundaryDetail(),
	}
}

func (a *answer) boundaryDetail() *iamapi.PermissionsBoundaryDecisionDetail {
	if a.boundary == nil {
		return nil
	}
	return &iamapi.PermissionsBoundaryDecisionDetail{AllowedByPermissionsBoundary: a.boundary}
}

func (a *answer) organizationDetail() *iamapi.OrganizationsDecisionDetail {
	if a.organization == nil {
		return nil
	}
	return &iamapi.OrganizationsDecisionDetail{AllowedByOrganizations: a.organization}
}

// span is where IAM says that a statement stands: its end is behind the closing
// brace, its start behind what was read before it: the bracket of the list, the
// brace of the statement before, or its own where the statement is no list.
func span(text string, doc *policy.Document, i int) (start, end *iamapi.Position) {
	st := &doc.Statements[i]
	at := st.Start.Offset + 1
	if i > 0 {
		at = doc.Statements[i-1].End.Offset
	} else if before := strings.TrimRight(text[:st.Start.Offset], " \t\r\n"); strings.HasSuffix(before, "[") {
		at = len(before)
	}
	return position(text[:at]), position(text[:st.End.Offset])
}

// position is the place behind text: line and column, in characters, from 1.
func position(text string) *iamapi.Position {
	line := strings.LastIndexByte(text, '\n') + 1
	return &iamapi.Position{
		Line:   api.Ptr(int32(strings.Count(text, "\n") + 1)),
		Column: api.Ptr(int32(utf8.RuneCountInString(text[line:]) + 1)),
	}
}
