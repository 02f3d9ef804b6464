package s3

import (
	"crypto/md5"
	"encoding/hex"
	"hash"
	"io"
	"maps"
	"net/http"
	"net/url"
	"strings"
	"unicode/utf8"

	"github.com/remit-ecs/remit/internal/api"
	"github.com/remit-ecs/remit/internal/api/s3api"
	"github.com/remit-ecs/remit/internal/authz"
	"github.com/remit-ecs/remit/internal/gateway"
)

// source is the object that x-amz-copy-source names.
type source struct{ bucket, key string }

// parseSource reads "bucket/key", with or without a slash before it and a
// version behind it, in the encoding of URLs.
func parseSource(header *string) (source, error) {
	path, query, _ := strings.Cut(api.Value(header), "?")
	if v, ok := strings.CutPrefix(query, "versionId="); ok {
		if err := noVersion(&v); err != nil {
			return source{}, err
		}
	}
	if strings.HasPrefix(path, "arn:") {
		return source{}, notServed("an ARN as x-amz-copy-source")
	}
	path, err := url.PathUnescape(path)
	bucket, key, ok := strings.Cut(strings.TrimPrefix(path, "/"), "/")
	if err != nil || !ok || bucket == "" || key == "" || !utf8.ValidString(path) {
		return source{}, invalidArgument("Invalid copy source object key")
	}
	return source{bucket, key}, checkKey(&key)
}

// asks are the questions about the source. It may be in another region.
func (src source) asks(c *gateway.Call, withTags bool) []authz.Ask {
	o, _ := objects.Get(c.Tx, contentsShard(src.bucket), src.key)
	a := question(c, "s3:GetObject", objectARN(src.bucket, src.key), ownerOf(c, src.bucket), existingTags(keys{}, o))
	if o == nil || !withTags || len(o.Tags) == 0 {
		return []authz.Ask{a}
	}
	return []authz.Ask{a, question(c, "s3:GetObjectTagging", objectARN(src.bucket, src.key), ownerOf(c, src.bucket), existingTags(keys{}, o))}
}

// find returns the object, if it meets the conditions.
func (src source) find(c *gateway.Call, expectedOwner *string, p conditions) (*object, error) {
	if _, err := open(c, &src.bucket, expectedOwner); err != nil {
		return nil, err
	}
	o, err := find(c, src.bucket, src.key)
	if err != nil {
		return nil, err
	}
	return o, p.check(o, preconditionFailed)
}

func (s *Service) mayCopyObject(c *gateway.Call, in *s3api.CopyObjectInput) ([]authz.Ask, error) {
	src, err := parseSource(in.CopySource)
	if err == nil {
		err = checkKey(in.Key)
	}
	if err != nil {
		return nil, err
	}
	tags, err := parseTagging(in.Tagging)
	if err != nil {
		return nil, err
	}
	replace := in.TaggingDirective == s3api.TaggingDirectiveReplace
	asks := src.asks(c, !replace)
	switch {
	case !replace && len(asks) > 1: // the source's tags go with it
		o, _ := objects.Get(c.Tx, contentsShard(src.bucket), src.key)
		tags = o.Tags
	case !replace:
		tags = nil
	}
	w := conditionalWrite{in.IfMatch, in.IfNoneMatch}
	k := putKeys(c, true, in.ACL, in.StorageClass, in.ServerSideEncryption, tags, w)
	k.set("s3:x-amz-copy-source", "/"+src.bucket+"/"+src.key).set("s3:x-amz-metadata-directive", string(in.MetadataDirective))
	more, err := asksToPut(c, in.Bucket, in.Key, k, in.ACL, tags, w)
	return append(asks, more...), err
}

// copyObject makes an object that refers to the bytes of another.
// https://docs.aws.amazon.com/AmazonS3/latest/API/API_CopyObject.html
func (s *Service) copyObject(c *gateway.Call, in *s3api.CopyObjectInput) (*s3api.CopyObjectOutput, error) {
	if _, err := open(c, in.Bucket, in.ExpectedBucketOwner); err != nil {
		return nil, err
	}
	src, err := parseSource(in.CopySource)
	if err != nil {
		return nil, err
	}
	o, err := src.find(c, in.ExpectedSourceBucketOwner, conditions{in.CopySourceIfMatch, in.CopySourceIfNoneMatch, in.CopySourceIfModifiedSince, in.CopySourceIfUnmodifiedSince})
	if err != nil {
		return nil, err
	}
	err = unserved(in.ACL, []*string{in.GrantFullControl, in.GrantRead, in.GrantReadACP, in.GrantWriteACP}, in.ServerSideEncryption,
		in.SSECustomerAlgorithm, in.ObjectLockMode != "" || in.ObjectLockLegalHoldStatus != "" || in.ObjectLockRetainUntilDate != nil, in.StorageClass)
	if err != nil {
		return nil, err
	}
	if o.Size > maxPut {
		return nil, invalidRequest("The specified copy source is larger than the maximum allowable size for a copy source: 5368709120")
	}
	replace := in.MetadataDirective == s3api.MetadataDirectiveReplace
	h, err := copiedHeaders(o, in, replace)
	if err != nil {
		return nil, err
	}
	tags := o.Tags
	if in.TaggingDirective == s3api.TaggingDirectiveReplace {
		if tags, err = parseTagging(in.Tagging); err == nil {
			err = checkTags(tags, maxObjectTags)
		}
		if err != nil {
			return nil, err
		}
	}
	if src.bucket == *in.Bucket && src.key == *in.Key && !replace && in.TaggingDirective != s3api.TaggingDirectiveReplace &&
		h.StorageClass == o.Headers.StorageClass && in.WebsiteRedirectLocation == nil {
		return nil, invalidRequest("This copy request is illegal because it is trying to copy an object to itself without changing the object's metadata, storage class, website redirect location or encryption attributes.")
	}
	if w := (conditionalWrite{in.IfMatch, in.IfNoneMatch}); w.any() {
		now, _ := objects.Get(c.Tx, c.Home, *in.Key)
		if err := mayReplace(w, now, *in.Key); err != nil {
			return nil, err
		}
	}
	n := &object{Extents: o.Extents, Size: o.Size, ETag: o.ETag, Modified: c.Time, Headers: h, Tags: tags, Checksums: o.Checksums, ChecksumType: o.ChecksumType}
	if err := s.rehash(n, o, string(in.ChecksumAlgorithm)); err != nil {
		return nil, err
	}
	objects.Put(c.Tx, *in.Key, n)
	res := &s3api.CopyObjectResult{ETag: quoted(n.ETag), LastModified: api.At(n.Modified), ChecksumType: s3api.ChecksumType(n.ChecksumType)}
	show(res, n.Checksums)
	return &s3api.CopyObjectOutput{CopyObjectResult: res}, nil
}

// copiedHeaders are those of the source, or those of the request. The storage
// class and the redirect are never copied.
func copiedHeaders(o *object, in *s3api.CopyObjectInput, replace bool) (headers, error) {
	h := o.Headers
	h.Metadata = maps.Clone(h.Metadata)
	if replace {
		h = headers{
			CacheControl: in.CacheControl, ContentDisposition: in.ContentDisposition, ContentEncoding: in.ContentEncoding,
			ContentLanguage: in.ContentLanguage, ContentType: in.ContentType, Expires: in.Expires, Metadata: in.Metadata,
		}
	}
	h.WebsiteRedirect, h.StorageClass = in.WebsiteRedirectLocation, classOf(in.StorageClass)
	return h, h.check()
}

// rehash gives a copy the ETag and checksum of an object that came in one
// piece. The bytes are read only where the source does not tell.
func (s *Service) rehash(n, o *object, algorithm string) error {
	if algorithm == "" {
		for alg := range o.Checksums {
			algorithm = alg
		}
	}
	var etag, sum hash.Hash
	if strings.Contains(o.ETag, "-") {
		etag = md5.New()
	}
	if _, has := o.Checksums[algorithm]; algorithm != "" && (!has || o.ChecksumType == composite) {
		if sum = newHash(algorithm); sum == nil {
			return invalidRequest("Checksum algorithm provided is unsupported. Please try again with any of the valid types: [CRC32, CRC32C, CRC64NVME, SHA1, SHA256]")
		}
	}
	if err := s.feed(o.Extents, 0, o.Size, etag, sum); err != nil {
		return err
	}
	if etag != nil {
		n.ETag = hex.EncodeToString(etag.Sum(nil))
	}
	if sum != nil {
		n.Checksums, n.ChecksumType = map[string]string{algorithm: base64Sum(sum)}, fullObject
	}
	return nil
}

// feed reads bytes into those of the hashes that are not nil.
func (s *Service) feed(xs []extent, offset, size int64, hashes ...hash.Hash) error {
	var ws []io.Writer
	for _, h := range hashes {
		if h != nil {
			ws = append(ws, h)
		}
	}
	if ws == nil {
		return nil
	}
	r := s.read(xs, offset, size)
	defer r.Close()
	n, err := io.Copy(io.MultiWriter(ws...), r)
	if err == nil && n != size {
		err = io.ErrUnexpectedEOF
	}
	return err
}

func (s *Service) mayUploadPartCopy(c *gateway.Call, in *s3api.UploadPartCopyInput) ([]authz.Ask, error) {
	src, err := parseSource(in.CopySource)
	if err != nil {
		return nil, err
	}
	a, err := askObject(c, "s3:PutObject", in.Bucket, in.Key, keys{"s3:objectcreationoperation": {"false"}}.set("s3:x-amz-copy-source", "/"+src.bucket+"/"+src.key))
	return append(src.asks(c, false), a), err
}

// uploadPartCopy makes a part of a stretch of an object.
// https://docs.aws.amazon.com/AmazonS3/latest/API/API_UploadPartCopy.html
func (s *Service) uploadPartCopy(c *gateway.Call, in *s3api.UploadPartCopyInput) (*s3api.UploadPartCopyOutput, error) {
	u, err := underway(c, in.Bucket, in.Key, in.UploadId, in.ExpectedBucketOwner)
	if err != nil {
		return nil, err
	}
	if err := checkPartNumber(in.PartNumber); err != nil {
		return nil, err
	}
	if in.SSECustomerAlgorithm != nil || in.CopySourceSSECustomerAlgorithm != nil {
		return nil, notServed("x-amz-server-side-encryption-customer-algorithm")
	}
	src, err := parseSource(in.CopySource)
	if err != nil {
		return nil, err
	}
	o, err := src.find(c, in.ExpectedSourceBucketOwner, conditions{in.CopySourceIfMatch, in.CopySourceIfNoneMatch, in.CopySourceIfModifiedSince, in.CopySourceIfUnmodifiedSince})
	if err != nil {
		return nil, err
	}
	r, err := copyRange(o, in.CopySourceRange)
	if err != nil {
		return nil, err
	}
	p := &part{Extents: slice(o.Extents, r.offset, r.size), Size: r.size, Modified: c.Time}
	etag, sum := md5.New(), newHash(u.Algorithm)
	if err := s.feed(o.Extents, r.offset, r.size, etag, sum); err != nil {
		return nil, err
	}
	p.MD5 = hex.EncodeToString(etag.Sum(nil))
	if sum != nil {
		p.Checksums = map[string]string{u.Algorithm: base64Sum(sum)}
	}
	parts.Put(c.Tx, partKey(*in.UploadId, *in.PartNumber), p)
	res := &s3api.CopyPartResult{ETag: quoted(p.MD5), LastModified: api.At(p.Modified)}
	show(res, p.Checksums)
	return &s3api.UploadPartCopyOutput{CopyPartResult: res}, nil
}

// copyRange reads x-amz-copy-source-range, which unlike Range must name both
// ends, within the source.
func copyRange(o *object, header *string) (span, error) {
	if header == nil {
		if o.Size > maxPut {
			return span{}, invalidRequest("The specified copy source is larger than the maximum allowable size for a copy source: 5368709120")
		}
		return span{size: o.Size}, nil
	}
	spec, ok := strings.CutPrefix(*header, "bytes=")
	first, last, _ := strings.Cut(spec, "-")
	from, ok1 := number63(first)
	to, ok2 := number63(last)
	switch {
	case !ok || !ok1 || !ok2 || to < from:
		return span{}, invalidArgument("The x-amz-copy-source-range value must be of the form bytes=first-last where first and last are the zero-based offsets of the first and last bytes to copy")
	case to >= o.Size:
		return span{}, clientError("InvalidArgument", http.StatusBadRequest, "Range specified is not valid for source object of size: "+formatInt(o.Size))
	case to-from+1 > maxPut:
		return span{}, clientError("EntityTooLarge", http.StatusBadRequest, "Your proposed upload exceeds the maximum allowed size")
	}
	return span{offset: from, size: to - from + 1}, nil
}
