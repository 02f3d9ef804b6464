package kms_test

import (
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	sdk "github.com/aws/aws-sdk-go-v2/service/kms"

	"github.com/remit-ecs/remit/internal/testkit"
)

// delegate is a key policy that leaves everything to the account.
const delegate = `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"AWS":"arn:aws:iam::111122223333:root"},"Action":"kms:*","Resource":"*"}]}`

// also is delegate with one statement more.
func also(statement string) *string {
	return aws.String(strings.TrimSuffix(delegate, "]}") + "," + statement + "]}")
}

func put(t *testing.T, c *sdk.Client, key *string, policy *string) {
	t.Helper()
	ok[*sdk.PutKeyPolicyOutput](t)(c.PutKeyPolicy(ctx, &sdk.PutKeyPolicyInput{KeyId: key, Policy: policy}))
}

func TestDefaultKeyPolicy(t *testing.T) {
	_, c := start(t)
	key := create(t, c)
	out := ok[*sdk.GetKeyPolicyOutput](t)(c.GetKeyPolicy(ctx, &sdk.GetKeyPolicyInput{KeyId: key.KeyId}))
	if *out.PolicyName != "default" || !strings.Contains(*out.Policy, `"AWS" : "arn:aws:iam::111122223333:root"`) || !strings.Contains(*out.Policy, "Enable IAM User Permissions") {
		t.Errorf("%s", *out.Policy)
	}
	put(t, c, key.KeyId, aws.String(delegate))
	if out = ok[*sdk.GetKeyPolicyOutput](t)(c.GetKeyPolicy(ctx, &sdk.GetKeyPolicyInput{KeyId: key.KeyId, PolicyName: aws.String("default")})); *out.Policy != delegate {
		t.Errorf("%s", *out.Policy)
	}
	if l := ok[*sdk.ListKeyPoliciesOutput](t)(c.ListKeyPolicies(ctx, &sdk.ListKeyPoliciesInput{KeyId: key.KeyId})); len(l.PolicyNames) != 1 || l.PolicyNames[0] != "default" {
		t.Errorf("%q", l.PolicyNames)
	}
	_, err := c.GetKeyPolicy(ctx, &sdk.GetKeyPolicyInput{KeyId: key.KeyId, PolicyName: aws.String("other")})
	fails(t, err, "NotFoundException", "No such policy exists")
}

func TestMalformedKeyPolicies(t *testing.T) {
	k, c := start(t)
	key := create(t, c)
	k.Role("app", "")
	const lockout = "The new key policy will not allow you to update the key policy in the future."
	for policy, text := range map[string]string{
		"x": "Policy contains a statement that cannot be read.",
		`{"Version":"2012-10-17","Statement":[]}`:                                             "Policy contains a statement that cannot be read.",
		strings.Replace(delegate, "root", "role/none", 1):                                     "Policy contains a statement with one or more invalid principals.",
		strings.Replace(delegate, "root", "role/app", 1):                                      lockout,
		strings.Replace(delegate, "kms:*", "kms:Encrypt", 1):                                  lockout,
		*also(`{"Effect":"Deny","Principal":"*","Action":"kms:PutKeyPolicy","Resource":"*"}`): lockout,
	} {
		_, err := c.PutKeyPolicy(ctx, &sdk.PutKeyPolicyInput{KeyId: key.KeyId, Policy: &policy})
		fails(t, err, "MalformedPolicyDocumentException", text)
		_, err = c.CreateKey(ctx, &sdk.CreateKeyInput{Policy: &policy})
		fails(t, err, "MalformedPolicyDocumentException", text)
	}
	app := strings.Replace(delegate, "root", "role/app", 1)
	made := ok[*sdk.CreateKeyOutput](t)(c.CreateKey(ctx, &sdk.CreateKeyInput{Policy: &app, BypassPolicyLockoutSafetyCheck: true}))
	_, err := c.DescribeKey(ctx, &sdk.DescribeKeyInput{KeyId: made.KeyMetadata.KeyId})
	fails(t, err, "AccessDeniedException", "because no resource-based policy allows the kms:DescribeKey action") // not even root
	// The role itself may lock everybody else out.
	k.Role("app", "", testkit.Allow("*", "kms:CreateKey"))
	mine := sdk.NewFromConfig(k.Session("app", "s", time.Hour))
	made = ok[*sdk.CreateKeyOutput](t)(mine.CreateKey(ctx, &sdk.CreateKeyInput{Policy: &app}))
	ok[*sdk.DescribeKeyOutput](t)(mine.DescribeKey(ctx, &sdk.DescribeKeyInput{KeyId: made.KeyMetadata.KeyId})) // by the key policy alone
}

// TestKeyPolicyDecides: identity-based policies count only where the key policy
// leaves it to the account.
func TestKeyPolicyDecides(t *testing.T) {
	k, c := start(t)
	key := create(t, c)
	context := map[string]string{"project": "orders"}
	blob := encrypt(t, c, key.KeyId, "x", context)
	k.Role("named", "")
	named := sdk.NewFromConfig(k.Session("named", "s", time.Hour))
	allowed := sdk.NewFromConfig(k.With(testkit.Allow(*key.Arn, "kms:*")))
	try := func(c *sdk.Client, want string) {
		t.Helper()
		plain, err := decrypt(c, blob, context)
		switch {
		case want == "" && (err != nil || plain != "x"):
			t.Errorf("%q, %v", plain, err)
		case want != "":
			fails(t, err, "AccessDeniedException", want)
		}
	}
	try(allowed, "")
	try(named, "because no identity-based policy allows the kms:Decrypt action")
	put(t, c, key.KeyId, also(`{"Effect":"Allow","Principal":{"AWS":"arn:aws:iam::111122223333:role/named"},"Action":"kms:Decrypt","Resource":"*"}`))
	try(allowed, "")
	try(named, "")
	put(t, c, key.KeyId, also(`{"Effect":"Deny","Principal":{"AWS":"arn:aws:iam::111122223333:role/named"},"Action":"kms:Decrypt","Resource":"*"}`))
	try(named, "with an explicit deny in a resource-based policy")
	put(t, c, key.KeyId, aws.String(`{"Version":"2012-10-17","Statement":[
		{"Effect":"Allow","Principal":{"AWS":"arn:aws:iam::111122223333:root"},"Action":["kms:Put*","kms:Describe*"],"Resource":"*"},
		{"Effect":"Allow","Principal":{"AWS":"arn:aws:iam::111122223333:role/named"},"Action":"kms:Decrypt","Resource":"*","Condition":{"StringEquals":{"kms:EncryptionContext:project":"orders"}}}]}`))
	try(allowed, "because no resource-based policy allows the kms:Decrypt action")
	try(named, "")
}

// TestConditions asks for one thing under conditions on what KMS says of it.
func TestConditions(t *testing.T) {
	k, c := start(t)
	key := create(t, c)
	ok[*sdk.CreateAliasOutput](t)(c.CreateAlias(ctx, &sdk.CreateAliasInput{AliasName: aws.String("alias/orders"), TargetKeyId: key.KeyId}))
	context := map[string]string{"Project": "orders", "tier": "gold"}
	for condition, want := range map[string]bool{
		`{"StringEquals":{"kms:EncryptionContext:Project":"orders"}}`:                           true,
		`{"StringEquals":{"kms:EncryptionContext:project":"orders"}}`:                           true, // names of keys have no case
		`{"StringEquals":{"kms:EncryptionContext:Project":"payments"}}`:                         false,
		`{"ForAllValues:StringEquals":{"kms:EncryptionContextKeys":["Project","tier"]}}`:        true,
		`{"ForAllValues:StringEquals":{"kms:EncryptionContextKeys":["project","tier"]}}`:        false, // their values do
		`{"StringEquals":{"kms:CallerAccount":"111122223333"}}`:                                 true,
		`{"StringEquals":{"kms:RequestAlias":"alias/orders"}}`:                                  true,
		`{"ForAnyValue:StringEquals":{"kms:ResourceAliases":"alias/orders"}}`:                   true,
		`{"StringEquals":{"kms:KeySpec":"SYMMETRIC_DEFAULT","kms:KeyUsage":"ENCRYPT_DECRYPT"}}`: true,
		`{"StringEquals":{"kms:KeyOrigin":"EXTERNAL"}}`:                                         false,
		`{"StringEquals":{"kms:EncryptionAlgorithm":"SYMMETRIC_DEFAULT"}}`:                      true,
		`{"Bool":{"kms:MultiRegion":"false"}}`:                                                  true,
		`{"Null":{"kms:ViaService":"true"}}`:                                                    true,
		`{"StringEquals":{"kms:ViaService":"secretsmanager.eu-west-1.amazonaws.com"}}`:          false,
	} {
		who := sdk.NewFromConfig(k.With(`{"Version":"2012-10-17","Statement":{"Effect":"Allow","Action":"kms:Encrypt","Resource":"*","Condition":` + condition + `}}`))
		_, err := who.Encrypt(ctx, &sdk.EncryptInput{KeyId: aws.String("alias/orders"), Plaintext: []byte("x"), EncryptionContext: context})
		if (err == nil) != want {
			t.Errorf("%s: %v", condition, err)
		}
	}
	// The alias has to be in the request, not only on the key.
	who := sdk.NewFromConfig(k.With(`{"Version":"2012-10-17","Statement":{"Effect":"Allow","Action":"kms:Encrypt","Resource":"*","Condition":{"StringEquals":{"kms:RequestAlias":"alias/orders"}}}}`))
	_, err := who.Encrypt(ctx, &sdk.EncryptInput{KeyId: key.KeyId, Plaintext: []byte("x")})
	fails(t, err, "AccessDeniedException", "kms:Encrypt")
}

// TestPrincipalsAreBound: a key policy names the role that there was, not one
// of the same name.
func TestPrincipalsAreBound(t *testing.T) {
	k, c := start(t)
	role := k.Role("app", "")
	key := create(t, c)
	blob := encrypt(t, c, key.KeyId, "x", nil)
	put(t, c, key.KeyId, also(`{"Effect":"Allow","Principal":{"AWS":"`+role+`"},"Action":"kms:Decrypt","Resource":"*"}`))
	if _, err := decrypt(sdk.NewFromConfig(k.Session("app", "s", time.Hour)), blob, nil); err != nil {
		t.Error(err)
	}
	k.Delete(role)
	k.Role("app", "")
	_, err := decrypt(sdk.NewFromConfig(k.Session("app", "s", time.Hour)), blob, nil)
	fails(t, err, "AccessDeniedException", "no identity-based policy allows")
	if p := *ok[*sdk.GetKeyPolicyOutput](t)(c.GetKeyPolicy(ctx, &sdk.GetKeyPolicyInput{KeyId: key.KeyId})).Policy; strings.Contains(p, role) || !strings.Contains(p, `"AROA`) {
		t.Errorf("the policy still names the role: %s", p)
	}
}

// TestOtherAccounts: both sides have to allow.
func TestOtherAccounts(t *testing.T) {
	k, c := start(t)
	key := create(t, c)
	blob := encrypt(t, c, key.KeyId, "x", nil)
	theirs := func(policies ...string) *sdk.Client { return sdk.NewFromConfig(k.WithIn(testkit.Other, policies...)) }
	able, unable := theirs(testkit.Allow("*", "kms:*")), theirs()
	const hidden = "is not authorized to perform: kms:Decrypt on this resource because the resource does not exist in this Region, no resource-based policies allow access, or a resource-based policy explicitly denies access"
	_, err := decrypt(able, blob, nil)
	fails(t, err, "AccessDeniedException", hidden)
	put(t, c, key.KeyId, also(`{"Effect":"Allow","Principal":{"AWS":"`+testkit.Other+`"},"Action":["kms:Decrypt","kms:Encrypt"],"Resource":"*"}`))
	if plain, err := decrypt(able, blob, nil); err != nil || plain != "x" {
		t.Errorf("%q, %v", plain, err)
	}
	_, err = decrypt(unable, blob, nil)
	fails(t, err, "AccessDeniedException", "because no identity-based policy allows the kms:Decrypt action")
	back := encrypt(t, able, key.Arn, "y", nil)
	if plain, err := decrypt(c, back, nil); err != nil || plain != "y" {
		t.Errorf("%q, %v", plain, err)
	}
	_, err = able.Encrypt(ctx, &sdk.EncryptInput{KeyId: key.KeyId, Plaintext: []byte("x")}) // without the ARN it is a key of theirs
	fails(t, err, "NotFoundException", "does not exist")
	// What exists and what does not look alike from outside.
	_, err = able.DescribeKey(ctx, &sdk.DescribeKeyInput{KeyId: key.Arn})
	_, absent := able.DescribeKey(ctx, &sdk.DescribeKeyInput{KeyId: aws.String(unknown)})
	fails(t, err, "AccessDeniedException", "no resource-based policies allow access")
	fails(t, absent, "AccessDeniedException", "no resource-based policies allow access")
	// An alias of another account stays there.
	_, err = able.CreateAlias(ctx, &sdk.CreateAliasInput{AliasName: aws.String("alias/x"), TargetKeyId: key.Arn})
	fails(t, err, "NotFoundException", "Invalid keyId")
}

// TestUnknownCiphertext: a ciphertext of a key that is not there says so in
// AWS's words to those who may decrypt with keys of the account.
func TestUnknownCiphertext(t *testing.T) {
	k, c := start(t)
	key := create(t, c)
	blob := encrypt(t, c, key.KeyId, "x", nil)
	blob[10] ^= 1 // within the key id
	const gone = "The ciphertext refers to a customer master key that does not exist, does not exist in this region, or you are not allowed to access."
	_, err := decrypt(c, blob, nil)
	fails(t, err, "AccessDeniedException", gone)
	_, err = decrypt(sdk.NewFromConfig(k.With()), blob, nil)
	fails(t, err, "AccessDeniedException", "because no identity-based policy allows the kms:Decrypt action")
	_, err = c.ReEncrypt(ctx, &sdk.ReEncryptInput{CiphertextBlob: blob, DestinationKeyId: key.KeyId})
	fails(t, err, "AccessDeniedException", gone)
}
