package s3

import (
	"slices"

	"github.com/remit-ecs/remit/internal/api"
	"github.com/remit-ecs/remit/internal/api/s3api"
	"github.com/remit-ecs/remit/internal/authz"
	"github.com/remit-ecs/remit/internal/gateway"
)

func (s *Service) mayGetObjectAttributes(c *gateway.Call, in *s3api.GetObjectAttributesInput) ([]authz.Ask, error) {
	read, err := askObject(c, "s3:GetObject", in.Bucket, in.Key, lookKeys(c, in.Bucket, in.Key))
	if err != nil {
		return nil, err
	}
	return []authz.Ask{read, question(c, "s3:GetObjectAttributes", read.Resource, read.Account, lookKeys(c, in.Bucket, in.Key))}, nil
}

// https://docs.aws.amazon.com/AmazonS3/latest/API/API_GetObjectAttributes.html
func (s *Service) getObjectAttributes(c *gateway.Call, in *s3api.GetObjectAttributesInput) (*s3api.GetObjectAttributesOutput, error) {
	o, _, err := s.look(c, &s3api.HeadObjectInput{Bucket: in.Bucket, Key: in.Key, VersionId: in.VersionId, ExpectedBucketOwner: in.ExpectedBucketOwner, SSECustomerAlgorithm: in.SSECustomerAlgorithm})
	if err != nil {
		return nil, err
	}
	out := &s3api.GetObjectAttributesOutput{LastModified: api.At(o.Modified)}
	asked := func(a s3api.ObjectAttributes) bool { return slices.Contains(in.ObjectAttributes, a) }
	if asked(s3api.ObjectAttributesETag) {
		out.ETag = &o.ETag // here without quotation marks
	}
	if asked(s3api.ObjectAttributesObjectSize) {
		out.ObjectSize = &o.Size
	}
	if asked(s3api.ObjectAttributesStorageClass) {
		out.StorageClass = classToAPI(o.Headers.StorageClass)
	}
	if asked(s3api.ObjectAttributesChecksum) && o.Checksums != nil {
		out.Checksum = &s3api.Checksum{ChecksumType: s3api.ChecksumType(o.ChecksumType)}
		show(out.Checksum, o.Checksums)
	}
	if asked(s3api.ObjectAttributesObjectParts) && o.Parts != nil {
		limit, err := page(in.MaxParts)
		if err != nil {
			return nil, err
		}
		out.ObjectParts = partsOf(o, limit, api.Value(in.PartNumberMarker))
	}
	return out, nil
}

// partsOf lists parts only where they have checksums, as S3 does; of others it
// tells the number.
func partsOf(o *object, limit, marker int32) *s3api.GetObjectAttributesParts {
	out := &s3api.GetObjectAttributesParts{
		TotalPartsCount: api.Ptr(int32(len(o.Parts))), MaxParts: &limit, PartNumberMarker: &marker, IsTruncated: api.Ptr(false), NextPartNumberMarker: api.Ptr(int32(0)),
	}
	for _, p := range o.Parts {
		if p.Number <= marker || p.Checksums == nil {
			continue
		}
		if len(out.Parts) == int(limit) {
			out.IsTruncated = api.Ptr(true)
			break
		}
		x := s3api.ObjectPart{PartNumber: &p.Number, Size: &p.Size}
		show(&x, p.Checksums)
		out.Parts = append(out.Parts, x)
		out.NextPartNumberMarker = &p.Number
	}
	return out
}
