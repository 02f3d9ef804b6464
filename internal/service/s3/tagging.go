package s3

import (
	"net/http"

	"github.com/remit-ecs/remit/internal/api"
	"github.com/remit-ecs/remit/internal/api/s3api"
	"github.com/remit-ecs/remit/internal/authz"
	"github.com/remit-ecs/remit/internal/gateway"
)

func (s *Service) mayGetObjectTagging(c *gateway.Call, in *s3api.GetObjectTaggingInput) ([]authz.Ask, error) {
	return one(askObject(c, "s3:GetObjectTagging", in.Bucket, in.Key, lookKeys(c, in.Bucket, in.Key)))
}

// https://docs.aws.amazon.com/AmazonS3/latest/API/API_GetObjectTagging.html
func (s *Service) getObjectTagging(c *gateway.Call, in *s3api.GetObjectTaggingInput) (*s3api.GetObjectTaggingOutput, error) {
	if _, err := open(c, in.Bucket, in.ExpectedBucketOwner); err != nil {
		return nil, err
	}
	if err := noVersion(in.VersionId); err != nil {
		return nil, err
	}
	o, err := find(c, *in.Bucket, *in.Key)
	if err != nil {
		return nil, err
	}
	return &s3api.GetObjectTaggingOutput{TagSet: toAPI(o.Tags)}, nil
}

func (s *Service) mayPutObjectTagging(c *gateway.Call, in *s3api.PutObjectTaggingInput) ([]authz.Ask, error) {
	k := lookKeys(c, in.Bucket, in.Key)
	if in.Tagging != nil {
		requestTags(k, fromAPI(in.Tagging.TagSet))
	}
	return one(askObject(c, "s3:PutObjectTagging", in.Bucket, in.Key, k))
}

// https://docs.aws.amazon.com/AmazonS3/latest/API/API_PutObjectTagging.html
func (s *Service) putObjectTagging(c *gateway.Call, in *s3api.PutObjectTaggingInput) (*s3api.PutObjectTaggingOutput, error) {
	if _, err := open(c, in.Bucket, in.ExpectedBucketOwner); err != nil {
		return nil, err
	}
	if err := noVersion(in.VersionId); err != nil {
		return nil, err
	}
	if in.Tagging == nil {
		return nil, malformedXML()
	}
	tags := fromAPI(in.Tagging.TagSet)
	if err := checkTags(tags, maxObjectTags); err != nil {
		return nil, err
	}
	if err := retag(c, *in.Bucket, *in.Key, tags); err != nil {
		return nil, err
	}
	return &s3api.PutObjectTaggingOutput{}, nil
}

// retag replaces the tags of an object and nothing else of it.
func retag(c *gateway.Call, bucket, key string, tags []tag) error {
	if _, err := find(c, bucket, key); err != nil {
		return err
	}
	o, _ := objects.Edit(c.Tx, key)
	o.Tags = tags
	objects.Put(c.Tx, key, o)
	return nil
}

func (s *Service) mayDeleteObjectTagging(c *gateway.Call, in *s3api.DeleteObjectTaggingInput) ([]authz.Ask, error) {
	return one(askObject(c, "s3:DeleteObjectTagging", in.Bucket, in.Key, lookKeys(c, in.Bucket, in.Key)))
}

// https://docs.aws.amazon.com/AmazonS3/latest/API/API_DeleteObjectTagging.html
func (s *Service) deleteObjectTagging(c *gateway.Call, in *s3api.DeleteObjectTaggingInput) (*s3api.DeleteObjectTaggingOutput, error) {
	if _, err := open(c, in.Bucket, in.ExpectedBucketOwner); err != nil {
		return nil, err
	}
	if err := noVersion(in.VersionId); err != nil {
		return nil, err
	}
	if err := retag(c, *in.Bucket, *in.Key, nil); err != nil {
		return nil, err
	}
	return &s3api.DeleteObjectTaggingOutput{}, nil
}

func (s *Service) mayGetBucketTagging(c *gateway.Call, in *s3api.GetBucketTaggingInput) ([]authz.Ask, error) {
	return one(askBucket(c, "s3:GetBucketTagging", in.Bucket, nil))
}

// https://docs.aws.amazon.com/AmazonS3/latest/API/API_GetBucketTagging.html
func (s *Service) getBucketTagging(c *gateway.Call, in *s3api.GetBucketTaggingInput) (*s3api.GetBucketTaggingOutput, error) {
	b, err := open(c, in.Bucket, in.ExpectedBucketOwner)
	if err != nil {
		return nil, err
	}
	if len(b.Tags) == 0 {
		return nil, clientError("NoSuchTagSet", http.StatusNotFound, "The TagSet does not exist").With("BucketName", *in.Bucket)
	}
	return &s3api.GetBucketTaggingOutput{TagSet: toAPI(b.Tags)}, nil
}

func (s *Service) mayPutBucketTagging(c *gateway.Call, in *s3api.PutBucketTaggingInput) ([]authz.Ask, error) {
	return one(askBucket(c, "s3:PutBucketTagging", in.Bucket, nil))
}

// https://docs.aws.amazon.com/AmazonS3/latest/API/API_PutBucketTagging.html
func (s *Service) putBucketTagging(c *gateway.Call, in *s3api.PutBucketTaggingInput) (*s3api.PutBucketTaggingOutput, error) {
	if in.Tagging == nil {
		return nil, malformedXML()
	}
	tags := fromAPI(in.Tagging.TagSet)
	if err := checkTags(tags, maxBucketTags); err != nil {
		return nil, err
	}
	if err := retagBucket(c, in.Bucket, in.ExpectedBucketOwner, tags); err != nil {
		return nil, err
	}
	return &s3api.PutBucketTaggingOutput{}, nil
}

func retagBucket(c *gateway.Call, name, expectedOwner *string, tags []tag) error {
	if _, err := open(c, name, expectedOwner); err != nil {
		return err
	}
	b, _ := buckets.Edit(c.Tx, api.Value(name))
	b.Tags = tags
	buckets.Put(c.Tx, api.Value(name), b)
	return nil
}

func (s *Service) mayDeleteBucketTagging(c *gateway.Call, in *s3api.DeleteBucketTaggingInput) ([]authz.Ask, error) {
	return one(askBucket(c, "s3:PutBucketTagging", in.Bucket, nil))
}

// https://docs.aws.amazon.com/AmazonS3/latest/API/API_DeleteBucketTagging.html
func (s *Service) deleteBucketTagging(c *gateway.Call, in *s3api.DeleteBucketTaggingInput) (*s3api.DeleteBucketTaggingOutput, error) {
	if err := retagBucket(c, in.Bucket, in.ExpectedBucketOwner, nil); err != nil {
		return nil, err
	}
	return &s3api.DeleteBucketTaggingOutput{}, nil
}
