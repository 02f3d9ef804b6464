// Package whole starts a complete control plane inside a test, the same that
// remit serve starts.
package whole

import (
	"context"
	"log/slog"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/iam"
	"github.com/aws/aws-sdk-go-v2/service/sts"

	"github.com/remit-ecs/remit/internal/controlplane"
	"github.com/remit-ecs/remit/internal/id"
)

// Account and Region are where tests happen.
const (
	Account = "111122223333"
	Region  = "eu-west-1"
)

// System is a running control plane.
type System struct {
	*controlplane.ControlPlane
	t     testing.TB
	admin aws.Config
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
	return &System{ControlPlane: cp, t: t}
}

// Root is the configuration of the account's root user.
func (s *System) Root() aws.Config {
	keyID, secret := s.ControlPlane.Root()
	return s.config(credentials.NewStaticCredentialsProvider(keyID, secret, ""))
}

func (s *System) config(c aws.CredentialsProvider) aws.Config {
	return aws.Config{Region: s.Region(), BaseEndpoint: aws.String(s.Endpoint()), Credentials: c}
}

// With is the configuration of a session of a fresh role with exactly these
// identity-based policies. Root cannot assume roles, on AWS neither; a user
// that may do nothing else does it.
func (s *System) With(policies ...string) aws.Config {
	s.t.Helper()
	ctx := context.Background()
	root := iam.NewFromConfig(s.Root())
	if s.admin.Credentials == nil {
		s.admin = s.makeAssumer(root)
	}
	name := "test-" + id.Hex(id.Random, 6)
	trust := `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"AWS":"arn:aws:iam::` + Account + `:user/assumer"},"Action":"sts:AssumeRole"}]}`
	role, err := root.CreateRole(ctx, &iam.CreateRoleInput{RoleName: &name, AssumeRolePolicyDocument: &trust})
	if err != nil {
		s.t.Fatal(err)
	}
	for _, p := range policies {
		if _, err := root.PutRolePolicy(ctx, &iam.PutRolePolicyInput{RoleName: &name, PolicyName: aws.String("p-" + id.Hex(id.Random, 4)), PolicyDocument: &p}); err != nil {
			s.t.Fatal(err)
		}
	}
	out, err := sts.NewFromConfig(s.admin).AssumeRole(ctx, &sts.AssumeRoleInput{RoleArn: role.Role.Arn, RoleSessionName: aws.String("test")})
	if err != nil {
		s.t.Fatal(err)
	}
	c := out.Credentials
	return s.config(credentials.NewStaticCredentialsProvider(*c.AccessKeyId, *c.SecretAccessKey, *c.SessionToken))
}

func (s *System) makeAssumer(root *iam.Client) aws.Config {
	ctx := context.Background()
	name := "assumer"
	if _, err := root.CreateUser(ctx, &iam.CreateUserInput{UserName: &name}); err != nil {
		s.t.Fatal(err)
	}
	key, err := root.CreateAccessKey(ctx, &iam.CreateAccessKeyInput{UserName: &name})
	if err != nil {
		s.t.Fatal(err)
	}
	return s.config(credentials.NewStaticCredentialsProvider(*key.AccessKey.AccessKeyId, *key.AccessKey.SecretAccessKey, ""))
}
