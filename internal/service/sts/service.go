// Package sts serves the AWS Security Token Service: it gives temporary
// credentials of a role to whoever the role's trust policy names, and of
// themselves to users. It opens the messages of denials for those who may.
//
// Users and role sessions call it through the gateway, AWS services inside the
// process likewise, as their service principal. A session is a sealed token:
// nothing is stored but the audit record. The package knows roles only through
// Roles, decides nothing about trust (package authz does), checks no session and
// keeps none from what it cannot be used for (the gateway does both).
package sts

import (
	"strings"
	"time"

	"github.com/remit-ecs/remit/arn"
	"github.com/remit-ecs/remit/internal/api"
	"github.com/remit-ecs/remit/internal/api/stsapi"
	"github.com/remit-ecs/remit/internal/authz"
	"github.com/remit-ecs/remit/internal/gateway"
	"github.com/remit-ecs/remit/internal/id"
	"github.com/remit-ecs/remit/internal/session"
	"github.com/remit-ecs/remit/internal/store"
)

// Roles is what STS asks of IAM.
type Roles interface {
	// Assumable gives a role's unique id, how long a session of it may last,
	// and its tags; false where no role has this ARN.
	Assumable(r store.Reader, roleARN string) (id string, longest time.Duration, tags map[string]string, ok bool)
	// ManagedPolicy reports whether an account can use a managed policy.
	ManagedPolicy(r store.Reader, account, policyARN string) bool
}

// Service serves STS.
type Service struct {
	sealer *session.Sealer
	roles  Roles
}

// New returns a Service that mints with sealer; Register makes it reachable.
func New(sealer *session.Sealer, roles Roles) *Service { return &Service{sealer, roles} }

// Register adds the operations to m.
func (s *Service) Register(m *gateway.Mux) {
	gateway.Handle(m, stsapi.GetCallerIdentity, s.mayGetCallerIdentity, s.getCallerIdentity)
	gateway.Handle(m, stsapi.GetAccessKeyInfo, s.mayGetAccessKeyInfo, s.getAccessKeyInfo)
	gateway.Handle(m, stsapi.DecodeAuthorizationMessage, s.mayDecodeAuthorizationMessage, s.decodeAuthorizationMessage)
	gateway.Handle(m, stsapi.GetSessionToken, s.mayGetSessionToken, s.getSessionToken)
	gateway.Handle(m, stsapi.GetFederationToken, s.mayGetFederationToken, s.getFederationToken)
	gateway.Handle(m, stsapi.AssumeRole, s.mayAssumeRole, s.assumeRole,
		gateway.In(func(c *gateway.Call, in *stsapi.AssumeRoleInput) string {
			if a, ok := roleARN(api.Value(in.RoleArn)); ok {
				return gateway.Global(a.Account)
			}
			return gateway.Global(c.Account)
		}))
}

// roleARN reads the ARN of a role.
func roleARN(s string) (arn.ARN, bool) {
	a, err := arn.Parse(s)
	ok := err == nil && a.Service == "iam" && a.Region == "" && len(a.Account) == 12 &&
		strings.HasPrefix(a.Resource, "role/") && a.Name() != ""
	return a, ok
}

// callerIdentityAsks is shared by all calls: the action has no resource and no keys.
var callerIdentityAsks = []authz.Ask{{Action: "sts:GetCallerIdentity", Resource: "*"}}

// No policy takes this permission away; the question is for the record. Since
// it reads no policies either, nothing else would notice here that the role is
// gone, and with it its sessions.
// https://docs.aws.amazon.com/STS/latest/APIReference/API_GetCallerIdentity.html
func (s *Service) mayGetCallerIdentity(c *gateway.Call, _ *stsapi.GetCallerIdentityInput) ([]authz.Ask, error) {
	if p := c.Principal; p.Type == session.AssumedRole && c.Enforced() {
		if id, _, _, ok := s.roles.Assumable(c.Tx, p.RoleARN); !ok || id != p.RoleID {
			return nil, api.InvalidClientToken()
		}
	}
	return callerIdentityAsks, nil
}

func (s *Service) getCallerIdentity(c *gateway.Call, _ *stsapi.GetCallerIdentityInput) (*stsapi.GetCallerIdentityOutput, error) {
	p := c.Principal
	return &stsapi.GetCallerIdentityOutput{UserId: &p.UserID, Account: &p.Account, Arn: &p.ARN}, nil
}

func (s *Service) mayGetAccessKeyInfo(*gateway.Call, *stsapi.GetAccessKeyInfoInput) ([]authz.Ask, error) {
	return []authz.Ask{{Action: "sts:GetAccessKeyInfo", Resource: "*"}}, nil
}

// getAccessKeyInfo reads the account out of an access key id, which tells
// nothing about whether the key exists.
// https://docs.aws.amazon.com/STS/latest/APIReference/API_GetAccessKeyInfo.html
func (s *Service) getAccessKeyInfo(_ *gateway.Call, in *stsapi.GetAccessKeyInfoInput) (*stsapi.GetAccessKeyInfoOutput, error) {
	account, ok := id.AccountOf(api.Value(in.AccessKeyId))
	if !ok {
		return nil, api.Validation("Invalid Access key ID")
	}
	return &stsapi.GetAccessKeyInfoOutput{Account: &account}, nil
}
