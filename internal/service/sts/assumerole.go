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
	"github.com/remit-ecs/remit/internal/session"
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
	tags, err := sessionTags(c.Principal, in.Tags, in.TransitiveTagKeys)
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
	tags.addTo(keys)
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
	if err := checkMFA(in.SerialNumber, in.TokenCode); err != nil {
		return nil, err
	}
	switch {
	case len(in.ProvidedContexts) > 0:
		return nil, api.NotImplemented("Remit does not serve ProvidedContexts yet.")
	case in.SourceIdentity != nil && *in.SourceIdentity != sourceIdentity(c.Principal, in):
		return nil, api.AccessDenied("The source identity of a session cannot be changed by role chaining.")
	}
	given := restrictions{policy: in.Policy, arns: in.PolicyArns}
	if err := s.checkPolicies(c, role.Account, given); err != nil {
		return nil, err
	}
	tags, err := sessionTags(c.Principal, in.Tags, in.TransitiveTagKeys)
	if err != nil {
		return nil, err
	}
	packed, err := packedSize(given, tags)
	if err != nil {
		return nil, err
	}
	name, sessionName := role.Name(), api.Value(in.RoleSessionName)
	p := session.Principal{
		Type: session.AssumedRole, Account: role.Account,
		ARN:    "arn:" + role.Partition + ":sts::" + role.Account + ":assumed-role/" + name + "/" + sessionName,
		UserID: roleID + ":" + sessionName, RoleARN: api.Value(in.RoleArn), RoleName: name, RoleID: roleID, SessionName: sessionName,
		SourceIdentity: sourceIdentity(c.Principal, in), Tags: tags.values, TransitiveTagKeys: tags.transitive,
		Chained: chained, Region: c.Region,
	}
	given.addTo(&p)
	cred, err := s.mint(c, &p, ttl)
	if err != nil {
		return nil, err
	}
	out := &stsapi.AssumeRoleOutput{
		Credentials:      cred,
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
