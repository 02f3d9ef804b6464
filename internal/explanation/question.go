package explanation

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/iam"
	iamtypes "github.com/aws/aws-sdk-go-v2/service/iam/types"

	"github.com/remit-ecs/remit/arn"
	"github.com/remit-ecs/remit/policy"
)

// Question is a request that has not been made.
type Question struct {
	As       string // ARN of a role, a user, a role session, or of the account's root
	Action   string // "s3:GetObject"
	Resource string // an ARN; "*" for an action without resource types

	// Context are condition keys of the request. Those that every request of
	// the principal has are there already.
	Context map[string][]string
}

// Ask answers a question with the policies of now. The reasons come from the
// policies that IAM and the resource's service show; where the server's own
// simulation decides otherwise, because of layers that no API shows, its
// decision stands and a note says so.
func (e *Explainer) Ask(ctx context.Context, q Question) (*Explanation, error) {
	if service, name, ok := strings.Cut(q.Action, ":"); !ok || service == "" || name == "" || strings.ContainsAny(q.Action, "*? ") {
		return nil, fmt.Errorf("%w: --action %q is not SERVICE:NAME", ErrUnusable, q.Action)
	}
	if _, err := arn.Parse(q.Resource); err != nil && q.Resource != "*" {
		return nil, fmt.Errorf("%w: --resource: %w", ErrUnusable, err)
	}
	if _, err := arn.Parse(q.As); err != nil {
		return nil, fmt.Errorf("%w: --as: %w", ErrUnusable, err)
	}
	acct, err := e.account(ctx)
	if err != nil {
		return nil, err
	}
	who, err := acct.asker(q.As)
	if err != nil {
		return nil, err
	}
	x := &Explanation{}
	r := policy.Request{Principal: who.principal, Action: q.Action, Resource: q.Resource, Context: who.context(e.cfg.Region, &q, time.Now())}
	var resourceText string
	if isAssume(q.Action) {
		if resourceText = acct.trust(q.Resource); resourceText != "" {
			p := attached(policy.LayerTrust, policy.KindTrust, q.Resource, "", resourceText)
			who.set.Trust = &p
		}
	} else if resourceText, err = e.resourcePolicy(ctx, q.Resource); err != nil {
		x.Notes = append(x.Notes, err.Error())
		who.set.ResourceUnknown = true
	} else if resourceText != "" {
		p := attached(policy.LayerResource, policy.KindResource, q.Resource, "", resourceText)
		who.set.Resource = &p
	}
	reasons := policy.Explain(&r, &who.set)
	x.Allowed = reasons.Decision.Allowed
	if who.source != "" {
		e.simulate(ctx, x, &q, who, &r, resourceText)
	}
	x.Calls = []Call{{Caller: who.principal.ARN, Allowed: x.Allowed, Decisions: []Decision{{
		Principal: who.principal.ARN, RoleARN: who.principal.RoleARN, Action: q.Action, Resource: q.Resource,
		Allowed: x.Allowed, Why: reasons.Message(), Fix: reasons.Suggest(), Reasons: reasons.Report(),
	}}}}
	return x, nil
}

func isAssume(action string) bool {
	switch strings.ToLower(action) {
	case "sts:assumerole", "sts:tagsession", "sts:setsourceidentity":
		return true
	}
	return false
}

// simulate asks the server, which knows every layer, and takes its decision.
func (e *Explainer) simulate(ctx context.Context, x *Explanation, q *Question, who *asker, r *policy.Request, resourcePolicy string) {
	in := &iam.SimulatePrincipalPolicyInput{
		PolicySourceArn: &who.source, CallerArn: &who.principal.ARN, ActionNames: []string{q.Action}, ResourceArns: []string{q.Resource},
	}
	if resourcePolicy != "" && q.Resource != "*" {
		in.ResourcePolicy = &resourcePolicy
	}
	for _, k := range slices.Sorted(maps.Keys(r.Context)) {
		t := iamtypes.ContextKeyTypeEnumString
		if policy.MultiValued(k) || len(r.Context[k]) > 1 {
			t = iamtypes.ContextKeyTypeEnumStringList
		}
		in.ContextEntries = append(in.ContextEntries, iamtypes.ContextEntry{ContextKeyName: &k, ContextKeyType: t, ContextKeyValues: r.Context[k]})
	}
	out, err := iam.NewFromConfig(e.cfg).SimulatePrincipalPolicy(ctx, in)
	if err != nil || len(out.EvaluationResults) != 1 {
		if c := code(err); c != "NotImplemented" && c != "" {
			x.Notes = append(x.Notes, refusedAs("the server was not asked (SimulatePrincipalPolicy)", err).Error())
		}
		return
	}
	result := &out.EvaluationResults[0]
	allowed := result.EvalDecision == iamtypes.PolicyEvaluationDecisionTypeAllowed
	if allowed == x.Allowed {
		return
	}
	x.Allowed = allowed
	note := "the server decides otherwise, " + string(result.EvalDecision) + ": it knows policies that are not shown here"
	if d := result.OrganizationsDecisionDetail; d != nil && !d.AllowedByOrganizations {
		note = "the organization's service control policies do not allow it: " + string(result.EvalDecision)
	}
	x.Notes = append(x.Notes, note)
}

// context are the condition keys that a request of the principal brings, as far
// as they are known without the request.
// https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_condition-keys.html
func (who *asker) context(region string, q *Question, now time.Time) map[string][]string {
	p := &who.principal
	m := map[string][]string{
		"aws:currenttime": {now.UTC().Format("2006-01-02T15:04:05Z")}, "aws:epochtime": {strconv.FormatInt(now.Unix(), 10)},
		"aws:requestedregion": {region}, "aws:principalaccount": {p.Account}, "aws:principalarn": {p.ARN}, "aws:userid": {p.UserID},
		"aws:viaawsservice": {"false"}, "aws:principalisawsservice": {"false"},
	}
	if a, err := arn.Parse(q.Resource); err == nil && a.Region != "" {
		m["aws:requestedregion"] = []string{a.Region}
	}
	switch p.Type {
	case policy.Root:
		m["aws:principaltype"] = []string{"Account"}
	case policy.User:
		m["aws:principaltype"], m["aws:username"] = []string{"User"}, []string{who.userName}
	case policy.AssumedRole:
		m["aws:principaltype"], m["aws:principalarn"] = []string{"AssumedRole"}, []string{p.RoleARN}
		m["aws:tokenissuetime"], m["aws:multifactorauthpresent"] = m["aws:currenttime"], []string{"false"}
	}
	for _, t := range who.tags {
		m["aws:principaltag/"+strings.ToLower(aws.ToString(t.Key))] = []string{aws.ToString(t.Value)}
	}
	m["aws:resourceaccount"] = []string{p.Account}
	if a, err := arn.Parse(q.Resource); err == nil && a.Account != "" {
		m["aws:resourceaccount"] = []string{a.Account}
	}
	for k, v := range q.Context {
		m[strings.ToLower(k)] = v
	}
	return m
}
