package s3

import (
	"crypto/md5"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"

	"github.com/remit-ecs/remit/internal/api"
	"github.com/remit-ecs/remit/internal/api/s3api"
	"github.com/remit-ecs/remit/internal/authz"
	"github.com/remit-ecs/remit/internal/gateway"
	"github.com/remit-ecs/remit/internal/id"
	"github.com/remit-ecs/remit/internal/session"
)

func formatInt(n int64) string { return strconv.FormatInt(n, 10) }

// partKey orders the parts of an upload by their numbers.
func partKey(upload string, number int32) string { return fmt.Sprintf("%s/%05d", upload, number) }

func partNumber(key string) int32 {
	n, _ := strconv.ParseInt(key[strings.LastIndexByte(key, '/')+1:], 10, 32)
	return int32(n)
}

func checkPartNumber(n *int32) error {
	if n == nil || *n < 1 || *n > maxParts {
		return invalidArgument("Part number must be an integer between 1 and 10000, inclusive")
	}
	return nil
}

// underway returns an upload of an authorised request.
func underway(c *gateway.Call, bucket, key, uploadID, expectedOwner *string) (*upload, error) {
	b, err := open(c, bucket, expectedOwner)
	if err != nil {
		return nil, err
	}
	u, ok := uploads.Get(c.Tx, c.Home, api.Value(uploadID))
	if !ok || u.Key != api.Value(key) || u.BucketID != b.ID {
		return nil, noSuchUpload(api.Value(uploadID))
	}
	return u, nil
}

func (s *Service) mayCreateMultipartUpload(c *gateway.Call, in *s3api.CreateMultipartUploadInput) ([]authz.Ask, error) {
	if err := checkKey(in.Key); err != nil {
		return nil, err
	}
	tags, err := parseTagging(in.Tagging)
	if err != nil {
		return nil, err
	}
	k := putKeys(c, false, in.ACL, in.StorageClass, in.ServerSideEncryption, tags, conditionalWrite{})
	return asksToPut(c, in.Bucket, in.Key, k, in.ACL, tags, conditionalWrite{})
}

// createMultipartUpload begins an upload in parts.
// https://docs.aws.amazon.com/AmazonS3/latest/API/API_CreateMultipartUpload.html
func (s *Service) createMultipartUpload(c *gateway.Call, in *s3api.CreateMultipartUploadInput) (*s3api.CreateMultipartUploadOutput, error) {
	b, err := open(c, in.Bucket, in.ExpectedBucketOwner)
	if err != nil {
		return nil, err
	}
	if c.Principal.Type == session.Anonymous {
		return nil, api.AccessDenied("Anonymous users cannot initiate multipart uploads.  Please authenticate.")
	}
	err = unserved(in.ACL, []*string{in.GrantFullControl, in.GrantRead, in.GrantReadACP, in.GrantWriteACP}, in.ServerSideEncryption,
		in.SSECustomerAlgorithm, in.ObjectLockMode != "" || in.ObjectLockLegalHoldStatus != "" || in.ObjectLockRetainUntilDate != nil, in.StorageClass)
	if err != nil {
		return nil, err
	}
	h := headers{
		CacheControl: in.CacheControl, ContentDisposition: in.ContentDisposition, ContentEncoding: in.ContentEncoding,
		ContentLanguage: in.ContentLanguage, ContentType: in.ContentType, Expires: in.Expires,
		WebsiteRedirect: in.WebsiteRedirectLocation, StorageClass: classOf(in.StorageClass), Metadata: in.Metadata,
	}
	if err := h.check(); err != nil {
		return nil, err
	}
	tags, err := parseTagging(in.Tagging)
	if err == nil {
		err = checkTags(tags, maxObjectTags)
	}
	if err != nil {
		return nil, err
	}
	kind, err := checksumType(string(in.ChecksumAlgorithm), string(in.ChecksumType))
	if err != nil {
		return nil, err
	}
	uploadID := id.Hex(c.IDs, 48)
	uploads.Put(c.Tx, uploadID, &upload{
		BucketID: b.ID, Key: *in.Key, Initiated: c.Time, Initiator: c.Principal.ARN, Headers: h, Tags: tags,
		Algorithm: string(in.ChecksumAlgorithm), ChecksumType: kind,
	})
	return &s3api.CreateMultipartUploadOutput{
		Bucket: in.Bucket, Key: in.Key, UploadId: &uploadID,
		ChecksumAlgorithm: in.ChecksumAlgorithm, ChecksumType: s3api.ChecksumType(kind),
	}, nil
}

func (s *Service) mayUploadPart(c *gateway.Call, in *s3api.UploadPartInput) ([]authz.Ask, error) {
	if err := checkPartNumber(in.PartNumber); err != nil {
		return nil, err
	}
	if n := api.Value(in.ContentLength); n > maxPut {
		return nil, clientError("EntityTooLarge", http.StatusBadRequest, "Your proposed upload exceeds the maximum allowed size").With("ProposedSize", n).With("MaxSizeAllowed", int64(maxPut))
	}
	return one(askObject(c, "s3:PutObject", in.Bucket, in.Key, keys{"s3:objectcreationoperation": {"false"}}))
}

// uploadPart keeps a part; one of the same number before it is forgotten.
// https://docs.aws.amazon.com/AmazonS3/latest/API/API_UploadPart.html
func (s *Service) uploadPart(c *gateway.Call, in *s3api.UploadPartInput) (*s3api.UploadPartOutput, error) {
	u, err := underway(c, in.Bucket, in.Key, in.UploadId, in.ExpectedBucketOwner)
	if err != nil {
		return nil, err
	}
	if in.SSECustomerAlgorithm != nil {
		return nil, notServed("x-amz-server-side-encryption-customer-algorithm")
	}
	sp := c.Spooled
	if sp == nil {
		return nil, errors.New("s3: UploadPart without a body")
	}
	p := &part{Size: sp.Size, MD5: hex.EncodeToString(sp.MD5[:]), Modified: c.Time, Checksums: verified(sp.Checksums)}
	if sp.Size > 0 {
		p.Extents = []extent{{Blob: sp.Digest, Size: sp.Size}}
	}
	if _, has := p.Checksums[u.Algorithm]; u.Algorithm != "" && !has {
		for other := range p.Checksums {
			return nil, invalidRequest("Checksum Type mismatch occurred, expected checksum Type: " + strings.ToLower(u.Algorithm) + ", actual checksum Type: " + strings.ToLower(other))
		}
		sum := newHash(u.Algorithm)
		if err := s.feed(p.Extents, 0, p.Size, sum); err != nil {
			return nil, err
		}
		p.Checksums = map[string]string{u.Algorithm: base64Sum(sum)}
	}
	parts.Put(c.Tx, partKey(*in.UploadId, *in.PartNumber), p)
	out := &s3api.UploadPartOutput{ETag: quoted(p.MD5)}
	show(out, p.Checksums)
	return out, nil
}

func (s *Service) mayCompleteMultipartUpload(c *gateway.Call, in *s3api.CompleteMultipartUploadInput) ([]authz.Ask, error) {
	w := conditionalWrite{in.IfMatch, in.IfNoneMatch}
	return asksToPut(c, in.Bucket, in.Key, putKeys(c, true, "", "", "", nil, w), "", nil, w)
}

// completeMultipartUpload makes an object of the parts that the caller lists.
// The bytes stay where they are: the object's extents are those of the parts.
// https://docs.aws.amazon.com/AmazonS3/latest/API/API_CompleteMultipartUpload.html
func (s *Service) completeMultipartUpload(c *gateway.Call, in *s3api.CompleteMultipartUploadInput) (*s3api.CompleteMultipartUploadOutput, error) {
	u, err := underway(c, in.Bucket, in.Key, in.UploadId, in.ExpectedBucketOwner)
	if err != nil {
		// An answer that got lost is given again.
		if o, ok := objects.Get(c.Tx, c.Home, api.Value(in.Key)); ok && o.UploadID != "" && o.UploadID == *in.UploadId {
			return completed(c, in, o), nil
		}
		return nil, err
	}
	if in.MultipartUpload == nil || len(in.MultipartUpload.Parts) == 0 {
		return nil, malformedXML()
	}
	if w := (conditionalWrite{in.IfMatch, in.IfNoneMatch}); w.any() {
		now, _ := objects.Get(c.Tx, c.Home, *in.Key)
		if err := mayReplace(w, now, *in.Key); err != nil {
			return nil, err
		}
	}
	o, err := assemble(c, u, *in.UploadId, in.MultipartUpload.Parts)
	if err != nil {
		return nil, err
	}
	for alg, sum := range told(in) {
		if have, ok := o.Checksums[alg]; ok && strings.TrimSuffix(have, "-"+strconv.Itoa(len(o.Parts))) != strings.TrimSuffix(sum, "-"+strconv.Itoa(len(o.Parts))) {
			return nil, clientError("BadDigest", http.StatusBadRequest, "The "+alg+" you specified did not match the calculated checksum.")
		}
	}
	if in.ChecksumType != "" && u.ChecksumType != "" && string(in.ChecksumType) != u.ChecksumType {
		return nil, invalidRequest("The upload was created using the " + u.ChecksumType + " checksum mode. The complete request must use the same checksum mode.")
	}
	if in.MpuObjectSize != nil && *in.MpuObjectSize != o.Size {
		return nil, invalidRequest("The provided 'x-amz-mp-object-size' header value " + formatInt(*in.MpuObjectSize) + " does not match what was computed: " + formatInt(o.Size))
	}
	o.UploadID = *in.UploadId
	objects.Put(c.Tx, *in.Key, o)
	forget(c, *in.UploadId)
	return completed(c, in, o), nil
}

func completed(c *gateway.Call, in *s3api.CompleteMultipartUploadInput, o *object) *s3api.CompleteMultipartUploadOutput {
	out := &s3api.CompleteMultipartUploadOutput{
		Bucket: in.Bucket, Key: in.Key, ETag: quoted(o.ETag), ChecksumType: s3api.ChecksumType(o.ChecksumType),
		Location: api.Ptr(c.Scheme + "://" + c.Host + "/" + *in.Bucket + "/" + *encoder(true).text(*in.Key)),
	}
	show(out, o.Checksums)
	return out
}

// assemble checks the list of parts against what was uploaded and makes the
// object. Parts that were uploaded and not listed are dropped.
func assemble(c *gateway.Call, u *upload, uploadID string, list []s3api.CompletedPart) (*object, error) {
	o := &object{Modified: c.Time, Headers: u.Headers, Tags: u.Tags}
	last := int32(0)
	for i := range list {
		if err := checkPartNumber(list[i].PartNumber); err != nil {
			return nil, err
		}
		if *list[i].PartNumber <= last {
			return nil, clientError("InvalidPartOrder", http.StatusBadRequest, "The list of parts was not in ascending order. The parts list must be specified in order by part number.").With("UploadId", uploadID)
		}
		last = *list[i].PartNumber
	}
	etags := md5.New()
	for i := range list {
		cp := &list[i]
		number := *cp.PartNumber
		p, ok := parts.Get(c.Tx, c.Home, partKey(uploadID, number))
		etag := strings.Trim(api.Value(cp.ETag), `"`)
		if !ok || etag != p.MD5 || !agree(p.Checksums, told(cp)) {
			return nil, clientError("InvalidPart", http.StatusBadRequest, "One or more of the specified parts could not be found.  The part may not have been uploaded, or the specified entity tag may not match the part's entity tag.").
				With("UploadId", uploadID).With("PartNumber", number).With("ETag", etag)
		}
		if p.Size < minPart && i < len(list)-1 {
			return nil, clientError("EntityTooSmall", http.StatusBadRequest, "Your proposed upload is smaller than the minimum allowed size").
				With("ETag", etag).With("MinSizeAllowed", minPart).With("ProposedSize", p.Size).With("PartNumber", number)
		}
		sum, err := hex.DecodeString(p.MD5)
		if err != nil {
			return nil, err
		}
		etags.Write(sum)
		o.Extents = append(o.Extents, p.Extents...)
		o.Size += p.Size
		op := objectPart{Number: number, Size: p.Size}
		if u.ChecksumType == composite { // of others, S3 does not tell those of the parts
			op.Checksums = p.Checksums
		}
		o.Parts = append(o.Parts, op)
	}
	if o.Size > maxObject {
		return nil, clientError("EntityTooLarge", http.StatusBadRequest, "Your proposed upload exceeds the maximum allowed object size.")
	}
	o.ETag = hex.EncodeToString(etags.Sum(nil)) + "-" + strconv.Itoa(len(list))
	if u.Algorithm != "" {
		sum, err := wholeChecksum(c, u, uploadID, o.Parts)
		if err != nil {
			return nil, err
		}
		o.Checksums, o.ChecksumType = map[string]string{u.Algorithm: sum}, u.ChecksumType
	}
	return o, nil
}

// agree tells whether what the caller says of checksums is what is known.
func agree(known, said map[string]string) bool {
	for alg, sum := range said {
		if have, ok := known[alg]; ok && have != sum {
			return false
		}
	}
	return true
}

// wholeChecksum derives the checksum of the object from those of its parts.
func wholeChecksum(c *gateway.Call, u *upload, uploadID string, list []objectPart) (string, error) {
	h := newHash(u.Algorithm)
	var whole []byte
	for _, op := range list {
		p, _ := parts.Get(c.Tx, c.Home, partKey(uploadID, op.Number))
		sum, err := base64.StdEncoding.DecodeString(p.Checksums[u.Algorithm])
		if err != nil || len(sum) != h.Size() {
			return "", fmt.Errorf("s3: part %d of upload %s has no %s", op.Number, uploadID, u.Algorithm)
		}
		if u.ChecksumType == composite {
			h.Write(sum)
		} else {
			whole = combineCRC(u.Algorithm, whole, sum, p.Size)
		}
	}
	if u.ChecksumType == composite {
		return base64Sum(h) + "-" + strconv.Itoa(len(list)), nil
	}
	return base64.StdEncoding.EncodeToString(whole), nil
}

// forget removes an upload and its parts from the home shard. The bytes that
// nothing else refers to are collected.
func forget(c *gateway.Call, uploadID string) {
	for key := range parts.Prefix(c.Tx, c.Home, uploadID+"/") {
		parts.Delete(c.Tx, key)
	}
	uploads.Delete(c.Tx, uploadID)
}

func (s *Service) mayAbortMultipartUpload(c *gateway.Call, in *s3api.AbortMultipartUploadInput) ([]authz.Ask, error) {
	return one(askObject(c, "s3:AbortMultipartUpload", in.Bucket, in.Key, nil))
}

// https://docs.aws.amazon.com/AmazonS3/latest/API/API_AbortMultipartUpload.html
func (s *Service) abortMultipartUpload(c *gateway.Call, in *s3api.AbortMultipartUploadInput) (*s3api.AbortMultipartUploadOutput, error) {
	u, err := underway(c, in.Bucket, in.Key, in.UploadId, in.ExpectedBucketOwner)
	if err != nil {
		return nil, err
	}
	if t := in.IfMatchInitiatedTime; t != nil && t.Unix() != u.Initiated.Unix() {
		return nil, preconditionFailed("If-Match-Initiated-Time")
	}
	forget(c, *in.UploadId)
	return &s3api.AbortMultipartUploadOutput{}, nil
}
