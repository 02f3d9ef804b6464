package iam_test

import (
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awsiam "github.com/aws/aws-sdk-go-v2/service/iam"
	awssts "github.com/aws/aws-sdk-go-v2/service/sts"

	"github.com/remit-ecs/remit/internal/service/iam"
	"github.com/remit-ecs/remit/internal/service/sts"
	"github.com/remit-ecs/remit/internal/session"
	"github.com/remit-ecs/remit/internal/testkit"
)

func TestAccountAlias(t *testing.T) {
	k := newKit(t)
	aliases := func(want ...string) {
		t.Helper()
		out, err := k.ListAccountAliases(ctx, nil)
		if err != nil || len(out.AccountAliases) != len(want) || len(want) > 0 && out.AccountAliases[0] != want[0] {
			t.Errorf("%+v %v", out, err)
		}
	}
	aliases()
	must(t)(k.CreateAccountAlias(ctx, &awsiam.CreateAccountAliasInput{AccountAlias: aws.String("orders-prod")}))
	aliases("orders-prod")
	must(t)(k.CreateAccountAlias(ctx, &awsiam.CreateAccountAliasInput{AccountAlias: aws.String("orders")}))
	aliases("orders")
	_, err := k.DeleteAccountAlias(ctx, &awsiam.DeleteAccountAliasInput{AccountAlias: aws.String("orders-prod")})
	refused(t, err, "NoSuchEntity: The account alias orders-prod cannot be found.")
	must(t)(k.DeleteAccountAlias(ctx, &awsiam.DeleteAccountAliasInput{AccountAlias: aws.String("orders")}))
	aliases()
	_, err = k.CreateAccountAlias(ctx, &awsiam.CreateAccountAliasInput{AccountAlias: aws.String("Two--dashes")})
	refused(t, err, "ValidationError: 1 validation error detected: Value 'Two--dashes' at 'accountAlias' failed to satisfy constraint")
}

func TestPasswordPolicy(t *testing.T) {
	k := newKit(t)
	const missing = "NoSuchEntity: The Password Policy with domain name " + account + " cannot be found."
	_, err := k.GetAccountPasswordPolicy(ctx, nil)
	refused(t, err, missing)
	_, err = k.DeleteAccountPasswordPolicy(ctx, nil)
	refused(t, err, missing)
	must(t)(k.UpdateAccountPasswordPolicy(ctx, &awsiam.UpdateAccountPasswordPolicyInput{MinimumPasswordLength: aws.Int32(14), RequireNumbers: true, MaxPasswordAge: aws.Int32(90)}))
	must(t)(k.CreateAccountAlias(ctx, &awsiam.CreateAccountAliasInput{AccountAlias: aws.String("orders")})) // the one does not touch the other
	out, err := k.GetAccountPasswordPolicy(ctx, nil)
	if err != nil {
		t.Fatal(err)
	}
	if p := out.PasswordPolicy; *p.MinimumPasswordLength != 14 || !p.RequireNumbers || p.RequireSymbols || !p.ExpirePasswords || *p.MaxPasswordAge != 90 || p.PasswordReusePrevention != nil {
		t.Errorf("%+v", p)
	}
	must(t)(k.UpdateAccountPasswordPolicy(ctx, &awsiam.UpdateAccountPasswordPolicyInput{RequireSymbols: true}))
	out, err = k.GetAccountPasswordPolicy(ctx, nil)
	if err != nil || *out.PasswordPolicy.MinimumPasswordLength != 6 || out.PasswordPolicy.RequireNumbers || out.PasswordPolicy.ExpirePasswords {
		t.Errorf("%+v %v", out, err)
	}
	must(t)(k.DeleteAccountPasswordPolicy(ctx, nil))
	_, err = k.GetAccountPasswordPolicy(ctx, nil)
	refused(t, err, missing)
}

// What users cannot have here is answered as of users who have none.
func TestAbsent(t *testing.T) {
	k := newKit(t)
	k.user("bob")
	bob, none := aws.String("bob"), aws.String("none")
	for name, list := range map[string]func(user *string) (int, error){
		"mfa devices": func(u *string) (int, error) {
			out, err := k.ListMFADevices(ctx, &awsiam.ListMFADevicesInput{UserName: u})
			if err != nil {
				return 0, err
			}
			return len(out.MFADevices), nil
		},
		"ssh keys": func(u *string) (int, error) {
			out, err := k.ListSSHPublicKeys(ctx, &awsiam.ListSSHPublicKeysInput{UserName: u})
			if err != nil {
				return 0, err
			}
			return len(out.SSHPublicKeys), nil
		},
		"certificates": func(u *string) (int, error) {
			out, err := k.ListSigningCertificates(ctx, &awsiam.ListSigningCertificatesInput{UserName: u})
			if err != nil {
				return 0, err
			}
			return len(out.Certificates), nil
		},
		"credentials": func(u *string) (int, error) {
			out, err := k.ListServiceSpecificCredentials(ctx, &awsiam.ListServiceSpecificCredentialsInput{UserName: u})
			if err != nil {
				return 0, err
			}
			return len(out.ServiceSpecificCredentials), nil
		},
	} {
		if n, err := list(bob); n != 0 || err != nil {
			t.Errorf("%s: %d, %v", name, n, err)
		}
		_, err := list(none)
		refused(t, err, "NoSuchEntity: The user with name none cannot be found.")
	}
	virtual, err := k.ListVirtualMFADevices(ctx, nil)
	if err != nil || len(virtual.VirtualMFADevices) != 0 {
		t.Errorf("%+v %v", virtual, err)
	}
	_, err = k.GetLoginProfile(ctx, &awsiam.GetLoginProfileInput{UserName: bob})
	refused(t, err, "NoSuchEntity: Login Profile for User bob cannot be found.")
	_, err = k.DeleteLoginProfile(ctx, &awsiam.DeleteLoginProfileInput{UserName: bob})
	refused(t, err, "NoSuchEntity: Login Profile for User bob cannot be found.")
	_, err = k.DeleteLoginProfile(ctx, &awsiam.DeleteLoginProfileInput{UserName: none})
	refused(t, err, "NoSuchEntity: The user with name none cannot be found.")
}

// Last use is known at once, stays known when it is written down, and is of this
// key and this role.
func TestLastUsed(t *testing.T) {
	var s *iam.Service
	base := testkit.New(t, func(k *testkit.Kit) []testkit.Registrar {
		s = iam.New(iam.Deps{Seal: k.Seal})
		k.Authz.Sources, k.Gateway.Keys, k.Gateway.Used = s, s, s.Used
		return []testkit.Registrar{s, sts.New(k.Sealer, s)}
	})
	k := &kit{base, awsiam.NewFromConfig(base.Root()), t}
	began := time.Now().Truncate(time.Second)
	_, cfg := k.user("bob")
	creds, err := cfg.Credentials.Retrieve(ctx)
	if err != nil {
		t.Fatal(err)
	}
	role := k.role("app", trustAWS(prefix+"user/bob"))
	key := func() (service string, at *time.Time) {
		t.Helper()
		out, err := k.GetAccessKeyLastUsed(ctx, &awsiam.GetAccessKeyLastUsedInput{AccessKeyId: &creds.AccessKeyID})
		if err != nil {
			t.Fatal(err)
		}
		return *out.AccessKeyLastUsed.ServiceName, out.AccessKeyLastUsed.LastUsedDate
	}
	used := func() *time.Time {
		t.Helper()
		out, err := k.GetRole(ctx, &awsiam.GetRoleInput{RoleName: aws.String("app")})
		if err != nil {
			t.Fatal(err)
		}
		return out.Role.RoleLastUsed.LastUsedDate
	}
	if service, at := key(); service != "N/A" || at != nil || used() != nil {
		t.Errorf("never used: %s %v, role %v", service, at, used())
	}
	assumed, err := awssts.NewFromConfig(cfg).AssumeRole(ctx, &awssts.AssumeRoleInput{RoleArn: &role, RoleSessionName: aws.String("run")})
	if err != nil {
		t.Fatal(err)
	}
	if service, at := key(); service != "sts" || at.Before(began) || used() != nil {
		t.Errorf("used for STS: %s %v, role %v", service, at, used())
	}
	as, _ := k.as(*assumed.Credentials.AccessKeyId, *assumed.Credentials.SecretAccessKey, *assumed.Credentials.SessionToken)
	_, err = as.ListUsers(ctx, nil) // refused, but signed
	refused(t, err, "AccessDenied")
	if at := used(); at == nil || at.Before(began) {
		t.Errorf("role: %v", at)
	}
	// Written down, it is no longer in memory: what is told now is in the store.
	if err := s.WriteLastUses(ctx, k.Store); err != nil {
		t.Fatal(err)
	}
	if at := used(); at == nil || at.Before(began) {
		t.Errorf("written down: role %v", at)
	}
	if service, _ := key(); service != "sts" {
		t.Errorf("written down: key %s", service)
	}
	got, err := k.GetRole(ctx, &awsiam.GetRoleInput{RoleName: aws.String("app")})
	if err != nil {
		t.Fatal(err)
	}
	p := &session.Principal{Type: session.AssumedRole, Account: account, RoleID: *got.Role.RoleId}
	s.Used(p, "s3", "eu-west-1", time.Now().Add(-401*24*time.Hour))
	if at := used(); at != nil {
		t.Errorf("used 401 days ago: %v", at)
	}
	// Another role of the name was never used.
	must(t)(k.DeleteRole(ctx, &awsiam.DeleteRoleInput{RoleName: aws.String("app")}))
	k.role("app", trustAWS(prefix+"user/bob"))
	if used() != nil {
		t.Error("a new role has the last use of the old one")
	}
}
