package sts

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/remit-ecs/remit/internal/api"
	"github.com/remit-ecs/remit/internal/api/stsapi"
	"github.com/remit-ecs/remit/internal/authz"
	"github.com/remit-ecs/remit/internal/gateway"
	"github.com/remit-ecs/remit/internal/id"
	"github.com/remit-ecs/remit/internal/session"
	"github.com/remit-ecs/remit/policy"
)

const (
	defaultDuration = time.Hour
	longestChained  = time.Hour      // with the credentials of another role
	longestService  = 12 * time.Hour // for an AWS service, whatever the role says
)

// mayAssumeRole asks for the role, and with tags or a source identity for the
// right to set them. A role that does not exist is refused in the same words as
// one that does not trust the caller.
// https://docs.aws.amazon.com/STS/latest/APIReference/API_AssumeRole.html
func (s *Service) mayAssumeRole(c *gateway.Call, in *stsapi.AssumeRoleInput) ([]authz.Ask, error) {
	if c.Principal.Type == session.Root && c.Enforced() {
		return nil, api.AccessDenied("Roles may not be assumed by root accounts.")
	}
	resource := api.Value(in.RoleArn)
	if _, ok := roleARN(resource); !ok {
		return nil, api.Validation(resource + " is invalid")
	}
	tags, err := sessionTags(c.Principal, in)
	if err != nil {
		return nil, err
	}
	keys := map[string][]string{"sts:rolesessionname": {api.Value(in.RoleSessionName)}}
	if in.ExternalId != nil {
		keys["sts:externalid"] = []string{*in.ExternalId}
	}
	if in.SourceIdentity != nil {
		keys["sts:sourceidentity"] = []string{*in.SourceIdentity}
	}
	var names []string
	for k, v := range tags.values {
		keys["aws:requesttag/"+strings.ToLower(k)] = []string{v}
		names = append(names, k)
	}
	if len(names) > 0 {
		slices.Sort(names)
		keys["aws:tagkeys"] = names
	}
	if len(tags.transitive) > 0 {
		keys["sts:transitivetagkeys"] = tags.transitive
	}
	_, _, roleTags, _ := s.roles.Assumable(c.Tx, resource)
	for k, v := range roleTags {
		keys["aws:resourcetag/"+strings.ToLower(k)] = []string{v}
		keys["iam:resourcetag/"+strings.ToLower(k)] = []string{v}
	}
	asks := []authz.Ask{{Action: "sts:AssumeRole", Resource: resource, Keys: keys}}
	if len(tags.values) > 0 {
		asks = append(asks, authz.Ask{Action: "sts:TagSession", Resource: resource, Keys: without(keys, "sts:externalid", "sts:rolesessionname", "sts:sourceidentity")})
	}
	if in.SourceIdentity != nil || c.Principal.SourceIdentity != "" {
		asks = append(asks, authz.Ask{Action: "sts:SetSourceIdentity", Resource: resource, Keys: map[string][]string{"sts:sourceidentity": {sourceIdentity(c.Principal, in)}}})
	}
	return asks, nil
}

func without(keys map[string][]string, names ...string) map[string][]string {
	out := make(map[string][]string, len(keys))
	for k, v := range keys {
		if !slices.Contains(names, k) {
			out[k] = v
		}
	}
	return out
}

// sourceIdentity is that of the new session: once set, it stays for the chain.
func sourceIdentity(p *session.Principal, in *stsapi.AssumeRoleInput) string {
	if p.SourceIdentity != "" {
		return p.SourceIdentity
	}
	return api.Value(in.SourceIdentity)
}

// passed are the tags of the new session: those of the request, and the
// transitive ones of the calling session.
type passed struct {
	values     map[string]string
	transitive []string
}

// sessionTags reads the tags of the request and inherits.
// https://docs.aws.amazon.com/IAM/latest/UserGuide/id_session-tags.html
func sessionTags(p *session.Principal, in *stsapi.AssumeRoleInput) (passed, error) {
	var out passed
	if len(in.Tags)+len(in.TransitiveTagKeys)+len(p.TransitiveTagKeys) == 0 {
		return out, nil
	}
	out.values = map[string]string{}
	spelled := map[string]string{} // by lower case
	for _, t := range in.Tags {
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
	for _, k := range in.TransitiveTagKeys {
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

func (s *Service) assumeRole(c *gateway.Call, in *stsapi.AssumeRoleInput) (*stsapi.AssumeRoleOutput, error) {
	role, _ := roleARN(api.Value(in.RoleArn))
	roleID, longest, _, ok := s.roles.Assumable(c.Tx, api.Value(in.RoleArn))
	if !ok {
		// The rule's question has refused already, unless refusals do not bind.
		return nil, api.AccessDenied(fmt.Sprintf("User: %s is not authorized to perform: sts:AssumeRole on resource: %s", c.Principal.ARN, api.Value(in.RoleArn)))
	}
	chained := c.Principal.Type == session.AssumedRole
	ttl, err := duration(c.Principal, in, longest)
	if err != nil {
		return nil, err
	}
	switch {
	case in.TokenCode != nil:
		return nil, api.AccessDenied("MultiFactorAuthentication failed with invalid MFA one time pass code. ")
	case len(in.ProvidedContexts) > 0:
		return nil, api.NotImplemented("Remit does not serve ProvidedContexts yet.")
	case in.SourceIdentity != nil && *in.SourceIdentity != sourceIdentity(c.Principal, in):
		return nil, api.AccessDenied("The source identity of a session cannot be changed by role chaining.")
	}
	if err := s.checkPolicies(c, role.Account, in); err != nil {
		return nil, err
	}
	tags, err := sessionTags(c.Principal, in)
	if err != nil {
		return nil, err
	}
	packed, err := packedSize(in, tags)
	if err != nil {
		return nil, err
	}
	name, sessionName := role.Name(), api.Value(in.RoleSessionName)
	p := session.Principal{
		Type: session.AssumedRole, Account: role.Account,
		ARN:    "arn:" + role.Partition + ":sts::" + role.Account + ":assumed-role/" + name + "/" + sessionName,
		UserID: roleID + ":" + sessionName, RoleARN: api.Value(in.RoleArn), RoleName: name, RoleID: roleID, SessionName: sessionName,
		SourceIdentity: sourceIdentity(c.Principal, in), Tags: tags.values, TransitiveTagKeys: tags.transitive,
		Policy: api.Value(in.Policy), Chained: chained, Region: c.Region,
	}
	for _, a := range in.PolicyArns {
		p.PolicyARNs = append(p.PolicyARNs, api.Value(a.Arn))
	}
	cred, err := s.sealer.Mint(p, id.AccessKeyID(c.IDs, id.Temporary, role.Account), ttl, c.Time)
	if err != nil {
		return nil, fmt.Errorf("mint a session of %s: %w", p.RoleARN, err)
	}
	out := &stsapi.AssumeRoleOutput{
		Credentials: &stsapi.Credentials{
			AccessKeyId: &cred.AccessKeyID, SecretAccessKey: &cred.SecretAccessKey, SessionToken: &cred.SessionToken,
			Expiration: &api.Time{Time: cred.Expiration},
		},
		AssumedRoleUser:  &stsapi.AssumedRoleUser{AssumedRoleId: &p.UserID, Arn: &p.ARN},
		PackedPolicySize: packed,
	}
	if p.SourceIdentity != "" {
		out.SourceIdentity = &p.SourceIdentity
	}
	return out, nil
}

// duration is how long the session lasts.
func duration(p *session.Principal, in *stsapi.AssumeRoleInput, longest time.Duration) (time.Duration, error) {
	ttl := defaultDuration
	if in.DurationSeconds != nil {
		ttl = time.Duration(*in.DurationSeconds) * time.Second
	}
	switch {
	case p.Type == session.Service:
		longest = longestService
	case p.Type == session.AssumedRole && ttl > longestChained:
		return 0, api.Validation("The requested DurationSeconds exceeds the 1 hour session limit for roles assumed by role chaining.")
	}
	if ttl > longest {
		return 0, api.Validation("The requested DurationSeconds exceeds the MaxSessionDuration set for this role.")
	}
	return ttl, nil
}

// checkPolicies checks the session policies of a request.
// https://docs.aws.amazon.com/IAM/latest/UserGuide/access_policies.html#policies_session
func (s *Service) checkPolicies(c *gateway.Call, account string, in *stsapi.AssumeRoleInput) error {
	if in.Policy != nil {
		if n := policy.Size([]byte(*in.Policy)); n > policy.MaxSessionPolicySize {
			return stsapi.PackedPolicyTooLargeException("Packed policy consumes %d%% of allotted space, please use smaller policy.", (n*100+policy.MaxSessionPolicySize-1)/policy.MaxSessionPolicySize)
		}
		if err := policy.Validate(policy.KindSession, []byte(*in.Policy)); err != nil {
			return stsapi.MalformedPolicyDocumentException("%s", err.(*policy.ValidationError).Message)
		}
	}
	if len(in.PolicyArns) > policy.MaxSessionPolicyARNs {
		return api.Validation(fmt.Sprintf("1 validation error detected: Value at 'policyArns' failed to satisfy constraint: Member must have length less than or equal to %d", policy.MaxSessionPolicyARNs))
	}
	for _, a := range in.PolicyArns {
		if !s.roles.ManagedPolicy(c.Tx, account, api.Value(a.Arn)) {
			return api.Validation("Policy " + api.Value(a.Arn) + " does not exist or is not attachable.")
		}
	}
	return nil
}
