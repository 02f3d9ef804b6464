package s3_test

import (
	"bytes"
	"crypto/md5"
	"fmt"
	"io"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/feature/s3/manager" //nolint:staticcheck // what programs in the field use
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"

	objectstore "github.com/remit-ecs/remit/internal/service/s3"
)

const mib = 1 << 20

func random(n int) []byte {
	b := make([]byte, n)
	_, _ = rand.NewChaCha8([32]byte{7}).Read(b)
	return b
}

// TestManager sends 16 MiB in parts, several at a time, and fetches them again.
func TestManager(t *testing.T) {
	k, c := start(t)
	content := random(16*mib + 17)
	//lint:ignore SA1019 deprecated upstream, and what programs use
	_, err := manager.NewUploader(c).Upload(ctx, &s3.PutObjectInput{Bucket: aws.String("data"), Key: aws.String("big"), Body: bytes.NewReader(content), ContentType: aws.String("application/x-big")})
	if err != nil {
		t.Fatal(err)
	}
	w := manager.NewWriteAtBuffer(nil)
	//lint:ignore SA1019 deprecated upstream, and what programs use
	if _, err := manager.NewDownloader(c).Download(ctx, w, &s3.GetObjectInput{Bucket: aws.String("data"), Key: aws.String("big")}); err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(w.Bytes(), content) {
		t.Error("what came back is not what was sent")
	}
	head, err := c.HeadObject(ctx, &s3.HeadObjectInput{Bucket: aws.String("data"), Key: aws.String("big"), ChecksumMode: types.ChecksumModeEnabled})
	if err != nil || !strings.HasSuffix(*head.ETag, `-4"`) || *head.ContentType != "application/x-big" || head.ChecksumType != types.ChecksumTypeComposite || !strings.HasSuffix(*head.ChecksumCRC32, "-4") {
		t.Errorf("%+v, %v", head, err)
	}
	out, err := c.GetObject(ctx, &s3.GetObjectInput{Bucket: aws.String("data"), Key: aws.String("big"), PartNumber: aws.Int32(4)})
	if err != nil {
		t.Fatal(err)
	}
	last, _ := io.ReadAll(out.Body)
	out.Body.Close()
	if !bytes.Equal(last, content[15*mib:]) || *out.PartsCount != 4 {
		t.Errorf("part 4: %d bytes of %d parts", len(last), *out.PartsCount)
	}

	// A copy is one piece: its ETag is the MD5 of all.
	cp, err := c.CopyObject(ctx, &s3.CopyObjectInput{Bucket: aws.String("data"), Key: aws.String("copy"), CopySource: aws.String("data/big")})
	if err != nil {
		t.Fatal(err)
	}
	if want := fmt.Sprintf(`"%x"`, md5.Sum(content)); *cp.CopyObjectResult.ETag != want {
		t.Errorf("ETag %s, want %s", *cp.CopyObjectResult.ETag, want)
	}
	if got := get(t, c, "copy"); got != string(content) {
		t.Error("the copy differs")
	}
	if n, _, err := k.Blobs.Collect(ctx, objectstore.Live(k.Store.View(ctx)), 0); n != 0 || err != nil {
		t.Errorf("collected %d live blobs, %v", n, err)
	}
}

// parts is an upload in the hands of a test.
type parts struct {
	t  *testing.T
	c  *s3.Client
	id *string
}

func begin(t *testing.T, c *s3.Client, alg types.ChecksumAlgorithm, kind types.ChecksumType) *parts {
	t.Helper()
	out, err := c.CreateMultipartUpload(ctx, &s3.CreateMultipartUploadInput{Bucket: aws.String("data"), Key: aws.String("k"), ChecksumAlgorithm: alg, ChecksumType: kind})
	if err != nil {
		t.Fatal(err)
	}
	return &parts{t, c, out.UploadId}
}

func (p *parts) put(number int32, b []byte, alg types.ChecksumAlgorithm) types.CompletedPart {
	p.t.Helper()
	out, err := p.c.UploadPart(ctx, &s3.UploadPartInput{Bucket: aws.String("data"), Key: aws.String("k"), UploadId: p.id, PartNumber: &number, Body: bytes.NewReader(b), ChecksumAlgorithm: alg})
	if err != nil {
		p.t.Fatal(err)
	}
	return types.CompletedPart{PartNumber: &number, ETag: out.ETag}
}

func (p *parts) complete(list ...types.CompletedPart) (*s3.CompleteMultipartUploadOutput, error) {
	return p.c.CompleteMultipartUpload(ctx, &s3.CompleteMultipartUploadInput{Bucket: aws.String("data"), Key: aws.String("k"), UploadId: p.id, MultipartUpload: &types.CompletedMultipartUpload{Parts: list}})
}

func TestMultipart(t *testing.T) {
	k, c := start(t)
	up := begin(t, c, "", "")
	big, small := random(5*mib), []byte("tail")
	one := up.put(1, []byte("replaced"), "")
	two := up.put(7, small, "")

	_, err := up.complete(two, one)
	wantCode(t, err, "InvalidPartOrder")
	_, err = up.complete(one, two)
	wantCode(t, err, "EntityTooSmall")
	replaced := one
	one = up.put(1, big, "")
	_, err = up.complete(replaced, two)
	wantCode(t, err, "InvalidPart")
	_, err = up.complete(one, types.CompletedPart{PartNumber: aws.Int32(2), ETag: two.ETag})
	wantCode(t, err, "InvalidPart")
	_, err = up.complete()
	wantCode(t, err, "MalformedXML")
	_, err = c.UploadPart(ctx, &s3.UploadPartInput{Bucket: aws.String("data"), Key: aws.String("k"), UploadId: up.id, PartNumber: aws.Int32(10001)})
	wantCode(t, err, "InvalidArgument")

	list, err := c.ListParts(ctx, &s3.ListPartsInput{Bucket: aws.String("data"), Key: aws.String("k"), UploadId: up.id, MaxParts: aws.Int32(1)})
	if err != nil || len(list.Parts) != 1 || !*list.IsTruncated || *list.NextPartNumberMarker != "1" || *list.Parts[0].Size != 5*mib {
		t.Errorf("%+v, %v", list, err)
	}
	all, err := c.ListMultipartUploads(ctx, &s3.ListMultipartUploadsInput{Bucket: aws.String("data")})
	if err != nil || len(all.Uploads) != 1 || *all.Uploads[0].UploadId != *up.id {
		t.Errorf("%+v, %v", all, err)
	}
	done, err := up.complete(one, two)
	if err != nil {
		t.Fatal(err)
	}
	a, b := md5.Sum(big), md5.Sum(small)
	if want := fmt.Sprintf(`"%x-2"`, md5.Sum(append(a[:], b[:]...))); *done.ETag != want {
		t.Errorf("ETag %s, want %s", *done.ETag, want)
	}
	again, err := up.complete(one, two)
	if err != nil || *again.ETag != *done.ETag {
		t.Errorf("completing again: %v", err)
	}
	if got := get(t, c, "k"); got != string(big)+"tail" {
		t.Error("the object is not its parts")
	}

	up = begin(t, c, "", "")
	up.put(1, random(1000), "")
	cp, err := c.UploadPartCopy(ctx, &s3.UploadPartCopyInput{Bucket: aws.String("data"), Key: aws.String("k"), UploadId: up.id, PartNumber: aws.Int32(2), CopySource: aws.String("/data/k"), CopySourceRange: aws.String(fmt.Sprintf("bytes=%d-%d", 5*mib-2, 5*mib+1))})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := up.complete(types.CompletedPart{PartNumber: aws.Int32(2), ETag: cp.CopyPartResult.ETag}); err != nil {
		t.Fatal(err)
	}
	if got, want := get(t, c, "k"), string(big[5*mib-2:])+"ta"; got != want {
		t.Errorf("a part copied across a border: %q, want %q", got, want)
	}

	up = begin(t, c, "", "")
	up.put(1, []byte("dropped"), "")
	abort := &s3.AbortMultipartUploadInput{Bucket: aws.String("data"), Key: aws.String("k"), UploadId: up.id}
	if _, err := c.AbortMultipartUpload(ctx, abort); err != nil {
		t.Fatal(err)
	}
	_, err = c.AbortMultipartUpload(ctx, abort)
	wantCode(t, err, "NoSuchUpload")
	_, err = up.complete(one)
	wantCode(t, err, "NoSuchUpload")
	// What is left: the blobs of the two parts that "k" is a stretch of.
	if _, _, err := k.Blobs.Collect(ctx, objectstore.Live(k.Store.View(ctx)), 0); err != nil {
		t.Fatal(err)
	}
	n := 0
	for range k.Blobs.All() {
		n++
	}
	if n != 2 {
		t.Errorf("%d blobs are left", n)
	}
}

// TestSweep deletes a bucket with an upload under way. A new bucket of the name
// knows nothing of it.
func TestSweep(t *testing.T) {
	k, c := start(t)
	up := begin(t, c, "", "")
	part := up.put(1, []byte("x"), "")
	if _, err := c.DeleteBucket(ctx, &s3.DeleteBucketInput{Bucket: aws.String("data")}); err != nil {
		t.Fatal(err)
	}
	makeBucket(t, c, "data")
	_, err := up.complete(part)
	wantCode(t, err, "NoSuchUpload")
	mine := begin(t, c, "", "")
	kept := mine.put(1, []byte("y"), "")
	s := objectstore.New(k.Store, k.Blobs, k.Principals())
	if err := s.Sweep(ctx); err != nil {
		t.Fatal(err)
	}
	if n, _, err := k.Blobs.Collect(ctx, objectstore.Live(k.Store.View(ctx)), 0); n != 1 || err != nil {
		t.Errorf("collected %d blobs, %v", n, err)
	}
	if _, err := mine.complete(kept); err != nil {
		t.Error(err)
	}
}

// TestChecksums: what is declared is verified, kept, and told on demand; that
// of an upload in parts is of the parts or of the whole. The SDK verifies what
// it gets.
func TestChecksums(t *testing.T) {
	_, c := start(t)
	content := random(5*mib + 1000)
	sum := func(key string) (string, types.ChecksumType) {
		t.Helper()
		h, err := c.HeadObject(ctx, &s3.HeadObjectInput{Bucket: aws.String("data"), Key: &key, ChecksumMode: types.ChecksumModeEnabled})
		if err != nil {
			t.Fatal(err)
		}
		for _, s := range []*string{h.ChecksumCRC32, h.ChecksumCRC32C, h.ChecksumCRC64NVME, h.ChecksumSHA1, h.ChecksumSHA256} {
			if s != nil {
				return *s, h.ChecksumType
			}
		}
		return "", h.ChecksumType
	}
	for _, alg := range []types.ChecksumAlgorithm{types.ChecksumAlgorithmCrc32, types.ChecksumAlgorithmCrc32c, types.ChecksumAlgorithmCrc64nvme, types.ChecksumAlgorithmSha1, types.ChecksumAlgorithmSha256} {
		t.Run(string(alg), func(t *testing.T) {
			if _, err := c.PutObject(ctx, &s3.PutObjectInput{Bucket: aws.String("data"), Key: aws.String("whole"), Body: bytes.NewReader(content), ChecksumAlgorithm: alg}); err != nil {
				t.Fatal(err)
			}
			whole, kind := sum("whole")
			if whole == "" || kind != types.ChecksumTypeFullObject {
				t.Fatalf("%q %q", whole, kind)
			}
			if got := get(t, c, "whole"); got != string(content) {
				t.Error("the content differs")
			}
			for _, kind := range []types.ChecksumType{types.ChecksumTypeComposite, types.ChecksumTypeFullObject} {
				if kind == types.ChecksumTypeFullObject && strings.HasPrefix(string(alg), "SHA") || kind == types.ChecksumTypeComposite && alg == types.ChecksumAlgorithmCrc64nvme {
					_, err := c.CreateMultipartUpload(ctx, &s3.CreateMultipartUploadInput{Bucket: aws.String("data"), Key: aws.String("k"), ChecksumAlgorithm: alg, ChecksumType: kind})
					wantCode(t, err, "InvalidRequest")
					continue
				}
				up := begin(t, c, alg, kind)
				if _, err := up.complete(up.put(1, content[:5*mib], alg), up.put(2, content[5*mib:], alg)); err != nil {
					t.Fatal(err)
				}
				got, gotKind := sum("k")
				if gotKind != kind || kind == types.ChecksumTypeFullObject && got != whole || kind == types.ChecksumTypeComposite && !strings.HasSuffix(got, "-2") {
					t.Errorf("%s: %q of type %s; the whole is %q", kind, got, gotKind, whole)
				}
				if get(t, c, "k") != string(content) {
					t.Error("the content differs")
				}
			}
			cp, err := c.CopyObject(ctx, &s3.CopyObjectInput{Bucket: aws.String("data"), Key: aws.String("copy"), CopySource: aws.String("data/k"), ChecksumAlgorithm: alg})
			if err != nil || cp.CopyObjectResult.ChecksumType != types.ChecksumTypeFullObject {
				t.Fatalf("%+v %v", cp, err)
			}
			if got, _ := sum("copy"); got != whole {
				t.Errorf("the copy has %q, the whole %q", got, whole)
			}
		})
	}
	_, err := c.PutObject(ctx, &s3.PutObjectInput{Bucket: aws.String("data"), Key: aws.String("wrong"), Body: strings.NewReader("x"), ChecksumCRC32: aws.String("AAAAAA==")})
	wantCode(t, err, "BadDigest")
	_, err = c.HeadObject(ctx, &s3.HeadObjectInput{Bucket: aws.String("data"), Key: aws.String("wrong")})
	wantCode(t, err, "NotFound")
	up := begin(t, c, types.ChecksumAlgorithmSha256, "")
	_, err = c.UploadPart(ctx, &s3.UploadPartInput{Bucket: aws.String("data"), Key: aws.String("k"), UploadId: up.id, PartNumber: aws.Int32(1), Body: strings.NewReader("x"), ChecksumAlgorithm: types.ChecksumAlgorithmCrc32})
	wantCode(t, err, "InvalidRequest")

	at, err := c.GetObjectAttributes(ctx, &s3.GetObjectAttributesInput{Bucket: aws.String("data"), Key: aws.String("k"), ObjectAttributes: types.ObjectAttributesEtag.Values()})
	if err != nil || *at.ObjectSize != int64(len(content)) || *at.ObjectParts.TotalPartsCount != 2 || len(at.ObjectParts.Parts) != 2 || at.Checksum.ChecksumSHA256 == nil {
		t.Errorf("%+v, %v", at, err)
	}
}

// begun is an upload of "k" with one part, "p".
func begun(t testing.TB, c *s3.Client) string {
	t.Helper()
	up, err := c.CreateMultipartUpload(ctx, &s3.CreateMultipartUploadInput{Bucket: aws.String("data"), Key: aws.String("k")})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := c.UploadPart(ctx, &s3.UploadPartInput{Bucket: aws.String("data"), Key: aws.String("k"), UploadId: up.UploadId, PartNumber: aws.Int32(1), Body: strings.NewReader("p")}); err != nil {
		t.Fatal(err)
	}
	return *up.UploadId
}
