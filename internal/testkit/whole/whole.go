// Package whole starts a complete control plane inside a test, the same that
// remit serve starts.
package whole

import (
	"context"
	"log/slog"
	"os"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/iam"
	"github.com/aws/aws-sdk-go-v2/service/sts"
	"github.com/aws/aws-sdk-go-v2/service/sts/types"

	"github.com/remit-ecs/remit/internal/controlplane"
	"github.com/remit-ecs/remit/internal/id"
	"github.com/remit-ecs/remit/internal/organization"
)

// Account and Region are where tests happen.
const (
	Account = "111122223333"
	Region  = "eu-west-1"
)

// System is a running control plane.
type System struct {
	*controlplane.ControlPlane
	t        testing.TB
	assumers map[string]aws.Config // by account
}

// Start starts a control plane; change may set other options than the
// defaults: a free port on loopback, strict, no built-in host, answers checked
// against the models. It ends with the test.
func Start(t testing.TB, change func(*controlplane.Options)) *System {
	t.Helper()
	o := controlplane.Options{
		Listen: "127.0.0.1:0", Account: Account, Region: Region, Runtime: controlplane.RuntimeNone,
		Data: t.TempDir(), Validate: true, StopTasks: true,
		Log: slog.New(slog.NewTextHandler(t.Output(), &slog.HandlerOptions{Level: slog.LevelWarn})),
	}
	if change != nil {
		change(&o)
	}
	cp, err := controlplane.Start(context.Background(), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		if err := cp.Close(ctx); err != nil {
			t.Errorf("stop the control plane: %v", err)
		}
	})
	return &System{ControlPlane: cp, t: t, assumers: map[string]aws.Config{}}
}

// Accounts starts a control plane with the accounts of a file's text (see
// package organization): testkit.TwoAccounts, or the test's own.
func Accounts(t testing.TB, text string, change func(*controlplane.Options)) *System {
	t.Helper()
	d, err := organization.Parse([]byte(text), os.DirFS(t.TempDir()))
	if err != nil {
		t.Fatal(err)
	}
	return Start(t, func(o *controlplane.Options) {
		o.Accounts = d
		if !d.Has(o.Account) {
			o.Account = d.Default()
		}
		if change != nil {
			change(o)
		}
	})
}

// Root is the configuration of the account's root user.
func (s *System) Root() aws.Config { return s.RootOf(s.Account) }

// RootOf is the configuration of an account's root user.
func (s *System) RootOf(account string) aws.Config {
	s.t.Helper()
	keyID, secret, ok := s.ControlPlane.RootOf(account)
	if !ok {
		s.t.Fatalf("account %s is not served", account)
	}
	return s.config(credentials.NewStaticCredentialsProvider(keyID, secret, ""))
}

func (s *System) config(c aws.CredentialsProvider) aws.Config {
	return aws.Config{Region: s.Region(), BaseEndpoint: aws.String(s.Endpoint()), Credentials: c}
}

// With is the configuration of a session of a fresh role of the default account
// with exactly these identity-based policies.
func (s *System) With(policies ...string) aws.Config {
	s.t.Helper()
	return s.WithIn(s.Account, policies...)
}

// WithIn is With in an account. Root cannot assume roles, on AWS neither; a user
// that may do nothing else does it. SCPs of the account bind all of them.
func (s *System) WithIn(account string, policies ...string) aws.Config {
	s.t.Helper()
	ctx := context.Background()
	root := iam.NewFromConfig(s.RootOf(account))
	assumer, ok := s.assumers[account]
	if !ok {
		assumer = s.makeUser(root, "assumer")
		s.assumers[account] = assumer
	}
	name := "test-" + id.Hex(id.Random, 6)
	trust := `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"AWS":"arn:aws:iam::` + account + `:user/assumer"},"Action":"sts:AssumeRole"}]}`
	role, err := root.CreateRole(ctx, &iam.CreateRoleInput{RoleName: &name, AssumeRolePolicyDocument: &trust})
	if err != nil {
		s.t.Fatal(err)
	}
	for _, p := range policies {
		if _, err := root.PutRolePolicy(ctx, &iam.PutRolePolicyInput{RoleName: &name, PolicyName: aws.String("p-" + id.Hex(id.Random, 4)), PolicyDocument: &p}); err != nil {
			s.t.Fatal(err)
		}
	}
	out, err := sts.NewFromConfig(assumer).AssumeRole(ctx, &sts.AssumeRoleInput{RoleArn: role.Role.Arn, RoleSessionName: aws.String("test")})
	if err != nil {
		s.t.Fatal(err)
	}
	return s.Session(out.Credentials)
}

// Session is the configuration of credentials that STS has given.
func (s *System) Session(c *types.Credentials) aws.Config {
	return s.config(credentials.NewStaticCredentialsProvider(*c.AccessKeyId, *c.SecretAccessKey, *c.SessionToken))
}

// UserIn is the configuration of a new user of an account with these
// identity-based policies.
func (s *System) UserIn(account, name string, policies ...string) aws.Config {
	s.t.Helper()
	root := iam.NewFromConfig(s.RootOf(account))
	user := s.makeUser(root, name)
	for _, p := range policies {
		if _, err := root.PutUserPolicy(context.Background(), &iam.PutUserPolicyInput{UserName: &name, PolicyName: aws.String("p-" + id.Hex(id.Random, 4)), PolicyDocument: &p}); err != nil {
			s.t.Fatal(err)
		}
	}
	return user
}

func (s *System) makeUser(root *iam.Client, name string) aws.Config {
	s.t.Helper()
	ctx := context.Background()
	if _, err := root.CreateUser(ctx, &iam.CreateUserInput{UserName: &name}); err != nil {
		s.t.Fatal(err)
	}
	key, err := root.CreateAccessKey(ctx, &iam.CreateAccessKeyInput{UserName: &name})
	if err != nil {
		s.t.Fatal(err)
	}
	return s.config(credentials.NewStaticCredentialsProvider(*key.AccessKey.AccessKeyId, *key.AccessKey.SecretAccessKey, ""))
}
