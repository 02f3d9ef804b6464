package s3

import (
	"iter"
	"net/url"
	"strconv"
	"strings"

	"github.com/remit-ecs/remit/internal/api"
	"github.com/remit-ecs/remit/internal/api/s3api"
	"github.com/remit-ecs/remit/internal/authz"
	"github.com/remit-ecs/remit/internal/gateway"
	"github.com/remit-ecs/remit/internal/store"
)

// beyond sorts after every key that begins with what stands before it: no
// UTF-8 has this byte.
const beyond = "\xff"

// listing is one page of the keys of a bucket.
type listing struct {
	objects   []listed
	prefixes  []string
	truncated bool
	last      string // the last key or common prefix of the page
}

type listed struct {
	key string
	*object
}

// list collects up to limit keys and common prefixes that begin with prefix
// and come after a key, in the order of their bytes. Whatever has the delimiter
// behind the prefix counts once, as a common prefix. After a common prefix
// comes nothing of what it stands for.
func list(r store.Reader, shard, prefix, delimiter, after string, limit int) listing {
	var l listing
	if limit == 0 {
		return l
	}
	if delimiter != "" && strings.HasPrefix(after, prefix) {
		rest := after[len(prefix):]
		if i := strings.Index(rest, delimiter); i >= 0 && i+len(delimiter) == len(rest) {
			after += beyond
		}
	}
	for again := true; again; {
		again = false
		for key, o := range scan(r, shard, prefix, after) {
			if len(l.objects)+len(l.prefixes) == limit {
				l.truncated = true
				return l
			}
			if delimiter != "" {
				if i := strings.Index(key[len(prefix):], delimiter); i >= 0 {
					l.last = key[:len(prefix)+i+len(delimiter)]
					l.prefixes = append(l.prefixes, l.last)
					after, again = l.last+beyond, true
					break // and go on behind it
				}
			}
			l.last = key
			l.objects = append(l.objects, listed{key, o})
		}
	}
	return l
}

// scan yields the objects whose keys begin with prefix and come after a key.
func scan(r store.Reader, shard, prefix, after string) iter.Seq2[string, *object] {
	if after < prefix {
		return objects.Prefix(r, shard, prefix)
	}
	return func(yield func(string, *object) bool) {
		for key, o := range objects.From(r, shard, after) {
			if !strings.HasPrefix(key, prefix) || !yield(key, o) {
				return
			}
		}
	}
}

// encoder spells keys as the caller wants them: XML cannot hold every key, so
// clients ask for them in the encoding of URLs.
type encoder bool

func encoding(t s3api.EncodingType) encoder { return t == s3api.EncodingTypeUrl }

func (e encoder) text(s string) *string {
	if e {
		s = strings.ReplaceAll(url.QueryEscape(s), "%2F", "/")
	}
	return &s
}

func (e encoder) ptr(s *string) *string {
	if s == nil {
		return nil
	}
	return e.text(*s)
}

func (e encoder) contents(l listing, owner *s3api.Owner) []s3api.Object {
	out := make([]s3api.Object, 0, len(l.objects))
	for _, o := range l.objects {
		x := s3api.Object{
			Key: e.text(o.key), LastModified: api.At(o.Modified), ETag: quoted(o.ETag), Size: &o.Size, Owner: owner,
			StorageClass: s3api.ObjectStorageClassStandard, ChecksumType: s3api.ChecksumType(o.ChecksumType),
		}
		if o.Headers.StorageClass != "" {
			x.StorageClass = s3api.ObjectStorageClass(o.Headers.StorageClass)
		}
		for alg := range o.Checksums {
			x.ChecksumAlgorithm = append(x.ChecksumAlgorithm, s3api.ChecksumAlgorithm(alg))
		}
		out = append(out, x)
	}
	return out
}

func (e encoder) prefixes(l listing) []s3api.CommonPrefix {
	var out []s3api.CommonPrefix
	for _, p := range l.prefixes {
		out = append(out, s3api.CommonPrefix{Prefix: e.text(p)})
	}
	return out
}

// page reads max-keys: at most a thousand, whatever is asked for.
func page(n *int32) (int32, error) {
	switch {
	case n == nil:
		return 1000, nil
	case *n < 0:
		return 0, invalidArgument("Argument maxKeys must be an integer between 0 and 2147483647")
	}
	return min(*n, 1000), nil
}

// listKeys are the condition keys of s3:ListBucket. Absent parameters are
// absent keys.
func listKeys(prefix, delimiter *string, max *int32) keys {
	k := keys{}.ptr("s3:prefix", prefix).ptr("s3:delimiter", delimiter)
	if max != nil {
		k.set("s3:max-keys", strconv.Itoa(int(*max)))
	}
	return k
}

func (s *Service) mayListObjectsV2(c *gateway.Call, in *s3api.ListObjectsV2Input) ([]authz.Ask, error) {
	return one(askBucket(c, "s3:ListBucket", in.Bucket, listKeys(in.Prefix, in.Delimiter, in.MaxKeys)))
}

// https://docs.aws.amazon.com/AmazonS3/latest/API/API_ListObjectsV2.html
func (s *Service) listObjectsV2(c *gateway.Call, in *s3api.ListObjectsV2Input) (*s3api.ListObjectsV2Output, error) {
	b, err := open(c, in.Bucket, in.ExpectedBucketOwner)
	if err != nil {
		return nil, err
	}
	limit, err := page(in.MaxKeys)
	if err != nil {
		return nil, err
	}
	after, ok := c.After(in.ContinuationToken)
	if !ok || in.ContinuationToken != nil && *in.ContinuationToken == "" {
		return nil, invalidArgument("The continuation token provided is incorrect")
	}
	if in.ContinuationToken == nil {
		after = api.Value(in.StartAfter)
	}
	l := list(c.Tx, c.Home, api.Value(in.Prefix), api.Value(in.Delimiter), after, int(limit))
	e := encoding(in.EncodingType)
	out := &s3api.ListObjectsV2Output{
		Name: in.Bucket, Prefix: e.text(api.Value(in.Prefix)), Delimiter: e.ptr(in.Delimiter), StartAfter: e.ptr(in.StartAfter),
		MaxKeys: &limit, EncodingType: in.EncodingType, ContinuationToken: in.ContinuationToken,
		IsTruncated: &l.truncated, KeyCount: api.Ptr(int32(len(l.objects) + len(l.prefixes))), CommonPrefixes: e.prefixes(l),
	}
	if api.Value(in.FetchOwner) {
		out.Contents = e.contents(l, owner(b.Account))
	} else {
		out.Contents = e.contents(l, nil)
	}
	if l.truncated {
		out.NextContinuationToken = c.NextToken(l.last)
	}
	return out, nil
}

func (s *Service) mayListObjects(c *gateway.Call, in *s3api.ListObjectsInput) ([]authz.Ask, error) {
	return one(askBucket(c, "s3:ListBucket", in.Bucket, listKeys(in.Prefix, in.Delimiter, in.MaxKeys)))
}

// https://docs.aws.amazon.com/AmazonS3/latest/API/API_ListObjects.html
func (s *Service) listObjects(c *gateway.Call, in *s3api.ListObjectsInput) (*s3api.ListObjectsOutput, error) {
	b, err := open(c, in.Bucket, in.ExpectedBucketOwner)
	if err != nil {
		return nil, err
	}
	limit, err := page(in.MaxKeys)
	if err != nil {
		return nil, err
	}
	l := list(c.Tx, c.Home, api.Value(in.Prefix), api.Value(in.Delimiter), api.Value(in.Marker), int(limit))
	e := encoding(in.EncodingType)
	out := &s3api.ListObjectsOutput{
		Name: in.Bucket, Prefix: e.text(api.Value(in.Prefix)), Delimiter: e.ptr(in.Delimiter), Marker: e.text(api.Value(in.Marker)),
		MaxKeys: &limit, EncodingType: in.EncodingType, IsTruncated: &l.truncated,
		Contents: e.contents(l, owner(b.Account)), CommonPrefixes: e.prefixes(l),
	}
	// Without a delimiter the last key is the marker, and S3 does not repeat it.
	if l.truncated && api.Value(in.Delimiter) != "" {
		out.NextMarker = e.text(l.last)
	}
	return out, nil
}
