package s3

import (
	"net/http"

	"github.com/remit-ecs/remit/internal/api"
	"github.com/remit-ecs/remit/internal/api/s3api"
	"github.com/remit-ecs/remit/internal/authz"
	"github.com/remit-ecs/remit/internal/gateway"
)

// publicAccess are the settings of S3 Block Public Access of a bucket. Lists of
// access are not served, so that two of the four only say what is so anyway.
// https://docs.aws.amazon.com/AmazonS3/latest/userguide/access-control-block-public-access.html
type publicAccess struct {
	Removed                                                                     bool `json:",omitempty"` // DeletePublicAccessBlock: all of them off
	BlockPublicAcls, IgnorePublicAcls, BlockPublicPolicy, RestrictPublicBuckets bool `json:",omitempty"`
}

// settings is what binds. A bucket for which nothing was set blocks all public
// access, as new buckets do since April 2023.
func (p *publicAccess) settings() publicAccess {
	if p == nil {
		return publicAccess{BlockPublicAcls: true, IgnorePublicAcls: true, BlockPublicPolicy: true, RestrictPublicBuckets: true}
	}
	return *p
}

func (s *Service) mayPutPublicAccessBlock(c *gateway.Call, in *s3api.PutPublicAccessBlockInput) ([]authz.Ask, error) {
	return one(askBucket(c, "s3:PutBucketPublicAccessBlock", in.Bucket, nil))
}

// https://docs.aws.amazon.com/AmazonS3/latest/API/API_PutPublicAccessBlock.html
func (s *Service) putPublicAccessBlock(c *gateway.Call, in *s3api.PutPublicAccessBlockInput) (*s3api.PutPublicAccessBlockOutput, error) {
	cfg := in.PublicAccessBlockConfiguration
	if cfg == nil {
		return nil, malformedXML()
	}
	err := setBucket(c, in.Bucket, in.ExpectedBucketOwner, func(b *bucket) {
		b.PublicAccess = &publicAccess{
			BlockPublicAcls: api.Value(cfg.BlockPublicAcls), IgnorePublicAcls: api.Value(cfg.IgnorePublicAcls),
			BlockPublicPolicy: api.Value(cfg.BlockPublicPolicy), RestrictPublicBuckets: api.Value(cfg.RestrictPublicBuckets),
		}
	})
	if err != nil {
		return nil, err
	}
	return &s3api.PutPublicAccessBlockOutput{}, nil
}

// setBucket changes the settings of a bucket.
func setBucket(c *gateway.Call, name, expectedOwner *string, change func(*bucket)) error {
	if _, err := open(c, name, expectedOwner); err != nil {
		return err
	}
	b, _ := buckets.Edit(c.Tx, api.Value(name))
	change(b)
	buckets.Put(c.Tx, api.Value(name), b)
	return nil
}

func (s *Service) mayGetPublicAccessBlock(c *gateway.Call, in *s3api.GetPublicAccessBlockInput) ([]authz.Ask, error) {
	return one(askBucket(c, "s3:GetBucketPublicAccessBlock", in.Bucket, nil))
}

// https://docs.aws.amazon.com/AmazonS3/latest/API/API_GetPublicAccessBlock.html
func (s *Service) getPublicAccessBlock(c *gateway.Call, in *s3api.GetPublicAccessBlockInput) (*s3api.GetPublicAccessBlockOutput, error) {
	b, err := open(c, in.Bucket, in.ExpectedBucketOwner)
	if err != nil {
		return nil, err
	}
	p := b.PublicAccess.settings()
	if p.Removed {
		return nil, clientError("NoSuchPublicAccessBlockConfiguration", http.StatusNotFound, "The public access block configuration was not found").With("BucketName", *in.Bucket)
	}
	return &s3api.GetPublicAccessBlockOutput{PublicAccessBlockConfiguration: &s3api.PublicAccessBlockConfiguration{
		BlockPublicAcls: &p.BlockPublicAcls, IgnorePublicAcls: &p.IgnorePublicAcls, BlockPublicPolicy: &p.BlockPublicPolicy, RestrictPublicBuckets: &p.RestrictPublicBuckets,
	}}, nil
}

func (s *Service) mayDeletePublicAccessBlock(c *gateway.Call, in *s3api.DeletePublicAccessBlockInput) ([]authz.Ask, error) {
	return one(askBucket(c, "s3:PutBucketPublicAccessBlock", in.Bucket, nil))
}

// https://docs.aws.amazon.com/AmazonS3/latest/API/API_DeletePublicAccessBlock.html
func (s *Service) deletePublicAccessBlock(c *gateway.Call, in *s3api.DeletePublicAccessBlockInput) (*s3api.DeletePublicAccessBlockOutput, error) {
	err := setBucket(c, in.Bucket, in.ExpectedBucketOwner, func(b *bucket) { b.PublicAccess = &publicAccess{Removed: true} })
	if err != nil {
		return nil, err
	}
	return &s3api.DeletePublicAccessBlockOutput{}, nil
}

func (s *Service) mayPutBucketOwnershipControls(c *gateway.Call, in *s3api.PutBucketOwnershipControlsInput) ([]authz.Ask, error) {
	return one(askBucket(c, "s3:PutBucketOwnershipControls", in.Bucket, nil))
}

// putBucketOwnershipControls takes the one ownership there is: the owner of a
// bucket owns what is in it.
// https://docs.aws.amazon.com/AmazonS3/latest/API/API_PutBucketOwnershipControls.html
func (s *Service) putBucketOwnershipControls(c *gateway.Call, in *s3api.PutBucketOwnershipControlsInput) (*s3api.PutBucketOwnershipControlsOutput, error) {
	if in.OwnershipControls == nil || len(in.OwnershipControls.Rules) != 1 {
		return nil, malformedXML()
	}
	if o := in.OwnershipControls.Rules[0].ObjectOwnership; o != s3api.ObjectOwnershipBucketOwnerEnforced {
		return nil, notServed("object ownership " + string(o))
	}
	if err := setBucket(c, in.Bucket, in.ExpectedBucketOwner, func(b *bucket) { b.NoOwnership = false }); err != nil {
		return nil, err
	}
	return &s3api.PutBucketOwnershipControlsOutput{}, nil
}

func (s *Service) mayGetBucketOwnershipControls(c *gateway.Call, in *s3api.GetBucketOwnershipControlsInput) ([]authz.Ask, error) {
	return one(askBucket(c, "s3:GetBucketOwnershipControls", in.Bucket, nil))
}

// https://docs.aws.amazon.com/AmazonS3/latest/API/API_GetBucketOwnershipControls.html
func (s *Service) getBucketOwnershipControls(c *gateway.Call, in *s3api.GetBucketOwnershipControlsInput) (*s3api.GetBucketOwnershipControlsOutput, error) {
	b, err := open(c, in.Bucket, in.ExpectedBucketOwner)
	if err != nil {
		return nil, err
	}
	if b.NoOwnership {
		return nil, clientError("OwnershipControlsNotFoundError", http.StatusNotFound, "The bucket ownership controls were not found").With("BucketName", *in.Bucket)
	}
	return &s3api.GetBucketOwnershipControlsOutput{OwnershipControls: &s3api.OwnershipControls{
		Rules: []s3api.OwnershipControlsRule{{ObjectOwnership: s3api.ObjectOwnershipBucketOwnerEnforced}},
	}}, nil
}

func (s *Service) mayDeleteBucketOwnershipControls(c *gateway.Call, in *s3api.DeleteBucketOwnershipControlsInput) ([]authz.Ask, error) {
	return one(askBucket(c, "s3:PutBucketOwnershipControls", in.Bucket, nil))
}

// deleteBucketOwnershipControls only removes the setting: lists of access are
// not served, so that ownership stays what it is (DIVERGENCES.md).
// https://docs.aws.amazon.com/AmazonS3/latest/API/API_DeleteBucketOwnershipControls.html
func (s *Service) deleteBucketOwnershipControls(c *gateway.Call, in *s3api.DeleteBucketOwnershipControlsInput) (*s3api.DeleteBucketOwnershipControlsOutput, error) {
	if err := setBucket(c, in.Bucket, in.ExpectedBucketOwner, func(b *bucket) { b.NoOwnership = true }); err != nil {
		return nil, err
	}
	return &s3api.DeleteBucketOwnershipControlsOutput{}, nil
}

func (s *Service) mayPutBucketEncryption(c *gateway.Call, in *s3api.PutBucketEncryptionInput) ([]authz.Ask, error) {
	return one(askBucket(c, "s3:PutEncryptionConfiguration", in.Bucket, nil))
}

// putBucketEncryption takes what every bucket has on AWS, encryption under
// keys of S3's own; that bytes lie on the disk as they came is a divergence.
// https://docs.aws.amazon.com/AmazonS3/latest/API/API_PutBucketEncryption.html
func (s *Service) putBucketEncryption(c *gateway.Call, in *s3api.PutBucketEncryptionInput) (*s3api.PutBucketEncryptionOutput, error) {
	cfg := in.ServerSideEncryptionConfiguration
	if cfg == nil || len(cfg.Rules) != 1 || cfg.Rules[0].ApplyServerSideEncryptionByDefault == nil {
		return nil, malformedXML()
	}
	rule := cfg.Rules[0]
	if alg := rule.ApplyServerSideEncryptionByDefault.SSEAlgorithm; alg != s3api.ServerSideEncryptionAes256 {
		return nil, notServed("server-side encryption " + string(alg))
	}
	if rule.ApplyServerSideEncryptionByDefault.KMSMasterKeyID != nil {
		return nil, invalidArgument("a KMSMasterKeyID is not applicable if the default sse algorithm is not aws:kms or aws:kms:dsse")
	}
	err := setBucket(c, in.Bucket, in.ExpectedBucketOwner, func(b *bucket) { b.BucketKey = api.Value(rule.BucketKeyEnabled) })
	if err != nil {
		return nil, err
	}
	return &s3api.PutBucketEncryptionOutput{}, nil
}

func (s *Service) mayGetBucketEncryption(c *gateway.Call, in *s3api.GetBucketEncryptionInput) ([]authz.Ask, error) {
	return one(askBucket(c, "s3:GetEncryptionConfiguration", in.Bucket, nil))
}

// https://docs.aws.amazon.com/AmazonS3/latest/API/API_GetBucketEncryption.html
func (s *Service) getBucketEncryption(c *gateway.Call, in *s3api.GetBucketEncryptionInput) (*s3api.GetBucketEncryptionOutput, error) {
	b, err := open(c, in.Bucket, in.ExpectedBucketOwner)
	if err != nil {
		return nil, err
	}
	return &s3api.GetBucketEncryptionOutput{ServerSideEncryptionConfiguration: &s3api.ServerSideEncryptionConfiguration{
		Rules: []s3api.ServerSideEncryptionRule{{
			ApplyServerSideEncryptionByDefault: &s3api.ServerSideEncryptionByDefault{SSEAlgorithm: s3api.ServerSideEncryptionAes256},
			BucketKeyEnabled:                   &b.BucketKey,
		}},
	}}, nil
}

func (s *Service) mayDeleteBucketEncryption(c *gateway.Call, in *s3api.DeleteBucketEncryptionInput) ([]authz.Ask, error) {
	return one(askBucket(c, "s3:PutEncryptionConfiguration", in.Bucket, nil))
}

// https://docs.aws.amazon.com/AmazonS3/latest/API/API_DeleteBucketEncryption.html
func (s *Service) deleteBucketEncryption(c *gateway.Call, in *s3api.DeleteBucketEncryptionInput) (*s3api.DeleteBucketEncryptionOutput, error) {
	if err := setBucket(c, in.Bucket, in.ExpectedBucketOwner, func(b *bucket) { b.BucketKey = false }); err != nil {
		return nil, err
	}
	return &s3api.DeleteBucketEncryptionOutput{}, nil
}
