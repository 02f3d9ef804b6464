package explanation

import (
	"context"
	"fmt"
	"net/url"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ecr"
	"github.com/aws/aws-sdk-go-v2/service/iam"
	iamtypes "github.com/aws/aws-sdk-go-v2/service/iam/types"
	"github.com/aws/aws-sdk-go-v2/service/kms"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/secretsmanager"

	"github.com/remit-ecs/remit/arn"
	"github.com/remit-ecs/remit/policy"
)

// account is what IAM shows of an account: GetAccountAuthorizationDetails.
// https://docs.aws.amazon.com/IAM/latest/APIReference/API_GetAccountAuthorizationDetails.html
type account struct {
	users    map[string]*iamtypes.UserDetail // by ARN
	groups   map[string]*iamtypes.GroupDetail
	roles    map[string]*iamtypes.RoleDetail
	policies map[string]string // documents in force, by ARN
}

func (e *Explainer) account(ctx context.Context) (*account, error) {
	a := &account{map[string]*iamtypes.UserDetail{}, map[string]*iamtypes.GroupDetail{}, map[string]*iamtypes.RoleDetail{}, map[string]string{}}
	pages := iam.NewGetAccountAuthorizationDetailsPaginator(iam.NewFromConfig(e.cfg), nil)
	for pages.HasMorePages() {
		page, err := pages.NextPage(ctx)
		if err != nil {
			return nil, refusedAs("read the account's policies", err)
		}
		for i := range page.UserDetailList {
			a.users[aws.ToString(page.UserDetailList[i].Arn)] = &page.UserDetailList[i]
		}
		for i := range page.GroupDetailList {
			a.groups[aws.ToString(page.GroupDetailList[i].GroupName)] = &page.GroupDetailList[i]
		}
		for i := range page.RoleDetailList {
			a.roles[aws.ToString(page.RoleDetailList[i].Arn)] = &page.RoleDetailList[i]
		}
		for _, p := range page.Policies {
			for _, v := range p.PolicyVersionList {
				if v.IsDefaultVersion {
					a.policies[aws.ToString(p.Arn)] = decoded(v.Document)
				}
			}
		}
	}
	return a, nil
}

// decoded undoes the URL encoding in which IAM's API has documents.
func decoded(document *string) string {
	text, err := url.PathUnescape(aws.ToString(document))
	if err != nil {
		return aws.ToString(document)
	}
	return text
}

// attached parses a document where it is attached; one that cannot be read has
// no Document, and denies.
func attached(layer policy.Layer, kind policy.Kind, arn, name, text string) policy.Attached {
	doc, err := policy.Parse(kind, []byte(text))
	if err != nil {
		doc = nil
	}
	return policy.Attached{Layer: layer, ARN: arn, Name: name, Document: doc}
}

func (a *account) identity(inline []iamtypes.PolicyDetail, managed []iamtypes.AttachedPolicy, of string) []policy.Attached {
	var out []policy.Attached
	for _, p := range inline {
		out = append(out, attached(policy.LayerIdentity, policy.KindIdentity, "", of+aws.ToString(p.PolicyName), decoded(p.PolicyDocument)))
	}
	for _, p := range managed {
		out = append(out, attached(policy.LayerIdentity, policy.KindIdentity, aws.ToString(p.PolicyArn), aws.ToString(p.PolicyName), a.policies[aws.ToString(p.PolicyArn)]))
	}
	return out
}

func (a *account) boundary(b *iamtypes.AttachedPermissionsBoundary) *policy.Attached {
	name := ""
	if b != nil {
		name = aws.ToString(b.PermissionsBoundaryArn)
	}
	if name == "" {
		return nil
	}
	p := attached(policy.LayerBoundary, policy.KindIdentity, name, "", a.policies[name])
	return &p
}

// asker is a principal with what is attached to it.
type asker struct {
	principal policy.Principal
	source    string // whose policies they are: the ARN of a user or role, "" for root
	userName  string
	tags      []iamtypes.Tag
	set       policy.Set
}

// sessionName is that of the session in whose name a role is asked for.
const sessionName = "remit-explain"

// asker finds the user, role, session or root that an ARN names.
func (a *account) asker(name string) (*asker, error) {
	p, err := arn.Parse(name)
	if err != nil {
		return nil, fmt.Errorf("%w: --as %s: %w", ErrUnusable, name, err)
	}
	kind, rest := p.Type()
	session := sessionName
	role := a.roles[name]
	switch {
	case p.Service == "iam" && p.Resource == "root":
		return &asker{principal: policy.Principal{Type: policy.Root, Account: p.Account, ARN: name, UserID: p.Account}}, nil
	case p.Service == "iam" && kind == "user":
		u := a.users[name]
		if u == nil {
			return nil, fmt.Errorf("user %s: %w in the account", name, ErrNotFound)
		}
		who := &asker{source: name, userName: aws.ToString(u.UserName), tags: u.Tags,
			principal: policy.Principal{Type: policy.User, Account: p.Account, ARN: name, UserID: aws.ToString(u.UserId)}}
		who.set.Identity = a.identity(u.UserPolicyList, u.AttachedManagedPolicies, "")
		for _, g := range u.GroupList {
			if d := a.groups[g]; d != nil {
				who.set.Identity = append(who.set.Identity, a.identity(d.GroupPolicyList, d.AttachedManagedPolicies, "group "+g+", ")...)
			}
		}
		who.set.Boundary = a.boundary(u.PermissionsBoundary)
		return who, nil
	case p.Service == "sts" && kind == "assumed-role":
		var roleName string
		roleName, session, _ = strings.Cut(rest, "/")
		for _, r := range a.roles {
			if aws.ToString(r.RoleName) == roleName {
				role = r
			}
		}
	case p.Service != "iam" || kind != "role":
		return nil, fmt.Errorf("%w: --as %s: not the ARN of a role, a user, a role session or root", ErrUnusable, name)
	}
	if role == nil {
		return nil, fmt.Errorf("role %s: %w in the account", name, ErrNotFound)
	}
	who := &asker{source: aws.ToString(role.Arn), tags: role.Tags, principal: policy.Principal{
		Type: policy.AssumedRole, Account: p.Account, RoleARN: aws.ToString(role.Arn),
		ARN:    "arn:" + p.Partition + ":sts::" + p.Account + ":assumed-role/" + aws.ToString(role.RoleName) + "/" + session,
		UserID: aws.ToString(role.RoleId) + ":" + session,
	}}
	who.set.Identity = a.identity(role.RolePolicyList, role.AttachedManagedPolicies, "")
	who.set.Boundary = a.boundary(role.PermissionsBoundary)
	return who, nil
}

// trust is the trust policy of a role, "" where the account has no such role.
func (a *account) trust(role string) string {
	if r := a.roles[role]; r != nil {
		return decoded(r.AssumeRolePolicyDocument)
	}
	return ""
}

// resourcePolicy reads the resource-based policy of a resource with the API of
// its service; "" where it has none. An error says why it could not be read.
func (e *Explainer) resourcePolicy(ctx context.Context, resource string) (string, error) {
	a, err := arn.Parse(resource)
	if err != nil {
		return "", nil
	}
	kind, rest := a.Type()
	cfg := e.in(a.Region)
	var text *string
	switch {
	case a.Service == "ecr" && kind == "repository":
		var out *ecr.GetRepositoryPolicyOutput
		if out, err = ecr.NewFromConfig(cfg).GetRepositoryPolicy(ctx, &ecr.GetRepositoryPolicyInput{RegistryId: &a.Account, RepositoryName: &rest}); err == nil {
			text = out.PolicyText
		}
	case a.Service == "secretsmanager" && kind == "secret":
		var out *secretsmanager.GetResourcePolicyOutput
		if out, err = secretsmanager.NewFromConfig(cfg).GetResourcePolicy(ctx, &secretsmanager.GetResourcePolicyInput{SecretId: &resource}); err == nil {
			text = out.ResourcePolicy
		}
	case a.Service == "kms" && kind == "key":
		var out *kms.GetKeyPolicyOutput
		if out, err = kms.NewFromConfig(cfg).GetKeyPolicy(ctx, &kms.GetKeyPolicyInput{KeyId: &resource, PolicyName: aws.String("default")}); err == nil {
			text = out.Policy
		}
	case a.Service == "s3":
		bucket, _, _ := strings.Cut(a.Resource, "/")
		var out *s3.GetBucketPolicyOutput
		if out, err = s3.NewFromConfig(cfg, func(o *s3.Options) { o.UsePathStyle = true }).GetBucketPolicy(ctx, &s3.GetBucketPolicyInput{Bucket: &bucket}); err == nil {
			text = out.Policy
		}
	}
	switch code(err) {
	case "":
	case "RepositoryPolicyNotFoundException", "ResourceNotFoundException", "RepositoryNotFoundException", "NotFoundException", "NoSuchBucketPolicy", "NoSuchBucket", "NotImplemented", "NotImplementedException":
		return "", nil
	}
	if err != nil {
		return "", refusedAs("the policy of "+resource+" cannot be read", err)
	}
	return aws.ToString(text), nil
}
