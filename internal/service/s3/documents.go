package s3

import (
	"crypto/sha256"
	"encoding/hex"
	"sync/atomic"
	"time"

	"github.com/remit-ecs/remit/internal/blob"
	"github.com/remit-ecs/remit/internal/resourcepolicy"
	"github.com/remit-ecs/remit/internal/store"
	"github.com/remit-ecs/remit/policy"
)

// The documents of S3. The names of buckets are global, so all buckets live in
// one shard; what a bucket contains has a shard of its own, so that writers to
// different buckets do not wait for each other.
//
//	global/s3     s3-bucket   NAME
//	s3/NAME       s3-object   KEY                 in the order of the keys' bytes
//	              s3-upload   UPLOADID            an upload in parts, under way
//	              s3-part     UPLOADID/00001
//
//	object ──┬─► extent ──► blob      one extent after PutObject,
//	         └─► extent ──► blob      one or more for each part of an upload
//
// A key is the document's key as it stands: "a", "a/b" and "z/../w" are three
// objects, and nothing here treats a slash or a dot as anything but a byte.
var (
	buckets = store.NewKind[bucket]("s3-bucket", 1, store.Index[bucket]{Name: "account", Keys: func(_ string, b *bucket) []string { return []string{b.Account} }})
	objects = store.NewKind[object]("s3-object", 1)
	uploads = store.NewKind[upload]("s3-upload", 1)
	parts   = store.NewKind[part]("s3-part", 1)
)

const bucketsShard = "global/s3"

// contentsShard is where the contents of a bucket live. A name that no bucket
// can have leads to where no contents are.
func contentsShard(bucket string) string {
	if !validBucketName(bucket) {
		return bucketsShard
	}
	return "s3/" + bucket
}

// bucket is a bucket.
type bucket struct {
	ID      string // tells this bucket from an earlier one of the same name
	Account string // the owner
	Region  string
	Created time.Time
	Tags    []tag `json:",omitempty"`

	Policy       *resourcepolicy.Policy `json:",omitempty"`
	PublicAccess *publicAccess          `json:",omitempty"` // nil while nothing was set
	NoOwnership  bool                   `json:",omitempty"` // DeleteBucketOwnershipControls
	BucketKey    bool                   `json:",omitempty"` // kept and shown

	// The policy with what PublicAccess adds, made at first use.
	compiled atomic.Pointer[policy.Attached]
}

// object is an object: what is said about it, and where its bytes are.
type object struct {
	Extents  []extent `json:",omitempty"`
	Size     int64
	ETag     string // without quotation marks
	Modified time.Time
	Headers  headers
	Tags     []tag `json:",omitempty"`

	Checksums    map[string]string `json:",omitempty"` // base64 by algorithm, "CRC32"
	ChecksumType string            `json:",omitempty"`

	// Of an object that was uploaded in parts.
	Parts    []objectPart `json:",omitempty"`
	UploadID string       `json:",omitempty"`
}

// extent is a stretch of a blob.
type extent struct {
	Blob   blob.Digest
	Offset int64 `json:",omitempty"`
	Size   int64
}

// objectPart is what is remembered of the parts that an object came in.
type objectPart struct {
	Number    int32
	Size      int64
	Checksums map[string]string `json:",omitempty"`
}

// headers are what an object is stored with and handed out with.
type headers struct {
	CacheControl       *string           `json:",omitempty"`
	ContentDisposition *string           `json:",omitempty"`
	ContentEncoding    *string           `json:",omitempty"`
	ContentLanguage    *string           `json:",omitempty"`
	ContentType        *string           `json:",omitempty"`
	Expires            *string           `json:",omitempty"`
	WebsiteRedirect    *string           `json:",omitempty"`
	StorageClass       string            `json:",omitempty"` // empty for STANDARD
	Metadata           map[string]string `json:",omitempty"`
}

// upload is an upload in parts that was begun and neither completed nor
// aborted.
type upload struct {
	BucketID     string
	Key          string
	Initiated    time.Time
	Initiator    string // ARN
	Headers      headers
	Tags         []tag  `json:",omitempty"`
	Algorithm    string `json:",omitempty"` // of the checksum
	ChecksumType string `json:",omitempty"`
}

// part is an uploaded part.
type part struct {
	Extents   []extent `json:",omitempty"`
	Size      int64
	MD5       string // hexadecimal: its ETag
	Modified  time.Time
	Checksums map[string]string `json:",omitempty"`
}

type tag struct{ Key, Value string }

// canonicalID is the canonical user id by which S3 names an account.
func canonicalID(account string) string {
	sum := sha256.Sum256([]byte("canonical user of " + account))
	return hex.EncodeToString(sum[:])
}

// Live returns a function that tells whether an object or a part refers to a
// blob, as of r. It is what blob.Store.Collect asks; parts of aborted uploads,
// and of buckets that were deleted meanwhile, are not live.
func Live(r store.Reader) func(blob.Digest) bool {
	live := map[blob.Digest]struct{}{}
	keep := func(xs []extent) {
		for _, x := range xs {
			live[x.Blob] = struct{}{}
		}
	}
	for _, shard := range objects.Shards(r) {
		for _, o := range objects.Prefix(r, shard, "") {
			keep(o.Extents)
		}
	}
	for _, shard := range uploads.Shards(r) {
		for id, u := range uploads.Prefix(r, shard, "") {
			if orphaned(r, shard, u) {
				continue
			}
			for _, p := range parts.Prefix(r, shard, id+"/") {
				keep(p.Extents)
			}
		}
	}
	return func(d blob.Digest) bool { _, ok := live[d]; return ok }
}

// orphaned tells whether the bucket of an upload has been deleted.
func orphaned(r store.Reader, shard string, u *upload) bool {
	b, ok := buckets.Get(r, bucketsShard, shard[len("s3/"):])
	return !ok || b.ID != u.BucketID
}
