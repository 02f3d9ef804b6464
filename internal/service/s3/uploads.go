package s3

import (
	"cmp"
	"context"
	"slices"
	"strings"

	"github.com/remit-ecs/remit/internal/api"
	"github.com/remit-ecs/remit/internal/api/s3api"
	"github.com/remit-ecs/remit/internal/authz"
	"github.com/remit-ecs/remit/internal/gateway"
	"github.com/remit-ecs/remit/internal/store"
)

func (s *Service) mayListParts(c *gateway.Call, in *s3api.ListPartsInput) ([]authz.Ask, error) {
	return one(askObject(c, "s3:ListMultipartUploadParts", in.Bucket, in.Key, nil))
}

// https://docs.aws.amazon.com/AmazonS3/latest/API/API_ListParts.html
func (s *Service) listParts(c *gateway.Call, in *s3api.ListPartsInput) (*s3api.ListPartsOutput, error) {
	u, err := underway(c, in.Bucket, in.Key, in.UploadId, in.ExpectedBucketOwner)
	if err != nil {
		return nil, err
	}
	limit, err := page(in.MaxParts)
	if err != nil {
		return nil, err
	}
	marker := api.Value(in.PartNumberMarker)
	out := &s3api.ListPartsOutput{
		Bucket: in.Bucket, Key: in.Key, UploadId: in.UploadId, MaxParts: &limit, PartNumberMarker: &marker,
		NextPartNumberMarker: api.Ptr(int32(0)), IsTruncated: api.Ptr(false), StorageClass: classToAPI(u.Headers.StorageClass),
		Initiator: &s3api.Initiator{ID: &u.Initiator}, Owner: owner(ownerOf(c, *in.Bucket)),
		ChecksumAlgorithm: s3api.ChecksumAlgorithm(u.Algorithm), ChecksumType: s3api.ChecksumType(u.ChecksumType),
	}
	for key, p := range parts.Prefix(c.Tx, c.Home, *in.UploadId+"/") {
		n := partNumber(key)
		if n <= marker {
			continue
		}
		if len(out.Parts) == int(limit) {
			out.IsTruncated = api.Ptr(true)
			break
		}
		out.NextPartNumberMarker = &n
		x := s3api.Part{PartNumber: &n, ETag: quoted(p.MD5), Size: &p.Size, LastModified: api.At(p.Modified)}
		show(&x, p.Checksums)
		out.Parts = append(out.Parts, x)
	}
	return out, nil
}

func classToAPI(class string) s3api.StorageClass {
	if class == "" {
		return s3api.StorageClassStandard
	}
	return s3api.StorageClass(class)
}

func (s *Service) mayListMultipartUploads(c *gateway.Call, in *s3api.ListMultipartUploadsInput) ([]authz.Ask, error) {
	return one(askBucket(c, "s3:ListBucketMultipartUploads", in.Bucket, nil))
}

// begun is an upload with its id.
type begun struct {
	id string
	*upload
}

// listMultipartUploads lists uploads by key, and those of one key by their age.
// https://docs.aws.amazon.com/AmazonS3/latest/API/API_ListMultipartUploads.html
func (s *Service) listMultipartUploads(c *gateway.Call, in *s3api.ListMultipartUploadsInput) (*s3api.ListMultipartUploadsOutput, error) {
	b, err := open(c, in.Bucket, in.ExpectedBucketOwner)
	if err != nil {
		return nil, err
	}
	limit, err := page(in.MaxUploads)
	if err != nil {
		return nil, err
	}
	prefix, delimiter := api.Value(in.Prefix), api.Value(in.Delimiter)
	keyMarker, idMarker := api.Value(in.KeyMarker), api.Value(in.UploadIdMarker)
	var all []begun
	for id, u := range uploads.Prefix(c.Tx, c.Home, "") {
		if u.BucketID == b.ID && strings.HasPrefix(u.Key, prefix) {
			all = append(all, begun{id, u})
		}
	}
	slices.SortFunc(all, func(x, y begun) int {
		return cmp.Or(strings.Compare(x.Key, y.Key), x.Initiated.Compare(y.Initiated), strings.Compare(x.id, y.id))
	})
	// What follows the markers: behind that very upload, or, where it is gone or
	// not named, behind its key.
	if i := slices.IndexFunc(all, func(u begun) bool { return idMarker != "" && u.Key == keyMarker && u.id == idMarker }); i >= 0 {
		all = all[i+1:]
	} else if keyMarker != "" {
		all = slices.DeleteFunc(all, func(u begun) bool { return u.Key <= keyMarker })
	}
	e := encoding(in.EncodingType)
	out := &s3api.ListMultipartUploadsOutput{
		Bucket: in.Bucket, Prefix: e.text(prefix), Delimiter: e.ptr(in.Delimiter), KeyMarker: e.text(keyMarker), UploadIdMarker: &idMarker,
		MaxUploads: &limit, IsTruncated: api.Ptr(false), EncodingType: in.EncodingType,
	}
	seen := ""
	for _, u := range all {
		group := ""
		if delimiter != "" {
			if i := strings.Index(u.Key[len(prefix):], delimiter); i >= 0 {
				group = u.Key[:len(prefix)+i+len(delimiter)]
			}
		}
		if group != "" && (group == seen || strings.HasPrefix(keyMarker, group)) {
			continue
		}
		if len(out.Uploads)+len(out.CommonPrefixes) == int(limit) {
			out.IsTruncated = api.Ptr(limit > 0)
			break
		}
		if group != "" {
			seen = group
			out.CommonPrefixes = append(out.CommonPrefixes, s3api.CommonPrefix{Prefix: e.text(group)})
			out.NextKeyMarker, out.NextUploadIdMarker = e.text(group), nil
			continue
		}
		out.NextKeyMarker, out.NextUploadIdMarker = e.text(u.Key), api.Ptr(u.id)
		out.Uploads = append(out.Uploads, s3api.MultipartUpload{
			Key: e.text(u.Key), UploadId: api.Ptr(u.id), Initiated: api.At(u.Initiated), Initiator: &s3api.Initiator{ID: &u.Initiator},
			Owner: owner(b.Account), StorageClass: classToAPI(u.Headers.StorageClass),
			ChecksumAlgorithm: s3api.ChecksumAlgorithm(u.Algorithm), ChecksumType: s3api.ChecksumType(u.ChecksumType),
		})
	}
	return out, nil
}

// Sweep removes the uploads of buckets that were deleted before the uploads
// were completed. It is to be called before blobs are collected; when it fails
// halfway it can be called again.
func (s *Service) Sweep(ctx context.Context) error {
	for _, shard := range uploads.Shards(s.store.View(ctx)) {
		err := s.store.Update(ctx, shard, func(tx *store.Tx) error {
			for id, u := range uploads.Prefix(tx, shard, "") {
				if !orphaned(tx, shard, u) {
					continue
				}
				for key := range parts.Prefix(tx, shard, id+"/") {
					parts.Delete(tx, key)
				}
				uploads.Delete(tx, id)
			}
			return nil
		})
		if err != nil {
			return err
		}
	}
	return nil
}
