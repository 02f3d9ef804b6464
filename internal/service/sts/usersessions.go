package sts

import (
	"fmt"
	"time"

	"github.com/remit-ecs/remit/internal/api"
	"github.com/remit-ecs/remit/internal/api/stsapi"
	"github.com/remit-ecs/remit/internal/authz"
	"github.com/remit-ecs/remit/internal/gateway"
	"github.com/remit-ecs/remit/internal/id"
	"github.com/remit-ecs/remit/internal/session"
)

const (
	defaultUserDuration = 12 * time.Hour // the model allows 36
	longestRoot         = time.Hour
)

// userDuration is how long a session of a user lasts. Asked for more than an
// hour for the root user, AWS gives an hour.
// https://docs.aws.amazon.com/STS/latest/APIReference/API_GetSessionToken.html
func userDuration(p *session.Principal, seconds *int32) time.Duration {
	ttl := defaultUserDuration
	if seconds != nil {
		ttl = time.Duration(*seconds) * time.Second
	}
	if p.Type == session.Root {
		ttl = min(ttl, longestRoot)
	}
	return ttl
}

// longTerm refuses callers that are neither a user nor the root user. Sessions
// the gateway has turned away already; what is left are services, which call as
// themselves.
func longTerm(c *gateway.Call) error {
	switch c.Principal.Type {
	case session.User, session.Root:
		return nil
	}
	return api.AccessDenied("Cannot call " + c.Op.Name + " with session credentials")
}

// checkMFA refuses MFA parameters: nobody has a device that they could name.
func checkMFA(serial, code *string) error {
	switch {
	case serial == nil && code == nil:
		return nil
	case serial == nil || code == nil:
		return api.AccessDenied("MultiFactorAuthentication failed, must provide both MFA serial number and one time pass code.")
	}
	return api.AccessDenied("MultiFactorAuthentication failed, unable to validate MFA code.  Please verify your MFA serial number is valid and associated with this user.")
}

// sessionTokenAsks is shared by all calls.
var sessionTokenAsks = []authz.Ask{{Action: "sts:GetSessionToken", Resource: "*"}}

// No policy takes this permission away; the question is for the record.
// https://docs.aws.amazon.com/IAM/latest/UserGuide/id_credentials_temp_control-access_getsessiontoken.html
func (s *Service) mayGetSessionToken(c *gateway.Call, _ *stsapi.GetSessionTokenInput) ([]authz.Ask, error) {
	return sessionTokenAsks, longTerm(c)
}

// getSessionToken gives a session that is the calling user, with what the
// gateway does not let sessions do left out.
// https://docs.aws.amazon.com/STS/latest/APIReference/API_GetSessionToken.html
func (s *Service) getSessionToken(c *gateway.Call, in *stsapi.GetSessionTokenInput) (*stsapi.GetSessionTokenOutput, error) {
	if err := checkMFA(in.SerialNumber, in.TokenCode); err != nil {
		return nil, err
	}
	p := *c.Principal
	p.Region = c.Region
	cred, err := s.mint(c, &p, userDuration(c.Principal, in.DurationSeconds))
	if err != nil {
		return nil, err
	}
	return &stsapi.GetSessionTokenOutput{Credentials: cred}, nil
}

// federatedARN is the ARN of the session that a request of GetFederationToken is for.
func federatedARN(c *gateway.Call, in *stsapi.GetFederationTokenInput) string {
	return "arn:aws:sts::" + c.Account + ":federated-user/" + api.Value(in.Name)
}

// mayGetFederationToken asks for the session, and with tags for the right to set
// them. https://docs.aws.amazon.com/IAM/latest/UserGuide/id_session-tags.html#id_session-tags_adding-getfederationtoken
func (s *Service) mayGetFederationToken(c *gateway.Call, in *stsapi.GetFederationTokenInput) ([]authz.Ask, error) {
	if err := longTerm(c); err != nil {
		return nil, err
	}
	tags, err := sessionTags(&session.Principal{}, in.Tags, nil)
	if err != nil {
		return nil, err
	}
	keys := map[string][]string{}
	tags.addTo(keys)
	resource := federatedARN(c, in)
	asks := []authz.Ask{{Action: "sts:GetFederationToken", Resource: resource, Keys: keys}}
	if len(tags.values) > 0 {
		asks = append(asks, authz.Ask{Action: "sts:TagSession", Resource: resource, Keys: keys})
	}
	return asks, nil
}

// getFederationToken gives a session with a name of the caller's choice. It may
// do what both the caller's policies and the session policies allow: without
// session policies only what resource-based policies grant it by name.
// https://docs.aws.amazon.com/STS/latest/APIReference/API_GetFederationToken.html
func (s *Service) getFederationToken(c *gateway.Call, in *stsapi.GetFederationTokenInput) (*stsapi.GetFederationTokenOutput, error) {
	given := restrictions{policy: in.Policy, arns: in.PolicyArns}
	if err := s.checkPolicies(c, c.Account, given); err != nil {
		return nil, err
	}
	tags, err := sessionTags(&session.Principal{}, in.Tags, nil)
	if err != nil {
		return nil, err
	}
	packed, err := packedSize(given, tags)
	if err != nil {
		return nil, err
	}
	p := session.Principal{
		Type: session.FederatedUser, Account: c.Account,
		ARN: federatedARN(c, in), UserID: c.Account + ":" + api.Value(in.Name), SessionName: api.Value(in.Name),
		IssuerARN: c.Principal.ARN, IssuerID: c.Principal.UserID, UserName: c.Principal.UserName,
		Tags: tags.values, Region: c.Region,
	}
	given.addTo(&p)
	cred, err := s.mint(c, &p, userDuration(c.Principal, in.DurationSeconds))
	if err != nil {
		return nil, err
	}
	return &stsapi.GetFederationTokenOutput{
		Credentials:      cred,
		FederatedUser:    &stsapi.FederatedUser{Arn: &p.ARN, FederatedUserId: &p.UserID},
		PackedPolicySize: packed,
	}, nil
}

// mint makes the credentials of a session and spells them for an answer.
func (s *Service) mint(c *gateway.Call, p *session.Principal, ttl time.Duration) (*stsapi.Credentials, error) {
	cred, err := s.sealer.Mint(*p, id.AccessKeyID(c.IDs, id.Temporary, p.Account), ttl, c.Time)
	if err != nil {
		return nil, fmt.Errorf("mint a session of %s: %w", p.ARN, err)
	}
	return &stsapi.Credentials{
		AccessKeyId: &cred.AccessKeyID, SecretAccessKey: &cred.SecretAccessKey, SessionToken: &cred.SessionToken,
		Expiration: &api.Time{Time: cred.Expiration},
	}, nil
}
