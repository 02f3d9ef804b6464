package secretsmanager

import (
	"strings"

	"github.com/remit-ecs/remit/arn"
	"github.com/remit-ecs/remit/internal/api"
	sm "github.com/remit-ecs/remit/internal/api/secretsmanagerapi"
	"github.com/remit-ecs/remit/internal/authz"
	"github.com/remit-ecs/remit/internal/gateway"
	"github.com/remit-ecs/remit/internal/resourcepolicy"
	"github.com/remit-ecs/remit/internal/store"
	"github.com/remit-ecs/remit/policy"
)

const policyName = "resource policy of the secret"

// ResourcePolicy is an authz.ResourcePolicy: the policy of the secret that has
// exactly this ARN.
func (s *Service) ResourcePolicy(r store.Reader, resource string) *policy.Attached {
	a, err := arn.Parse(resource)
	if err != nil {
		return nil
	}
	name, ok := withoutSuffix(strings.TrimPrefix(a.Resource, "secret:"))
	if !ok {
		return nil
	}
	if d, ok := secrets.Get(r, gateway.Regional(a.Account, a.Region), name); ok && d.ARN == resource {
		return d.Policy.Attached(policyName)
	}
	return nil
}

// AWS's words about policies that it does not take.
// https://docs.aws.amazon.com/secretsmanager/latest/userguide/auth-and-access_resource-policies.html
const (
	badSyntax    = "This resource policy contains a syntax error."
	badPrincipal = "This resource policy contains an unsupported principal."
	badService   = "This resource policy contains an invalid service principal."
	tooBroad     = "You can't attach a resource-based policy that allows broad access to the secret."
	lockout      = "Your requested changes will not allow you to manage this secret in the future."
)

// draft reads a policy; fault says in AWS's words what is wrong with it.
func (s *Service) draft(c *gateway.Call, account string, text *string) (d *resourcepolicy.Draft, fault string) {
	d, err := resourcepolicy.New(c.Tx, s.principals, account, api.Value(text))
	if err != nil {
		return nil, badSyntax
	}
	switch {
	case len(d.Missing) > 0 && d.Missing[0].Kind == "Service":
		return nil, badService
	case len(d.Missing) > 0:
		return nil, badPrincipal
	}
	for _, st := range d.Outline.Statements {
		if st.Resources == nil && st.NotResources == nil {
			return nil, badSyntax
		}
		for kind := range st.Principals {
			if kind == "CanonicalUser" {
				return nil, badPrincipal
			}
		}
	}
	return d, ""
}

func (s *Service) mayPutResourcePolicy(c *gateway.Call, in *sm.PutResourcePolicyInput) ([]authz.Ask, error) {
	return about(c, in.SecretId, keys{}.flag("secretsmanager:blockpublicpolicy", in.BlockPublicPolicy))
}

// https://docs.aws.amazon.com/secretsmanager/latest/apireference/API_PutResourcePolicy.html
func (s *Service) putResourcePolicy(c *gateway.Call, in *sm.PutResourcePolicyInput) (*sm.PutResourcePolicyOutput, error) {
	was, err := findLive(c, in.SecretId)
	if err != nil {
		return nil, err
	}
	p, fault := s.draft(c, ownerOf(was.ARN), in.ResourcePolicy)
	switch {
	case fault != "":
		return nil, sm.MalformedPolicyDocumentException("%s", fault)
	case api.Value(in.BlockPublicPolicy) && p.Outline.Public():
		return nil, sm.PublicPolicyException(tooBroad)
	}
	d := was.edit()
	d.Policy = p.Policy
	secrets.Put(c.Tx, d.Name, d)
	return &sm.PutResourcePolicyOutput{ARN: &d.ARN, Name: &d.Name}, nil
}

func (s *Service) mayGetResourcePolicy(c *gateway.Call, in *sm.GetResourcePolicyInput) ([]authz.Ask, error) {
	return about(c, in.SecretId, nil)
}

// https://docs.aws.amazon.com/secretsmanager/latest/apireference/API_GetResourcePolicy.html
func (s *Service) getResourcePolicy(c *gateway.Call, in *sm.GetResourcePolicyInput) (*sm.GetResourcePolicyOutput, error) {
	d, err := findLive(c, in.SecretId)
	if err != nil {
		return nil, err
	}
	out := &sm.GetResourcePolicyOutput{ARN: &d.ARN, Name: &d.Name}
	if d.Policy != nil { // that there is none is no error
		out.ResourcePolicy = api.Ptr(d.Policy.Show(c.Tx, s.principals, ownerOf(d.ARN)))
	}
	return out, nil
}

func (s *Service) mayDeleteResourcePolicy(c *gateway.Call, in *sm.DeleteResourcePolicyInput) ([]authz.Ask, error) {
	return about(c, in.SecretId, nil)
}

// https://docs.aws.amazon.com/secretsmanager/latest/apireference/API_DeleteResourcePolicy.html
func (s *Service) deleteResourcePolicy(c *gateway.Call, in *sm.DeleteResourcePolicyInput) (*sm.DeleteResourcePolicyOutput, error) {
	was, err := findLive(c, in.SecretId)
	if err != nil {
		return nil, err
	}
	d := was.edit()
	d.Policy = nil
	secrets.Put(c.Tx, d.Name, d)
	return &sm.DeleteResourcePolicyOutput{ARN: &d.ARN, Name: &d.Name}, nil
}

// Validating a policy takes the permission to put it, too:
// https://docs.aws.amazon.com/secretsmanager/latest/apireference/API_ValidateResourcePolicy.html
func (s *Service) mayValidateResourcePolicy(c *gateway.Call, in *sm.ValidateResourcePolicyInput) ([]authz.Ask, error) {
	if in.SecretId == nil {
		return []authz.Ask{{Action: "secretsmanager:ValidateResourcePolicy", Resource: "*"}, {Action: "secretsmanager:PutResourcePolicy", Resource: "*"}}, nil
	}
	asks, err := ask(c, "secretsmanager:ValidateResourcePolicy", *in.SecretId, nil)
	if err != nil {
		return nil, err
	}
	put, err := ask(c, "secretsmanager:PutResourcePolicy", *in.SecretId, nil)
	return append(asks, put...), err
}

// validateResourcePolicy does the three checks that AWS names: syntax, access
// by everyone, and whether the caller could still change the policy.
func (s *Service) validateResourcePolicy(c *gateway.Call, in *sm.ValidateResourcePolicyInput) (*sm.ValidateResourcePolicyOutput, error) {
	account := c.Account
	if in.SecretId != nil {
		d, err := findLive(c, in.SecretId)
		if err != nil {
			return nil, err
		}
		account = ownerOf(d.ARN)
	}
	out := &sm.ValidateResourcePolicyOutput{ValidationErrors: []sm.ValidationErrorsEntry{}}
	fail := func(check, text string) {
		out.ValidationErrors = append(out.ValidationErrors, sm.ValidationErrorsEntry{CheckName: &check, ErrorMessage: &text})
	}
	d, fault := s.draft(c, account, in.ResourcePolicy)
	if fault != "" {
		fail("POLICY_SYNTAX", fault)
	} else {
		if d.Outline.Public() {
			fail("BROAD_ACCESS", "This resource policy grants broad access to your secret.")
		}
		if in.SecretId != nil && c.Enforced() {
			asks, err := ask(c, "secretsmanager:PutResourcePolicy", *in.SecretId, nil)
			if err != nil {
				return nil, err
			}
			for _, a := range asks {
				if a.Proposed = d.Attached(policyName); !c.Would(a) {
					fail("POLICY_LOCKOUT", lockout)
				}
			}
		}
	}
	out.PolicyValidationPassed = api.Ptr(len(out.ValidationErrors) == 0)
	return out, nil
}
