package s3_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"
	"github.com/aws/smithy-go"

	objectstore "github.com/remit-ecs/remit/internal/service/s3"
	"github.com/remit-ecs/remit/internal/testkit"
)

var ctx = context.Background()

// start runs S3 with a bucket "data".
func start(t testing.TB) (*testkit.Kit, *s3.Client) {
	t.Helper()
	k := testkit.New(t, func(k *testkit.Kit) []testkit.Registrar {
		k.Authz.Resources["s3"] = objectstore.ResourcePolicy
		return []testkit.Registrar{objectstore.New(k.Store, k.Blobs, k.Principals())}
	})
	c := client(k.Root())
	makeBucket(t, c, "data")
	return k, c
}

// client speaks path style: a test's host name has no buckets below it.
func client(cfg aws.Config) *s3.Client {
	return s3.NewFromConfig(cfg, func(o *s3.Options) {
		o.UsePathStyle = true
		o.RequestChecksumCalculation = aws.RequestChecksumCalculationWhenSupported // as a loaded configuration has it
		o.ResponseChecksumValidation = aws.ResponseChecksumValidationWhenSupported
	})
}

func makeBucket(t testing.TB, c *s3.Client, name string) {
	t.Helper()
	_, err := c.CreateBucket(ctx, &s3.CreateBucketInput{Bucket: &name, CreateBucketConfiguration: &types.CreateBucketConfiguration{LocationConstraint: testkit.Region}})
	if err != nil {
		t.Fatal(err)
	}
}

func put(t testing.TB, c *s3.Client, key, text string) {
	t.Helper()
	if _, err := c.PutObject(ctx, &s3.PutObjectInput{Bucket: aws.String("data"), Key: &key, Body: strings.NewReader(text)}); err != nil {
		t.Fatalf("put %q: %v", key, err)
	}
}

func get(t testing.TB, c *s3.Client, key string) string {
	t.Helper()
	out, err := c.GetObject(ctx, &s3.GetObjectInput{Bucket: aws.String("data"), Key: &key})
	if err != nil {
		t.Fatalf("get %q: %v", key, err)
	}
	defer out.Body.Close()
	b, err := io.ReadAll(out.Body)
	if err != nil {
		t.Fatalf("get %q: %v", key, err)
	}
	return string(b)
}

func code(err error) string {
	var e smithy.APIError
	if errors.As(err, &e) {
		return e.ErrorCode()
	}
	if err != nil {
		return err.Error()
	}
	return ""
}

func wantCode(t testing.TB, err error, want string) {
	t.Helper()
	if got := code(err); got != want {
		t.Errorf("got %q (%v), want %q", got, err, want)
	}
}

// transport is an HTTP client of the SDK made of a function.
type transport func(*http.Request) (*http.Response, error)

func (f transport) Do(r *http.Request) (*http.Response, error) { return f(r) }

// dialTo connects to the kit whatever the name of the host.
func dialTo(k *testkit.Kit) func(context.Context, string, string) (net.Conn, error) {
	return func(ctx context.Context, network, _ string) (net.Conn, error) {
		var d net.Dialer
		return d.DialContext(ctx, network, k.Server.Listener.Addr().String())
	}
}

func TestObject(t *testing.T) {
	k, c := start(t)
	content := bytes.Repeat([]byte("0123456789"), 100_000)
	_, err := c.PutObject(ctx, &s3.PutObjectInput{
		Bucket: aws.String("data"), Key: aws.String("dir/file.txt"), Body: bytes.NewReader(content),
		ContentType: aws.String("text/plain"), CacheControl: aws.String("no-cache"), ContentEncoding: aws.String("identity"),
		Metadata: map[string]string{"color": "blue"}, Tagging: aws.String("team=a%20b&x="),
	})
	if err != nil {
		t.Fatal(err)
	}
	head, err := c.HeadObject(ctx, &s3.HeadObjectInput{Bucket: aws.String("data"), Key: aws.String("dir/file.txt"), ChecksumMode: types.ChecksumModeEnabled})
	if err != nil {
		t.Fatal(err)
	}
	if *head.ContentLength != int64(len(content)) || *head.ContentType != "text/plain" || *head.CacheControl != "no-cache" ||
		head.Metadata["color"] != "blue" || len(*head.ETag) != 34 ||
		head.ChecksumCRC32 == nil || head.ChecksumType != types.ChecksumTypeFullObject {
		t.Errorf("head: %+v", head)
	}
	if got := get(t, c, "dir/file.txt"); got != string(content) {
		t.Errorf("got %d bytes", len(got))
	}
	list, err := c.ListObjectsV2(ctx, &s3.ListObjectsV2Input{Bucket: aws.String("data")})
	if err != nil || len(list.Contents) != 1 || *list.Contents[0].Key != "dir/file.txt" || *list.KeyCount != 1 {
		t.Fatalf("list: %+v, %v", list, err)
	}
	_, err = c.DeleteBucket(ctx, &s3.DeleteBucketInput{Bucket: aws.String("data")})
	wantCode(t, err, "BucketNotEmpty")
	for range 2 {
		if _, err := c.DeleteObject(ctx, &s3.DeleteObjectInput{Bucket: aws.String("data"), Key: aws.String("dir/file.txt")}); err != nil {
			t.Fatal(err)
		}
	}
	_, err = c.GetObject(ctx, &s3.GetObjectInput{Bucket: aws.String("data"), Key: aws.String("dir/file.txt")})
	wantCode(t, err, "NoSuchKey")
	if _, err := c.DeleteBucket(ctx, &s3.DeleteBucketInput{Bucket: aws.String("data")}); err != nil {
		t.Fatal(err)
	}
	_, err = c.ListObjectsV2(ctx, &s3.ListObjectsV2Input{Bucket: aws.String("data")})
	wantCode(t, err, "NoSuchBucket")
	n, _, err := k.Blobs.Collect(ctx, objectstore.Live(k.Store.View(ctx)), 0)
	if err != nil || n != 1 {
		t.Errorf("collected %d blobs, %v", n, err)
	}
}

func TestConditions(t *testing.T) {
	_, c := start(t)
	put(t, c, "k", "one")
	head, err := c.HeadObject(ctx, &s3.HeadObjectInput{Bucket: aws.String("data"), Key: aws.String("k")})
	if err != nil {
		t.Fatal(err)
	}
	etag, now := head.ETag, *head.LastModified
	hour := time.Hour
	other := aws.String(`"00000000000000000000000000000000"`)
	for name, tc := range map[string]struct {
		in   s3.GetObjectInput
		want string
	}{
		"match":               {s3.GetObjectInput{IfMatch: etag}, ""},
		"match other":         {s3.GetObjectInput{IfMatch: other}, "PreconditionFailed"},
		"none match":          {s3.GetObjectInput{IfNoneMatch: etag}, "NotModified"},
		"none match other":    {s3.GetObjectInput{IfNoneMatch: other}, ""},
		"modified since":      {s3.GetObjectInput{IfModifiedSince: aws.Time(now.Add(-hour))}, ""},
		"not modified since":  {s3.GetObjectInput{IfModifiedSince: aws.Time(now)}, "NotModified"},
		"unmodified since":    {s3.GetObjectInput{IfUnmodifiedSince: aws.Time(now)}, ""},
		"modified after":      {s3.GetObjectInput{IfUnmodifiedSince: aws.Time(now.Add(-hour))}, "PreconditionFailed"},
		"match wins":          {s3.GetObjectInput{IfMatch: etag, IfUnmodifiedSince: aws.Time(now.Add(-hour))}, ""},
		"none match wins":     {s3.GetObjectInput{IfNoneMatch: other, IfModifiedSince: aws.Time(now)}, ""},
		"range and part":      {s3.GetObjectInput{Range: aws.String("bytes=0-1"), PartNumber: aws.Int32(1)}, "InvalidRequest"},
		"range out of bounds": {s3.GetObjectInput{Range: aws.String("bytes=3-")}, "InvalidRange"},
		"part 2":              {s3.GetObjectInput{PartNumber: aws.Int32(2)}, "InvalidPartNumber"},
		"version":             {s3.GetObjectInput{VersionId: aws.String("abc")}, "InvalidArgument"},
		"null version":        {s3.GetObjectInput{VersionId: aws.String("null")}, ""},
		"owner":               {s3.GetObjectInput{ExpectedBucketOwner: aws.String("999999999999")}, "AccessDenied"},
	} {
		t.Run(name, func(t *testing.T) {
			tc.in.Bucket, tc.in.Key = aws.String("data"), aws.String("k")
			out, err := c.GetObject(ctx, &tc.in)
			got := code(err)
			var re interface{ HTTPStatusCode() int }
			if errors.As(err, &re) && re.HTTPStatusCode() == http.StatusNotModified {
				got = "NotModified"
			}
			if got != tc.want {
				t.Errorf("%q (%v), want %q", got, err, tc.want)
			}
			if err == nil {
				out.Body.Close()
			}
		})
	}

	write := func(key string, match, noneMatch *string) error {
		_, err := c.PutObject(ctx, &s3.PutObjectInput{Bucket: aws.String("data"), Key: &key, Body: strings.NewReader("two"), IfMatch: match, IfNoneMatch: noneMatch})
		return err
	}
	wantCode(t, write("k", nil, aws.String("*")), "PreconditionFailed")
	wantCode(t, write("new", nil, aws.String("*")), "")
	wantCode(t, write("k", other, nil), "PreconditionFailed")
	wantCode(t, write("gone", etag, nil), "NoSuchKey")
	wantCode(t, write("k", etag, nil), "")
	_, err = c.DeleteObject(ctx, &s3.DeleteObjectInput{Bucket: aws.String("data"), Key: aws.String("k"), IfMatch: etag})
	wantCode(t, err, "PreconditionFailed")
}

func TestRange(t *testing.T) {
	_, c := start(t)
	put(t, c, "k", "0123456789")
	out, err := c.GetObject(ctx, &s3.GetObjectInput{Bucket: aws.String("data"), Key: aws.String("k"), Range: aws.String("bytes=2-4"),
		ResponseContentType: aws.String("text/x"), ResponseCacheControl: aws.String("private"), ResponseExpires: aws.Time(time.Unix(0, 0))})
	if err != nil {
		t.Fatal(err)
	}
	defer out.Body.Close()
	b, _ := io.ReadAll(out.Body)
	if string(b) != "234" || *out.ContentRange != "bytes 2-4/10" || *out.ContentLength != 3 || *out.ContentType != "text/x" ||
		*out.CacheControl != "private" || *out.ExpiresString != "Thu, 01 Jan 1970 00:00:00 GMT" {
		t.Errorf("%q %+v", b, out)
	}
}

// TestKeys stores keys that a file system or a careless path would confuse.
func TestKeys(t *testing.T) {
	k, c := start(t)
	keys := []string{
		"a", "a/b", "a/", "a//b", "/lead", "dots/../up", "./x", "..", "with space", " lead and trail ", "plus+plus", "per%cent", "per%2Fcent",
		"ünï/cödé", "日本語", "emoji \U0001f600", "q?x=y&z", "#frag", "back\\slash", "quote\"'<>&", "~tilde*star", "semi;colon,comma=eq@at:colon$",
		"new\nline", "tab\t", "ctrl\x01", strings.Repeat("k", 1024), strings.Repeat("é", 512),
	}
	for _, key := range keys {
		put(t, c, key, "content of "+key)
	}
	for _, key := range keys {
		if got := get(t, c, key); got != "content of "+key {
			t.Errorf("%q: %q", key, got)
		}
	}
	var listed []string
	pages := s3.NewListObjectsV2Paginator(c, &s3.ListObjectsV2Input{Bucket: aws.String("data"), MaxKeys: aws.Int32(4)})
	for pages.HasMorePages() {
		p, err := pages.NextPage(ctx)
		if err != nil {
			t.Fatal(err)
		}
		for _, o := range p.Contents {
			listed = append(listed, *o.Key)
		}
	}
	slices.Sort(keys)
	for i := range keys {
		keys[i] = strings.ReplaceAll(keys[i], "\x01", "\ufffd") // which XML cannot hold; encoding-type=url is for that
	}
	if !slices.Equal(listed, keys) {
		t.Errorf("listed %q\nwant %q", listed, keys)
	}
	url, err := c.ListObjectsV2(ctx, &s3.ListObjectsV2Input{Bucket: aws.String("data"), EncodingType: types.EncodingTypeUrl, Prefix: aws.String("ctrl")})
	if err != nil || *url.Contents[0].Key != "ctrl%01" {
		t.Errorf("%+v %v", url, err)
	}
	long := strings.Repeat("k", 1025)
	_, err = c.PutObject(ctx, &s3.PutObjectInput{Bucket: aws.String("data"), Key: &long})
	wantCode(t, err, "KeyTooLongError")

	// All the same by host name.
	v := s3.NewFromConfig(k.Root(), func(o *s3.Options) {
		o.BaseEndpoint = aws.String(strings.Replace(k.URL, "127.0.0.1", "s3.localhost", 1))
		o.HTTPClient = &http.Client{Transport: &http.Transport{DialContext: dialTo(k)}}
	})
	for _, key := range []string{"a//b", "dots/../up", "plus+plus", "日本語"} {
		out, err := v.GetObject(ctx, &s3.GetObjectInput{Bucket: aws.String("data"), Key: &key})
		if err != nil {
			t.Fatalf("%q by host: %v", key, err)
		}
		b, _ := io.ReadAll(out.Body)
		out.Body.Close()
		if string(b) != "content of "+key {
			t.Errorf("%q by host: %q", key, b)
		}
	}
}

func TestPresigned(t *testing.T) {
	_, c := start(t)
	p := s3.NewPresignClient(c)
	up, err := p.PresignPutObject(ctx, &s3.PutObjectInput{Bucket: aws.String("data"), Key: aws.String("a b+c"), ContentType: aws.String("text/plain")})
	if err != nil {
		t.Fatal(err)
	}
	send := func(method, url string, h http.Header, body string) (*http.Response, string) {
		req, _ := http.NewRequest(method, url, strings.NewReader(body))
		for k, v := range h {
			if k != "Host" {
				req.Header[k] = v
			}
		}
		res, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		defer res.Body.Close()
		b, _ := io.ReadAll(res.Body)
		return res, string(b)
	}
	if res, b := send(up.Method, up.URL, up.SignedHeader, "presigned"); res.StatusCode != 200 {
		t.Fatalf("put: %s %s", res.Status, b)
	}
	down, err := p.PresignGetObject(ctx, &s3.GetObjectInput{Bucket: aws.String("data"), Key: aws.String("a b+c"), ResponseContentDisposition: aws.String("attachment")})
	if err != nil {
		t.Fatal(err)
	}
	res, b := send(down.Method, down.URL, down.SignedHeader, "")
	if res.StatusCode != 200 || b != "presigned" || res.Header.Get("Content-Disposition") != "attachment" {
		t.Errorf("get: %s %q", res.Status, b)
	}
	if res, b := send("GET", strings.Replace(down.URL, "c?", "d?", 1), nil, ""); res.StatusCode != 403 {
		t.Errorf("another key: %s %s", res.Status, b)
	}
	if res, _ := send("GET", strings.SplitN(down.URL, "?", 2)[0], nil, ""); res.StatusCode != 403 {
		t.Errorf("unsigned: %s", res.Status)
	}
}

// TestConcurrentWriters: the last of many writers of one key wins whole, and of
// those who demand that nothing be there exactly one does.
func TestConcurrentWriters(t *testing.T) {
	_, c := start(t)
	var wg sync.WaitGroup
	var mu sync.Mutex
	won := 0
	for i := range 16 {
		wg.Go(func() {
			put(t, c, "shared", strings.Repeat(fmt.Sprint(i%10), 1000))
			_, err := c.PutObject(ctx, &s3.PutObjectInput{Bucket: aws.String("data"), Key: aws.String("once"), Body: strings.NewReader("x"), IfNoneMatch: aws.String("*")})
			mu.Lock()
			defer mu.Unlock()
			if err == nil {
				won++
			} else {
				wantCode(t, err, "PreconditionFailed")
			}
		})
	}
	wg.Wait()
	if won != 1 {
		t.Errorf("%d writers found nothing there", won)
	}
	if got := get(t, c, "shared"); got != strings.Repeat(got[:1], 1000) {
		t.Errorf("mixed: %q", got)
	}
}

func TestBuckets(t *testing.T) {
	k, c := start(t)
	create := func(c *s3.Client, name string, where types.BucketLocationConstraint) error {
		in := &s3.CreateBucketInput{Bucket: &name}
		if where != "" {
			in.CreateBucketConfiguration = &types.CreateBucketConfiguration{LocationConstraint: where}
		}
		_, err := c.CreateBucket(ctx, in)
		return err
	}
	cfg := k.Root()
	cfg.Region = "us-east-1"
	virginia := client(cfg)
	wantCode(t, create(c, "data", testkit.Region), "BucketAlreadyOwnedByYou")
	wantCode(t, create(c, "nowhere", ""), "IllegalLocationConstraintException")
	wantCode(t, create(c, "elsewhere", "us-west-2"), "IllegalLocationConstraintException")
	wantCode(t, create(c, "Bad_Name", testkit.Region), "InvalidBucketName")
	wantCode(t, create(virginia, "east", ""), "")
	wantCode(t, create(virginia, "east", ""), "")
	wantCode(t, create(virginia, "west", "us-west-2"), "")
	for name, want := range map[string]types.BucketLocationConstraint{"east": "", "west": "us-west-2", "data": testkit.Region} {
		out, err := virginia.GetBucketLocation(ctx, &s3.GetBucketLocationInput{Bucket: &name})
		if err != nil || out.LocationConstraint != want {
			t.Errorf("%s is in %+v, %v", name, out, err)
		}
	}
	out, err := c.ListBuckets(ctx, nil)
	if err != nil || len(out.Buckets) != 3 || *out.Buckets[0].Name != "data" || *out.Buckets[1].BucketRegion != "us-east-1" {
		t.Errorf("%+v, %v", out, err)
	}
	head, err := c.HeadBucket(ctx, &s3.HeadBucketInput{Bucket: aws.String("data")})
	if err != nil || *head.BucketRegion != testkit.Region {
		t.Errorf("%+v, %v", head, err)
	}
	_, err = virginia.ListObjectsV2(ctx, &s3.ListObjectsV2Input{Bucket: aws.String("data")})
	wantCode(t, err, "AuthorizationHeaderMalformed")
	_, err = virginia.HeadBucket(ctx, &s3.HeadBucketInput{Bucket: aws.String("data")}, func(o *s3.Options) {
		o.HTTPClient = transport(func(r *http.Request) (*http.Response, error) {
			res, err := http.DefaultClient.Do(r)
			if err == nil && res.Header.Get("X-Amz-Bucket-Region") != testkit.Region {
				t.Errorf("the bucket's region is not in %v", res.Header)
			}
			return res, err
		})
	})
	if err == nil {
		t.Error("a bucket of another region answered")
	}
}
