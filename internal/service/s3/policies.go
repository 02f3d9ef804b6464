package s3

import (
	"net/http"
	"strings"

	"github.com/remit-ecs/remit/internal/api"
	"github.com/remit-ecs/remit/internal/api/s3api"
	"github.com/remit-ecs/remit/internal/authz"
	"github.com/remit-ecs/remit/internal/gateway"
	"github.com/remit-ecs/remit/internal/session"
	"github.com/remit-ecs/remit/internal/store"
	"github.com/remit-ecs/remit/policy"
)

const policyName = "bucket policy"

// ResourcePolicy is an authz.ResourcePolicy: the policy of the bucket that an
// ARN is of, or of an object in.
func ResourcePolicy(r store.Reader, resource string) *policy.Attached {
	name, ok := strings.CutPrefix(resource, "arn:aws:s3:::")
	if !ok {
		return nil
	}
	name, _, _ = strings.Cut(name, "/")
	if b, ok := buckets.Get(r, bucketsShard, name); ok {
		return b.attached()
	}
	return nil
}

// restriction is the Sid of the statement that RestrictPublicBuckets adds to a
// policy which grants something to everyone.
const restriction = "RestrictPublicBuckets"

// attached is the bucket's policy as it binds.
func (b *bucket) attached() *policy.Attached {
	if b.Policy == nil || !b.PublicAccess.settings().RestrictPublicBuckets {
		return b.Policy.Attached(policyName)
	}
	if a := b.compiled.Load(); a != nil {
		return a
	}
	a := b.Policy.Attached(policyName)
	if b.Policy.Public() {
		// Only the owner's account and AWS's services get through; what names
		// no account is nobody's.
		a = b.Policy.With(policyName, `{"Sid":"`+restriction+`","Effect":"Deny","Principal":"*","Action":"*","Resource":"*",`+
			`"Condition":{"StringNotEquals":{"aws:PrincipalAccount":"`+b.Account+`"},"Bool":{"aws:PrincipalIsAWSService":"false"}}}`)
	}
	b.compiled.Store(a)
	return a
}

// askPolicy asks about the policy of a bucket. The root user of the owner is
// never kept out by the policy itself.
// https://docs.aws.amazon.com/AmazonS3/latest/API/API_PutBucketPolicy.html
func askPolicy(c *gateway.Call, action string, name *string) ([]authz.Ask, error) {
	a, err := askBucket(c, action, name, nil)
	if c.Principal.Type == session.Root && c.Principal.Account == a.Account {
		a.WithoutResourcePolicy = true
	}
	return one(a, err)
}

// openPolicy is open for the operations on policies, which are the owner's
// account's alone, whoever is allowed.
func openPolicy(c *gateway.Call, name, expectedOwner *string) (*bucket, error) {
	b, err := open(c, name, expectedOwner)
	if err == nil && b.Account != c.Principal.Account {
		return nil, clientError("MethodNotAllowed", http.StatusMethodNotAllowed, "The specified method is not allowed against this resource.")
	}
	return b, err
}

func (s *Service) mayPutBucketPolicy(c *gateway.Call, in *s3api.PutBucketPolicyInput) ([]authz.Ask, error) {
	return askPolicy(c, "s3:PutBucketPolicy", in.Bucket)
}

// https://docs.aws.amazon.com/AmazonS3/latest/API/API_PutBucketPolicy.html
func (s *Service) putBucketPolicy(c *gateway.Call, in *s3api.PutBucketPolicyInput) (*s3api.PutBucketPolicyOutput, error) {
	was, err := openPolicy(c, in.Bucket, in.ExpectedBucketOwner)
	if err != nil {
		return nil, err
	}
	d, err := s.draft(c, *in.Bucket, was.Account, api.Value(in.Policy))
	if err != nil {
		return nil, err
	}
	if was.PublicAccess.settings().BlockPublicPolicy && d.Outline.Public() {
		return nil, api.AccessDenied("User: " + c.Principal.ARN + ` is not authorized to perform: s3:PutBucketPolicy on resource: "` + bucketARN(*in.Bucket) +
			`" because public policies are prevented by the BlockPublicPolicy setting in S3 Block Public Access.`)
	}
	b, _ := buckets.Edit(c.Tx, *in.Bucket)
	b.Policy = d.Policy
	buckets.Put(c.Tx, *in.Bucket, b)
	return &s3api.PutBucketPolicyOutput{}, nil
}

func noSuchPolicy(name string) *api.Error {
	return clientError("NoSuchBucketPolicy", http.StatusNotFound, "The bucket policy does not exist").With("BucketName", name)
}

func (s *Service) mayGetBucketPolicy(c *gateway.Call, in *s3api.GetBucketPolicyInput) ([]authz.Ask, error) {
	return askPolicy(c, "s3:GetBucketPolicy", in.Bucket)
}

// https://docs.aws.amazon.com/AmazonS3/latest/API/API_GetBucketPolicy.html
func (s *Service) getBucketPolicy(c *gateway.Call, in *s3api.GetBucketPolicyInput) (*s3api.GetBucketPolicyOutput, error) {
	b, err := openPolicy(c, in.Bucket, in.ExpectedBucketOwner)
	if err != nil {
		return nil, err
	}
	if b.Policy == nil {
		return nil, noSuchPolicy(*in.Bucket)
	}
	return &s3api.GetBucketPolicyOutput{Policy: api.Ptr(b.Policy.Show(c.Tx, s.principals, b.Account))}, nil
}

func (s *Service) mayDeleteBucketPolicy(c *gateway.Call, in *s3api.DeleteBucketPolicyInput) ([]authz.Ask, error) {
	return askPolicy(c, "s3:DeleteBucketPolicy", in.Bucket)
}

// deleteBucketPolicy succeeds also where there is no policy.
// https://docs.aws.amazon.com/AmazonS3/latest/API/API_DeleteBucketPolicy.html
func (s *Service) deleteBucketPolicy(c *gateway.Call, in *s3api.DeleteBucketPolicyInput) (*s3api.DeleteBucketPolicyOutput, error) {
	if _, err := openPolicy(c, in.Bucket, in.ExpectedBucketOwner); err != nil {
		return nil, err
	}
	b, _ := buckets.Edit(c.Tx, *in.Bucket)
	b.Policy = nil
	buckets.Put(c.Tx, *in.Bucket, b)
	return &s3api.DeleteBucketPolicyOutput{}, nil
}

func (s *Service) mayGetBucketPolicyStatus(c *gateway.Call, in *s3api.GetBucketPolicyStatusInput) ([]authz.Ask, error) {
	return one(askBucket(c, "s3:GetBucketPolicyStatus", in.Bucket, nil))
}

// https://docs.aws.amazon.com/AmazonS3/latest/API/API_GetBucketPolicyStatus.html
func (s *Service) getBucketPolicyStatus(c *gateway.Call, in *s3api.GetBucketPolicyStatusInput) (*s3api.GetBucketPolicyStatusOutput, error) {
	b, err := open(c, in.Bucket, in.ExpectedBucketOwner)
	if err != nil {
		return nil, err
	}
	if b.Policy == nil {
		return nil, noSuchPolicy(*in.Bucket)
	}
	return &s3api.GetBucketPolicyStatusOutput{PolicyStatus: &s3api.PolicyStatus{IsPublic: api.Ptr(b.Policy.Public())}}, nil
}
