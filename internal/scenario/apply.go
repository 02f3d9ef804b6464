package scenario

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatchlogs"
	"github.com/aws/aws-sdk-go-v2/service/iam"
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
	l := loader{s: s, c: iam.NewFromConfig(root)}
	if err := l.load(ctx); err != nil {
		return root, nil, err
	}
	if err := s.applyData(ctx, root); err != nil {
		return root, nil, err
	}
	if s.CallerIsRoot() {
		return root, l.notes, nil
	}
	_, name, _ := cutLast(s.Caller, "/")
	key, err := iam.NewFromConfig(root).CreateAccessKey(ctx, &iam.CreateAccessKeyInput{UserName: &name})
	if err != nil {
		return root, nil, fmt.Errorf("access key of the caller %s: %w", s.Caller, err)
	}
	caller = root.Copy()
	caller.Credentials = credentials.NewStaticCredentialsProvider(*key.AccessKey.AccessKeyId, *key.AccessKey.SecretAccessKey, "")
	return caller, l.notes, nil
}

func cutLast(s, sep string) (before, after string, ok bool) {
	i := strings.LastIndex(s, sep)
	if i < 0 {
		return "", s, false
	}
	return s[:i], s[i+len(sep):], true
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
	for region, names := range s.logGroups() {
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
