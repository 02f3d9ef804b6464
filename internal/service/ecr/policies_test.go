package ecr_test

import (
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ecr"
	"github.com/aws/aws-sdk-go-v2/service/ecr/types"

	"github.com/remit-ecs/remit/internal/testkit"
)

const orders = "arn:aws:ecr:" + testkit.Region + ":" + testkit.Account + ":repository/orders"

// allowing is a repository policy that allows an action to a principal.
func allowing(principal, action string) string {
	return `{"Version":"2012-10-17","Statement":[{"Sid":"pull","Effect":"Allow","Principal":{"AWS":"` + principal + `"},"Action":"` + action + `"}]}`
}

func (f *fixture) set(text string, force bool) error {
	_, err := f.SetRepositoryPolicy(f.t.Context(), &ecr.SetRepositoryPolicyInput{RepositoryName: aws.String("orders"), PolicyText: &text, Force: force})
	return err
}

// pull asks for the image v1 of the first account's repository.
func pull(t *testing.T, cfg aws.Config) error {
	out, err := ecr.NewFromConfig(cfg).BatchGetImage(t.Context(), &ecr.BatchGetImageInput{
		RegistryId: aws.String(testkit.Account), RepositoryName: aws.String("orders"), ImageIds: []types.ImageIdentifier{{ImageTag: aws.String("v1")}},
	})
	if err == nil && len(out.Images) != 1 {
		t.Errorf("pulled %+v", out)
	}
	return err
}

func TestRepositoryPolicy(t *testing.T) {
	f := start(t)
	f.create("orders")
	in := &ecr.GetRepositoryPolicyInput{RepositoryName: aws.String("orders")}
	const none = "RepositoryPolicyNotFoundException: Repository policy does not exist for the repository with name 'orders' in the registry with id '111122223333'"
	_, err := f.GetRepositoryPolicy(t.Context(), in)
	wantError(t, err, none)
	_, err = f.DeleteRepositoryPolicy(t.Context(), &ecr.DeleteRepositoryPolicyInput{RepositoryName: aws.String("orders")})
	wantError(t, err, none)

	f.Role("puller", "")
	text := allowing("arn:aws:iam::"+testkit.Account+":role/puller", "ecr:BatchGetImage")
	if err := f.set(text, false); err != nil {
		t.Fatal(err)
	}
	out, err := f.GetRepositoryPolicy(t.Context(), in)
	if err != nil || *out.PolicyText != text || *out.RegistryId != testkit.Account || *out.RepositoryName != "orders" {
		t.Errorf("%+v, %v", out, err)
	}
	gone, err := f.DeleteRepositoryPolicy(t.Context(), &ecr.DeleteRepositoryPolicyInput{RepositoryName: aws.String("orders")})
	if err != nil || *gone.PolicyText != text {
		t.Errorf("%+v, %v", gone, err)
	}
	_, err = f.GetRepositoryPolicy(t.Context(), in)
	wantError(t, err, none)
	_, err = f.SetRepositoryPolicy(t.Context(), &ecr.SetRepositoryPolicyInput{RepositoryName: aws.String("none"), PolicyText: &text})
	wantError(t, err, "RepositoryNotFoundException: ")
}

func TestRepositoryPolicyRefused(t *testing.T) {
	f := start(t)
	f.create("orders")
	const invalid = "InvalidParameterException: Invalid parameter at 'PolicyText' failed to satisfy constraint: 'Invalid repository policy provided'"
	const unknown = "InvalidParameterException: Invalid parameter at 'PolicyText' failed to satisfy constraint: 'Principal not found'"
	star := allowing("*", "ecr:BatchGetImage")
	for _, tc := range []struct{ text, want string }{
		{"", invalid},
		{"{", invalid},
		{`{"Version":"2012-10-17","Statement":[]}`, invalid},
		{strings.Replace(star, "Allow", "Permit", 1), invalid},
		{strings.Replace(star, `"Principal":{"AWS":"*"},`, "", 1), invalid},
		{strings.Replace(star, `"Action"`, `"Resource":"*","Action"`, 1), invalid},
		{strings.Replace(star, `"Action"`, `"NotResource":"*","Action"`, 1), invalid},
		{allowing("*", "s3:GetObject"), invalid},
		{allowing("arn:aws:iam::"+testkit.Account+":role/gone", "ecr:*"), unknown},
		{allowing("arn:aws:iam::"+testkit.Account+":group/g", "ecr:*"), unknown},
		{allowing("AROAGONEGONEGONEGONE1", "ecr:*"), unknown},
	} {
		wantError(t, f.set(tc.text, true), tc.want)
	}
	if err := f.set(star, false); err != nil {
		t.Error(err)
	}
}

// TestRepositoryLockout sets a policy after which its writer could set none.
func TestRepositoryLockout(t *testing.T) {
	f := start(t)
	f.create("orders")
	text := `{"Version":"2012-10-17","Statement":[{"Effect":"Deny","Principal":"*","Action":"ecr:SetRepositoryPolicy"}]}`
	wantError(t, f.set(text, false), "InvalidParameterException: would prevent future calls of SetRepositoryPolicy")
	if err := f.set(text, true); err != nil {
		t.Fatal(err)
	}
	wantError(t, f.set(allowing("*", "ecr:*"), true), "AccessDeniedException: with an explicit deny in a resource-based policy")
}

// TestRepositoryPolicyDecides asks as a role of the same account.
func TestRepositoryPolicyDecides(t *testing.T) {
	f := start(t)
	f.create("orders")
	f.image("orders", "v1", "config", "layer")
	nothing, everything := f.With(), f.With(testkit.Allow("*", "ecr:*"))
	wantError(t, pull(t, nothing), "AccessDeniedException: on resource: "+orders+" because no identity-based policy allows the ecr:BatchGetImage action")
	if err := f.set(allowing("*", "ecr:BatchGetImage"), false); err != nil {
		t.Fatal(err)
	}
	if err := pull(t, nothing); err != nil {
		t.Errorf("the repository's policy is enough in its account: %v", err)
	}
	if err := f.set(`{"Version":"2012-10-17","Statement":[{"Effect":"Deny","Principal":"*","Action":"ecr:BatchGetImage"}]}`, false); err != nil {
		t.Fatal(err)
	}
	wantError(t, pull(t, everything), "AccessDeniedException: with an explicit deny in a resource-based policy")
	wantError(t, pull(t, f.Root()), "AccessDeniedException: with an explicit deny in a resource-based policy")
}

// TestRepositoryPolicyAcrossAccounts needs both sides to allow.
func TestRepositoryPolicyAcrossAccounts(t *testing.T) {
	f := start(t)
	f.create("orders")
	f.image("orders", "v1", "config", "layer")
	may, mayNot := f.WithIn(testkit.Other, testkit.Allow(orders, "ecr:BatchGetImage")), f.WithIn(testkit.Other)
	wantError(t, pull(t, may), "AccessDeniedException: because no resource-based policy allows the ecr:BatchGetImage action")
	if err := f.set(allowing("arn:aws:iam::"+testkit.Other+":root", "ecr:BatchGetImage"), false); err != nil {
		t.Fatal(err)
	}
	if err := pull(t, may); err != nil {
		t.Errorf("both sides allow: %v", err)
	}
	wantError(t, pull(t, mayNot), "AccessDeniedException: because no identity-based policy allows the ecr:BatchGetImage action")
	wantError(t, pull(t, f.WithIn(testkit.Outside, testkit.Allow("*", "*"))), "AccessDeniedException: because no resource-based policy allows")
	if _, err := ecr.NewFromConfig(may).DescribeImages(t.Context(), &ecr.DescribeImagesInput{RegistryId: aws.String(testkit.Account), RepositoryName: aws.String("orders")}); err == nil {
		t.Error("another action than the policy's was allowed")
	}
}

// TestRepositoryPolicyBindsPrincipals deletes the role that a policy names and
// makes another of the same name.
func TestRepositoryPolicyBindsPrincipals(t *testing.T) {
	f := start(t)
	f.create("orders")
	f.image("orders", "v1", "config", "layer")
	role := f.Role("puller", "")
	if err := f.set(allowing(role, "ecr:BatchGetImage"), false); err != nil {
		t.Fatal(err)
	}
	if err := pull(t, f.Session("puller", "s", 3600e9)); err != nil {
		t.Fatal(err)
	}
	f.Delete(role)
	f.Role("puller", "")
	wantError(t, pull(t, f.Session("puller", "s", 3600e9)), "AccessDeniedException: because no identity-based policy allows")
	out, err := f.GetRepositoryPolicy(t.Context(), &ecr.GetRepositoryPolicyInput{RepositoryName: aws.String("orders")})
	if err != nil || strings.Contains(*out.PolicyText, "role/puller") || !strings.Contains(*out.PolicyText, `"AWS":"AROA`) {
		t.Errorf("the policy shows %+v, %v", out, err)
	}
}

// TestRegistryPolicy lets another account make repositories.
func TestRegistryPolicy(t *testing.T) {
	f := start(t)
	const none = "RegistryPolicyNotFoundException: Registry policy does not exist in the registry with id '111122223333'"
	_, err := f.GetRegistryPolicy(t.Context(), &ecr.GetRegistryPolicyInput{})
	wantError(t, err, none)
	_, err = f.DeleteRegistryPolicy(t.Context(), &ecr.DeleteRegistryPolicyInput{})
	wantError(t, err, none)
	resource := strings.Replace(orders, "orders", "theirs/*", 1)
	text := `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"AWS":"` + testkit.Other + `"},"Action":"ecr:CreateRepository","Resource":"` + resource + `"}]}`
	for _, bad := range []string{
		strings.Replace(text, "CreateRepository", "BatchGetImage", 1),
		strings.Replace(text, "ecr:CreateRepository", "ecr:*", 1),
		strings.Replace(text, testkit.Account, testkit.Other, 1),
		strings.Replace(text, `"`+resource+`"`, `"*"`, 1),
		strings.Replace(text, `,"Resource":"`+resource+`"`, ``, 1),
	} {
		_, err := f.PutRegistryPolicy(t.Context(), &ecr.PutRegistryPolicyInput{PolicyText: &bad})
		wantError(t, err, "InvalidParameterException: Invalid parameter at 'PolicyText' failed to satisfy constraint: 'Invalid registry policy provided'")
	}

	other := ecr.NewFromConfig(f.WithIn(testkit.Other, testkit.Allow("*", "ecr:*")))
	create := func(name string) error {
		_, err := other.CreateRepository(t.Context(), &ecr.CreateRepositoryInput{RegistryId: aws.String(testkit.Account), RepositoryName: &name})
		return err
	}
	wantError(t, create("theirs/one"), "AccessDeniedException: because no resource-based policy allows the ecr:CreateRepository action")
	if _, err := f.PutRegistryPolicy(t.Context(), &ecr.PutRegistryPolicyInput{PolicyText: &text}); err != nil {
		t.Fatal(err)
	}
	if err := create("theirs/one"); err != nil {
		t.Error(err)
	}
	wantError(t, create("ours/one"), "AccessDeniedException: because no resource-based policy allows the ecr:CreateRepository action")
	out, err := f.DeleteRegistryPolicy(t.Context(), &ecr.DeleteRegistryPolicyInput{})
	if err != nil || *out.PolicyText != text || *out.RegistryId != testkit.Account {
		t.Errorf("%+v, %v", out, err)
	}
	wantError(t, create("theirs/two"), "AccessDeniedException: because no resource-based policy allows the ecr:CreateRepository action")
}
