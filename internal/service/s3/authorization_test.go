package s3_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"

	"github.com/remit-ecs/remit/internal/testkit"
)

const (
	bucketARN = "arn:aws:s3:::data"
	objectARN = "arn:aws:s3:::data/dir/k"
)

// permission is an action on a resource.
type permission struct{ resource, action string }

func allow(ps ...permission) []string {
	var out []string
	for _, p := range ps {
		out = append(out, testkit.Allow(p.resource, p.action))
	}
	return out
}

// TestLeastPrivilege calls each operation with exactly what it needs, and with
// each of its permissions missing in turn.
func TestLeastPrivilege(t *testing.T) {
	k, root := start(t)
	b, key := aws.String("data"), aws.String("dir/k")
	prepare := func(t *testing.T) *string {
		t.Helper()
		if _, err := root.PutObject(ctx, &s3.PutObjectInput{Bucket: b, Key: key, Body: strings.NewReader("x"), Tagging: aws.String("team=red")}); err != nil {
			t.Fatal(err)
		}
		up, err := root.CreateMultipartUpload(ctx, &s3.CreateMultipartUploadInput{Bucket: b, Key: key})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := root.UploadPart(ctx, &s3.UploadPartInput{Bucket: b, Key: key, UploadId: up.UploadId, PartNumber: aws.Int32(1), Body: strings.NewReader("p")}); err != nil {
			t.Fatal(err)
		}
		return up.UploadId
	}
	etag := aws.String(`"83878c91171338902e0fe0fb97a8c47a"`) // of "p"
	for _, tc := range []struct {
		name string
		need []permission
		call func(c *s3.Client, upload *string) error
	}{
		{"ListBuckets", []permission{{"*", "s3:ListAllMyBuckets"}}, func(c *s3.Client, _ *string) error { _, err := c.ListBuckets(ctx, nil); return err }},
		{"CreateBucket", []permission{{"arn:aws:s3:::fresh", "s3:CreateBucket"}}, func(c *s3.Client, _ *string) error {
			_, err := c.CreateBucket(ctx, &s3.CreateBucketInput{Bucket: aws.String("fresh"), CreateBucketConfiguration: &types.CreateBucketConfiguration{LocationConstraint: testkit.Region}})
			return err
		}},
		{"DeleteBucket", []permission{{"arn:aws:s3:::fresh", "s3:DeleteBucket"}}, func(c *s3.Client, _ *string) error {
			_, err := c.DeleteBucket(ctx, &s3.DeleteBucketInput{Bucket: aws.String("fresh")})
			return err
		}},
		{"HeadBucket", []permission{{bucketARN, "s3:ListBucket"}}, func(c *s3.Client, _ *string) error {
			_, err := c.HeadBucket(ctx, &s3.HeadBucketInput{Bucket: b})
			return err
		}},
		{"GetBucketLocation", []permission{{bucketARN, "s3:GetBucketLocation"}}, func(c *s3.Client, _ *string) error {
			_, err := c.GetBucketLocation(ctx, &s3.GetBucketLocationInput{Bucket: b})
			return err
		}},
		{"GetBucketVersioning", []permission{{bucketARN, "s3:GetBucketVersioning"}}, func(c *s3.Client, _ *string) error {
			out, err := c.GetBucketVersioning(ctx, &s3.GetBucketVersioningInput{Bucket: b})
			if err == nil && out.Status != "" {
				err = fmt.Errorf("versioning is %s", out.Status)
			}
			return err
		}},
		{"GetBucketAcl", []permission{{bucketARN, "s3:GetBucketAcl"}}, func(c *s3.Client, _ *string) error {
			out, err := c.GetBucketAcl(ctx, &s3.GetBucketAclInput{Bucket: b})
			if err == nil && (len(out.Grants) != 1 || *out.Grants[0].Grantee.ID != *out.Owner.ID || out.Grants[0].Grantee.Type != types.TypeCanonicalUser) {
				err = fmt.Errorf("%+v", out)
			}
			return err
		}},
		{"PutBucketTagging", []permission{{bucketARN, "s3:PutBucketTagging"}}, func(c *s3.Client, _ *string) error {
			_, err := c.PutBucketTagging(ctx, &s3.PutBucketTaggingInput{Bucket: b, Tagging: &types.Tagging{TagSet: []types.Tag{{Key: aws.String("a"), Value: aws.String("b")}}}})
			return err
		}},
		{"GetBucketTagging", []permission{{bucketARN, "s3:GetBucketTagging"}}, func(c *s3.Client, _ *string) error {
			_, err := c.GetBucketTagging(ctx, &s3.GetBucketTaggingInput{Bucket: b})
			return err
		}},
		{"DeleteBucketTagging", []permission{{bucketARN, "s3:PutBucketTagging"}}, func(c *s3.Client, _ *string) error {
			_, err := c.DeleteBucketTagging(ctx, &s3.DeleteBucketTaggingInput{Bucket: b})
			return err
		}},
		{"ListObjects", []permission{{bucketARN, "s3:ListBucket"}}, func(c *s3.Client, _ *string) error {
			_, err := c.ListObjects(ctx, &s3.ListObjectsInput{Bucket: b})
			return err
		}},
		{"ListObjectsV2", []permission{{bucketARN, "s3:ListBucket"}}, func(c *s3.Client, _ *string) error {
			_, err := c.ListObjectsV2(ctx, &s3.ListObjectsV2Input{Bucket: b})
			return err
		}},
		{"PutObject", []permission{{objectARN, "s3:PutObject"}}, func(c *s3.Client, _ *string) error {
			_, err := c.PutObject(ctx, &s3.PutObjectInput{Bucket: b, Key: key, Body: strings.NewReader("x")})
			return err
		}},
		{"PutObject with tags", []permission{{objectARN, "s3:PutObject"}, {objectARN, "s3:PutObjectTagging"}}, func(c *s3.Client, _ *string) error {
			_, err := c.PutObject(ctx, &s3.PutObjectInput{Bucket: b, Key: key, Body: strings.NewReader("x"), Tagging: aws.String("a=b")})
			return err
		}},
		{"PutObject with ACL", []permission{{objectARN, "s3:PutObject"}, {objectARN, "s3:PutObjectAcl"}}, func(c *s3.Client, _ *string) error {
			_, err := c.PutObject(ctx, &s3.PutObjectInput{Bucket: b, Key: key, Body: strings.NewReader("x"), ACL: types.ObjectCannedACLBucketOwnerFullControl})
			return err
		}},
		{"GetObject", []permission{{objectARN, "s3:GetObject"}}, func(c *s3.Client, _ *string) error {
			out, err := c.GetObject(ctx, &s3.GetObjectInput{Bucket: b, Key: key})
			if err == nil {
				out.Body.Close()
			}
			return err
		}},
		{"HeadObject", []permission{{objectARN, "s3:GetObject"}}, func(c *s3.Client, _ *string) error {
			_, err := c.HeadObject(ctx, &s3.HeadObjectInput{Bucket: b, Key: key})
			return err
		}},
		{"GetObjectAttributes", []permission{{objectARN, "s3:GetObject"}, {objectARN, "s3:GetObjectAttributes"}}, func(c *s3.Client, _ *string) error {
			_, err := c.GetObjectAttributes(ctx, &s3.GetObjectAttributesInput{Bucket: b, Key: key, ObjectAttributes: []types.ObjectAttributes{types.ObjectAttributesEtag}})
			return err
		}},
		{"DeleteObject", []permission{{objectARN, "s3:DeleteObject"}}, func(c *s3.Client, _ *string) error {
			_, err := c.DeleteObject(ctx, &s3.DeleteObjectInput{Bucket: b, Key: key})
			return err
		}},
		{"CopyObject", []permission{{objectARN, "s3:GetObject"}, {objectARN, "s3:GetObjectTagging"}, {bucketARN + "/copy", "s3:PutObject"}, {bucketARN + "/copy", "s3:PutObjectTagging"}}, func(c *s3.Client, _ *string) error {
			_, err := c.CopyObject(ctx, &s3.CopyObjectInput{Bucket: b, Key: aws.String("copy"), CopySource: aws.String("data/dir%2Fk")})
			return err
		}},
		{"GetObjectTagging", []permission{{objectARN, "s3:GetObjectTagging"}}, func(c *s3.Client, _ *string) error {
			out, err := c.GetObjectTagging(ctx, &s3.GetObjectTaggingInput{Bucket: b, Key: key})
			if err == nil && (len(out.TagSet) != 1 || *out.TagSet[0].Value != "red") {
				err = fmt.Errorf("%+v", out.TagSet)
			}
			return err
		}},
		{"PutObjectTagging", []permission{{objectARN, "s3:PutObjectTagging"}}, func(c *s3.Client, _ *string) error {
			_, err := c.PutObjectTagging(ctx, &s3.PutObjectTaggingInput{Bucket: b, Key: key, Tagging: &types.Tagging{TagSet: []types.Tag{{Key: aws.String("a"), Value: aws.String("b")}}}})
			return err
		}},
		{"DeleteObjectTagging", []permission{{objectARN, "s3:DeleteObjectTagging"}}, func(c *s3.Client, _ *string) error {
			_, err := c.DeleteObjectTagging(ctx, &s3.DeleteObjectTaggingInput{Bucket: b, Key: key})
			return err
		}},
		{"CreateMultipartUpload", []permission{{objectARN, "s3:PutObject"}}, func(c *s3.Client, _ *string) error {
			_, err := c.CreateMultipartUpload(ctx, &s3.CreateMultipartUploadInput{Bucket: b, Key: key})
			return err
		}},
		{"UploadPart", []permission{{objectARN, "s3:PutObject"}}, func(c *s3.Client, up *string) error {
			_, err := c.UploadPart(ctx, &s3.UploadPartInput{Bucket: b, Key: key, UploadId: up, PartNumber: aws.Int32(1), Body: strings.NewReader("x")})
			return err
		}},
		{"UploadPartCopy", []permission{{objectARN, "s3:GetObject"}, {objectARN, "s3:PutObject"}}, func(c *s3.Client, up *string) error {
			_, err := c.UploadPartCopy(ctx, &s3.UploadPartCopyInput{Bucket: b, Key: key, UploadId: up, PartNumber: aws.Int32(1), CopySource: aws.String("data/dir/k")})
			return err
		}},
		{"ListParts", []permission{{objectARN, "s3:ListMultipartUploadParts"}}, func(c *s3.Client, up *string) error {
			_, err := c.ListParts(ctx, &s3.ListPartsInput{Bucket: b, Key: key, UploadId: up})
			return err
		}},
		{"ListMultipartUploads", []permission{{bucketARN, "s3:ListBucketMultipartUploads"}}, func(c *s3.Client, _ *string) error {
			_, err := c.ListMultipartUploads(ctx, &s3.ListMultipartUploadsInput{Bucket: b})
			return err
		}},
		{"CompleteMultipartUpload", []permission{{objectARN, "s3:PutObject"}}, func(c *s3.Client, up *string) error {
			_, err := c.CompleteMultipartUpload(ctx, &s3.CompleteMultipartUploadInput{Bucket: b, Key: key, UploadId: up, MultipartUpload: &types.CompletedMultipartUpload{Parts: []types.CompletedPart{{PartNumber: aws.Int32(1), ETag: etag}}}})
			return err
		}},
		{"AbortMultipartUpload", []permission{{objectARN, "s3:AbortMultipartUpload"}}, func(c *s3.Client, up *string) error {
			_, err := c.AbortMultipartUpload(ctx, &s3.AbortMultipartUploadInput{Bucket: b, Key: key, UploadId: up})
			return err
		}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			upload := prepare(t)
			for i, p := range tc.need {
				err := tc.call(client(k.With(allow(slices.Delete(slices.Clone(tc.need), i, i+1)...)...)), upload)
				if got := code(err); got != "AccessDenied" && got != "Forbidden" {
					t.Errorf("without %v: %v", p, err)
				} else if got == "AccessDenied" && !strings.Contains(err.Error(), p.action) {
					t.Errorf("without %v the refusal is %v", p, err)
				}
			}
			if err := tc.call(client(k.With(allow(tc.need...)...)), upload); err != nil {
				t.Errorf("with exactly what it needs: %v", err)
			}
		})
	}
}

// TestRefusal pins the words, which for S3 set the resource in quotation marks.
func TestRefusal(t *testing.T) {
	k, _ := start(t)
	k.Role("app", "")
	c := client(k.Session("app", "s", 3600e9))
	_, err := c.PutObject(ctx, &s3.PutObjectInput{Bucket: aws.String("data"), Key: aws.String("k")})
	const who = "User: arn:aws:sts::" + testkit.Account + ":assumed-role/app/s is not authorized to perform: "
	if want := who + `s3:PutObject on resource: "arn:aws:s3:::data/k" because no identity-based policy allows the s3:PutObject action`; err == nil || !strings.Contains(err.Error(), want) {
		t.Errorf("%v\nwant %s", err, want)
	}
	_, err = c.ListBuckets(ctx, nil)
	if want := who + `s3:ListAllMyBuckets because no identity-based policy allows the s3:ListAllMyBuckets action`; err == nil || !strings.Contains(err.Error(), want) {
		t.Errorf("%v\nwant %s", err, want)
	}
}

// TestMissingKey: only who may list a bucket learns that a key is not there.
func TestMissingKey(t *testing.T) {
	k, _ := start(t)
	read := testkit.Allow("arn:aws:s3:::data/*", "s3:GetObject", "s3:GetObjectTagging", "s3:PutObject")
	blind := client(k.With(read))
	sees := client(k.With(read, testkit.Allow("arn:aws:s3:::data", "s3:ListBucket")))
	in := &s3.GetObjectInput{Bucket: aws.String("data"), Key: aws.String("nothing")}
	_, err := blind.GetObject(ctx, in)
	wantCode(t, err, "AccessDenied")
	if err == nil || !strings.Contains(err.Error(), `s3:ListBucket on resource: "arn:aws:s3:::data"`) {
		t.Errorf("%v", err)
	}
	_, err = sees.GetObject(ctx, in)
	wantCode(t, err, "NoSuchKey")
	_, err = blind.HeadObject(ctx, &s3.HeadObjectInput{Bucket: in.Bucket, Key: in.Key})
	wantCode(t, err, "Forbidden")
	_, err = sees.HeadObject(ctx, &s3.HeadObjectInput{Bucket: in.Bucket, Key: in.Key})
	wantCode(t, err, "NotFound")
	_, err = blind.CopyObject(ctx, &s3.CopyObjectInput{Bucket: in.Bucket, Key: aws.String("to"), CopySource: aws.String("data/nothing")})
	wantCode(t, err, "AccessDenied")
	_, err = blind.GetObject(ctx, &s3.GetObjectInput{Bucket: aws.String("no-such-bucket"), Key: in.Key})
	wantCode(t, err, "AccessDenied")
}

// TestDeleteObjects: each key is judged for itself.
func TestDeleteObjects(t *testing.T) {
	k, root := start(t)
	for _, key := range []string{"mine/1", "mine/2", "theirs/1"} {
		put(t, root, key, "x")
	}
	del := func(c *s3.Client, quiet bool, keys ...string) *s3.DeleteObjectsOutput {
		t.Helper()
		in := &s3.DeleteObjectsInput{Bucket: aws.String("data"), Delete: &types.Delete{Quiet: &quiet}}
		for _, key := range keys {
			in.Delete.Objects = append(in.Delete.Objects, types.ObjectIdentifier{Key: &key})
		}
		out, err := c.DeleteObjects(ctx, in)
		if err != nil {
			t.Fatal(err)
		}
		return out
	}
	c := client(k.With(testkit.Allow("arn:aws:s3:::data/mine/*", "s3:DeleteObject")))
	out := del(c, false, "mine/1", "theirs/1", "mine/nothing")
	if len(out.Deleted) != 2 || len(out.Errors) != 1 || *out.Errors[0].Key != "theirs/1" || *out.Errors[0].Code != "AccessDenied" || !strings.Contains(*out.Errors[0].Message, `s3:DeleteObject on resource: "arn:aws:s3:::data/theirs/1"`) {
		t.Errorf("%+v", out)
	}
	if out := del(c, true, "mine/2", "theirs/1"); len(out.Deleted) != 0 || len(out.Errors) != 1 {
		t.Errorf("quietly: %+v", out)
	}
	if out := del(client(k.With()), false, "mine/2", "theirs/1"); len(out.Deleted) != 0 || len(out.Errors) != 2 {
		t.Errorf("without any right: %+v", out)
	}
	left, err := root.ListObjectsV2(ctx, &s3.ListObjectsV2Input{Bucket: aws.String("data")})
	if err != nil || len(left.Contents) != 1 || *left.Contents[0].Key != "theirs/1" {
		t.Errorf("left: %+v, %v", left, err)
	}
}

// TestConditionKeys: what policies may demand of a request to S3.
func TestConditionKeys(t *testing.T) {
	k, root := start(t)
	if _, err := root.PutObject(ctx, &s3.PutObjectInput{Bucket: aws.String("data"), Key: aws.String("red"), Body: strings.NewReader("x"), Tagging: aws.String("Team=red")}); err != nil {
		t.Fatal(err)
	}
	put(t, root, "plain", "x")
	when := func(action, resource, condition string) *s3.Client {
		return client(k.With(fmt.Sprintf(`{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":%q,"Resource":%q,"Condition":%s}]}`, action, resource, condition)))
	}
	getKey := func(c *s3.Client, key string) error {
		out, err := c.GetObject(ctx, &s3.GetObjectInput{Bucket: aws.String("data"), Key: &key})
		if err == nil {
			out.Body.Close()
		}
		return err
	}
	c := when("s3:GetObject", "*", `{"StringEquals":{"s3:ExistingObjectTag/Team":"red"}}`)
	wantCode(t, getKey(c, "red"), "")
	wantCode(t, getKey(c, "plain"), "AccessDenied")

	list := func(c *s3.Client, prefix string, n int32) error {
		_, err := c.ListObjectsV2(ctx, &s3.ListObjectsV2Input{Bucket: aws.String("data"), Prefix: &prefix, Delimiter: aws.String("/"), MaxKeys: &n})
		return err
	}
	c = when("s3:ListBucket", bucketARN, `{"StringLike":{"s3:prefix":"home/*"},"StringEquals":{"s3:delimiter":"/"},"NumericLessThanEquals":{"s3:max-keys":"10"}}`)
	wantCode(t, list(c, "home/ann", 10), "")
	wantCode(t, list(c, "home/ann", 11), "AccessDenied")
	wantCode(t, list(c, "", 10), "AccessDenied")

	tagged := func(c *s3.Client, tagging string) error {
		_, err := c.PutObject(ctx, &s3.PutObjectInput{Bucket: aws.String("data"), Key: aws.String("t"), Body: strings.NewReader("x"), Tagging: &tagging})
		return err
	}
	c = when("s3:PutObject*", "*", `{"StringEquals":{"s3:RequestObjectTag/Team":"red"},"ForAllValues:StringEquals":{"s3:RequestObjectTagKeys":["Team"]}}`)
	wantCode(t, tagged(c, "Team=red"), "")
	wantCode(t, tagged(c, "Team=blue"), "AccessDenied")
	wantCode(t, tagged(c, "Team=red&More=x"), "AccessDenied")

	c = when("s3:PutObject", "*", `{"StringEquals":{"s3:if-none-match":"*"}}`)
	_, err := c.PutObject(ctx, &s3.PutObjectInput{Bucket: aws.String("data"), Key: aws.String("once"), IfNoneMatch: aws.String("*")})
	wantCode(t, err, "")
	_, err = c.PutObject(ctx, &s3.PutObjectInput{Bucket: aws.String("data"), Key: aws.String("once")})
	wantCode(t, err, "AccessDenied")

	c = when("s3:GetObject", "*", `{"StringEquals":{"s3:authType":"REST-HEADER","s3:ResourceAccount":"`+testkit.Account+`"}}`)
	wantCode(t, getKey(c, "plain"), "")
}

// TestCopy: directives and conditions.
func TestCopy(t *testing.T) {
	_, c := start(t)
	makeBucket(t, c, "other")
	_, err := c.PutObject(ctx, &s3.PutObjectInput{Bucket: aws.String("data"), Key: aws.String("a b+c/é"), Body: strings.NewReader("x"), ContentType: aws.String("text/a"), Metadata: map[string]string{"m": "1"}, Tagging: aws.String("t=1")})
	if err != nil {
		t.Fatal(err)
	}
	src := "/data/a%20b%2Bc/%C3%A9"
	cp := func(in s3.CopyObjectInput) error {
		in.Bucket, in.Key, in.CopySource = aws.String("other"), aws.String("copy"), &src
		_, err := c.CopyObject(ctx, &in)
		return err
	}
	head := func() *s3.HeadObjectOutput {
		t.Helper()
		out, err := c.HeadObject(ctx, &s3.HeadObjectInput{Bucket: aws.String("other"), Key: aws.String("copy")})
		if err != nil {
			t.Fatal(err)
		}
		return out
	}
	wantCode(t, cp(s3.CopyObjectInput{ContentType: aws.String("ignored/x")}), "")
	if h := head(); *h.ContentType != "text/a" || h.Metadata["m"] != "1" {
		t.Errorf("%+v", h)
	}
	wantCode(t, cp(s3.CopyObjectInput{MetadataDirective: types.MetadataDirectiveReplace, ContentType: aws.String("text/b"), Metadata: map[string]string{"n": "2"}, TaggingDirective: types.TaggingDirectiveReplace, Tagging: aws.String("u=2")}), "")
	if h := head(); *h.ContentType != "text/b" || h.Metadata["m"] != "" || h.Metadata["n"] != "2" {
		t.Errorf("%+v", h)
	}
	tags, err := c.GetObjectTagging(ctx, &s3.GetObjectTaggingInput{Bucket: aws.String("other"), Key: aws.String("copy")})
	if err != nil || len(tags.TagSet) != 1 || *tags.TagSet[0].Key != "u" {
		t.Errorf("%+v, %v", tags, err)
	}
	wantCode(t, cp(s3.CopyObjectInput{CopySourceIfMatch: aws.String("nope")}), "PreconditionFailed")
	wantCode(t, cp(s3.CopyObjectInput{CopySourceIfNoneMatch: aws.String("*")}), "PreconditionFailed")
	wantCode(t, cp(s3.CopyObjectInput{IfNoneMatch: aws.String("*")}), "PreconditionFailed")
	_, err = c.CopyObject(ctx, &s3.CopyObjectInput{Bucket: aws.String("data"), Key: aws.String("a b+c/é"), CopySource: &src})
	wantCode(t, err, "InvalidRequest")
}
