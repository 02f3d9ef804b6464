// Package authz gathers the policies that apply to one question and asks the
// policy engine.
//
// A service's rule states what is asked for as []Ask; the gateway calls
// Decide for each. The package knows neither HTTP nor SQL nor any service: the
// policies come from Sources, which cmd wires to service/iam. It never allows
// what it could not read: a principal that is gone, a policy that does not
// parse or a source that fails is a refusal.
package authz

import (
	"net/netip"
	"strconv"
	"strings"
	"time"

	"github.com/remit-ecs/remit/arn"
	"github.com/remit-ecs/remit/internal/api"
	"github.com/remit-ecs/remit/internal/session"
	"github.com/remit-ecs/remit/internal/store"
	"github.com/remit-ecs/remit/policy"
)

// Ask is one question about one request: may this principal do this action on
// this resource? One API call usually asks several: RunTask asks for
// ecs:RunTask, and for iam:PassRole on each role, and, as
// ecs-tasks.amazonaws.com, for the trust of each role.
type Ask struct {
	Action   string // "ecs:RunTask"
	Resource string // an ARN, or "*" where the action has no resource type

	// Account owns the resource. Empty means the account in the ARN, and
	// where the ARN has none, the account of the asking principal.
	Account string

	// Keys are the condition keys that the service adds for this question,
	// by lower-case name.
	Keys map[string][]string

	// Principal asks. Nil means the caller of the request. Trust questions
	// are asked as the service that wants to assume the role.
	Principal *session.Principal

	// Grants allow what the policies leave open. Few services have them.
	Grants []Grant

	// Refuse words the refusal. Nil means AWS's AccessDenied text.
	Refuse func(v *Verdict) *api.Error

	// Proposed, if not nil, takes the place of the resource's own policy: what
	// would be decided if it were saved.
	Proposed *policy.Attached
	// WithoutResourcePolicy leaves the resource's own policy out, for what its
	// owner can always do.
	WithoutResourcePolicy bool
}

// Verdict is the answer to one Ask.
type Verdict struct {
	Ask       Ask
	Principal *session.Principal
	Decision  policy.Decision
	Allowed   bool

	// Gone says that the principal no longer exists, so that its policies
	// could not be asked at all.
	Gone bool

	req policy.Request
	set policy.Set
	why *policy.Reasons
}

// Context are the condition keys that the question was decided with, by
// lower-case name. It must not be changed.
func (v *Verdict) Context() map[string][]string { return v.req.Context }

// ResourceAccount is the account that owns the resource.
func (v *Verdict) ResourceAccount() string { return v.req.ResourceAccount }

// Message is AWS's one-line text of a refusal.
func (v *Verdict) Message() string {
	return v.Decision.Message(v.Principal.ARN, v.Ask.Action, v.Ask.Resource)
}

// Reasons explains the decision. It is built on demand: only refusals and
// people who ask need it, and they may all have the same.
func (v *Verdict) Reasons() *policy.Reasons {
	if v.why == nil {
		v.why = policy.Explain(&v.req, &v.set)
	}
	return v.why
}

// Refusal is the error that the caller of the API gets.
func (v *Verdict) Refusal() *api.Error {
	if v.Ask.Refuse != nil {
		return v.Ask.Refuse(v)
	}
	return api.AccessDenied(v.Message())
}

// Identity is what is attached to a principal.
type Identity struct {
	Policies   []policy.Attached
	Boundary   *policy.Attached
	Session    []policy.Attached
	HasSession bool // a session with session policies, also when they allow nothing
	Tags       map[string]string
	Gone       bool // the role or user behind the principal does not exist any more
}

// Sources supplies policies. Every read goes through the reader that it is
// given, so that what was authorised is what is changed.
type Sources interface {
	// Identity gives the policies of a user, of the role behind a session, or
	// of the user behind a federated one.
	// It is not called for root, services and anonymous callers.
	Identity(r store.Reader, p *session.Principal) Identity
	// Trust gives the trust policy of a role; false where no such role exists.
	Trust(r store.Reader, roleARN string) (*policy.Attached, bool)
}

// ResourcePolicy gives the resource-based policy of a resource, nil where it
// has none.
type ResourcePolicy func(r store.Reader, resource string) *policy.Attached

// Organizations says what the organization of an account has attached.
// organization.Directory implements it.
type Organizations interface {
	// SCP gives the service control policies that bind an account's principals,
	// and RCP the resource control policies that bind what is done to its
	// resources: by level, root first. Nil where none do: outside the
	// organization, and in its management account.
	SCP(account string) [][]policy.Attached
	RCP(account string) [][]policy.Attached
	// Organization gives the organization's id, and where the account stands in
	// it as aws:PrincipalOrgPaths writes it; both empty outside.
	Organization(account string) (id string, paths []string)
}

// Facts are what is true of the request as a whole: the global condition keys
// that do not depend on the question.
type Facts struct {
	Time       time.Time
	SourceIP   netip.Addr
	UserAgent  string
	Region     string
	TLS        bool
	CalledVia  []string // services on whose behalf the call is made
	SourceARN  string   // set where the caller is a service acting for a resource
	SourceAcct string
}

// Authorizer answers Asks. Its fields are set once, before the first request.
type Authorizer struct {
	Sources Sources
	// Resources maps the service prefix of an action ("ecr") to where the
	// resource-based policies of that service are read.
	Resources map[string]ResourcePolicy
	// Organizations is nil where no account is in an organization.
	Organizations Organizations
}

// Decide answers one question about a request by caller.
func (a *Authorizer) Decide(r store.Reader, caller *session.Principal, f *Facts, ask Ask) Verdict {
	p := ask.Principal
	if p == nil {
		p = caller
	}
	v := Verdict{Ask: ask, Principal: p}
	v.req = policy.Request{
		Principal:       principal(p),
		Action:          ask.Action,
		Resource:        ask.Resource,
		ResourceAccount: owner(ask, p),
	}
	if policy.AlwaysAllowed(ask.Action) { // whatever the policies say: spare reading them
		v.Decision = policy.Authorize(&v.req, &v.set)
		v.Allowed = v.Decision.Allowed
		return v
	}
	var id Identity
	switch p.Type {
	case session.User, session.AssumedRole, session.FederatedUser:
		id = a.Sources.Identity(r, p)
		if id.Gone {
			v.Gone = true
			v.req.Context = keys(p, nil, f, &ask, v.req.ResourceAccount)
			v.Decision = policy.Authorize(&v.req, &policy.Set{})
			v.Allowed = v.Decision.Allowed
			return v
		}
		v.set.Identity, v.set.Boundary = id.Policies, id.Boundary
		v.set.Session, v.set.HasSession = id.Session, id.HasSession
	}
	if isAssumeRole(ask.Action) {
		v.set.Trust, _ = a.Sources.Trust(r, ask.Resource)
	} else if ask.Proposed != nil {
		v.set.Resource = ask.Proposed
	} else if rp := a.Resources[prefix(ask.Action)]; rp != nil && ask.Resource != "*" && !ask.WithoutResourcePolicy {
		v.set.Resource = rp(r, ask.Resource)
	}
	v.req.Context = keys(p, id.Tags, f, &ask, v.req.ResourceAccount)
	if a.Organizations != nil {
		a.controlPolicies(&v, p)
		a.organizationKeys(v.req.Context, p, v.req.ResourceAccount)
	}
	v.Decision = policy.Authorize(&v.req, &v.set)
	v.byGrant()
	v.Allowed = v.Decision.Allowed
	return v
}

// Service is the principal that stands for an AWS service.
func Service(name string) *session.Principal {
	return &session.Principal{Type: session.Service, Service: name, ARN: name, InvokedBy: name}
}

func isAssumeRole(action string) bool {
	return action == "sts:AssumeRole" || action == "sts:TagSession" || action == "sts:SetSourceIdentity"
}

func prefix(action string) string {
	s, _, _ := strings.Cut(action, ":")
	return s
}

func owner(ask Ask, p *session.Principal) string {
	if ask.Account != "" {
		return ask.Account
	}
	if a, err := arn.Parse(ask.Resource); err == nil && a.Account != "" {
		return a.Account
	}
	return p.Account
}

func principal(p *session.Principal) policy.Principal {
	out := policy.Principal{Account: p.Account, ARN: p.ARN, RoleARN: p.RoleARN, UserID: p.UserID, Service: p.Service}
	switch p.Type {
	case session.Root:
		out.Type = policy.Root
	case session.User:
		out.Type = policy.User
	case session.AssumedRole:
		out.Type = policy.AssumedRole
	case session.FederatedUser:
		out.Type, out.RoleARN = policy.FederatedUser, p.IssuerARN
	case session.Service:
		out.Type = policy.Service
	default:
		out.Type = policy.Anonymous
	}
	return out
}

// keys builds the request context: the global condition keys of
// https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_condition-keys.html
// and those of the question. A key that AWS leaves out for this kind of
// principal is left out here too: absence is what policies test.
func keys(p *session.Principal, tags map[string]string, f *Facts, ask *Ask, owner string) map[string][]string {
	const global = 20 // at most, without tags
	m := make(map[string][]string, global+len(ask.Keys)+len(tags)+len(p.Tags))
	// All single values share one array: this runs for every question of
	// every request.
	values := make([]string, 0, global)
	one := func(v string) []string {
		values = append(values, v)
		return values[len(values)-1 : len(values) : len(values)]
	}
	set := func(k, v string) {
		if v != "" {
			m[k] = one(v)
		}
	}
	m["aws:currenttime"] = one(f.Time.UTC().Format("2006-01-02T15:04:05Z"))
	m["aws:epochtime"] = one(strconv.FormatInt(f.Time.Unix(), 10))
	m["aws:securetransport"] = one(strconv.FormatBool(f.TLS || p.Type == session.Service)) // services speak TLS to each other
	set("aws:useragent", f.UserAgent)
	set("aws:requestedregion", f.Region)
	set("aws:resourceaccount", owner)
	service := p.Type == session.Service
	m["aws:principalisawsservice"] = one(strconv.FormatBool(service))
	m["aws:viaawsservice"] = one(strconv.FormatBool(len(f.CalledVia) > 0))
	if len(f.CalledVia) > 0 {
		m["aws:calledvia"] = f.CalledVia
		set("aws:calledviafirst", f.CalledVia[0])
		set("aws:calledvialast", f.CalledVia[len(f.CalledVia)-1])
	}
	if service {
		set("aws:principalservicename", p.Service)
		set("aws:sourcearn", f.SourceARN)
		set("aws:sourceaccount", f.SourceAcct)
	} else {
		if f.SourceIP.IsValid() && len(f.CalledVia) == 0 {
			set("aws:sourceip", f.SourceIP.Unmap().String())
		}
		set("aws:principalaccount", p.Account)
		set("aws:userid", p.UserID)
		if p.RoleARN != "" {
			set("aws:principalarn", p.RoleARN)
		} else {
			set("aws:principalarn", p.ARN)
		}
	}
	switch p.Type {
	case session.Root:
		set("aws:principaltype", "Account")
	case session.User:
		set("aws:principaltype", "User")
		set("aws:username", p.UserName)
	case session.AssumedRole:
		set("aws:principaltype", "AssumedRole")
		set("aws:sourceidentity", p.SourceIdentity)
	case session.FederatedUser: // without a user name, though a user is behind it
		set("aws:principaltype", "FederatedUser")
	case session.Anonymous:
		set("aws:principaltype", "Anonymous")
	}
	if p.Temporary() || p.Type == session.AssumedRole || p.Type == session.FederatedUser {
		m["aws:tokenissuetime"] = one(p.IssuedAt.UTC().Format("2006-01-02T15:04:05Z"))
		m["aws:multifactorauthpresent"] = one(strconv.FormatBool(p.MFA))
	}
	// A tag with an empty value is a tag: one of the session empties the role's.
	for k, v := range tags {
		m["aws:principaltag/"+strings.ToLower(k)] = one(v)
	}
	for k, v := range p.Tags { // session tags win over the role's own
		m["aws:principaltag/"+strings.ToLower(k)] = one(v)
	}
	for k, v := range ask.Keys {
		m[strings.ToLower(k)] = v
	}
	return m
}
