package iam

import (
	"strings"
	"time"

	"github.com/remit-ecs/remit/arn"
	"github.com/remit-ecs/remit/internal/api/iamapi"
	"github.com/remit-ecs/remit/internal/authz"
	"github.com/remit-ecs/remit/internal/gateway"
	"github.com/remit-ecs/remit/internal/id"
	"github.com/remit-ecs/remit/internal/session"
	"github.com/remit-ecs/remit/internal/store"
	"github.com/remit-ecs/remit/policy"
)

var (
	_ authz.Sources = (*Service)(nil)
	_ gateway.Keys  = (*Service)(nil)
)

// Identity implements authz.Sources. A session is of the role or user that it was
// made from, not of another that now has the name: unique ids are compared. A
// federated user has the policies of the user behind it; what its session
// policies leave of them is the engine's to say.
func (s *Service) Identity(r store.Reader, p *session.Principal) authz.Identity {
	shard := gateway.Global(p.Account)
	var (
		e  *Entity
		in []string // the groups of a user
	)
	switch p.Type {
	case session.AssumedRole:
		if d, ok := roles.Get(r, shard, fold(p.RoleName)); ok && d.ID == p.RoleID {
			e = &d.Entity
		}
	case session.User:
		if d, ok := users.Get(r, shard, fold(p.UserName)); ok && d.ID == p.UserID {
			e, in = &d.Entity, d.Groups
		}
	case session.FederatedUser:
		if p.FromRoot() {
			out := authz.Identity{Policies: rootPermissions}
			if p.Policy != "" || len(p.PolicyARNs) > 0 {
				s.addSession(r, p, &out)
			}
			return out
		}
		if d, ok := users.Get(r, shard, fold(p.UserName)); ok && d.ID == p.IssuerID {
			e, in = &d.Entity, d.Groups
		}
	}
	if e == nil {
		return authz.Identity{Gone: true}
	}
	k := e.compile()
	out := authz.Identity{Policies: k.inline, Tags: k.tags}
	if len(e.Attached)+len(in) > 0 {
		out.Policies = identityOf(r, shard, e, in)
	}
	if e.Boundary != "" {
		b := attached(r, shard, e.Boundary, policy.LayerBoundary)
		out.Boundary = &b
	}
	if p.Policy != "" || len(p.PolicyARNs) > 0 {
		s.addSession(r, p, &out)
	}
	return out
}

// addSession adds the session policies that were passed when a session was made.
func (s *Service) addSession(r store.Reader, p *session.Principal, out *authz.Identity) {
	out.HasSession = true
	if p.Policy != "" {
		out.Session = append(out.Session, policy.Attached{Layer: policy.LayerSession, Document: s.sessions.compile(p.Policy)})
	}
	for _, a := range p.PolicyARNs {
		out.Session = append(out.Session, attached(r, gateway.Global(p.Account), a, policy.LayerSession))
	}
}

// rootPermissions are what a federated user has of the root user before session
// policies limit it.
var rootPermissions = func() []policy.Attached {
	doc, err := policy.Parse(policy.KindIdentity, []byte(`{"Version":"2012-10-17","Statement":{"Effect":"Allow","Action":"*","Resource":"*"}}`))
	if err != nil {
		panic(err) // it is written above
	}
	return []policy.Attached{{Layer: policy.LayerIdentity, Name: "root user of the account", Document: doc}}
}()

// identityOf gathers the policies of a role or user, and of the groups that the
// user is in: inline and attached.
func identityOf(r store.Reader, shard string, e *Entity, in []string) []policy.Attached {
	inline := e.compile().inline
	out := make([]policy.Attached, 0, len(inline)+len(e.Attached)+4*len(in))
	out = append(out, inline...)
	for _, a := range e.Attached {
		out = append(out, attached(r, shard, a, policy.LayerIdentity))
	}
	for _, id := range in {
		g, ok := groupByID(r, shard, id)
		if !ok { // a group with members cannot go; what it denied is not known
			out = append(out, policy.Attached{Layer: policy.LayerIdentity, Name: id})
			continue
		}
		out = append(out, g.compile().inline...)
		for _, a := range g.Attached {
			out = append(out, attached(r, shard, a, policy.LayerIdentity))
		}
	}
	return out
}

// attached is a managed policy where it is attached. One that is not there has
// no document, which denies everything.
func attached(r store.Reader, shard, policyARN string, layer policy.Layer) policy.Attached {
	out := policy.Attached{Layer: layer, ARN: policyARN, Name: policyARN[strings.LastIndexByte(policyARN, '/')+1:]}
	if p, ok := managed(r, shard, policyARN); ok {
		out.Document = p.compile()
	}
	return out
}

// Trust implements authz.Sources. The ARN must be the role's own, path and
// case included.
func (s *Service) Trust(r store.Reader, roleARN string) (*policy.Attached, bool) {
	d, ok := roleByARN(r, roleARN)
	if !ok {
		return nil, false
	}
	return d.compileTrust(), true
}

// Assumable gives package sts what it needs to know of a role: its unique id,
// how long a session of it may last, and its tags.
func (s *Service) Assumable(r store.Reader, roleARN string) (id string, longest time.Duration, tags map[string]string, ok bool) {
	d, ok := roleByARN(r, roleARN)
	if !ok {
		return "", 0, nil, false
	}
	return d.ID, time.Duration(d.MaxSession) * time.Second, d.compile().tags, true
}

// ManagedPolicy reports whether a managed policy can be used in an account.
func (s *Service) ManagedPolicy(r store.Reader, account, policyARN string) bool {
	_, ok := managed(r, gateway.Global(account), policyARN)
	return ok
}

func roleByARN(r store.Reader, roleARN string) (*Role, bool) {
	a, err := arn.Parse(roleARN)
	if err != nil || a.Service != "iam" || !strings.HasPrefix(a.Resource, "role/") {
		return nil, false
	}
	d, ok := roles.Get(r, gateway.Global(a.Account), fold(a.Name()))
	return d, ok && d.ARN == roleARN
}

func userByARN(r store.Reader, userARN string) (*User, bool) {
	a, err := arn.Parse(userARN)
	if err != nil || a.Service != "iam" || !strings.HasPrefix(a.Resource, "user/") {
		return nil, false
	}
	d, ok := users.Get(r, gateway.Global(a.Account), fold(a.Name()))
	return d, ok && d.ARN == userARN
}

// Key implements gateway.Keys.
func (s *Service) Key(r store.Reader, keyID string) (string, *session.Principal, bool) {
	account, ok := id.AccountOf(keyID)
	if !ok {
		return "", nil, false
	}
	shard := gateway.Global(account)
	k, ok := accessKeys.Get(r, shard, keyID)
	if !ok || k.Status != iamapi.StatusTypeActive {
		return "", nil, false
	}
	u, ok := userByID(r, shard, k.UserID)
	if !ok {
		return "", nil, false
	}
	secret, err := s.Seal.Open(sealPurpose(account, keyID), k.Sealed)
	if err != nil {
		return "", nil, false
	}
	return string(secret), &session.Principal{
		Type: session.User, Account: account, ARN: u.ARN, UserID: u.ID, UserName: u.Name, AccessKeyID: keyID,
	}, true
}

// User implements gateway.Keys.
func (s *Service) User(r store.Reader, account, userID string) (*session.Principal, bool) {
	u, ok := userByID(r, gateway.Global(account), userID)
	if !ok {
		return nil, false
	}
	return &session.Principal{Type: session.User, Account: account, ARN: u.ARN, UserID: u.ID, UserName: u.Name}, true
}

func sealPurpose(account, keyID string) string { return "iam/accesskey/" + account + "/" + keyID }

func userByID(r store.Reader, shard, id string) (*User, bool) {
	for _, u := range users.By(r, shard, "id", id) {
		return u, true
	}
	return nil, false
}

func roleByID(r store.Reader, shard, id string) (*Role, bool) {
	for _, d := range roles.By(r, shard, "id", id) {
		return d, true
	}
	return nil, false
}

func groupByID(r store.Reader, shard, id string) (*Group, bool) {
	for _, d := range groups.By(r, shard, "id", id) {
		return d, true
	}
	return nil, false
}
