package s3_test

import (
	"bytes"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"
)

// TestTrailers sends over TLS, where the SDK streams: the body comes in chunks,
// unsigned, with its checksum behind it. Nothing of that may be stored.
func TestTrailers(t *testing.T) {
	k, plain := start(t)
	srv := httptest.NewTLSServer(k.Gateway)
	defer srv.Close()
	seen := http.Header{}
	c := s3.NewFromConfig(k.Root(), func(o *s3.Options) {
		o.BaseEndpoint, o.UsePathStyle = &srv.URL, true
		o.RequestChecksumCalculation = aws.RequestChecksumCalculationWhenSupported
		o.HTTPClient = transport(func(r *http.Request) (*http.Response, error) {
			seen = r.Header.Clone()
			return srv.Client().Do(r)
		})
	})
	content := random(3*mib + 5)
	for _, encoding := range []*string{nil, aws.String("gzip")} {
		_, err := c.PutObject(ctx, &s3.PutObjectInput{Bucket: aws.String("data"), Key: aws.String("k"), ContentEncoding: encoding, ContentLength: aws.Int64(int64(len(content))), Body: io.MultiReader(bytes.NewReader(content))})
		if err != nil {
			t.Fatal(err)
		}
		if seen.Get("X-Amz-Content-Sha256") != "STREAMING-UNSIGNED-PAYLOAD-TRAILER" || seen.Get("X-Amz-Trailer") == "" {
			t.Fatalf("the SDK sent no trailer: %v", seen)
		}
		head, err := plain.HeadObject(ctx, &s3.HeadObjectInput{Bucket: aws.String("data"), Key: aws.String("k"), ChecksumMode: types.ChecksumModeEnabled})
		if err != nil {
			t.Fatal(err)
		}
		if aws.ToString(head.ContentEncoding) != aws.ToString(encoding) || *head.ContentLength != int64(len(content)) || head.ChecksumCRC32 == nil {
			t.Errorf("%+v", head)
		}
		if get(t, plain, "k") != string(content) {
			t.Error("what came back is not what was sent")
		}
	}
}

// TestUnserved: what cannot be kept is refused, not passed over.
func TestUnserved(t *testing.T) {
	_, c := start(t)
	for name, tc := range map[string]struct {
		in   s3.PutObjectInput
		want string
	}{
		"KMS":       {s3.PutObjectInput{ServerSideEncryption: types.ServerSideEncryptionAwsKms}, "NotImplemented"},
		"AES256":    {s3.PutObjectInput{ServerSideEncryption: types.ServerSideEncryptionAes256}, "NotImplemented"},
		"ACL":       {s3.PutObjectInput{ACL: types.ObjectCannedACLPublicRead}, "AccessControlListNotSupported"},
		"lock":      {s3.PutObjectInput{ObjectLockLegalHoldStatus: types.ObjectLockLegalHoldStatusOn}, "InvalidRequest"},
		"archive":   {s3.PutObjectInput{StorageClass: types.StorageClassGlacier}, "NotImplemented"},
		"class":     {s3.PutObjectInput{StorageClass: types.StorageClassStandardIa}, ""},
		"metadata":  {s3.PutObjectInput{Metadata: map[string]string{"k": strings.Repeat("x", 2048)}}, "MetadataTooLarge"},
		"many tags": {s3.PutObjectInput{Tagging: aws.String("a=&b=&c=&d=&e=&f=&g=&h=&i=&j=&k=")}, "BadRequest"},
		"same tags": {s3.PutObjectInput{Tagging: aws.String("a=1&a=2")}, "InvalidTag"},
		"aws tags":  {s3.PutObjectInput{Tagging: aws.String("aws:x=1")}, "InvalidTag"},
		"broken":    {s3.PutObjectInput{Tagging: aws.String("a=%zz")}, "InvalidArgument"},
	} {
		t.Run(name, func(t *testing.T) {
			tc.in.Bucket, tc.in.Key, tc.in.Body = aws.String("data"), aws.String("k"), strings.NewReader("x")
			_, err := c.PutObject(ctx, &tc.in)
			wantCode(t, err, tc.want)
		})
	}
	_, err := c.PutBucketVersioning(ctx, &s3.PutBucketVersioningInput{Bucket: aws.String("data"), VersioningConfiguration: &types.VersioningConfiguration{Status: types.BucketVersioningStatusEnabled}})
	wantCode(t, err, "NotImplemented")
	_, err = c.GetBucketTagging(ctx, &s3.GetBucketTaggingInput{Bucket: aws.String("data")})
	wantCode(t, err, "NoSuchTagSet")
}

// TestListUploads pages through uploads, with and without a delimiter.
func TestListUploads(t *testing.T) {
	_, c := start(t)
	for _, key := range []string{"a", "a", "b/1", "b/2", "c"} {
		if _, err := c.CreateMultipartUpload(ctx, &s3.CreateMultipartUploadInput{Bucket: aws.String("data"), Key: &key}); err != nil {
			t.Fatal(err)
		}
	}
	for delimiter, want := range map[string]string{"": "a a b/1 b/2 c", "/": "a a b/* c"} {
		in := &s3.ListMultipartUploadsInput{Bucket: aws.String("data"), MaxUploads: aws.Int32(1)}
		if delimiter != "" {
			in.Delimiter = &delimiter
		}
		var got []string
		for range 10 {
			out, err := c.ListMultipartUploads(ctx, in)
			if err != nil {
				t.Fatal(err)
			}
			for _, u := range out.Uploads {
				got = append(got, *u.Key)
			}
			for _, p := range out.CommonPrefixes {
				got = append(got, *p.Prefix+"*")
			}
			if !*out.IsTruncated {
				break
			}
			in.KeyMarker, in.UploadIdMarker = out.NextKeyMarker, out.NextUploadIdMarker
		}
		if s := strings.Join(got, " "); s != want {
			t.Errorf("delimiter %q: %s, want %s", delimiter, s, want)
		}
	}
}
