package s3

import (
	"errors"

	"github.com/remit-ecs/remit/internal/api"
	"github.com/remit-ecs/remit/internal/api/s3api"
	"github.com/remit-ecs/remit/internal/authz"
	"github.com/remit-ecs/remit/internal/gateway"
)

// mayDeleteObjects asks nothing that can be refused: a key that may not be
// deleted is an entry of the answer, and does not keep the others. The question
// about each key is asked by the handler.
func (s *Service) mayDeleteObjects(c *gateway.Call, in *s3api.DeleteObjectsInput) ([]authz.Ask, error) {
	if _, err := askBucket(c, "s3:DeleteObject", in.Bucket, nil); err != nil {
		return nil, err
	}
	return nil, nil
}

// deleteObjects removes up to a thousand objects in one commit.
// https://docs.aws.amazon.com/AmazonS3/latest/API/API_DeleteObjects.html
func (s *Service) deleteObjects(c *gateway.Call, in *s3api.DeleteObjectsInput) (*s3api.DeleteObjectsOutput, error) {
	if in.Delete == nil || len(in.Delete.Objects) == 0 || len(in.Delete.Objects) > 1000 {
		return nil, malformedXML()
	}
	_, missing := open(c, in.Bucket, in.ExpectedBucketOwner)
	out := &s3api.DeleteObjectsOutput{}
	allowed := false
	for i := range in.Delete.Objects {
		o := &in.Delete.Objects[i]
		err := deleteOne(c, in, o, missing)
		if missing != nil && errors.Is(err, missing) {
			allowed = true
			continue
		}
		if err == nil {
			if !api.Value(in.Delete.Quiet) {
				out.Deleted = append(out.Deleted, s3api.DeletedObject{Key: o.Key, VersionId: o.VersionId})
			}
			continue
		}
		var e *api.Error
		if !errors.As(err, &e) {
			return nil, err
		}
		out.Errors = append(out.Errors, s3api.Error{Key: o.Key, VersionId: o.VersionId, Code: &e.Code, Message: &e.Message})
	}
	if allowed { // whoever may delete there may know that there is no bucket
		return nil, missing
	}
	return out, nil
}

func deleteOne(c *gateway.Call, in *s3api.DeleteObjectsInput, o *s3api.ObjectIdentifier, missing error) error {
	if err := checkKey(o.Key); err != nil {
		return err
	}
	a, err := askObject(c, "s3:DeleteObject", in.Bucket, o.Key, keys{}.ptr("s3:if-match", o.ETag))
	if err == nil {
		err = c.Ask(a)
	}
	if err == nil {
		err = missing
	}
	if err == nil {
		err = noVersion(o.VersionId)
	}
	if err != nil {
		return err
	}
	return remove(c, api.Value(o.Key), o.ETag, o.Size, o.LastModifiedTime)
}
