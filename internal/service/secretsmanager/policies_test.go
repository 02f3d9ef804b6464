package secretsmanager_test

import (
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	sdk "github.com/aws/aws-sdk-go-v2/service/secretsmanager"

	"github.com/remit-ecs/remit/internal/testkit"
)

// allowing is a secret's policy that allows an action to a principal.
func allowing(principal, action string) string {
	return `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"AWS":"` + principal + `"},"Action":"` + action + `","Resource":"*"}]}`
}

func attach(c *sdk.Client, id, text string) error {
	_, err := c.PutResourcePolicy(ctx, &sdk.PutResourcePolicyInput{SecretId: &id, ResourcePolicy: &text})
	return err
}

func TestResourcePolicy(t *testing.T) {
	_, c, _ := start(t)
	made := create(t, c, "prod/db", "v")
	out, err := c.GetResourcePolicy(ctx, &sdk.GetResourcePolicyInput{SecretId: made.ARN})
	if err != nil || out.ResourcePolicy != nil || *out.ARN != *made.ARN || *out.Name != "prod/db" {
		t.Errorf("%+v, %v", out, err)
	}
	text := allowing(testkit.Other, "secretsmanager:GetSecretValue")
	put, err := c.PutResourcePolicy(ctx, &sdk.PutResourcePolicyInput{SecretId: aws.String("prod/db"), ResourcePolicy: &text, BlockPublicPolicy: aws.Bool(true)})
	if err != nil || *put.ARN != *made.ARN || *put.Name != "prod/db" {
		t.Fatalf("%+v, %v", put, err)
	}
	if out, err := c.GetResourcePolicy(ctx, &sdk.GetResourcePolicyInput{SecretId: made.ARN}); err != nil || aws.ToString(out.ResourcePolicy) != text {
		t.Errorf("%+v, %v", out, err)
	}
	if _, err := c.DeleteResourcePolicy(ctx, &sdk.DeleteResourcePolicyInput{SecretId: made.ARN}); err != nil {
		t.Error(err)
	}
	if out, err := c.GetResourcePolicy(ctx, &sdk.GetResourcePolicyInput{SecretId: made.ARN}); err != nil || out.ResourcePolicy != nil {
		t.Errorf("%+v, %v", out, err)
	}
	if _, err := c.DeleteSecret(ctx, &sdk.DeleteSecretInput{SecretId: made.ARN}); err != nil {
		t.Fatal(err)
	}
	fails(t, attach(c, *made.ARN, text), "InvalidRequestException", "marked for deletion")
	fails(t, attach(c, "none", text), "ResourceNotFoundException", "")
}

func TestResourcePolicyRefused(t *testing.T) {
	_, c, _ := start(t)
	create(t, c, "s", "v")
	star := allowing("*", "secretsmanager:GetSecretValue")
	for _, tc := range []struct{ text, want string }{
		{"{", "This resource policy contains a syntax error."},
		{strings.Replace(star, "Allow", "AllowSomething", 1), "This resource policy contains a syntax error."},
		{strings.Replace(star, `,"Resource":"*"`, "", 1), "This resource policy contains a syntax error."},
		{allowing("arn:aws:iam::"+testkit.Account+":role/gone", "secretsmanager:*"), "This resource policy contains an unsupported principal."},
		{strings.Replace(star, `{"AWS":"*"}`, `{"CanonicalUser":"79a5"}`, 1), "This resource policy contains an unsupported principal."},
		{strings.Replace(star, `{"AWS":"*"}`, `{"Service":"no service"}`, 1), "This resource policy contains an invalid service principal."},
	} {
		fails(t, attach(c, "s", tc.text), "MalformedPolicyDocumentException", tc.want)
		out, err := c.ValidateResourcePolicy(ctx, &sdk.ValidateResourcePolicyInput{SecretId: aws.String("s"), ResourcePolicy: &tc.text})
		if err != nil || out.PolicyValidationPassed || len(out.ValidationErrors) != 1 || *out.ValidationErrors[0].ErrorMessage != tc.want {
			t.Errorf("%s: %+v, %v", tc.text, out, err)
		}
	}
	_, err := c.PutResourcePolicy(ctx, &sdk.PutResourcePolicyInput{SecretId: aws.String("s"), ResourcePolicy: &star, BlockPublicPolicy: aws.Bool(true)})
	fails(t, err, "PublicPolicyException", "You can't attach a resource-based policy that allows broad access to the secret.")
	if err := attach(c, "s", star); err != nil {
		t.Errorf("public policies are not blocked by default: %v", err)
	}
	for _, tc := range []struct {
		text  string
		check string // that fails
	}{
		{allowing(testkit.Other, "secretsmanager:GetSecretValue"), ""},
		{star, "BROAD_ACCESS"},
		{strings.Replace(allowing("*", "secretsmanager:*"), "Allow", "Deny", 1), "POLICY_LOCKOUT"},
	} {
		for _, id := range []*string{aws.String("s"), nil} {
			out, err := c.ValidateResourcePolicy(ctx, &sdk.ValidateResourcePolicyInput{SecretId: id, ResourcePolicy: &tc.text})
			failed := ""
			if err == nil && len(out.ValidationErrors) > 0 {
				failed = *out.ValidationErrors[0].CheckName
			}
			want := tc.check
			if id == nil && want == "POLICY_LOCKOUT" {
				want = "" // of what?
			}
			if err != nil || failed != want || out.PolicyValidationPassed != (want == "") {
				t.Errorf("%s: %+v, %v", tc.text, out, err)
			}
		}
	}
}

// TestResourcePolicyDecides asks as a role of the secret's account.
func TestResourcePolicyDecides(t *testing.T) {
	k, c, _ := start(t)
	made := create(t, c, "s", "v")
	role := k.Role("reader", "")
	reader := sdk.NewFromConfig(k.Session("reader", "x", time.Hour))
	_, err := get(reader, "s")
	fails(t, err, "AccessDeniedException", "because no identity-based policy allows the secretsmanager:GetSecretValue action")
	if err := attach(c, "s", allowing(role, "secretsmanager:GetSecretValue")); err != nil {
		t.Fatal(err)
	}
	if v, err := get(reader, *made.ARN); err != nil || v != "v" {
		t.Errorf("%q, %v", v, err)
	}
	k.Delete(role)
	k.Role("reader", "")
	_, err = get(sdk.NewFromConfig(k.Session("reader", "x", time.Hour)), "s")
	fails(t, err, "AccessDeniedException", "because no identity-based policy allows")
	if out, err := c.GetResourcePolicy(ctx, &sdk.GetResourcePolicyInput{SecretId: made.ARN}); err != nil || !strings.Contains(aws.ToString(out.ResourcePolicy), `"AWS":"AROA`) {
		t.Errorf("who is gone is not shown as an id: %+v, %v", out, err)
	}
	if err := attach(c, "s", strings.Replace(allowing("*", "secretsmanager:GetSecretValue"), "Allow", "Deny", 1)); err != nil {
		t.Fatal(err)
	}
	_, err = get(c, "s")
	fails(t, err, "AccessDeniedException", "with an explicit deny in a resource-based policy")
}

// TestSecretMadeAnew is not reached by the policy of the one before it.
func TestSecretMadeAnew(t *testing.T) {
	k, c, _ := start(t)
	create(t, c, "s", "v")
	if err := attach(c, "s", allowing("*", "secretsmanager:GetSecretValue")); err != nil {
		t.Fatal(err)
	}
	if _, err := c.DeleteSecret(ctx, &sdk.DeleteSecretInput{SecretId: aws.String("s"), ForceDeleteWithoutRecovery: aws.Bool(true)}); err != nil {
		t.Fatal(err)
	}
	create(t, c, "s", "w")
	_, err := get(sdk.NewFromConfig(k.With()), "s")
	fails(t, err, "AccessDeniedException", "because no identity-based policy allows")
}

// TestResourcePolicyAcrossAccounts needs both sides to allow, and the whole ARN.
func TestResourcePolicyAcrossAccounts(t *testing.T) {
	k, c, _ := start(t)
	made := create(t, c, "s", "v")
	describe := func(cfg aws.Config, id string) error {
		_, err := sdk.NewFromConfig(cfg).DescribeSecret(ctx, &sdk.DescribeSecretInput{SecretId: &id})
		return err
	}
	may, mayNot := k.WithIn(testkit.Other, testkit.Allow("*", "secretsmanager:*")), k.WithIn(testkit.Other)
	fails(t, describe(may, *made.ARN), "AccessDeniedException", "because no resource-based policy allows the secretsmanager:DescribeSecret action")
	if err := attach(c, "s", allowing("arn:aws:iam::"+testkit.Other+":root", "secretsmanager:*")); err != nil {
		t.Fatal(err)
	}
	if err := describe(may, *made.ARN); err != nil {
		t.Errorf("both sides allow: %v", err)
	}
	fails(t, describe(mayNot, *made.ARN), "AccessDeniedException", "because no identity-based policy allows the secretsmanager:DescribeSecret action")
	fails(t, describe(k.WithIn(testkit.Outside, testkit.Allow("*", "*")), *made.ARN), "AccessDeniedException", "because no resource-based policy allows")
	fails(t, describe(may, "s"), "ResourceNotFoundException", "") // the caller's own
	fails(t, describe(may, strings.TrimSuffix(*made.ARN, (*made.ARN)[len(*made.ARN)-7:])), "AccessDeniedException", "because no resource-based policy allows")
}
