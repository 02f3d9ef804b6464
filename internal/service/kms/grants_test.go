package kms_test

import (
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	sdk "github.com/aws/aws-sdk-go-v2/service/kms"
	"github.com/aws/aws-sdk-go-v2/service/kms/types"

	"github.com/remit-ecs/remit/internal/testkit"
)

// granted is a key, and a role that no policy allows anything.
type granted struct {
	*kit
	t     *testing.T
	root  *sdk.Client
	key   *string
	role  string
	asker *sdk.Client
}

func startGranted(t *testing.T) *granted {
	t.Helper()
	k, c := start(t)
	g := &granted{kit: k, t: t, root: c, key: create(t, c).Arn, role: k.Role("worker", "")}
	g.asker = sdk.NewFromConfig(k.Session("worker", "s", time.Hour))
	return g
}

func (g *granted) grant(change func(*sdk.CreateGrantInput), ops ...types.GrantOperation) *sdk.CreateGrantOutput {
	g.t.Helper()
	in := &sdk.CreateGrantInput{KeyId: g.key, GranteePrincipal: &g.role, Operations: ops}
	if change != nil {
		change(in)
	}
	return ok[*sdk.CreateGrantOutput](g.t)(g.root.CreateGrant(ctx, in))
}

func TestGrantAllows(t *testing.T) {
	g := startGranted(t)
	blob := encrypt(t, g.root, g.key, "x", nil)
	denied := func(err error) {
		t.Helper()
		fails(t, err, "AccessDeniedException", "because no identity-based policy allows")
	}
	_, err := decrypt(g.asker, blob, nil)
	denied(err)
	out := g.grant(nil, types.GrantOperationDecrypt, types.GrantOperationDescribeKey)
	if plain, err := decrypt(g.asker, blob, nil); err != nil || plain != "x" {
		t.Errorf("%q, %v", plain, err)
	}
	ok[*sdk.DescribeKeyOutput](t)(g.asker.DescribeKey(ctx, &sdk.DescribeKeyInput{KeyId: g.key, GrantTokens: []string{*out.GrantToken}}))
	_, err = g.asker.DescribeKey(ctx, &sdk.DescribeKeyInput{KeyId: g.key, GrantTokens: []string{"forged"}})
	fails(t, err, "InvalidGrantTokenException", "")
	_, err = g.asker.Encrypt(ctx, &sdk.EncryptInput{KeyId: g.key, Plaintext: []byte("x")})
	denied(err)
	_, err = g.asker.GenerateDataKey(ctx, &sdk.GenerateDataKeyInput{KeyId: g.key, KeySpec: types.DataKeySpecAes256})
	denied(err)
	_, err = decrypt(sdk.NewFromConfig(g.With()), blob, nil)
	denied(err)
	// The trail says what allowed it.
	trail := g.Trail()
	why := ""
	for _, r := range trail {
		if r.EventName == "Decrypt" && r.ErrorCode == "" && r.AdditionalEventData != nil {
			for _, a := range r.AdditionalEventData.Asks {
				why = a.Why
			}
		}
	}
	if want := "grant " + *out.GrantId + ", statement 1"; why != want {
		t.Errorf("the trail says %q, want %q", why, want)
	}
	// What is denied stays denied.
	put(t, g.root, g.key, also(`{"Effect":"Deny","Principal":{"AWS":"`+g.role+`"},"Action":"kms:Decrypt","Resource":"*"}`))
	_, err = decrypt(g.asker, blob, nil)
	fails(t, err, "AccessDeniedException", "explicit deny in a resource-based policy")
	put(t, g.root, g.key, aws.String(delegate))
	ok[*sdk.RevokeGrantOutput](t)(g.root.RevokeGrant(ctx, &sdk.RevokeGrantInput{KeyId: g.key, GrantId: out.GrantId}))
	_, err = decrypt(g.asker, blob, nil)
	denied(err)
	_, err = g.root.RevokeGrant(ctx, &sdk.RevokeGrantInput{KeyId: g.key, GrantId: out.GrantId})
	fails(t, err, "NotFoundException", "Grant ID "+*out.GrantId+" not found")
}

func TestGrantConstraints(t *testing.T) {
	context := map[string]string{"Project": "orders", "tier": "gold"}
	for name, tt := range map[string]struct {
		is   types.GrantConstraints
		want bool
	}{
		"equal":          {types.GrantConstraints{EncryptionContextEquals: context}, true},
		"less":           {types.GrantConstraints{EncryptionContextEquals: map[string]string{"Project": "orders"}}, false},
		"another case":   {types.GrantConstraints{EncryptionContextEquals: map[string]string{"project": "orders", "tier": "gold"}}, false},
		"a part":         {types.GrantConstraints{EncryptionContextSubset: map[string]string{"tier": "gold"}}, true},
		"another value":  {types.GrantConstraints{EncryptionContextSubset: map[string]string{"tier": "Gold"}}, false},
		"another name":   {types.GrantConstraints{EncryptionContextSubset: map[string]string{"Tier": "gold"}}, false},
		"more":           {types.GrantConstraints{EncryptionContextSubset: map[string]string{"tier": "gold", "x": ""}}, false},
		"no constraints": {types.GrantConstraints{}, true},
	} {
		t.Run(name, func(t *testing.T) {
			g := startGranted(t)
			blob := encrypt(t, g.root, g.key, "x", context)
			g.grant(func(in *sdk.CreateGrantInput) { in.Constraints = &tt.is }, types.GrantOperationDecrypt, types.GrantOperationDescribeKey)
			if _, err := decrypt(g.asker, blob, context); (err == nil) != tt.want {
				t.Errorf("decrypt: %v", err)
			}
			// Operations without an encryption context are not constrained.
			ok[*sdk.DescribeKeyOutput](t)(g.asker.DescribeKey(ctx, &sdk.DescribeKeyInput{KeyId: g.key}))
		})
	}
	g := startGranted(t)
	_, err := g.root.CreateGrant(ctx, &sdk.CreateGrantInput{KeyId: g.key, GranteePrincipal: &g.role, Operations: []types.GrantOperation{types.GrantOperationDecrypt},
		Constraints: &types.GrantConstraints{EncryptionContextEquals: context, EncryptionContextSubset: context}})
	fails(t, err, "ValidationException", "not both")
	_, err = g.root.CreateGrant(ctx, &sdk.CreateGrantInput{KeyId: g.key, GranteePrincipal: &g.role, Operations: []types.GrantOperation{types.GrantOperationSign}})
	fails(t, err, "ValidationException", "Sign")
}

func TestGrantees(t *testing.T) {
	g := startGranted(t)
	blob := encrypt(t, g.root, g.key, "x", nil)
	to := func(who string) error {
		_, err := g.root.CreateGrant(ctx, &sdk.CreateGrantInput{KeyId: g.key, GranteePrincipal: &who, Operations: []types.GrantOperation{types.GrantOperationDecrypt}})
		return err
	}
	for _, bad := range []string{"x", "arn:aws:iam::111122223333:role/none", "arn:aws:iam::111122223333:group/g", "arn:aws:s3:::bucket"} {
		fails(t, to(bad), "InvalidArnException", "ARN does not refer to a valid principal")
	}
	// An account leaves it to the policies of its identities.
	if err := to("arn:aws:iam::" + testkit.Other + ":root"); err != nil {
		t.Fatal(err)
	}
	_, err := decrypt(sdk.NewFromConfig(g.WithIn(testkit.Other)), blob, nil)
	fails(t, err, "AccessDeniedException", "")
	if _, err := decrypt(sdk.NewFromConfig(g.WithIn(testkit.Other, testkit.Allow("*", "kms:Decrypt"))), blob, nil); err != nil {
		t.Error(err)
	}
	// A role of another account needs nothing else.
	foreign := g.RoleIn(testkit.Other, "guest", "")
	if err := to(foreign); err != nil {
		t.Fatal(err)
	}
	if _, err := decrypt(sdk.NewFromConfig(g.SessionIn(testkit.Other, "guest", "s", time.Hour)), blob, nil); err != nil {
		t.Error(err)
	}
	// One session alone.
	if err := to("arn:aws:sts::111122223333:assumed-role/worker/one"); err != nil {
		t.Fatal(err)
	}
	if _, err := decrypt(sdk.NewFromConfig(g.Session("worker", "one", time.Hour)), blob, nil); err != nil {
		t.Error(err)
	}
	_, err = decrypt(sdk.NewFromConfig(g.Session("worker", "two", time.Hour)), blob, nil)
	fails(t, err, "AccessDeniedException", "")
	// A federated user, by name.
	if err := to("arn:aws:sts::111122223333:federated-user/bob"); err != nil {
		t.Error(err)
	}
	// A role of the same name is another role.
	if err := to(g.role); err != nil {
		t.Fatal(err)
	}
	g.Delete(g.role)
	g.Role("worker", "")
	_, err = decrypt(sdk.NewFromConfig(g.Session("worker", "two", time.Hour)), blob, nil)
	fails(t, err, "AccessDeniedException", "")
}

// TestGrantsOfGrants: who may make grants by a grant hands on no more than it
// has.
func TestGrantsOfGrants(t *testing.T) {
	g := startGranted(t)
	third := g.Role("third", "")
	context := map[string]string{"project": "orders"}
	g.grant(func(in *sdk.CreateGrantInput) {
		in.Constraints = &types.GrantConstraints{EncryptionContextSubset: context}
	}, types.GrantOperationDecrypt, types.GrantOperationCreateGrant)
	try := func(constraints *types.GrantConstraints, ops ...types.GrantOperation) error {
		_, err := g.asker.CreateGrant(ctx, &sdk.CreateGrantInput{KeyId: g.key, GranteePrincipal: &third, Operations: ops, Constraints: constraints})
		return err
	}
	for what, err := range map[string]error{
		"no constraints":     try(nil, types.GrantOperationDecrypt),
		"weaker constraints": try(&types.GrantConstraints{EncryptionContextSubset: map[string]string{"x": "y"}}, types.GrantOperationDecrypt),
		"another operation":  try(&types.GrantConstraints{EncryptionContextEquals: context}, types.GrantOperationDecrypt, types.GrantOperationEncrypt),
	} {
		t.Log(what)
		fails(t, err, "AccessDeniedException", "kms:CreateGrant")
	}
	if err := try(&types.GrantConstraints{EncryptionContextEquals: context}, types.GrantOperationDecrypt); err != nil {
		t.Error(err)
	}
	blob := encrypt(t, g.root, g.key, "x", context)
	if _, err := decrypt(sdk.NewFromConfig(g.Session("third", "s", time.Hour)), blob, context); err != nil {
		t.Error(err)
	}
}

func TestListGrants(t *testing.T) {
	g := startGranted(t)
	named := func(in *sdk.CreateGrantInput) { in.Name = aws.String("n") }
	one := g.grant(named, types.GrantOperationDecrypt)
	if again := g.grant(named, types.GrantOperationDecrypt); *again.GrantId != *one.GrantId || *again.GrantToken == *one.GrantToken {
		t.Error("a repetition made another grant")
	}
	if other := g.grant(named, types.GrantOperationEncrypt); *other.GrantId == *one.GrantId {
		t.Error("another grant of the same name was taken for a repetition")
	}
	retiring := g.Role("retiring", "")
	three := g.grant(func(in *sdk.CreateGrantInput) {
		in.RetiringPrincipal, in.GranteePrincipal = &retiring, aws.String(testkit.Account)
	}, types.GrantOperationDecrypt)
	list := func(in *sdk.ListGrantsInput) []types.GrantListEntry {
		t.Helper()
		var out []types.GrantListEntry
		in.KeyId, in.Limit = g.key, aws.Int32(1)
		for pages := sdk.NewListGrantsPaginator(g.root, in); pages.HasMorePages(); {
			p, err := pages.NextPage(ctx)
			if err != nil {
				t.Fatal(err)
			}
			out = append(out, p.Grants...)
		}
		return out
	}
	if n := len(list(&sdk.ListGrantsInput{})); n != 3 {
		t.Errorf("%d grants", n)
	}
	if l := list(&sdk.ListGrantsInput{GranteePrincipal: &g.role}); len(l) != 2 || *l[0].KeyId != *g.key || *l[0].IssuingAccount != "arn:aws:iam::111122223333:root" || *l[0].Name != "n" {
		t.Errorf("%+v", l)
	}
	if l := list(&sdk.ListGrantsInput{GrantId: three.GrantId}); len(l) != 1 || *l[0].RetiringPrincipal != retiring || *l[0].GranteePrincipal != "arn:aws:iam::111122223333:root" {
		t.Errorf("%+v", l)
	}
	l := ok[*sdk.ListRetirableGrantsOutput](t)(g.root.ListRetirableGrants(ctx, &sdk.ListRetirableGrantsInput{RetiringPrincipal: &retiring}))
	if len(l.Grants) != 1 || *l.Grants[0].GrantId != *three.GrantId {
		t.Errorf("%+v", l.Grants)
	}
	_, err := g.root.CreateGrant(ctx, &sdk.CreateGrantInput{KeyId: g.key, GranteePrincipal: &g.role, Operations: []types.GrantOperation{types.GrantOperationDecrypt}, DryRun: aws.Bool(true)})
	fails(t, err, "DryRunOperationException", "")
	if n := len(list(&sdk.ListGrantsInput{})); n != 3 {
		t.Errorf("%d grants after a dry run", n)
	}
	g.Delete(g.role)
	if l := list(&sdk.ListGrantsInput{GrantId: one.GrantId}); len(l) != 1 || (*l[0].GranteePrincipal)[:4] != "AROA" {
		t.Errorf("a deleted grantee is shown as %s", *l[0].GranteePrincipal)
	}
}

func TestRetireGrant(t *testing.T) {
	g := startGranted(t)
	retiring := g.Role("retiring", "")
	retirer := sdk.NewFromConfig(g.Session("retiring", "s", time.Hour))
	withRetirer := func(in *sdk.CreateGrantInput) { in.RetiringPrincipal = &retiring }

	out := g.grant(withRetirer, types.GrantOperationDecrypt)
	byID := &sdk.RetireGrantInput{KeyId: g.key, GrantId: out.GrantId}
	_, err := g.asker.RetireGrant(ctx, byID) // the grantee may not
	fails(t, err, "AccessDeniedException", "kms:RetireGrant")
	_, err = retirer.RetireGrant(ctx, &sdk.RetireGrantInput{KeyId: g.key, GrantId: out.GrantId, DryRun: aws.Bool(true)})
	fails(t, err, "DryRunOperationException", "")
	ok[*sdk.RetireGrantOutput](t)(retirer.RetireGrant(ctx, byID))
	_, err = g.root.RetireGrant(ctx, byID)
	fails(t, err, "NotFoundException", "Grant ID")

	out = g.grant(nil, types.GrantOperationDecrypt, types.GrantOperationRetireGrant)
	ok[*sdk.RetireGrantOutput](t)(g.asker.RetireGrant(ctx, &sdk.RetireGrantInput{GrantToken: out.GrantToken}))
	_, err = g.asker.RetireGrant(ctx, &sdk.RetireGrantInput{GrantToken: aws.String("forged")})
	fails(t, err, "InvalidGrantTokenException", "")
	_, err = g.asker.RetireGrant(ctx, &sdk.RetireGrantInput{KeyId: g.key})
	fails(t, err, "ValidationException", "GrantToken or both")

	out = g.grant(withRetirer, types.GrantOperationDecrypt)
	ok[*sdk.RetireGrantOutput](t)(sdk.NewFromConfig(g.With(testkit.Allow(*g.key, "kms:RetireGrant"))).RetireGrant(ctx, &sdk.RetireGrantInput{GrantToken: out.GrantToken}))
}
