package sts

import (
	"fmt"
	"slices"
	"strings"

	"github.com/remit-ecs/remit/internal/api"
	"github.com/remit-ecs/remit/internal/api/stsapi"
	"github.com/remit-ecs/remit/internal/gateway"
	"github.com/remit-ecs/remit/internal/session"
	"github.com/remit-ecs/remit/policy"
)

// restrictions are the session policies of a request.
type restrictions struct {
	policy *string
	arns   []stsapi.PolicyDescriptorType
}

func (g *restrictions) addTo(p *session.Principal) {
	p.Policy = api.Value(g.policy)
	for _, a := range g.arns {
		p.PolicyARNs = append(p.PolicyARNs, api.Value(a.Arn))
	}
}

// checkPolicies checks session policies. The plain text of the policy and the
// ARNs share one limit.
// https://docs.aws.amazon.com/IAM/latest/UserGuide/access_policies.html#policies_session
func (s *Service) checkPolicies(c *gateway.Call, account string, given restrictions) error {
	if len(given.arns) > policy.MaxSessionPolicyARNs {
		return api.Validation(fmt.Sprintf("1 validation error detected: Value at 'policyArns' failed to satisfy constraint: Member must have length less than or equal to %d", policy.MaxSessionPolicyARNs))
	}
	n := policy.Size([]byte(api.Value(given.policy)))
	for _, a := range given.arns {
		n += len(api.Value(a.Arn))
	}
	if n > policy.MaxSessionPolicySize {
		return tooLarge((n*100 + policy.MaxSessionPolicySize - 1) / policy.MaxSessionPolicySize)
	}
	if given.policy != nil {
		if err := policy.Validate(policy.KindSession, []byte(*given.policy)); err != nil {
			return stsapi.MalformedPolicyDocumentException("%s", err.(*policy.ValidationError).Message)
		}
	}
	for _, a := range given.arns {
		if !s.roles.ManagedPolicy(c.Tx, account, api.Value(a.Arn)) {
			return api.Validation("Policy " + api.Value(a.Arn) + " does not exist or is not attachable.")
		}
	}
	return nil
}

func tooLarge(percent int) error {
	return stsapi.PackedPolicyTooLargeException("Packed policy consumes %d%% of allotted space, please use smaller policy.", percent)
}

// passed are the tags of the new session: those of the request, and the
// transitive ones of the calling session.
type passed struct {
	values     map[string]string
	transitive []string
}

// sessionTags reads the tags of a request by p, and inherits.
// https://docs.aws.amazon.com/IAM/latest/UserGuide/id_session-tags.html
func sessionTags(p *session.Principal, tags []stsapi.Tag, transitive []string) (passed, error) {
	var out passed
	if len(tags)+len(transitive)+len(p.TransitiveTagKeys) == 0 {
		return out, nil
	}
	out.values = map[string]string{}
	spelled := map[string]string{} // by lower case
	for _, t := range tags {
		k := api.Value(t.Key)
		if _, twice := spelled[strings.ToLower(k)]; twice {
			return out, api.Validation("Duplicate tag keys found. Please note that Tag keys are case insensitive.")
		}
		if strings.HasPrefix(strings.ToLower(k), "aws:") {
			return out, api.Validation("Tag keys that begin with aws: are reserved for AWS.")
		}
		spelled[strings.ToLower(k)] = k
		out.values[k] = api.Value(t.Value)
	}
	for _, k := range transitive {
		name, sent := spelled[strings.ToLower(k)]
		if !sent {
			return out, api.Validation("The specified transitive tag key must be included in the requested tags.")
		}
		if !slices.Contains(out.transitive, name) {
			out.transitive = append(out.transitive, name)
		}
	}
	for _, k := range p.TransitiveTagKeys {
		if _, sent := spelled[strings.ToLower(k)]; sent {
			return out, api.Validation("One of the specified transitive tag keys can't be set because it conflicts with a transitive tag key from the calling session.")
		}
		out.values[k] = p.Tags[k]
		out.transitive = append(out.transitive, k)
	}
	slices.Sort(out.transitive)
	return out, nil
}

// addTo sets the condition keys that tell of the tags.
func (t *passed) addTo(keys map[string][]string) {
	if len(t.values) == 0 {
		return
	}
	var names []string
	for k, v := range t.values {
		keys["aws:requesttag/"+strings.ToLower(k)] = []string{v}
		names = append(names, k)
	}
	slices.Sort(names)
	keys["aws:tagkeys"] = names
}
