package scenario

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatchlogs"
	"github.com/aws/aws-sdk-go-v2/service/iam"
	iamtypes "github.com/aws/aws-sdk-go-v2/service/iam/types"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	s3types "github.com/aws/aws-sdk-go-v2/service/s3/types"
	"github.com/aws/aws-sdk-go-v2/service/secretsmanager"
	"github.com/aws/aws-sdk-go-v2/service/ssm"
	ssmtypes "github.com/aws/aws-sdk-go-v2/service/ssm/types"
)

// Apply creates everything that the task finds when it starts, as the
// account's root: principals and policies, secrets, parameters, buckets and log
// groups. It returns the configuration of the scenario's caller, and notes for
// people about what was left out because it can grant nothing.
func (s *Scenario) Apply(ctx context.Context, root aws.Config) (caller aws.Config, notes []string, err error) {
	if notes, err = s.applyIAM(ctx, iam.NewFromConfig(root)); err != nil {
		return root, nil, err
	}
	if err := s.applyData(ctx, root); err != nil {
		return root, nil, err
	}
	if s.CallerIsRoot() {
		return root, notes, nil
	}
	_, name, _ := cutLast(s.Caller, "/")
	key, err := iam.NewFromConfig(root).CreateAccessKey(ctx, &iam.CreateAccessKeyInput{UserName: &name})
	if err != nil {
		return root, nil, fmt.Errorf("access key of the caller %s: %w", s.Caller, err)
	}
	caller = root.Copy()
	caller.Credentials = credentials.NewStaticCredentialsProvider(*key.AccessKey.AccessKeyId, *key.AccessKey.SecretAccessKey, "")
	return caller, notes, nil
}

func cutLast(s, sep string) (before, after string, ok bool) {
	i := strings.LastIndex(s, sep)
	if i < 0 {
		return "", s, false
	}
	return s[:i], s[i+len(sep):], true
}

func (s *Scenario) applyIAM(ctx context.Context, c *iam.Client) (notes []string, err error) {
	for i := range s.Roles.Policies {
		p := &s.Roles.Policies[i]
		if strings.HasPrefix(p.Arn, "arn:aws:iam::aws:policy/") {
			continue // AWS's own: the control plane has it, or attaching it fails with its name
		}
		if err := s.createPolicy(ctx, c, p); err != nil {
			return nil, err
		}
	}
	for i := range s.Roles.Roles {
		r := &s.Roles.Roles[i]
		if r.serviceLinked() || r.reserved() {
			notes = append(notes, "not loaded: "+r.Arn+" (AWS owns it; no task can be given it)")
			continue
		}
		if err := createRole(ctx, c, r); err != nil {
			return nil, fmt.Errorf("roles.json: role %s cannot be loaded: %w", r.RoleName, err)
		}
	}
	for i := range s.Roles.Users {
		u := &s.Roles.Users[i]
		if err := createUser(ctx, c, u); err != nil {
			return nil, fmt.Errorf("roles.json: user %s cannot be loaded: %w", u.UserName, err)
		}
	}
	return notes, nil
}

func (s *Scenario) createPolicy(ctx context.Context, c *iam.Client, p *ManagedPolicy) error {
	fail := func(err error) error {
		return fmt.Errorf("roles.json: policy %s cannot be loaded: %w", p.PolicyName, err)
	}
	i := slices.IndexFunc(p.PolicyVersionList, func(v PolicyVersion) bool { return v.IsDefaultVersion })
	if i < 0 {
		return fail(errors.New("no version is the default"))
	}
	in := &iam.CreatePolicyInput{PolicyName: &p.PolicyName, PolicyDocument: aws.String(string(p.PolicyVersionList[i].Document)), Tags: tags(p.Tags)}
	if p.Path != "" {
		in.Path = &p.Path
	}
	if p.Description != "" {
		in.Description = &p.Description
	}
	if _, err := c.CreatePolicy(ctx, in); err != nil {
		return fail(err)
	}
	return nil
}

func createRole(ctx context.Context, c *iam.Client, r *Role) error {
	in := &iam.CreateRoleInput{RoleName: &r.RoleName, Path: &r.Path, AssumeRolePolicyDocument: aws.String(string(r.AssumeRolePolicyDocument)), Tags: tags(r.Tags)}
	if r.Description != "" {
		in.Description = &r.Description
	}
	if r.MaxSessionDuration != 0 {
		in.MaxSessionDuration = &r.MaxSessionDuration
	}
	if r.PermissionsBoundary != nil {
		in.PermissionsBoundary = &r.PermissionsBoundary.PermissionsBoundaryArn
	}
	if _, err := c.CreateRole(ctx, in); err != nil {
		return err
	}
	for _, p := range r.RolePolicyList {
		if _, err := c.PutRolePolicy(ctx, &iam.PutRolePolicyInput{RoleName: &r.RoleName, PolicyName: &p.PolicyName, PolicyDocument: aws.String(string(p.PolicyDocument))}); err != nil {
			return err
		}
	}
	for _, p := range r.AttachedManagedPolicies {
		if _, err := c.AttachRolePolicy(ctx, &iam.AttachRolePolicyInput{RoleName: &r.RoleName, PolicyArn: &p.PolicyArn}); err != nil {
			return fmt.Errorf("attach %s: %w", p.PolicyArn, err)
		}
	}
	for _, ip := range r.InstanceProfileList {
		if _, err := c.CreateInstanceProfile(ctx, &iam.CreateInstanceProfileInput{InstanceProfileName: &ip.InstanceProfileName, Path: &ip.Path}); err != nil {
			return err
		}
		if _, err := c.AddRoleToInstanceProfile(ctx, &iam.AddRoleToInstanceProfileInput{InstanceProfileName: &ip.InstanceProfileName, RoleName: &r.RoleName}); err != nil {
			return err
		}
	}
	return nil
}

func createUser(ctx context.Context, c *iam.Client, u *User) error {
	in := &iam.CreateUserInput{UserName: &u.UserName, Path: &u.Path, Tags: tags(u.Tags)}
	if u.PermissionsBoundary != nil {
		in.PermissionsBoundary = &u.PermissionsBoundary.PermissionsBoundaryArn
	}
	if _, err := c.CreateUser(ctx, in); err != nil {
		return err
	}
	for _, p := range u.UserPolicyList {
		if _, err := c.PutUserPolicy(ctx, &iam.PutUserPolicyInput{UserName: &u.UserName, PolicyName: &p.PolicyName, PolicyDocument: aws.String(string(p.PolicyDocument))}); err != nil {
			return err
		}
	}
	for _, p := range u.AttachedManagedPolicies {
		if _, err := c.AttachUserPolicy(ctx, &iam.AttachUserPolicyInput{UserName: &u.UserName, PolicyArn: &p.PolicyArn}); err != nil {
			return fmt.Errorf("attach %s: %w", p.PolicyArn, err)
		}
	}
	return nil
}

func tags(in []Tag) []iamtypes.Tag {
	var out []iamtypes.Tag
	for _, t := range in {
		out = append(out, iamtypes.Tag{Key: aws.String(t.Key), Value: aws.String(t.Value)})
	}
	return out
}

func (s *Scenario) applyData(ctx context.Context, root aws.Config) error {
	secrets := secretsmanager.NewFromConfig(root)
	for name, raw := range s.Secrets {
		value := string(raw)
		var text string
		if json.Unmarshal(raw, &text) == nil {
			value = text
		}
		// The ARN as the name gives the secret that ARN, suffix included
		// (DIVERGENCES.md): a task definition names secrets by their ARN.
		if _, err := secrets.CreateSecret(ctx, &secretsmanager.CreateSecretInput{Name: &name, SecretString: &value}); err != nil {
			return fmt.Errorf("secret %s: %w", name, err)
		}
	}
	parameters := ssm.NewFromConfig(root)
	for name, p := range s.Parameters {
		if _, err := parameters.PutParameter(ctx, &ssm.PutParameterInput{Name: &name, Value: &p.Value, Type: ssmtypes.ParameterType(p.Type)}); err != nil {
			return fmt.Errorf("parameter %s: %w", name, err)
		}
	}
	if err := s.applyBuckets(ctx, root); err != nil {
		return err
	}
	groups, err := s.logGroups()
	if err != nil {
		return err
	}
	for region, names := range groups {
		logs := cloudwatchlogs.NewFromConfig(root, func(o *cloudwatchlogs.Options) { o.Region = region })
		for _, name := range names {
			if _, err := logs.CreateLogGroup(ctx, &cloudwatchlogs.CreateLogGroupInput{LogGroupName: &name}); err != nil {
				return fmt.Errorf("log group %s: %w", name, err)
			}
		}
	}
	return nil
}

func (s *Scenario) applyBuckets(ctx context.Context, root aws.Config) error {
	c := s3.NewFromConfig(root, func(o *s3.Options) { o.UsePathStyle = true })
	for bucket, objects := range s.Buckets {
		in := &s3.CreateBucketInput{Bucket: &bucket}
		if s.Region != "us-east-1" {
			in.CreateBucketConfiguration = &s3types.CreateBucketConfiguration{LocationConstraint: s3types.BucketLocationConstraint(s.Region)}
		}
		if _, err := c.CreateBucket(ctx, in); err != nil {
			return fmt.Errorf("bucket %s: %w", bucket, err)
		}
		for key, o := range objects {
			if err := putObject(ctx, c, bucket, key, o); err != nil {
				return fmt.Errorf("object s3://%s/%s: %w", bucket, key, err)
			}
		}
	}
	return nil
}

func putObject(ctx context.Context, c *s3.Client, bucket, key string, o Object) error {
	in := &s3.PutObjectInput{Bucket: &bucket, Key: &key}
	if o.File != "" {
		f, err := os.Open(o.File)
		if err != nil {
			return err
		}
		defer f.Close()
		in.Body = f
	} else {
		in.Body = strings.NewReader(*o.Text)
	}
	_, err := c.PutObject(ctx, in)
	return err
}
