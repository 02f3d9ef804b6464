package s3

import (
	"encoding/hex"
	"errors"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/remit-ecs/remit/internal/api"
	"github.com/remit-ecs/remit/internal/api/s3api"
	"github.com/remit-ecs/remit/internal/authz"
	"github.com/remit-ecs/remit/internal/blob"
	"github.com/remit-ecs/remit/internal/gateway"
)

// https://docs.aws.amazon.com/AmazonS3/latest/userguide/qfacts.html
const (
	maxKey      = 1024    // bytes
	maxMetadata = 2 << 10 // bytes of names and values
	maxPut      = 5 << 30 // bytes in one request
	maxParts    = 10000
	minPart     = 5 << 20 // bytes, of all parts but the last
	maxObject   = 50 << 40
)

// checkKey refuses a key that no object can have.
func checkKey(key *string) error {
	switch k := api.Value(key); {
	case len(k) > maxKey:
		return clientError("KeyTooLongError", http.StatusBadRequest, "Your key is too long").With("Size", len(k)).With("MaxSizeAllowed", maxKey)
	case strings.ContainsRune(k, 0):
		return clientError("InvalidURI", http.StatusBadRequest, "Couldn't parse the specified URI.")
	}
	return nil
}

// noVersion refuses to name a version: buckets here never have any but "null".
func noVersion(id *string) error {
	if id != nil && *id != "null" {
		return invalidArgument("Invalid version id specified")
	}
	return nil
}

// putKeys are the condition keys of s3:PutObject. An operation that creates the
// object at once is told from those that only prepare it, so that a policy can
// demand conditional writes.
// https://docs.aws.amazon.com/AmazonS3/latest/userguide/conditional-writes-enforce.html
func putKeys(c *gateway.Call, creates bool, acl s3api.ObjectCannedACL, class s3api.StorageClass, sse s3api.ServerSideEncryption, tags []tag, w conditionalWrite) keys {
	k := keys{"s3:objectcreationoperation": {strconv.FormatBool(creates)}}
	k.set("s3:x-amz-acl", string(acl)).set("s3:x-amz-storage-class", string(class)).set("s3:x-amz-server-side-encryption", string(sse))
	k.ptr("s3:if-match", w.match).ptr("s3:if-none-match", w.noneMatch)
	k.headers(c, putHeaders)
	return requestTags(k, tags)
}

// putHeaders are condition keys that repeat a header of the request; most of
// them ask for what is not served, and are refused after the policies were
// asked.
var putHeaders = map[string]string{
	"s3:x-amz-grant-full-control":                        "X-Amz-Grant-Full-Control",
	"s3:x-amz-grant-read":                                "X-Amz-Grant-Read",
	"s3:x-amz-grant-read-acp":                            "X-Amz-Grant-Read-Acp",
	"s3:x-amz-grant-write":                               "X-Amz-Grant-Write",
	"s3:x-amz-grant-write-acp":                           "X-Amz-Grant-Write-Acp",
	"s3:x-amz-server-side-encryption-aws-kms-key-id":     "X-Amz-Server-Side-Encryption-Aws-Kms-Key-Id",
	"s3:x-amz-server-side-encryption-customer-algorithm": "X-Amz-Server-Side-Encryption-Customer-Algorithm",
	"s3:x-amz-website-redirect-location":                 "X-Amz-Website-Redirect-Location",
	"s3:object-lock-mode":                                "X-Amz-Object-Lock-Mode",
	"s3:object-lock-legal-hold":                          "X-Amz-Object-Lock-Legal-Hold",
	"s3:object-lock-retain-until-date":                   "X-Amz-Object-Lock-Retain-Until-Date",
}

// asksToPut are the questions of every operation that makes an object: to tag
// it, to give it an ACL, and to learn by If-Match what is there, need more than
// s3:PutObject.
func asksToPut(c *gateway.Call, bucket, key *string, k keys, acl s3api.ObjectCannedACL, tags []tag, w conditionalWrite) ([]authz.Ask, error) {
	a, err := askObject(c, "s3:PutObject", bucket, key, k)
	if err != nil {
		return nil, err
	}
	asks := []authz.Ask{a}
	if acl != "" {
		a, _ = askObject(c, "s3:PutObjectAcl", bucket, key, keys{}.set("s3:x-amz-acl", string(acl)))
		asks = append(asks, a)
	}
	if len(tags) > 0 {
		a, _ = askObject(c, "s3:PutObjectTagging", bucket, key, requestTags(keys{}, tags))
		asks = append(asks, a)
	}
	if w.match != nil {
		a, _ = askObject(c, "s3:GetObject", bucket, key, nil)
		asks = append(asks, a)
	}
	return asks, nil
}

// unserved refuses what an object cannot be stored with here. Encryption is
// among it: bytes lie on the disk as they came, and saying otherwise would be
// worse than saying no.
func unserved(acl s3api.ObjectCannedACL, grants []*string, sse s3api.ServerSideEncryption, customerKey *string, lock bool, class s3api.StorageClass) error {
	if acl != "" && acl != s3api.ObjectCannedACLBucketOwnerFullControl {
		return clientError("AccessControlListNotSupported", http.StatusBadRequest, "The bucket does not allow ACLs")
	}
	for _, g := range grants {
		if g != nil {
			return clientError("AccessControlListNotSupported", http.StatusBadRequest, "The bucket does not allow ACLs")
		}
	}
	switch {
	case sse != "":
		return notServed("x-amz-server-side-encryption")
	case customerKey != nil:
		return notServed("x-amz-server-side-encryption-customer-algorithm")
	case lock:
		return invalidRequest("Bucket is missing Object Lock Configuration")
	}
	switch class {
	case "", s3api.StorageClassStandard, s3api.StorageClassReducedRedundancy, s3api.StorageClassStandardIa,
		s3api.StorageClassOnezoneIa, s3api.StorageClassIntelligentTiering, s3api.StorageClassGlacierIr:
		return nil // names only: all bytes lie in the same place
	case s3api.StorageClassGlacier, s3api.StorageClassDeepArchive:
		return notServed("x-amz-storage-class " + string(class))
	}
	return clientError("InvalidStorageClass", http.StatusBadRequest, "The storage class you specified is not valid")
}

func classOf(c s3api.StorageClass) string {
	if c == s3api.StorageClassStandard {
		return ""
	}
	return string(c)
}

// check refuses metadata that is too much, and drops what describes the
// transport and not the object.
func (h *headers) check() error {
	size := 0
	for k, v := range h.Metadata {
		size += len(k) + len(v)
	}
	if size > maxMetadata {
		return clientError("MetadataTooLarge", http.StatusBadRequest, "Your metadata headers exceed the maximum allowed metadata size").With("Size", size).With("MaxSizeAllowed", maxMetadata)
	}
	if h.ContentEncoding != nil {
		var kept []string
		for e := range strings.SplitSeq(*h.ContentEncoding, ",") {
			if e = strings.TrimSpace(e); e != "" && e != "aws-chunked" {
				kept = append(kept, e)
			}
		}
		if h.ContentEncoding = nil; kept != nil {
			h.ContentEncoding = api.Ptr(strings.Join(kept, ","))
		}
	}
	if h.ContentType == nil || *h.ContentType == "" {
		h.ContentType = api.Ptr("binary/octet-stream")
	}
	return nil
}

func (s *Service) mayPutObject(c *gateway.Call, in *s3api.PutObjectInput) ([]authz.Ask, error) {
	if err := checkKey(in.Key); err != nil {
		return nil, err
	}
	if n := api.Value(in.ContentLength); n > maxPut {
		return nil, clientError("EntityTooLarge", http.StatusBadRequest, "Your proposed upload exceeds the maximum allowed size").With("ProposedSize", n).With("MaxSizeAllowed", int64(maxPut))
	}
	tags, err := parseTagging(in.Tagging)
	if err != nil {
		return nil, err
	}
	w := conditionalWrite{in.IfMatch, in.IfNoneMatch}
	return asksToPut(c, in.Bucket, in.Key, putKeys(c, true, in.ACL, in.StorageClass, in.ServerSideEncryption, tags, w), in.ACL, tags, w)
}

// putObject makes the object of the body that the gateway has stored.
// https://docs.aws.amazon.com/AmazonS3/latest/API/API_PutObject.html
func (s *Service) putObject(c *gateway.Call, in *s3api.PutObjectInput) (*s3api.PutObjectOutput, error) {
	if _, err := open(c, in.Bucket, in.ExpectedBucketOwner); err != nil {
		return nil, err
	}
	err := unserved(in.ACL, []*string{in.GrantFullControl, in.GrantRead, in.GrantReadACP, in.GrantWriteACP}, in.ServerSideEncryption,
		in.SSECustomerAlgorithm, in.ObjectLockMode != "" || in.ObjectLockLegalHoldStatus != "" || in.ObjectLockRetainUntilDate != nil, in.StorageClass)
	if err != nil {
		return nil, err
	}
	if in.WriteOffsetBytes != nil {
		return nil, notServed("x-amz-write-offset-bytes")
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
	if w := (conditionalWrite{in.IfMatch, in.IfNoneMatch}); w.any() {
		now, _ := objects.Get(c.Tx, c.Home, *in.Key)
		if err := mayReplace(w, now, *in.Key); err != nil {
			return nil, err
		}
	}
	sp := c.Spooled
	if sp == nil {
		return nil, errors.New("s3: PutObject without a body")
	}
	o := &object{
		Size: sp.Size, ETag: hex.EncodeToString(sp.MD5[:]), Modified: c.Time,
		Headers: h, Tags: tags, Checksums: verified(sp.Checksums),
	}
	if sp.Size > 0 {
		o.Extents = []extent{{Blob: sp.Digest, Size: sp.Size}}
	}
	if o.Checksums != nil {
		o.ChecksumType = fullObject
	}
	objects.Put(c.Tx, *in.Key, o)
	out := &s3api.PutObjectOutput{ETag: quoted(o.ETag), ChecksumType: s3api.ChecksumType(o.ChecksumType)}
	show(out, o.Checksums)
	return out, nil
}

func quoted(etag string) *string { return api.Ptr(`"` + etag + `"`) }

// lookKeys are the condition keys of reading an object: its own tags.
func lookKeys(c *gateway.Call, bucket, key *string) keys {
	o, _ := objects.Get(c.Tx, contentsShard(api.Value(bucket)), api.Value(key))
	return existingTags(keys{}, o)
}

func (s *Service) mayGetObject(c *gateway.Call, in *s3api.GetObjectInput) ([]authz.Ask, error) {
	return one(askObject(c, "s3:GetObject", in.Bucket, in.Key, lookKeys(c, in.Bucket, in.Key)))
}

// getObject hands out an object, or a stretch of it.
// https://docs.aws.amazon.com/AmazonS3/latest/API/API_GetObject.html
func (s *Service) getObject(c *gateway.Call, in *s3api.GetObjectInput) (*s3api.GetObjectOutput, error) {
	o, r, err := s.look(c, (*s3api.HeadObjectInput)(in))
	if err != nil {
		return nil, err
	}
	for _, x := range slice(o.Extents, r.offset, r.size) {
		if _, err := s.blobs.Stat(x.Blob); err != nil {
			if errors.Is(err, blob.ErrNotFound) {
				return nil, api.Internal(err)
			}
			return nil, err
		}
	}
	h := o.Headers
	out := &s3api.GetObjectOutput{
		Body:         s.read(o.Extents, r.offset, r.size),
		AcceptRanges: api.Ptr("bytes"), ContentLength: &r.size, ContentRange: r.header(o.Size),
		ETag: quoted(o.ETag), LastModified: api.At(o.Modified), Metadata: h.Metadata,
		CacheControl: h.CacheControl, ContentDisposition: h.ContentDisposition, ContentEncoding: h.ContentEncoding,
		ContentLanguage: h.ContentLanguage, ContentType: h.ContentType, Expires: h.Expires,
		WebsiteRedirectLocation: h.WebsiteRedirect, StorageClass: s3api.StorageClass(h.StorageClass),
	}
	override(&out.CacheControl, in.ResponseCacheControl)
	override(&out.ContentDisposition, in.ResponseContentDisposition)
	override(&out.ContentEncoding, in.ResponseContentEncoding)
	override(&out.ContentLanguage, in.ResponseContentLanguage)
	override(&out.ContentType, in.ResponseContentType)
	override(&out.Expires, httpDate(in.ResponseExpires))
	if r.parts > 0 {
		out.PartsCount = &r.parts
	}
	if len(o.Tags) > 0 {
		out.TagCount = api.Ptr(int32(len(o.Tags)))
	}
	if in.ChecksumMode == s3api.ChecksumModeEnabled && r.size == o.Size {
		show(out, o.Checksums)
		out.ChecksumType = s3api.ChecksumType(o.ChecksumType)
	}
	return out, nil
}

func override(p **string, v *string) {
	if v != nil {
		*p = v
	}
}

func httpDate(t *api.Time) *string {
	if t == nil {
		return nil
	}
	return api.Ptr(t.UTC().Format(http.TimeFormat))
}

// look finds the object of a GetObject or a HeadObject and checks what the
// request demands of it.
func (s *Service) look(c *gateway.Call, in *s3api.HeadObjectInput) (*object, span, error) {
	if _, err := open(c, in.Bucket, in.ExpectedBucketOwner); err != nil {
		return nil, span{}, err
	}
	if err := noVersion(in.VersionId); err != nil {
		return nil, span{}, err
	}
	if in.SSECustomerAlgorithm != nil || in.SSECustomerKey != nil {
		return nil, span{}, invalidRequest("The encryption parameters are not applicable to this object.")
	}
	o, err := find(c, *in.Bucket, *in.Key)
	if err != nil {
		return nil, span{}, err
	}
	p := conditions{in.IfMatch, in.IfNoneMatch, in.IfModifiedSince, in.IfUnmodifiedSince}
	if err := p.check(o, func(string) *api.Error { return notModified() }); err != nil {
		return nil, span{}, err
	}
	r, err := stretch(o, in.Range, in.PartNumber)
	return o, r, err
}

func (s *Service) mayHeadObject(c *gateway.Call, in *s3api.HeadObjectInput) ([]authz.Ask, error) {
	return one(askObject(c, "s3:GetObject", in.Bucket, in.Key, lookKeys(c, in.Bucket, in.Key)))
}

// headObject tells what getObject would hand out.
// https://docs.aws.amazon.com/AmazonS3/latest/API/API_HeadObject.html
func (s *Service) headObject(c *gateway.Call, in *s3api.HeadObjectInput) (*s3api.HeadObjectOutput, error) {
	o, r, err := s.look(c, in)
	if err != nil {
		return nil, err
	}
	h := o.Headers
	out := &s3api.HeadObjectOutput{
		AcceptRanges: api.Ptr("bytes"), ContentLength: &r.size, ContentRange: r.header(o.Size),
		ETag: quoted(o.ETag), LastModified: api.At(o.Modified), Metadata: h.Metadata,
		CacheControl: h.CacheControl, ContentDisposition: h.ContentDisposition, ContentEncoding: h.ContentEncoding,
		ContentLanguage: h.ContentLanguage, ContentType: h.ContentType, Expires: h.Expires,
		WebsiteRedirectLocation: h.WebsiteRedirect, StorageClass: s3api.StorageClass(h.StorageClass),
	}
	override(&out.CacheControl, in.ResponseCacheControl)
	override(&out.ContentDisposition, in.ResponseContentDisposition)
	override(&out.ContentEncoding, in.ResponseContentEncoding)
	override(&out.ContentLanguage, in.ResponseContentLanguage)
	override(&out.ContentType, in.ResponseContentType)
	override(&out.Expires, httpDate(in.ResponseExpires))
	if r.parts > 0 {
		out.PartsCount = &r.parts
	}
	if len(o.Tags) > 0 {
		out.TagCount = api.Ptr(int32(len(o.Tags)))
	}
	if in.ChecksumMode == s3api.ChecksumModeEnabled && r.size == o.Size {
		show(out, o.Checksums)
		out.ChecksumType = s3api.ChecksumType(o.ChecksumType)
	}
	return out, nil
}

func (s *Service) mayDeleteObject(c *gateway.Call, in *s3api.DeleteObjectInput) ([]authz.Ask, error) {
	return one(askObject(c, "s3:DeleteObject", in.Bucket, in.Key, keys{}.ptr("s3:if-match", in.IfMatch)))
}

// deleteObject removes an object; that there is none is no error.
// https://docs.aws.amazon.com/AmazonS3/latest/API/API_DeleteObject.html
func (s *Service) deleteObject(c *gateway.Call, in *s3api.DeleteObjectInput) (*s3api.DeleteObjectOutput, error) {
	if _, err := open(c, in.Bucket, in.ExpectedBucketOwner); err != nil {
		return nil, err
	}
	if err := noVersion(in.VersionId); err != nil {
		return nil, err
	}
	if err := remove(c, *in.Key, in.IfMatch, in.IfMatchSize, in.IfMatchLastModifiedTime); err != nil {
		return nil, err
	}
	return &s3api.DeleteObjectOutput{}, nil
}

// remove deletes an object of the home shard, if it is the one that the caller
// means.
func remove(c *gateway.Call, key string, etag *string, size *int64, modified *api.Time) error {
	o, ok := objects.Get(c.Tx, c.Home, key)
	if !ok {
		if etag != nil {
			return noSuchKey(key)
		}
		return nil
	}
	switch {
	case etag != nil && !etagMatches(*etag, o.ETag),
		size != nil && *size != o.Size,
		modified != nil && !modified.Truncate(time.Second).Equal(o.Modified.Truncate(time.Second)):
		return preconditionFailed("If-Match")
	}
	objects.Delete(c.Tx, key)
	return nil
}
