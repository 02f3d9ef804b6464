package kms

import (
	"strings"

	"github.com/remit-ecs/remit/internal/api"
	"github.com/remit-ecs/remit/internal/api/kmsapi"
	"github.com/remit-ecs/remit/internal/authz"
	"github.com/remit-ecs/remit/internal/gateway"
	"github.com/remit-ecs/remit/internal/session"
	"github.com/remit-ecs/remit/policy"
)

// policyName is the name of every key policy.
const policyName = "default"

// defaultPolicy is the key policy of a key that is made without one: it leaves
// the decision to the account's identity-based policies.
// https://docs.aws.amazon.com/kms/latest/developerguide/key-policy-default.html
func defaultPolicy(account string) string {
	return `{
  "Version" : "2012-10-17",
  "Id" : "key-default-1",
  "Statement" : [ {
    "Sid" : "Enable IAM User Permissions",
    "Effect" : "Allow",
    "Principal" : {
      "AWS" : "arn:aws:iam::` + account + `:root"
    },
    "Action" : "kms:*",
    "Resource" : "*"
  } ]
}`
}

// managedPolicy is the key policy of an AWS managed key, which nobody can
// change: the service may use the key for everyone in the account.
// https://docs.aws.amazon.com/secretsmanager/latest/userguide/security-encryption.html
func managedPolicy(account, region, service string) string {
	return strings.NewReplacer("{account}", account, "{region}", region, "{service}", service).Replace(`{
  "Version" : "2012-10-17",
  "Id" : "auto-{service}-1",
  "Statement" : [ {
    "Sid" : "Allow access through {service} for all principals in the account that are authorized to use it",
    "Effect" : "Allow",
    "Principal" : {
      "AWS" : "*"
    },
    "Action" : [ "kms:Encrypt", "kms:Decrypt", "kms:ReEncrypt*", "kms:GenerateDataKey*", "kms:CreateGrant", "kms:DescribeKey" ],
    "Resource" : "*",
    "Condition" : {
      "StringEquals" : {
        "kms:CallerAccount" : "{account}",
        "kms:ViaService" : "{service}.{region}.amazonaws.com"
      }
    }
  }, {
    "Sid" : "Allow direct access to key metadata to the account",
    "Effect" : "Allow",
    "Principal" : {
      "AWS" : "arn:aws:iam::{account}:root"
    },
    "Action" : [ "kms:Describe*", "kms:Get*", "kms:List*", "kms:RevokeGrant" ],
    "Resource" : "*"
  } ]
}`)
}

// compiled is a key policy of our own, which binds nobody.
func compiled(text string) *policy.Attached {
	return &policy.Attached{Layer: policy.LayerResource, Name: "key policy", Document: authz.Bound(nil).Parse(policy.KindResource, text)}
}

// setPolicy gives a key a policy, after AWS's checks.
// https://docs.aws.amazon.com/kms/latest/developerguide/key-policy-overview.html
func (s *Service) setPolicy(c *gateway.Call, d *Key, text string, bypass bool) error {
	if err := policy.Validate(policy.KindResource, []byte(text)); err != nil {
		return kmsapi.MalformedPolicyDocumentException("Policy contains a statement that cannot be read.").Because(err)
	}
	bound, missing, err := authz.BindPrincipals(c.Tx, s.Principals, c.Account, policy.KindResource, text)
	if err != nil {
		return kmsapi.MalformedPolicyDocumentException("Policy contains a statement that cannot be read.").Because(err)
	}
	if len(missing) > 0 {
		return kmsapi.MalformedPolicyDocumentException("Policy contains a statement with one or more invalid principals.")
	}
	d.Policy, d.Bound = text, bound
	d.compiled.Store(nil)
	if !bypass && c.Enforced() && !mayPutAgain(c, d) {
		return kmsapi.MalformedPolicyDocumentException("The new key policy will not allow you to update the key policy in the future.")
	}
	return nil
}

// mayPutAgain says whether a key policy lets the caller change it again, as far
// as it is the key policy's to say: it names the caller, or leaves it to the
// account.
func mayPutAgain(c *gateway.Call, d *Key) bool {
	p := c.Principal
	who := policy.Principal{Account: p.Account, ARN: p.ARN, RoleARN: p.RoleARN, UserID: p.UserID, Service: p.Service}
	switch p.Type {
	case session.Root:
		who.Type = policy.Root
	case session.User:
		who.Type = policy.User
	case session.AssumedRole:
		who.Type = policy.AssumedRole
	case session.FederatedUser:
		who.Type, who.RoleARN = policy.FederatedUser, p.IssuerARN
	default:
		return false
	}
	req := policy.Request{Principal: who, Action: "kms:PutKeyPolicy", Resource: d.ARN, Context: called(c).spec()}
	who.FillContext(req.Context)
	everything, err := policy.Parse(policy.KindIdentity, []byte(`{"Version":"2012-10-17","Statement":{"Effect":"Allow","Action":"*","Resource":"*"}}`))
	if err != nil {
		return false
	}
	set := policy.Set{Resource: d.attached(), Identity: []policy.Attached{{Document: everything}}}
	return policy.Authorize(&req, &set).Allowed
}

func (s *Service) mayPutKeyPolicy(c *gateway.Call, in *kmsapi.PutKeyPolicyInput) ([]authz.Ask, error) {
	return s.aboutWith(c, in.KeyId, called(c).flag("kms:bypasspolicylockoutsafetycheck", api.Value(in.BypassPolicyLockoutSafetyCheck)))
}

// https://docs.aws.amazon.com/kms/latest/APIReference/API_PutKeyPolicy.html
func (s *Service) putKeyPolicy(c *gateway.Call, in *kmsapi.PutKeyPolicyInput) (*kmsapi.PutKeyPolicyOutput, error) {
	if err := named(in.PolicyName); err != nil {
		return nil, err
	}
	err := s.change(c, in.KeyId, func(d *Key) error {
		return s.setPolicy(c, d, api.Value(in.Policy), api.Value(in.BypassPolicyLockoutSafetyCheck))
	})
	return &kmsapi.PutKeyPolicyOutput{}, err
}

// named refuses the name of a policy that no key has.
func named(name *string) error {
	if name != nil && *name != policyName {
		return kmsapi.NotFoundException("No such policy exists")
	}
	return nil
}

func (s *Service) mayGetKeyPolicy(c *gateway.Call, in *kmsapi.GetKeyPolicyInput) ([]authz.Ask, error) {
	return s.about(c, in.KeyId)
}

// getKeyPolicy shows the policy as it was given, but a principal that was
// renamed under its new ARN and one that was deleted by its unique id.
// https://docs.aws.amazon.com/kms/latest/APIReference/API_GetKeyPolicy.html
func (s *Service) getKeyPolicy(c *gateway.Call, in *kmsapi.GetKeyPolicyInput) (*kmsapi.GetKeyPolicyOutput, error) {
	if err := named(in.PolicyName); err != nil {
		return nil, err
	}
	d, err := s.look(c, in.KeyId)
	if err != nil {
		return nil, err
	}
	text := d.Bound.Show(c.Tx, s.Principals, c.Account, d.Policy)
	return &kmsapi.GetKeyPolicyOutput{Policy: &text, PolicyName: api.Ptr(policyName)}, nil
}

func (s *Service) mayListKeyPolicies(c *gateway.Call, in *kmsapi.ListKeyPoliciesInput) ([]authz.Ask, error) {
	return s.about(c, in.KeyId)
}

// https://docs.aws.amazon.com/kms/latest/APIReference/API_ListKeyPolicies.html
func (s *Service) listKeyPolicies(c *gateway.Call, in *kmsapi.ListKeyPoliciesInput) (*kmsapi.ListKeyPoliciesOutput, error) {
	if _, err := s.look(c, in.KeyId); err != nil {
		return nil, err
	}
	return &kmsapi.ListKeyPoliciesOutput{PolicyNames: []string{policyName}, Truncated: api.Ptr(false)}, nil
}
