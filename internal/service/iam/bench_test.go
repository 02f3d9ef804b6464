package iam_test

import (
	"context"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	awsiam "github.com/aws/aws-sdk-go-v2/service/iam"

	"github.com/remit-ecs/remit/internal/service/iam"
	"github.com/remit-ecs/remit/internal/session"
	"github.com/remit-ecs/remit/internal/testkit"
)

// Every request reads its principal's policies.
func BenchmarkIdentity(b *testing.B) {
	var s *iam.Service
	k := testkit.New(b, func(k *testkit.Kit) []testkit.Registrar {
		s = iam.New(iam.Deps{Seal: k.Seal})
		return []testkit.Registrar{s}
	})
	client := awsiam.NewFromConfig(k.Root())
	trust, doc := testkit.TrustService("ecs-tasks.amazonaws.com"), testkit.Allow("*", "s3:GetObject", "s3:PutObject")
	out, err := client.CreateRole(ctx, &awsiam.CreateRoleInput{RoleName: aws.String("app"), AssumeRolePolicyDocument: &trust})
	if err != nil {
		b.Fatal(err)
	}
	if _, err := client.PutRolePolicy(ctx, &awsiam.PutRolePolicyInput{RoleName: aws.String("app"), PolicyName: aws.String("p"), PolicyDocument: &doc}); err != nil {
		b.Fatal(err)
	}
	p := &session.Principal{Type: session.AssumedRole, Account: account, RoleARN: *out.Role.Arn, RoleName: "app", RoleID: *out.Role.RoleId}
	view := k.Store.View(context.Background())
	run := func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if s.Identity(view, p).Gone {
				b.Fatal("gone")
			}
		}
	}
	b.Run("inline", run)
	p.Policy = doc
	b.Run("session-policy", run)
	p.Policy = ""
	if _, err := client.AttachRolePolicy(ctx, &awsiam.AttachRolePolicyInput{RoleName: aws.String("app"), PolicyArn: aws.String(awsRead)}); err != nil {
		b.Fatal(err)
	}
	view = k.Store.View(context.Background())
	b.Run("managed", run)
}

func BenchmarkKey(b *testing.B) {
	var s *iam.Service
	k := testkit.New(b, func(k *testkit.Kit) []testkit.Registrar {
		s = iam.New(iam.Deps{Seal: k.Seal})
		return []testkit.Registrar{s}
	})
	client := awsiam.NewFromConfig(k.Root())
	if _, err := client.CreateUser(ctx, &awsiam.CreateUserInput{UserName: aws.String("bob")}); err != nil {
		b.Fatal(err)
	}
	out, err := client.CreateAccessKey(ctx, &awsiam.CreateAccessKeyInput{UserName: aws.String("bob")})
	if err != nil {
		b.Fatal(err)
	}
	view := k.Store.View(context.Background())
	b.ReportAllocs()
	for b.Loop() {
		if _, _, ok := s.Key(view, *out.AccessKey.AccessKeyId); !ok {
			b.Fatal("no key")
		}
	}
}
