package kms

import (
	"encoding/base64"
	"encoding/json"
	"maps"
	"slices"
	"strings"

	"github.com/remit-ecs/remit/arn"
	"github.com/remit-ecs/remit/internal/api"
	"github.com/remit-ecs/remit/internal/api/kmsapi"
	"github.com/remit-ecs/remit/internal/authz"
	"github.com/remit-ecs/remit/internal/gateway"
	"github.com/remit-ecs/remit/internal/id"
	"github.com/remit-ecs/remit/internal/session"
	"github.com/remit-ecs/remit/policy"
)

// withGrants adds to a question the grants that are for the caller, the
// operation and the encryption context. Grant tokens add nothing, for grants
// bind at once here; but one that is none is refused, as in AWS.
func (s *Service) withGrants(c *gateway.Call, a authz.Ask, r *ref, op kmsapi.GrantOperation, context map[string]string, tokens []string) ([]authz.Ask, error) {
	for _, t := range tokens {
		if _, _, ok := s.openToken(t); !ok {
			return nil, errToken()
		}
	}
	s.grant(c, &a, r, func(g *Grant) bool {
		return slices.Contains(g.Operations, op) && (!takesContext(op) || g.admits(context))
	})
	return []authz.Ask{a}, nil
}

// grant adds the grants of a key that are for the caller and fit.
func (s *Service) grant(c *gateway.Call, a *authz.Ask, r *ref, fits func(*Grant) bool) {
	if r.doc == nil {
		return
	}
	for _, g := range grants.Prefix(c.Tx, r.shard(), r.id+":") {
		if g.Grantee.is(c.Principal) && fits(g) {
			a.Grants = append(a.Grants, stated(a, g.ID, &g.Grantee))
		}
	}
}

// stated writes what a grant allows in this question as policies.
func stated(a *authz.Ask, grantID string, to *Principal) authz.Grant {
	principal := to.ARN
	if to.ID != "" {
		principal = to.ID
	}
	statement := map[string]any{"Effect": "Allow", "Action": a.Action, "Resource": a.Resource}
	attached := func(kind policy.Kind, layer policy.Layer) policy.Attached {
		text, err := json.Marshal(map[string]any{"Version": "2012-10-17", "Statement": statement})
		at := policy.Attached{Layer: layer, Name: "grant " + grantID}
		if err == nil { // else the missing document denies
			at.Document, _ = policy.Parse(kind, text)
		}
		return at
	}
	var g authz.Grant
	if !to.isAccount() {
		g.Identity = api.Ptr(attached(policy.KindIdentity, policy.LayerIdentity))
	}
	statement["Principal"] = map[string]string{"AWS": principal}
	g.Resource = attached(policy.KindResource, policy.LayerResource)
	return g
}

// takesContext says whether an operation has an encryption context that grant
// constraints are about.
func takesContext(op kmsapi.GrantOperation) bool {
	switch op {
	case kmsapi.GrantOperationDescribeKey, kmsapi.GrantOperationRetireGrant, kmsapi.GrantOperationCreateGrant:
		return false
	}
	return true
}

// admits holds an encryption context against the grant's constraints. Names and
// values are compared with their case.
// https://docs.aws.amazon.com/kms/latest/APIReference/API_GrantConstraints.html
func (g *Grant) admits(context map[string]string) bool {
	if g.Constraints == nil {
		return true
	}
	if want := g.Constraints.EncryptionContextEquals; len(want) > 0 && !maps.Equal(want, context) {
		return false
	}
	return includes(context, g.Constraints.EncryptionContextSubset)
}

// includes says whether all pairs of part are in whole.
func includes(whole, part map[string]string) bool {
	for k, v := range part {
		if w, ok := whole[k]; !ok || w != v {
			return false
		}
	}
	return true
}

// is says whether a grant's principal is the caller: as the principal that it
// was when the grant was made.
func (p *Principal) is(who *session.Principal) bool {
	a, err := arn.Parse(p.ARN)
	switch {
	case err != nil || who.Account == "" || who.Type == session.Service:
		return false
	case p.isAccount():
		return who.Account == a.Account
	case p.ID == "": // a federated user, or of an account that is not served here
		return p.ARN == who.ARN || p.ARN == who.RoleARN
	}
	unique, _, _ := strings.Cut(who.UserID, ":")
	return p.ID == who.UserID || who.Type == session.AssumedRole && p.ID == unique
}

func (p *Principal) isAccount() bool {
	a, err := arn.Parse(p.ARN)
	return err == nil && a.Service == "iam" && a.Resource == "root"
}

// principal reads whom a request names. Users and roles of served accounts have
// to exist.
func (s *Service) principal(c *gateway.Call, text string) (*Principal, error) {
	invalid := kmsapi.InvalidArnException("ARN does not refer to a valid principal: %s", text)
	if isAccount(text) {
		return &Principal{ARN: "arn:aws:iam::" + text + ":root"}, nil
	}
	a, err := arn.Parse(text)
	if err != nil || a.Partition != "aws" || a.Region != "" || !isAccount(a.Account) {
		return nil, invalid
	}
	kind, _ := a.Type()
	switch {
	case a.Service == "iam" && a.Resource == "root", a.Service == "sts" && kind == "federated-user":
		return &Principal{ARN: text}, nil // they have no unique id
	case a.Service == "iam" && (kind == "user" || kind == "role"), a.Service == "sts" && kind == "assumed-role":
	default:
		return nil, invalid
	}
	unique, ok := s.Principals.PrincipalID(c.Tx, text)
	if !ok && a.Account == c.Account {
		return nil, invalid
	}
	return &Principal{ARN: text, ID: unique}, nil
}

// shown is the principal as answers show it: under its ARN of today, or by its
// unique id where it is gone.
func (s *Service) shown(c *gateway.Call, p *Principal) *string {
	if p.ID == "" {
		return &p.ARN
	}
	a, err := arn.Parse(p.ARN)
	if err != nil {
		return &p.ARN
	}
	now, ok := s.Principals.PrincipalARN(c.Tx, a.Account, p.ID)
	if !ok {
		return &p.ID
	}
	return &now
}

// token is the grant token of a grant: sealed, so that nobody makes one up.
func (s *Service) token(keyARN, grantID string) string {
	return base64.RawURLEncoding.EncodeToString(s.Keys.Seal(tokenPurpose, []byte(keyARN+" "+grantID)))
}

const tokenPurpose = "kms/grant-token"

// openToken reads a grant token that token made.
func (s *Service) openToken(text string) (keyARN, grantID string, ok bool) {
	sealed, err := base64.RawURLEncoding.DecodeString(text)
	if err != nil {
		return "", "", false
	}
	plain, err := s.Keys.Open(tokenPurpose, sealed)
	if err != nil {
		return "", "", false
	}
	return strings.Cut(string(plain), " ")
}

func errToken() *api.Error { return kmsapi.InvalidGrantTokenException("The grant token is not valid.") }

func (s *Service) mayCreateGrant(c *gateway.Call, in *kmsapi.CreateGrantInput) ([]authz.Ask, error) {
	r, err := s.resolveKey(c, in.KeyId)
	if err != nil {
		return nil, err
	}
	k := called(c).flag("kms:grantisforawsresource", len(c.CalledVia()) > 0).
		text("kms:granteeprincipal", api.Value(in.GranteePrincipal)).text("kms:retiringprincipal", api.Value(in.RetiringPrincipal))
	for _, op := range in.Operations {
		k["kms:grantoperations"] = append(k["kms:grantoperations"], string(op))
	}
	if err := k.constraints(in.Constraints); err != nil {
		return nil, err
	}
	for _, t := range in.GrantTokens {
		if _, _, ok := s.openToken(t); !ok {
			return nil, errToken()
		}
	}
	a := s.ask(c, "kms:CreateGrant", r, k)
	s.grant(c, &a, r, func(g *Grant) bool {
		return slices.Contains(g.Operations, kmsapi.GrantOperationCreateGrant) && g.covers(in)
	})
	return []authz.Ask{a}, nil
}

// constraints adds what a grant demands of the encryption context.
func (k conditions) constraints(g *kmsapi.GrantConstraints) error {
	if g == nil {
		return nil
	}
	for kind, context := range map[string]map[string]string{"EncryptionContextEquals": g.EncryptionContextEquals, "EncryptionContextSubset": g.EncryptionContextSubset} {
		if len(context) == 0 {
			continue
		}
		if err := ambiguous(context); err != nil {
			return err
		}
		k.text("kms:grantconstrainttype", kind).context(context)
	}
	return nil
}

// covers says whether one who may make grants by this grant may make that one:
// nothing that this grant does not allow, under no weaker constraints.
// https://docs.aws.amazon.com/kms/latest/developerguide/create-grant-overview.html#terms-grant-createsgrant
func (g *Grant) covers(in *kmsapi.CreateGrantInput) bool {
	for _, op := range in.Operations {
		if !slices.Contains(g.Operations, op) {
			return false
		}
	}
	if g.Constraints == nil {
		return true
	}
	var equals, subset map[string]string
	if in.Constraints != nil {
		equals, subset = in.Constraints.EncryptionContextEquals, in.Constraints.EncryptionContextSubset
	}
	if want := g.Constraints.EncryptionContextEquals; len(want) > 0 && !maps.Equal(want, equals) {
		return false
	}
	want := g.Constraints.EncryptionContextSubset
	return includes(equals, want) || includes(subset, want)
}

// grantable are the operations that a grant of a symmetric key can allow.
var grantable = []kmsapi.GrantOperation{
	kmsapi.GrantOperationDecrypt, kmsapi.GrantOperationEncrypt, kmsapi.GrantOperationGenerateDataKey, kmsapi.GrantOperationGenerateDataKeyWithoutPlaintext,
	kmsapi.GrantOperationReEncryptFrom, kmsapi.GrantOperationReEncryptTo, kmsapi.GrantOperationCreateGrant, kmsapi.GrantOperationRetireGrant,
	kmsapi.GrantOperationDescribeKey, kmsapi.GrantOperationGenerateDataKeyPair, kmsapi.GrantOperationGenerateDataKeyPairWithoutPlaintext,
}

// https://docs.aws.amazon.com/kms/latest/APIReference/API_CreateGrant.html
func (s *Service) createGrant(c *gateway.Call, in *kmsapi.CreateGrantInput) (*kmsapi.CreateGrantOutput, error) {
	d, err := s.look(c, in.KeyId)
	if err != nil {
		return nil, err
	}
	if err := d.enabled(); err != nil {
		return nil, err
	}
	for _, op := range in.Operations {
		if !slices.Contains(grantable, op) {
			return nil, api.Validation("The operation " + string(op) + " is not valid for a symmetric encryption key.")
		}
	}
	if k := in.Constraints; k != nil && len(k.EncryptionContextEquals) > 0 && len(k.EncryptionContextSubset) > 0 {
		return nil, api.Validation("A grant has EncryptionContextEquals or EncryptionContextSubset, not both.")
	}
	g := &Grant{Key: d.ID, Name: in.Name, Created: c.Time.UTC(), Issuer: c.Principal.Account, Operations: in.Operations, Constraints: in.Constraints}
	to, err := s.principal(c, api.Value(in.GranteePrincipal))
	if err != nil {
		return nil, err
	}
	g.Grantee = *to
	if in.RetiringPrincipal != nil {
		if g.Retiring, err = s.principal(c, *in.RetiringPrincipal); err != nil {
			return nil, err
		}
	}
	if err := dry(in.DryRun); err != nil {
		return nil, err
	}
	if old := s.madeBefore(c, g); old != nil {
		g = old
	} else {
		g.ID = id.Hex(c.IDs, 64)
		grants.Put(c.Tx, grantKey(d.ID, g.ID), g)
	}
	return &kmsapi.CreateGrantOutput{GrantId: &g.ID, GrantToken: api.Ptr(s.token(d.ARN, g.ID))}, nil
}

// madeBefore finds the grant of the same name that is equal in everything: the
// call is repeated.
func (s *Service) madeBefore(c *gateway.Call, g *Grant) *Grant {
	if g.Name == nil {
		return nil
	}
	for _, old := range grants.Prefix(c.Tx, c.Home, g.Key+":") {
		if api.Value(old.Name) == *g.Name && old.Grantee == g.Grantee && api.Value(old.Retiring) == api.Value(g.Retiring) &&
			slices.Equal(old.Operations, g.Operations) && sameConstraints(old.Constraints, g.Constraints) {
			return old
		}
	}
	return nil
}

func sameConstraints(a, b *kmsapi.GrantConstraints) bool {
	x, y := api.Value(a), api.Value(b)
	return maps.Equal(x.EncryptionContextEquals, y.EncryptionContextEquals) && maps.Equal(x.EncryptionContextSubset, y.EncryptionContextSubset)
}

func (s *Service) mayListGrants(c *gateway.Call, in *kmsapi.ListGrantsInput) ([]authz.Ask, error) {
	return s.aboutWith(c, in.KeyId, called(c).flag("kms:grantisforawsresource", len(c.CalledVia()) > 0))
}

// https://docs.aws.amazon.com/kms/latest/APIReference/API_ListGrants.html
func (s *Service) listGrants(c *gateway.Call, in *kmsapi.ListGrantsInput) (*kmsapi.ListGrantsOutput, error) {
	d, err := s.look(c, in.KeyId)
	if err != nil {
		return nil, err
	}
	p, err := page(c, in.Limit, in.Marker, 50, 100)
	if err != nil {
		return nil, err
	}
	out := &kmsapi.ListGrantsOutput{Grants: []kmsapi.GrantListEntry{}}
	for key, g := range grants.Prefix(c.Tx, c.Home, d.ID+":") {
		to := s.shown(c, &g.Grantee)
		if key <= p.after || in.GrantId != nil && *in.GrantId != g.ID || in.GranteePrincipal != nil && *in.GranteePrincipal != *to {
			continue
		}
		if p.full(key) {
			break
		}
		out.Grants = append(out.Grants, s.entry(c, d.ARN, g))
	}
	out.NextMarker, out.Truncated = p.end(c)
	return out, nil
}

func (s *Service) entry(c *gateway.Call, keyARN string, g *Grant) kmsapi.GrantListEntry {
	e := kmsapi.GrantListEntry{
		KeyId: &keyARN, GrantId: &g.ID, Name: g.Name, CreationDate: api.At(g.Created), GranteePrincipal: s.shown(c, &g.Grantee),
		IssuingAccount: api.Ptr("arn:aws:iam::" + g.Issuer + ":root"), Operations: g.Operations, Constraints: g.Constraints,
	}
	if g.Retiring != nil {
		e.RetiringPrincipal = s.shown(c, g.Retiring)
	}
	return e
}

func (s *Service) mayListRetirableGrants(*gateway.Call, *kmsapi.ListRetirableGrantsInput) ([]authz.Ask, error) {
	return []authz.Ask{{Action: "kms:ListRetirableGrants", Resource: "*"}}, nil
}

// listRetirableGrants lists the grants of this account's keys that a principal
// may retire.
// https://docs.aws.amazon.com/kms/latest/APIReference/API_ListRetirableGrants.html
func (s *Service) listRetirableGrants(c *gateway.Call, in *kmsapi.ListRetirableGrantsInput) (*kmsapi.ListRetirableGrantsOutput, error) {
	p, err := page(c, in.Limit, in.Marker, 50, 100)
	if err != nil {
		return nil, err
	}
	out := &kmsapi.ListRetirableGrantsOutput{Grants: []kmsapi.GrantListEntry{}}
	for key, g := range grants.By(c.Tx, c.Home, "retiring", api.Value(in.RetiringPrincipal)) {
		if key <= p.after || !s.lives(c, g.Key) {
			continue
		}
		if p.full(key) {
			break
		}
		out.Grants = append(out.Grants, s.entry(c, kmsARN(c.Account, c.Region, "key/"+g.Key), g))
	}
	out.NextMarker, out.Truncated = p.end(c)
	return out, nil
}

func (s *Service) mayRevokeGrant(c *gateway.Call, in *kmsapi.RevokeGrantInput) ([]authz.Ask, error) {
	return s.aboutWith(c, in.KeyId, called(c).flag("kms:grantisforawsresource", len(c.CalledVia()) > 0))
}

// https://docs.aws.amazon.com/kms/latest/APIReference/API_RevokeGrant.html
func (s *Service) revokeGrant(c *gateway.Call, in *kmsapi.RevokeGrantInput) (*kmsapi.RevokeGrantOutput, error) {
	d, err := s.look(c, in.KeyId)
	if err != nil {
		return nil, err
	}
	return &kmsapi.RevokeGrantOutput{}, end(c, d.ID, api.Value(in.GrantId), in.DryRun)
}

// end deletes a grant of the home shard.
func end(c *gateway.Call, keyID, grantID string, dryRun *bool) error {
	if _, ok := grants.Get(c.Tx, c.Home, grantKey(keyID, grantID)); !ok {
		return kmsapi.NotFoundException("Grant ID %s not found", grantID)
	}
	if err := dry(dryRun); err != nil {
		return err
	}
	grants.Delete(c.Tx, grantKey(keyID, grantID))
	return nil
}

// retired reads which grant a RetireGrant is about: a grant token says it all.
func (s *Service) retired(in *kmsapi.RetireGrantInput) (keyID, grantID string, err error) {
	switch {
	case in.GrantToken != nil:
		keyARN, grantID, ok := s.openToken(*in.GrantToken)
		if !ok {
			return "", "", errToken()
		}
		return keyARN, grantID, nil
	case in.KeyId == nil || in.GrantId == nil:
		return "", "", api.Validation("You must specify either a GrantToken or both a KeyId and a GrantId.")
	}
	return *in.KeyId, *in.GrantId, nil
}

func (s *Service) homeOfRetired(c *gateway.Call, in *kmsapi.RetireGrantInput) string {
	keyID, _, _ := s.retired(in)
	return homeOf(c, keyID)
}

// mayRetireGrant asks for kms:RetireGrant. The grant itself gives it to its
// retiring principal, to its grantee if that is one of its operations, and to
// the root user of the account that made it.
// https://docs.aws.amazon.com/kms/latest/developerguide/grant-delete.html
func (s *Service) mayRetireGrant(c *gateway.Call, in *kmsapi.RetireGrantInput) ([]authz.Ask, error) {
	keyID, grantID, err := s.retired(in)
	if err != nil {
		return nil, err
	}
	r, err := s.resolveKey(c, &keyID)
	if err != nil {
		return nil, err
	}
	k := called(c)
	g, ok := grants.Get(c.Tx, r.shard(), grantKey(r.id, grantID))
	if ok {
		if err := k.constraints(g.Constraints); err != nil {
			return nil, err
		}
	}
	a := s.ask(c, "kms:RetireGrant", r, k)
	if ok {
		for _, who := range g.retirers() {
			if who.is(c.Principal) {
				a.Grants = append(a.Grants, stated(&a, g.ID, &who))
			}
		}
	}
	return []authz.Ask{a}, nil
}

// retirers are those to whom a grant itself gives the right to retire it.
func (g *Grant) retirers() []Principal {
	who := []Principal{{ARN: "arn:aws:iam::" + g.Issuer + ":root"}}
	if g.Retiring != nil {
		who = append(who, *g.Retiring)
	}
	if slices.Contains(g.Operations, kmsapi.GrantOperationRetireGrant) {
		who = append(who, g.Grantee)
	}
	return who
}

// https://docs.aws.amazon.com/kms/latest/APIReference/API_RetireGrant.html
func (s *Service) retireGrant(c *gateway.Call, in *kmsapi.RetireGrantInput) (*kmsapi.RetireGrantOutput, error) {
	keyID, grantID, err := s.retired(in)
	if err != nil {
		return nil, err
	}
	d, err := s.look(c, &keyID)
	if err != nil {
		return nil, err
	}
	return &kmsapi.RetireGrantOutput{}, end(c, d.ID, grantID, in.DryRun)
}
