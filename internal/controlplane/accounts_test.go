package controlplane_test

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/ecr"
	"github.com/aws/aws-sdk-go-v2/service/ecs"
	"github.com/aws/aws-sdk-go-v2/service/iam"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"
	"github.com/aws/aws-sdk-go-v2/service/secretsmanager"
	"github.com/aws/aws-sdk-go-v2/service/ssm"
	"github.com/aws/aws-sdk-go-v2/service/sts"
	"github.com/aws/smithy-go"

	"github.com/remit-ecs/remit/internal/controlplane"
	"github.com/remit-ecs/remit/internal/gateway"
	"github.com/remit-ecs/remit/internal/organization"
	"github.com/remit-ecs/remit/internal/testkit"
	"github.com/remit-ecs/remit/internal/testkit/whole"
)

var ctx = context.Background()

// refusedWith checks an API error: its code, and the end of its text.
func refusedWith(t *testing.T, what string, err error, code, end string) {
	t.Helper()
	var e smithy.APIError
	if !errors.As(err, &e) || e.ErrorCode() != code || !strings.HasSuffix(e.ErrorMessage(), end) {
		t.Errorf("%s: %v\n\twant %s: ...%s", what, err, code, end)
	}
}

// TestRootOfEachAccount: every account that the file names has a root user with
// a key of its own.
func TestRootOfEachAccount(t *testing.T) {
	s := whole.Accounts(t, testkit.TwoAccounts, nil)
	for _, account := range []string{testkit.Account, testkit.Other, testkit.Management, testkit.Outside} {
		who, err := sts.NewFromConfig(s.RootOf(account)).GetCallerIdentity(ctx, nil)
		if err != nil || *who.Arn != "arn:aws:iam::"+account+":root" {
			t.Errorf("%s: %+v %v", account, who, err)
		}
	}
}

// TestKeysOfAccountsStay: a root key is made once, whatever the file says in
// between, and what an account that is gone from the file had does not sign.
func TestKeysOfAccountsStay(t *testing.T) {
	dir := t.TempDir()
	start := func(t *testing.T, text string) *whole.System {
		return whole.Accounts(t, text, func(o *controlplane.Options) { o.Data, o.Account = dir, testkit.Account })
	}
	const one = `{"accounts":[{"id":"` + testkit.Account + `"}]}`
	keys := map[string]string{}
	var user, session aws.Config
	var password, repository string
	t.Run("several", func(t *testing.T) {
		s := start(t, testkit.TwoAccounts)
		for _, account := range []string{testkit.Account, testkit.Other} {
			keys[account], _, _ = s.ControlPlane.RootOf(account)
		}
		user, session = s.UserIn(testkit.Other, "kept"), s.WithIn(testkit.Other)
		for _, c := range []aws.Config{user, session} {
			if _, err := sts.NewFromConfig(c).GetCallerIdentity(ctx, nil); err != nil {
				t.Fatal(err)
			}
		}
		token, err := ecr.NewFromConfig(s.RootOf(testkit.Other)).GetAuthorizationToken(ctx, nil)
		if err != nil {
			t.Fatal(err)
		}
		password = *token.AuthorizationData[0].AuthorizationToken // base64 of AWS:PASSWORD, as the header has it
		repository = "/v2/" + testkit.Other + ".dkr.ecr." + whole.Region + ".amazonaws.com/none/tags/list"
		if status := tags(t, s.Endpoint()+repository, password); status != http.StatusNotFound {
			t.Errorf("status %d for a repository that does not exist", status)
		}
	})
	t.Run("one", func(t *testing.T) {
		s := start(t, one)
		if id, _, _ := s.ControlPlane.RootOf(testkit.Account); id != keys[testkit.Account] {
			t.Errorf("another key: %s, was %s", id, keys[testkit.Account])
		}
		if _, _, ok := s.ControlPlane.RootOf(testkit.Other); ok {
			t.Error("an account that is not served has a key")
		}
		for _, c := range []aws.Config{user, session} {
			c.BaseEndpoint = aws.String(s.Endpoint())
			_, err := sts.NewFromConfig(c).GetCallerIdentity(ctx, nil)
			refusedWith(t, "of an account that is not served", err, "InvalidClientTokenId", "The security token included in the request is invalid.")
		}
	})
	t.Run("one, registry", func(t *testing.T) {
		if status := tags(t, start(t, one).Endpoint()+repository, password); status == http.StatusNotFound || status < 400 {
			t.Errorf("status %d for the password of an account that is not served", status)
		}
	})
	t.Run("several again", func(t *testing.T) {
		s := start(t, testkit.TwoAccounts)
		for account, key := range keys {
			if id, _, _ := s.ControlPlane.RootOf(account); id != key {
				t.Errorf("%s: another key: %s, was %s", account, id, key)
			}
		}
		user.BaseEndpoint = aws.String(s.Endpoint())
		if _, err := sts.NewFromConfig(user).GetCallerIdentity(ctx, nil); err != nil {
			t.Error(err)
		}
	})
}

// tags is a request of a registry's client.
func tags(t *testing.T, url, password string) int {
	t.Helper()
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Authorization", "Basic "+password)
	resp, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	return resp.StatusCode
}

// TestAccountsWithoutVerification: with --iam off the access key id may be an
// account's number. Where accounts are named it has to be one of them.
func TestAccountsWithoutVerification(t *testing.T) {
	who := func(s *whole.System, key string) (string, error) {
		c := s.Root()
		c.Credentials = credentials.NewStaticCredentialsProvider(key, "anything", "")
		out, err := sts.NewFromConfig(c).GetCallerIdentity(ctx, nil)
		if err != nil {
			return "", err
		}
		return *out.Account, nil
	}
	off := func(o *controlplane.Options) { o.Mode = gateway.Off }
	named, alone := whole.Accounts(t, testkit.TwoAccounts, off), whole.Start(t, off)
	if got, err := who(named, testkit.Other); err != nil || got != testkit.Other {
		t.Errorf("%s %v", got, err)
	}
	_, err := who(named, "123412341234")
	refusedWith(t, "not named", err, "InvalidClientTokenId", "The security token included in the request is invalid.")
	if got, err := who(alone, "123412341234"); err != nil || got != "123412341234" {
		t.Errorf("%s %v", got, err)
	}
}

// TestWrongAccounts: what the control plane is not started with.
func TestWrongAccounts(t *testing.T) {
	for _, c := range []struct{ accounts, account, want string }{
		{`{"accounts":[{"id":"111122223333"}]}`, "444455556666", "account 444455556666 is not among those that --accounts names"},
		{`{"accounts":[{"id":"111122223333"},{"id":"999999999999"}]}`, "", "--accounts names 999999999999, which is reserved"},
	} {
		d, err := organization.Parse([]byte(c.accounts), nil)
		if err != nil {
			t.Fatal(err)
		}
		_, err = controlplane.Start(ctx, controlplane.Options{Listen: "127.0.0.1:0", Runtime: controlplane.RuntimeNone, Data: t.TempDir(), Accounts: d, Account: c.account})
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%v, want %s", err, c.want)
		}
	}
}

// bound is an organization whose member Account is bound by an SCP that denies
// one thing, by one that leaves another out, and by an RCP.
const bound = `{
	"organization": {
		"id": "` + testkit.OrganizationID + `", "managementAccount": "` + testkit.Management + `",
		"root": {
			"id": "r-test",
			"accounts": [{"id": "` + testkit.Management + `"}, {"id": "` + testkit.Other + `"}],
			"serviceControlPolicies": ["FullAWSAccess", {"name": "NoClusters", "id": "p-noclusters", "document":
				{"Version":"2012-10-17","Statement":{"Effect":"Deny","Action":"ecs:ListClusters","Resource":"*"}}}],
			"organizationalUnits": [{
				"id": "ou-test-workload", "name": "workload",
				"serviceControlPolicies": [
					{"name": "Most", "id": "p-mostthings", "document": {"Version":"2012-10-17","Statement":{"Effect":"Allow","NotAction":"ssm:*","Resource":"*"}}},
					{"name": "NoSecrets", "id": "p-nosecrets", "document": {"Version":"2012-10-17","Statement":{"Effect":"Deny","Action":"secretsmanager:ListSecrets","Resource":"*",
						"Condition":{"ForAnyValue:StringLike":{"aws:PrincipalOrgPaths":"` + testkit.OrganizationID + `/r-test/ou-test-workload/*"}}}}}],
				"resourceControlPolicies": [
					{"name": "KeepBuckets", "id": "p-keepbuckets", "document": {"Version":"2012-10-17","Statement":[
						{"Effect":"Deny","Principal":"*","Action":"s3:DeleteBucket","Resource":"*"},
						{"Effect":"Deny","Principal":"*","Action":"sts:AssumeRole","Resource":"*",
							"Condition":{"StringNotEqualsIfExists":{"aws:PrincipalOrgID":"${aws:ResourceOrgID}"},"BoolIfExists":{"aws:PrincipalIsAWSService":"false"}}}]}}],
				"accounts": [{"id": "` + testkit.Account + `"}]
			}]
		}
	},
	"accounts": [{"id": "` + testkit.Outside + `"}]
}`

// TestControlPolicies asks the same of users, roles and root users in four
// accounts: one bound by policies of its organizational unit, one by those of
// the root alone, the management account, and one outside.
func TestControlPolicies(t *testing.T) {
	s := whole.Accounts(t, bound, nil)
	const full = `{"Version":"2012-10-17","Statement":{"Effect":"Allow","Action":"*","Resource":"*"}}`
	scp := "arn:aws:organizations::" + testkit.Management + ":policy/" + testkit.OrganizationID + "/service_control_policy/"
	rcp := "arn:aws:organizations::" + testkit.Management + ":policy/" + testkit.OrganizationID + "/resource_control_policy/"
	for _, account := range []string{testkit.Account, testkit.Other, testkit.Management, testkit.Outside} {
		for kind, c := range map[string]aws.Config{
			"user": s.UserIn(account, "boss", full), "role": s.WithIn(account, full), "root": s.RootOf(account),
		} {
			what := kind + " of " + account
			bound := account == testkit.Account

			_, err := secretsmanager.NewFromConfig(c).ListSecrets(ctx, nil)
			if bound {
				refusedWith(t, what, err, "AccessDeniedException", "is not authorized to perform: secretsmanager:ListSecrets on resource: * with an explicit deny in a service control policy: "+scp+"p-nosecrets")
			} else if err != nil {
				t.Errorf("%s: %v", what, err)
			}

			_, err = ssm.NewFromConfig(c).DescribeParameters(ctx, nil)
			if bound {
				refusedWith(t, what, err, "AccessDeniedException", "because no service control policy allows the ssm:DescribeParameters action")
			} else if err != nil {
				t.Errorf("%s: %v", what, err)
			}

			_, err = ecs.NewFromConfig(c).ListClusters(ctx, nil)
			if bound || account == testkit.Other {
				refusedWith(t, what, err, "AccessDeniedException", "with an explicit deny in a service control policy: "+scp+"p-noclusters")
			} else if err != nil {
				t.Errorf("%s: %v", what, err)
			}

			buckets := s3.NewFromConfig(c, func(o *s3.Options) { o.UsePathStyle = true })
			name := aws.String("bucket-" + account + "-" + kind)
			if _, err := buckets.CreateBucket(ctx, &s3.CreateBucketInput{Bucket: name, CreateBucketConfiguration: &types.CreateBucketConfiguration{LocationConstraint: whole.Region}}); err != nil {
				t.Errorf("%s: %v", what, err)
				continue
			}
			_, err = buckets.DeleteBucket(ctx, &s3.DeleteBucketInput{Bucket: name})
			if bound {
				refusedWith(t, what, err, "AccessDenied", "with an explicit deny in a resource control policy: "+rcp+"p-keepbuckets")
			} else if err != nil {
				t.Errorf("%s: %v", what, err)
			}
		}
	}
}

// role makes a role of an account that trusts a principal.
func role(t *testing.T, s *whole.System, account, name, trust string) string {
	t.Helper()
	out, err := iam.NewFromConfig(s.RootOf(account)).CreateRole(ctx, &iam.CreateRoleInput{RoleName: &name, AssumeRolePolicyDocument: aws.String(trusting(trust))})
	if err != nil {
		t.Fatal(err)
	}
	return *out.Role.Arn
}

// trusting is a trust policy; trust is a principal, and what follows it.
func trusting(trust string) string {
	return `{"Version":"2012-10-17","Statement":{"Effect":"Allow","Action":"sts:AssumeRole","Principal":` + trust + `}}`
}

func awsPrincipal(arn string) string { return `{"AWS":"` + arn + `"}` }

func assume(c aws.Config, roleARN string, change ...func(*sts.AssumeRoleInput)) (*sts.AssumeRoleOutput, error) {
	in := &sts.AssumeRoleInput{RoleArn: &roleARN, RoleSessionName: aws.String("across")}
	for _, f := range change {
		f(in)
	}
	return sts.NewFromConfig(c).AssumeRole(ctx, in)
}

// TestAcrossAccounts: a principal of one account assumes a role of another.
// Both sides decide, and of a refusal the caller learns no reason.
func TestAcrossAccounts(t *testing.T) {
	s := whole.Accounts(t, bound, nil)
	may := testkit.Allow("*", "sts:AssumeRole")
	alice, bob := s.UserIn(testkit.Other, "alice", may), s.UserIn(testkit.Other, "bob")
	stranger := s.UserIn(testkit.Outside, "stranger", may)
	aliceARN, bobARN := "arn:aws:iam::"+testkit.Other+":user/alice", "arn:aws:iam::"+testkit.Other+":user/bob"

	byRoot := role(t, s, testkit.Account, "by-root", awsPrincipal("arn:aws:iam::"+testkit.Other+":root"))
	byAccount := role(t, s, testkit.Account, "by-account", awsPrincipal(testkit.Other))
	byUser := role(t, s, testkit.Account, "by-user", awsPrincipal(bobARN))
	other := role(t, s, testkit.Account, "other-user", awsPrincipal(bobARN))
	external := role(t, s, testkit.Account, "external", awsPrincipal(aliceARN)+`,"Condition":{"StringEquals":{"sts:ExternalId":"secret"}}`)
	everybody := role(t, s, testkit.Account, "everybody", `{"AWS":["`+testkit.Other+`","`+testkit.Outside+`"]}`)
	management := role(t, s, testkit.Management, "managed", awsPrincipal(testkit.Outside))

	with := func(id string) func(*sts.AssumeRoleInput) {
		return func(in *sts.AssumeRoleInput) { in.ExternalId = &id }
	}
	for _, c := range []struct {
		what    string
		who     aws.Config
		whoARN  string
		role    string
		change  []func(*sts.AssumeRoleInput)
		allowed bool
	}{
		{"root of the account in the trust", alice, aliceARN, byRoot, nil, true},
		{"the account in the trust", alice, aliceARN, byAccount, nil, true},
		{"the caller's side lacks it", bob, bobARN, byRoot, nil, false},
		{"the caller's side lacks it, though named", bob, bobARN, byUser, nil, false},
		{"the role's side names another", alice, aliceARN, other, nil, false},
		{"external id", alice, aliceARN, external, []func(*sts.AssumeRoleInput){with("secret")}, true},
		{"wrong external id", alice, aliceARN, external, []func(*sts.AssumeRoleInput){with("Secret")}, false},
		{"no external id", alice, aliceARN, external, nil, false},
		{"no such role", alice, aliceARN, "arn:aws:iam::" + testkit.Account + ":role/none", nil, false},
		{"an account that is not served", alice, aliceARN, "arn:aws:iam::123412341234:role/none", nil, false},
		{"member of the organization", alice, aliceARN, everybody, nil, true},
		{"kept out by the RCP", stranger, "arn:aws:iam::" + testkit.Outside + ":user/stranger", everybody, nil, false},
		{"no RCP binds the management account", stranger, "", management, nil, true},
	} {
		out, err := assume(c.who, c.role, c.change...)
		switch {
		case !c.allowed:
			// Neither the layer nor the policy: the other account's are not the caller's business.
			refusedWith(t, c.what, err, "AccessDenied", "User: "+c.whoARN+" is not authorized to perform: sts:AssumeRole on resource: "+c.role)
		case err != nil:
			t.Errorf("%s: %v", c.what, err)
		default:
			who, err := sts.NewFromConfig(s.Session(out.Credentials)).GetCallerIdentity(ctx, nil)
			if account := strings.Split(c.role, ":")[4]; err != nil || *who.Account != account || *who.Arn != *out.AssumedRoleUser.Arn {
				t.Errorf("%s: %+v %v", c.what, who, err)
			}
		}
	}

	// Root of another account cannot assume roles either.
	_, err := assume(s.RootOf(testkit.Other), byRoot)
	refusedWith(t, "root", err, "AccessDenied", "Roles may not be assumed by root accounts.")

	// Within an account the reason is told.
	carol := s.UserIn(testkit.Account, "carol", may)
	_, err = assume(carol, byRoot)
	refusedWith(t, "same account", err, "AccessDenied", "because no role trust policy allows the sts:AssumeRole action")
}

// TestAcrossAccountsAtOnce: a change on either side of a boundary between
// accounts binds the next request, and with a role its sessions end.
func TestAcrossAccountsAtOnce(t *testing.T) {
	s := whole.Accounts(t, testkit.TwoAccounts, nil)
	alice := s.UserIn(testkit.Other, "alice", testkit.Allow("*", "sts:AssumeRole"))
	trust := awsPrincipal("arn:aws:iam::" + testkit.Other + ":user/alice")
	arn := role(t, s, testkit.Account, "visitor", trust)
	here, there := iam.NewFromConfig(s.RootOf(testkit.Account)), iam.NewFromConfig(s.RootOf(testkit.Other))
	out, err := assume(alice, arn)
	if err != nil {
		t.Fatal(err)
	}
	clusters := ecs.NewFromConfig(s.Session(out.Credentials))
	list := func() error { _, err := clusters.ListClusters(ctx, nil); return err }

	refusedWith(t, "nothing attached", list(), "AccessDeniedException", "because no identity-based policy allows the ecs:ListClusters action")
	in := &iam.PutRolePolicyInput{RoleName: aws.String("visitor"), PolicyName: aws.String("p"), PolicyDocument: aws.String(testkit.Allow("*", "ecs:ListClusters"))}
	if _, err := here.PutRolePolicy(ctx, in); err != nil {
		t.Fatal(err)
	}
	if err := list(); err != nil {
		t.Errorf("after the policy was put: %v", err)
	}

	// The session goes on when the way to it is closed; new ones are refused.
	if _, err := here.UpdateAssumeRolePolicy(ctx, &iam.UpdateAssumeRolePolicyInput{RoleName: aws.String("visitor"), PolicyDocument: aws.String(trusting(awsPrincipal(testkit.Account)))}); err != nil {
		t.Fatal(err)
	}
	if _, err := assume(alice, arn); err == nil {
		t.Error("assumed without trust")
	}
	if err := list(); err != nil {
		t.Errorf("the session ended with the trust: %v", err)
	}
	if _, err := here.UpdateAssumeRolePolicy(ctx, &iam.UpdateAssumeRolePolicyInput{RoleName: aws.String("visitor"), PolicyDocument: aws.String(trusting(trust))}); err != nil {
		t.Fatal(err)
	}
	if _, err := assume(alice, arn); err != nil {
		t.Error(err)
	}
	// The other side.
	policies, err := there.ListUserPolicies(ctx, &iam.ListUserPoliciesInput{UserName: aws.String("alice")})
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range policies.PolicyNames {
		if _, err := there.DeleteUserPolicy(ctx, &iam.DeleteUserPolicyInput{UserName: aws.String("alice"), PolicyName: &p}); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := assume(alice, arn); err == nil {
		t.Error("assumed without permission")
	}

	// The role goes, and comes back under its name: its sessions stay ended.
	if _, err := here.DeleteRolePolicy(ctx, &iam.DeleteRolePolicyInput{RoleName: in.RoleName, PolicyName: in.PolicyName}); err != nil {
		t.Fatal(err)
	}
	if _, err := here.DeleteRole(ctx, &iam.DeleteRoleInput{RoleName: in.RoleName}); err != nil {
		t.Fatal(err)
	}
	if err := list(); err == nil {
		t.Error("the session outlived its role")
	}
	role(t, s, testkit.Account, "visitor", trust)
	if _, err := here.PutRolePolicy(ctx, in); err != nil {
		t.Fatal(err)
	}
	if err := list(); err == nil {
		t.Error("the session came back with the role's name")
	}

	// A user that is made again is not the one whom the trust policy named.
	keys, err := there.ListAccessKeys(ctx, &iam.ListAccessKeysInput{UserName: aws.String("alice")})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := there.DeleteAccessKey(ctx, &iam.DeleteAccessKeyInput{UserName: aws.String("alice"), AccessKeyId: keys.AccessKeyMetadata[0].AccessKeyId}); err != nil {
		t.Fatal(err)
	}
	if _, err := there.DeleteUser(ctx, &iam.DeleteUserInput{UserName: aws.String("alice")}); err != nil {
		t.Fatal(err)
	}
	again := s.UserIn(testkit.Other, "alice", testkit.Allow("*", "sts:AssumeRole"))
	if _, err := assume(again, arn); err == nil {
		t.Error("a new user of the old name is trusted")
	}
}
