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
	why := s.Explain(action, resource)
	a := answer{decision: iamapi.PolicyEvaluationDecisionType(why.Decision.Effect.String())}
	across := why.Decision.CrossAccount && s.Resource != nil
	if across {
		a.details = map[string]iamapi.PolicyEvaluationDecisionType{}
	}
	byOrganization := false // denied by it: the other policies are not shown
	for i := range why.Layers {
		l := &why.Layers[i]
		switch l.Layer {
		case policy.LayerSCP:
			if s.SCP != nil {
				a.organization = api.Ptr(l.Verdict == policy.Allows || l.Verdict == policy.NotAsked)
				byOrganization = !*a.organization
			}
		case policy.LayerBoundary:
			if s.Boundary != nil && l.Verdict != policy.NotAsked {
				a.boundary = api.Ptr(l.Verdict == policy.Allows)
				a.detail(iamapi.PolicySourceTypePermissionsBoundaryPolicy, l)
			}
			if l.Verdict == policy.Denies { // what it allows, grants nothing
				a.match(s, iamapi.PolicySourceTypePermissionsBoundaryPolicy, why, l)
			}
		case policy.LayerIdentity:
			a.match(s, iamapi.PolicySourceTypeIamPolicy, why, l)
			a.detail(iamapi.PolicySourceTypeIamPolicy, l)
		case policy.LayerResource, policy.LayerTrust:
			a.match(s, iamapi.PolicySourceTypeResourcePolicy, why, l)
			a.detail(iamapi.PolicySourceTypeResourcePolicy, l)
		case policy.LayerSession:
			a.match(s, iamapi.PolicySourceTypeIamPolicy, why, l)
		}
	}
	if byOrganization {
		a.matched = nil
	} else if why.Decision.Effect == policy.ImplicitDeny {
		a.missing = s.missing(action)
	}
	return a
}

// match lists the statements of a layer that determine the decision: all that
// deny, or of an allowed request those that allow.
func (a *answer) match(s *Simulation, sourceType iamapi.PolicySourceType, why *policy.Reasons, l *policy.LayerReason) {
	effect := why.Decision.Effect
	if !(effect == policy.ExplicitDeny && l.Verdict == policy.Denies || effect == policy.Allowed && l.Verdict == policy.Allows) {
		return
	}
	for i := range l.Statements {
		ref := &l.Statements[i].Ref
		p := s.texts[ref.Policy.Document]
		start, end := span(p.Text, ref.Policy.Document, ref.Index)
		a.matched = append(a.matched, iamapi.Statement{SourcePolicyId: &p.ID, SourcePolicyType: sourceType, StartPosition: start, EndPosition: end})
	}
}

// detail is what one kind of policy says by itself.
func (a *answer) detail(kind iamapi.PolicySourceType, l *policy.LayerReason) {
	if a.details == nil {
		return
	}
	effect := policy.ImplicitDeny
	switch l.Verdict {
	case policy.Allows:
		effect = policy.Allowed
	case policy.Denies:
		effect = policy.ExplicitDeny
	}
	a.details[string(kind)] = iamapi.PolicyEvaluationDecisionType(effect.String())
}

// missing are the keys that the policies refer to and that were not supplied,
// also where they follow from the caller and whatever they are about. An allowed
// or explicitly denied request lacks nothing.
func (s *Simulation) missing(action string) []string {
	var docs []*policy.Document
	set := s.set(resourceKind(action))
	list := func(l []policy.Attached) {
		for i := range l {
			docs = append(docs, l[i].Document)
		}
	}
	list(set.Identity)
	for _, a := range [...]*policy.Attached{set.Boundary, set.Resource, set.Trust} {
		if a != nil {
			docs = append(docs, a.Document)
		}
	}
	list(set.Session)
	var out []string
	for _, key := range policy.ContextKeys(docs...) {
		if _, supplied := s.Context[strings.ToLower(key)]; !supplied {
			out = append(out, key)
		}
	}
	return out
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
