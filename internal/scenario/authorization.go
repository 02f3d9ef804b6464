package scenario

import (
	"encoding/json"
	"fmt"
	"net/url"
	"strings"

	"github.com/remit-ecs/remit/arn"
)

// Authorization is the output of GetAccountAuthorizationDetails.
// https://docs.aws.amazon.com/IAM/latest/APIReference/API_GetAccountAuthorizationDetails.html
// Unknown members stop the load: a field that this package does not know may
// restrict something, or grant it.
type Authorization struct {
	Users       []User          `json:"UserDetailList"`
	Groups      []Group         `json:"GroupDetailList"`
	Roles       []Role          `json:"RoleDetailList"`
	Policies    []ManagedPolicy `json:"Policies"`
	IsTruncated bool            `json:"IsTruncated,omitempty"`
	Marker      string          `json:"Marker,omitempty"`
}

// User is an entry of UserDetailList.
type User struct {
	Path, UserName, UserId, Arn, CreateDate string
	UserPolicyList                          []InlinePolicy
	GroupList                               []string
	AttachedManagedPolicies                 []AttachedPolicy
	PermissionsBoundary                     *Boundary
	Tags                                    []Tag
}

// Group is an entry of GroupDetailList.
type Group struct {
	Path, GroupName, GroupId, Arn, CreateDate string
	GroupPolicyList                           []InlinePolicy
	AttachedManagedPolicies                   []AttachedPolicy
}

// Role is an entry of RoleDetailList.
type Role struct {
	Path, RoleName, RoleId, Arn, CreateDate string
	AssumeRolePolicyDocument                Document
	InstanceProfileList                     []InstanceProfile
	RolePolicyList                          []InlinePolicy
	AttachedManagedPolicies                 []AttachedPolicy
	PermissionsBoundary                     *Boundary
	Tags                                    []Tag
	RoleLastUsed                            json.RawMessage
	Description                             string
	MaxSessionDuration                      int32
}

// InstanceProfile is an entry of a role's InstanceProfileList.
type InstanceProfile struct {
	Path, InstanceProfileName, InstanceProfileId, Arn, CreateDate string
	Roles                                                         json.RawMessage
	Tags                                                          []Tag
}

// InlinePolicy is a policy that lives in its user, group or role.
type InlinePolicy struct {
	PolicyName     string
	PolicyDocument Document
}

// AttachedPolicy names a managed policy.
type AttachedPolicy struct{ PolicyName, PolicyArn string }

// Boundary names the managed policy that bounds a principal.
type Boundary struct{ PermissionsBoundaryType, PermissionsBoundaryArn string }

// Tag is a tag.
type Tag struct{ Key, Value string }

// ManagedPolicy is an entry of Policies.
type ManagedPolicy struct {
	PolicyName, PolicyId, Arn, Path, DefaultVersionId, CreateDate, UpdateDate, Description string
	AttachmentCount, PermissionsBoundaryUsageCount                                         int
	IsAttachable                                                                           bool
	PolicyVersionList                                                                      []PolicyVersion
	Tags                                                                                   []Tag
}

// PolicyVersion is a version of a managed policy.
type PolicyVersion struct {
	Document         Document
	VersionId        string
	IsDefaultVersion bool
	CreateDate       string
}

// Document is a policy document: the CLI prints it as JSON, the API as URL
// encoded text. Both are read.
type Document string

// UnmarshalJSON keeps the document's text as it is written.
func (d *Document) UnmarshalJSON(b []byte) error {
	if len(b) == 0 || b[0] != '"' {
		*d = Document(b)
		return nil
	}
	var s string
	if err := json.Unmarshal(b, &s); err != nil {
		return err
	}
	if strings.HasPrefix(s, "%7B") || strings.HasPrefix(s, "%7b") {
		plain, err := url.QueryUnescape(s)
		if err != nil {
			return fmt.Errorf("policy document: %w", err)
		}
		s = plain
	}
	*d = Document(s)
	return nil
}

func parseAuthorization(name string, text []byte) (*Authorization, error) {
	var a Authorization
	if err := strict(name, text, &a); err != nil {
		return nil, err
	}
	if a.IsTruncated {
		return nil, fmt.Errorf("%s is one page of several (IsTruncated): export it with the AWS CLI, which joins the pages", name)
	}
	if len(a.Roles) == 0 {
		return nil, fmt.Errorf("%s has no roles; export it with `aws iam get-account-authorization-details > roles.json`", name)
	}
	return &a, nil
}

// account is the account in the first ARN that has one.
func (a *Authorization) account() string {
	for i := range a.Roles {
		if p, err := arn.Parse(a.Roles[i].Arn); err == nil && p.Account != "" {
			return p.Account
		}
	}
	return ""
}

// serviceLinked says that AWS owns the role: nobody but a service assumes it.
func (r *Role) serviceLinked() bool {
	return strings.HasPrefix(r.Path, "/aws-service-role/")
}

// reserved says that the role belongs to IAM Identity Center.
func (r *Role) reserved() bool { return strings.HasPrefix(r.Path, "/aws-reserved/") }

// check refuses what cannot be loaded as it stands.
func (a *Authorization) check(account string) error {
	for i := range a.Groups {
		if g := &a.Groups[i]; len(g.GroupPolicyList)+len(g.AttachedManagedPolicies) > 0 {
			return notEnforced("group", g.Arn, "groups are not served yet")
		}
	}
	for i := range a.Users {
		u := &a.Users[i]
		if len(u.GroupList) > 0 {
			return notEnforced("user", u.Arn, "it is in group "+u.GroupList[0]+", and groups are not served yet")
		}
		if err := sameAccount(u.Arn, account); err != nil {
			return err
		}
	}
	for i := range a.Roles {
		r := &a.Roles[i]
		if err := sameAccount(r.Arn, account); err != nil {
			return err
		}
	}
	return nil
}

func sameAccount(s, account string) error {
	p, err := arn.Parse(s)
	if err != nil {
		return fmt.Errorf("roles.json: %q is not an ARN", s)
	}
	if p.Account != account {
		return fmt.Errorf("roles.json: %s is of another account than %s", s, account)
	}
	return nil
}

func notEnforced(kind, arn, why string) error {
	return fmt.Errorf("roles.json: %s %s cannot be loaded: %s (nothing that is not enforced is loaded)", kind, arn, why)
}
