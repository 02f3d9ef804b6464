package scenario

import (
	"encoding/json"
	"errors"
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
	if strings.HasPrefix(s, "%") { // else it begins with a brace or white space
		plain, err := url.PathUnescape(s)
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
	return strings.HasPrefix(r.Path, serviceLinkedPath)
}

const serviceLinkedPath = "/aws-service-role/"

// reserved says that the role belongs to IAM Identity Center.
func (r *Role) reserved() bool { return strings.HasPrefix(r.Path, "/aws-reserved/") }

// check refuses an export that is of another account, or no export at all.
func (a *Authorization) check(account string) error {
	for i := range a.Groups {
		if g := &a.Groups[i]; g.Arn != entityARN(account, "group", g.Path, g.GroupName) {
			return foreign("group", g.Arn, account)
		}
	}
	for i := range a.Users {
		if u := &a.Users[i]; u.Arn != entityARN(account, "user", u.Path, u.UserName) {
			return foreign("user", u.Arn, account)
		}
	}
	for i := range a.Roles {
		if r := &a.Roles[i]; r.Arn != entityARN(account, "role", r.Path, r.RoleName) {
			return foreign("role", r.Arn, account)
		}
	}
	for i := range a.Policies {
		if p := &a.Policies[i]; !p.ofAWS() && p.Arn != entityARN(account, "policy", p.Path, p.PolicyName) {
			return foreign("policy", p.Arn, account)
		}
	}
	return nil
}

func entityARN(account, kind, path, name string) string {
	return "arn:aws:iam::" + account + ":" + kind + path + name
}

func foreign(kind, arn, account string) error {
	return fmt.Errorf("roles.json: %s %q: the ARN does not fit account %s and its path and name (partition aws only)", kind, arn, account)
}

// ofAWS says that the policy is AWS managed.
func (p *ManagedPolicy) ofAWS() bool { return strings.HasPrefix(p.Arn, awsManagedPrefix) }

const awsManagedPrefix = "arn:aws:iam::aws:policy/"

// current is the version that is in force.
func (p *ManagedPolicy) current() (*PolicyVersion, error) {
	var found *PolicyVersion
	for i := range p.PolicyVersionList {
		v := &p.PolicyVersionList[i]
		if !v.IsDefaultVersion {
			continue
		}
		if found != nil {
			return nil, errors.New("two of its versions are the default")
		}
		found = v
	}
	if found == nil || p.DefaultVersionId != "" && found.VersionId != p.DefaultVersionId {
		return nil, errors.New("its default version is not there")
	}
	return found, nil
}

// documents are all policy documents of the export.
func (a *Authorization) documents(yield func(Document) bool) {
	inline := func(ps []InlinePolicy) bool {
		for i := range ps {
			if !yield(ps[i].PolicyDocument) {
				return false
			}
		}
		return true
	}
	for i := range a.Users {
		if !inline(a.Users[i].UserPolicyList) {
			return
		}
	}
	for i := range a.Groups {
		if !inline(a.Groups[i].GroupPolicyList) {
			return
		}
	}
	for i := range a.Roles {
		if !inline(a.Roles[i].RolePolicyList) || !yield(a.Roles[i].AssumeRolePolicyDocument) {
			return
		}
	}
	for i := range a.Policies {
		for j := range a.Policies[i].PolicyVersionList {
			if !yield(a.Policies[i].PolicyVersionList[j].Document) {
				return
			}
		}
	}
}
