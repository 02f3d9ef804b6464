package s3_test

import (
	"errors"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"
	"github.com/aws/smithy-go"

	"github.com/remit-ecs/remit/internal/testkit"
)

// allowing is a policy for the bucket "data" that allows an action to a
// principal; rest is what else is in the statement.
func allowing(principal, action, resource, rest string) string {
	return `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"AWS":"` + principal + `"},"Action":"` + action + `","Resource":"` + resource + `"` + rest + `}]}`
}

func attach(c *s3.Client, text string) error {
	_, err := c.PutBucketPolicy(ctx, &s3.PutBucketPolicyInput{Bucket: aws.String("data"), Policy: &text})
	return err
}

func read(c *s3.Client, key string) error {
	out, err := c.GetObject(ctx, &s3.GetObjectInput{Bucket: aws.String("data"), Key: &key})
	if err == nil {
		_, err = io.Copy(io.Discard, out.Body)
		_ = out.Body.Close()
	}
	return err
}

func write(t *testing.T, c *s3.Client, key string) {
	t.Helper()
	if _, err := c.PutObject(ctx, &s3.PutObjectInput{Bucket: aws.String("data"), Key: &key, Body: strings.NewReader("x")}); err != nil {
		t.Fatal(err)
	}
}

// wantText is wantCode with a part of the message.
func wantText(t *testing.T, err error, code, text string) {
	t.Helper()
	var e smithy.APIError
	if !errors.As(err, &e) || e.ErrorCode() != code || !strings.Contains(e.ErrorMessage(), text) {
		t.Errorf("got %v, want %s: %s", err, code, text)
	}
}

// unblock lets the bucket have public policies and be public.
func unblock(t *testing.T, c *s3.Client) {
	t.Helper()
	if _, err := c.DeletePublicAccessBlock(ctx, &s3.DeletePublicAccessBlockInput{Bucket: aws.String("data")}); err != nil {
		t.Fatal(err)
	}
}

func nobody(k *testkit.Kit) *s3.Client {
	cfg := k.Root()
	cfg.Credentials = aws.AnonymousCredentials{}
	return client(cfg)
}

func TestBucketPolicy(t *testing.T) {
	k, c := start(t)
	data := aws.String("data")
	_, err := c.GetBucketPolicy(ctx, &s3.GetBucketPolicyInput{Bucket: data})
	wantText(t, err, "NoSuchBucketPolicy", "The bucket policy does not exist")
	_, err = c.GetBucketPolicyStatus(ctx, &s3.GetBucketPolicyStatusInput{Bucket: data})
	wantCode(t, err, "NoSuchBucketPolicy")
	if _, err := c.DeleteBucketPolicy(ctx, &s3.DeleteBucketPolicyInput{Bucket: data}); err != nil {
		t.Errorf("deleting no policy: %v", err)
	}
	role := k.Role("reader", "")
	text := allowing(role, "s3:GetObject", bucketARN+"/*", "")
	if err := attach(c, text); err != nil {
		t.Fatal(err)
	}
	out, err := c.GetBucketPolicy(ctx, &s3.GetBucketPolicyInput{Bucket: data})
	if err != nil || *out.Policy != text {
		t.Errorf("%+v, %v", out, err)
	}
	status, err := c.GetBucketPolicyStatus(ctx, &s3.GetBucketPolicyStatusInput{Bucket: data})
	if err != nil || *status.PolicyStatus.IsPublic {
		t.Errorf("%+v, %v", status, err)
	}

	write(t, c, "k")
	reader := client(k.Session("reader", "s", time.Hour))
	if err := read(reader, "k"); err != nil {
		t.Errorf("the bucket's policy is enough in its account: %v", err)
	}
	// A role of the same name that came later is another one.
	k.Delete(role)
	k.Role("reader", "")
	wantText(t, read(client(k.Session("reader", "s", time.Hour)), "k"), "AccessDenied", "because no identity-based policy allows the s3:GetObject action")
	if out, err := c.GetBucketPolicy(ctx, &s3.GetBucketPolicyInput{Bucket: data}); err != nil || !strings.Contains(*out.Policy, `"AWS":"AROA`) {
		t.Errorf("who is gone is not shown as an id: %+v, %v", out, err)
	}
	if _, err := c.DeleteBucketPolicy(ctx, &s3.DeleteBucketPolicyInput{Bucket: data}); err != nil {
		t.Error(err)
	}
	_, err = c.GetBucketPolicy(ctx, &s3.GetBucketPolicyInput{Bucket: data})
	wantCode(t, err, "NoSuchBucketPolicy")
}

func TestBucketPolicyRefused(t *testing.T) {
	_, c := start(t)
	good := allowing(testkit.Other, "s3:GetObject", bucketARN+"/*", "")
	for _, tc := range []struct{ text, want string }{
		{"x", "Policies must be valid JSON and the first byte must be '{'"},
		{"[]", "Policies must be valid JSON and the first byte must be '{'"},
		{`{"Version":"2012-10-17"}`, "Missing required field Statement"},
		{strings.Replace(good, `"Principal":{"AWS":"`+testkit.Other+`"},`, "", 1), "Missing required field Principal"},
		{strings.Replace(good, `"Action":"s3:GetObject",`, "", 1), "Missing required field Action"},
		{strings.Replace(good, `,"Resource":"`+bucketARN+`/*"`, "", 1), "Missing required field Resource"},
		{strings.Replace(good, "Allow", "Permit", 1), "Invalid policy syntax."},
		{strings.Replace(good, `{"AWS":"`+testkit.Other+`"}`, `{"CanonicalUser":"79a5"}`, 1), "Invalid principal in policy"},
		{allowing("arn:aws:iam::"+testkit.Account+":role/gone", "s3:GetObject", bucketARN+"/*", ""), "Invalid principal in policy"},
		{allowing(testkit.Other, "s3:GetObjekt", bucketARN+"/*", ""), "Policy has invalid action"},
		{allowing(testkit.Other, "ec2:Start*", bucketARN+"/*", ""), "Policy has invalid action"},
		{allowing(testkit.Other, "s3:GetObject", "*", ""), "Policy has invalid resource"},
		{allowing(testkit.Other, "s3:GetObject", "arn:aws:s3:::other/*", ""), "Policy has invalid resource"},
		{allowing(testkit.Other, "s3:GetObject", "arn:aws:s3:::data2/*", ""), "Policy has invalid resource"},
		{allowing(testkit.Other, "s3:GetObject", bucketARN, ""), "Action does not apply to any resource(s) in statement"},
		{allowing(testkit.Other, "s3:ListBucket", bucketARN+"/*", ""), "Action does not apply to any resource(s) in statement"},
		{allowing(testkit.Other, "s3:GetObject", bucketARN+"/*", `,"Condition":{"StringEquals":{"s3:colour":"red"}}`), "Policy has an invalid condition key"},
	} {
		wantText(t, attach(c, tc.text), "MalformedPolicy", tc.want)
	}
	wantText(t, attach(c, allowing(testkit.Other, "s3:GetObject", bucketARN+"/"+strings.Repeat("x", 20<<10), "")), "PolicyTooLarge", "20480 bytes")
	for _, text := range []string{
		good,
		allowing(testkit.Other, "s3:*", bucketARN+"/*", ""),
		allowing(testkit.Other, "*", bucketARN+"*", ""),
		allowing(testkit.Other, "s3:Get*", bucketARN, ""),
		allowing(testkit.Other, "s3:ListBucket", bucketARN, `,"Condition":{"StringLike":{"s3:prefix":"home/*"}}`),
		allowing(testkit.Other, "s3:GetObject", bucketARN+"/*", `,"Condition":{"StringEquals":{"s3:ExistingObjectTag/team":"red"}}`),
	} {
		if err := attach(c, text); err != nil {
			t.Errorf("%s: %v", text, err)
		}
	}
}

// TestBucketPolicyAcrossAccounts needs both sides to allow.
func TestBucketPolicyAcrossAccounts(t *testing.T) {
	k, c := start(t)
	write(t, c, "dir/k")
	may, mayNot := client(k.WithIn(testkit.Other, testkit.Allow("*", "s3:*"))), client(k.WithIn(testkit.Other))
	wantText(t, read(may, "dir/k"), "AccessDenied", "because no resource-based policy allows the s3:GetObject action")
	policy := `{"Version":"2012-10-17","Statement":[` +
		`{"Effect":"Allow","Principal":{"AWS":"` + testkit.Other + `"},"Action":["s3:GetObject","s3:PutObject"],"Resource":"` + bucketARN + `/dir/*"},` +
		`{"Effect":"Allow","Principal":{"AWS":"` + testkit.Other + `"},"Action":["s3:ListBucket","s3:*BucketPolicy"],"Resource":"` + bucketARN + `"}]}`
	if err := attach(c, policy); err != nil {
		t.Fatal(err)
	}
	if err := read(may, "dir/k"); err != nil {
		t.Errorf("both sides allow: %v", err)
	}
	wantText(t, read(mayNot, "dir/k"), "AccessDenied", "because no identity-based policy allows the s3:GetObject action")
	wantText(t, read(may, "k"), "AccessDenied", "because no resource-based policy allows")
	wantText(t, read(client(k.WithIn(testkit.Outside, testkit.Allow("*", "*"))), "dir/k"), "AccessDenied", "because no resource-based policy allows")
	if err := read(client(k.RootOf(testkit.Other)), "dir/k"); err != nil {
		t.Errorf("the other account's root: %v", err)
	}
	// What it writes belongs to the bucket's owner.
	if _, err := may.PutObject(ctx, &s3.PutObjectInput{Bucket: aws.String("data"), Key: aws.String("dir/theirs"), Body: strings.NewReader("x")}); err != nil {
		t.Error(err)
	}
	if err := read(c, "dir/theirs"); err != nil {
		t.Error(err)
	}
	// The bucket owner condition.
	_, err := may.GetObject(ctx, &s3.GetObjectInput{Bucket: aws.String("data"), Key: aws.String("dir/k"), ExpectedBucketOwner: aws.String(testkit.Other)})
	wantText(t, err, "AccessDenied", "Access Denied")
	// Policies are the owner's account's alone, whoever is allowed.
	_, err = may.GetBucketPolicy(ctx, &s3.GetBucketPolicyInput{Bucket: aws.String("data")})
	wantText(t, err, "MethodNotAllowed", "The specified method is not allowed against this resource.")
	wantCode(t, attach(may, policy), "MethodNotAllowed")
	_, err = may.DeleteBucketPolicy(ctx, &s3.DeleteBucketPolicyInput{Bucket: aws.String("data")})
	wantCode(t, err, "MethodNotAllowed")
}

// TestOwnerIsNotLockedOut denies everything to everyone.
func TestOwnerIsNotLockedOut(t *testing.T) {
	k, c := start(t)
	write(t, c, "k")
	text := `{"Version":"2012-10-17","Statement":[{"Effect":"Deny","Principal":"*","Action":"s3:*","Resource":["` + bucketARN + `","` + bucketARN + `/*"]}]}`
	if err := attach(c, text); err != nil {
		t.Fatal(err)
	}
	wantText(t, read(c, "k"), "AccessDenied", "with an explicit deny in a resource-based policy")
	admin := client(k.With(testkit.Allow("*", "*")))
	wantText(t, attach(admin, text), "AccessDenied", "with an explicit deny in a resource-based policy")
	if _, err := c.GetBucketPolicy(ctx, &s3.GetBucketPolicyInput{Bucket: aws.String("data")}); err != nil {
		t.Errorf("root of the owner: %v", err)
	}
	if _, err := c.DeleteBucketPolicy(ctx, &s3.DeleteBucketPolicyInput{Bucket: aws.String("data")}); err != nil {
		t.Errorf("root of the owner: %v", err)
	}
	if err := read(c, "k"); err != nil {
		t.Error(err)
	}
}

// TestAnonymous asks without any signature.
func TestAnonymous(t *testing.T) {
	k, c := start(t)
	write(t, c, "public/k")
	write(t, c, "k")
	anyone := nobody(k)
	wantText(t, read(anyone, "public/k"), "AccessDenied", "Access Denied")
	_, err := anyone.ListBuckets(ctx, nil)
	wantCode(t, err, "AccessDenied")
	public := `{"Version":"2012-10-17","Statement":[` +
		`{"Effect":"Allow","Principal":"*","Action":["s3:GetObject","s3:PutObject"],"Resource":"` + bucketARN + `/public/*"},` +
		`{"Effect":"Allow","Principal":"*","Action":["s3:ListBucket","s3:CreateBucket"],"Resource":"` + bucketARN + `","Condition":{"StringLike":{"s3:prefix":"public/*"}}}]}`
	wantText(t, attach(c, public), "AccessDenied", `User: arn:aws:iam::111122223333:root is not authorized to perform: s3:PutBucketPolicy on resource: "arn:aws:s3:::data" because public policies are prevented by the BlockPublicPolicy setting in S3 Block Public Access.`)
	unblock(t, c)
	if err := attach(c, public); err != nil {
		t.Fatal(err)
	}
	if err := read(anyone, "public/k"); err != nil {
		t.Errorf("the policy is public: %v", err)
	}
	wantText(t, read(anyone, "k"), "AccessDenied", "Access Denied")
	list := func(prefix string) error {
		_, err := anyone.ListObjectsV2(ctx, &s3.ListObjectsV2Input{Bucket: aws.String("data"), Prefix: &prefix})
		return err
	}
	if err := list("public/x"); err != nil {
		t.Errorf("the prefix is public: %v", err)
	}
	wantCode(t, list(""), "AccessDenied")
	wantCode(t, list("private/"), "AccessDenied")
	// Bytes from nobody are held to the checksums that came with them.
	if _, err := anyone.PutObject(ctx, &s3.PutObjectInput{Bucket: aws.String("data"), Key: aws.String("public/new"), Body: strings.NewReader("from nobody")}); err != nil {
		t.Errorf("put: %v", err)
	}
	if err := read(c, "public/new"); err != nil {
		t.Error(err)
	}
	_, err = anyone.PutObject(ctx, &s3.PutObjectInput{Bucket: aws.String("data"), Key: aws.String("public/new"), Body: strings.NewReader("from nobody"), ChecksumSHA256: aws.String("AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=")})
	wantCode(t, err, "BadDigest")
	_, err = anyone.CreateMultipartUpload(ctx, &s3.CreateMultipartUploadInput{Bucket: aws.String("data"), Key: aws.String("public/large")})
	wantText(t, err, "AccessDenied", "Anonymous users cannot initiate multipart uploads.  Please authenticate.")

	// The record is in the trail of the bucket's owner and region.
	trail := k.Trail()
	last := trail[len(trail)-1]
	if id := last.UserIdentity; last.EventName != "CreateMultipartUpload" || id.Type != "AWSAccount" || id.AccountID != "ANONYMOUS_PRINCIPAL" || last.RecipientAccountID != testkit.Account || last.AWSRegion != testkit.Region {
		t.Errorf("the trail says %+v", last)
	}
}

// TestPublicAccessBlock sets and enforces the settings.
func TestPublicAccessBlock(t *testing.T) {
	k, c := start(t)
	data := aws.String("data")
	write(t, c, "k")
	get := func() *types.PublicAccessBlockConfiguration {
		t.Helper()
		out, err := c.GetPublicAccessBlock(ctx, &s3.GetPublicAccessBlockInput{Bucket: data})
		if err != nil {
			t.Fatal(err)
		}
		return out.PublicAccessBlockConfiguration
	}
	if p := get(); !*p.BlockPublicAcls || !*p.IgnorePublicAcls || !*p.BlockPublicPolicy || !*p.RestrictPublicBuckets {
		t.Errorf("a new bucket has %+v", p)
	}
	unblock(t, c)
	_, err := c.GetPublicAccessBlock(ctx, &s3.GetPublicAccessBlockInput{Bucket: data})
	wantText(t, err, "NoSuchPublicAccessBlockConfiguration", "The public access block configuration was not found")
	public := `{"Version":"2012-10-17","Statement":{"Effect":"Allow","Principal":"*","Action":"s3:GetObject","Resource":"` + bucketARN + `/*"}}`
	if err := attach(c, public); err != nil {
		t.Fatal(err)
	}
	status, err := c.GetBucketPolicyStatus(ctx, &s3.GetBucketPolicyStatusInput{Bucket: data})
	if err != nil || !*status.PolicyStatus.IsPublic {
		t.Errorf("%+v, %v", status, err)
	}
	nothing, foreign, anyone := client(k.With()), client(k.WithIn(testkit.Other, testkit.Allow("*", "s3:*"))), nobody(k)
	for who, c := range map[string]*s3.Client{"role": nothing, "foreign": foreign, "anyone": anyone} {
		if err := read(c, "k"); err != nil {
			t.Errorf("public, %s: %v", who, err)
		}
	}
	restrict := func(on bool) {
		t.Helper()
		if _, err := c.PutPublicAccessBlock(ctx, &s3.PutPublicAccessBlockInput{Bucket: data, PublicAccessBlockConfiguration: &types.PublicAccessBlockConfiguration{RestrictPublicBuckets: aws.Bool(on)}}); err != nil {
			t.Fatal(err)
		}
	}
	restrict(true)
	if p := get(); *p.BlockPublicAcls || *p.IgnorePublicAcls || *p.BlockPublicPolicy || !*p.RestrictPublicBuckets {
		t.Errorf("%+v", p)
	}
	if err := read(nothing, "k"); err != nil {
		t.Errorf("restricted, the owner's account: %v", err)
	}
	wantText(t, read(foreign, "k"), "AccessDenied", "with an explicit deny in a resource-based policy")
	wantText(t, read(anyone, "k"), "AccessDenied", "Access Denied")
	if out, err := c.GetBucketPolicy(ctx, &s3.GetBucketPolicyInput{Bucket: data}); err != nil || *out.Policy != public {
		t.Errorf("the restriction shows: %+v, %v", out, err)
	}
	restrict(false)
	if err := read(anyone, "k"); err != nil {
		t.Errorf("not restricted any more: %v", err)
	}
	// A policy that names whom it grants to is not public, and not restricted.
	restrict(true)
	if err := attach(c, allowing(testkit.Other, "s3:GetObject", bucketARN+"/*", "")); err != nil {
		t.Fatal(err)
	}
	if err := read(foreign, "k"); err != nil {
		t.Errorf("a policy that is not public: %v", err)
	}
}

// TestConditions has bucket policies test what S3 says of a request.
func TestBucketPolicyConditions(t *testing.T) {
	k, c := start(t)
	c2 := client(k.With(testkit.Allow("*", "s3:*")))
	deny := func(action, resource, condition string) {
		t.Helper()
		if err := attach(c, `{"Version":"2012-10-17","Statement":[{"Effect":"Deny","Principal":"*","Action":"`+action+`","Resource":"`+resource+`","Condition":`+condition+`}]}`); err != nil {
			t.Fatal(err)
		}
	}
	write(t, c, "k")
	deny("s3:GetObject", bucketARN+"/*", `{"Bool":{"aws:SecureTransport":"false"}}`)
	wantText(t, read(c2, "k"), "AccessDenied", "with an explicit deny in a resource-based policy")
	deny("s3:ListBucket", bucketARN, `{"NumericGreaterThan":{"s3:max-keys":"10"}}`)
	list := func(n int32) error {
		_, err := c2.ListObjectsV2(ctx, &s3.ListObjectsV2Input{Bucket: aws.String("data"), MaxKeys: &n})
		return err
	}
	if err := list(10); err != nil {
		t.Error(err)
	}
	wantCode(t, list(11), "AccessDenied")
	deny("s3:PutObject", bucketARN+"/*", `{"StringNotEquals":{"s3:x-amz-storage-class":"STANDARD_IA"}}`)
	_, err := c2.PutObject(ctx, &s3.PutObjectInput{Bucket: aws.String("data"), Key: aws.String("k"), Body: strings.NewReader("x")})
	wantCode(t, err, "AccessDenied")
	if _, err := c2.PutObject(ctx, &s3.PutObjectInput{Bucket: aws.String("data"), Key: aws.String("k"), Body: strings.NewReader("x"), StorageClass: types.StorageClassStandardIa}); err != nil {
		t.Error(err)
	}
}

func TestBucketSettings(t *testing.T) {
	_, c := start(t)
	data := aws.String("data")
	owner, err := c.GetBucketOwnershipControls(ctx, &s3.GetBucketOwnershipControlsInput{Bucket: data})
	if err != nil || owner.OwnershipControls.Rules[0].ObjectOwnership != types.ObjectOwnershipBucketOwnerEnforced {
		t.Errorf("%+v, %v", owner, err)
	}
	own := func(o types.ObjectOwnership) error {
		_, err := c.PutBucketOwnershipControls(ctx, &s3.PutBucketOwnershipControlsInput{Bucket: data, OwnershipControls: &types.OwnershipControls{Rules: []types.OwnershipControlsRule{{ObjectOwnership: o}}}})
		return err
	}
	wantCode(t, own(types.ObjectOwnershipObjectWriter), "NotImplemented")
	if _, err := c.DeleteBucketOwnershipControls(ctx, &s3.DeleteBucketOwnershipControlsInput{Bucket: data}); err != nil {
		t.Error(err)
	}
	_, err = c.GetBucketOwnershipControls(ctx, &s3.GetBucketOwnershipControlsInput{Bucket: data})
	wantText(t, err, "OwnershipControlsNotFoundError", "The bucket ownership controls were not found")
	if err := own(types.ObjectOwnershipBucketOwnerEnforced); err != nil {
		t.Error(err)
	}
	if _, err := c.GetBucketOwnershipControls(ctx, &s3.GetBucketOwnershipControlsInput{Bucket: data}); err != nil {
		t.Error(err)
	}

	encrypt := func(alg types.ServerSideEncryption, key *string) error {
		_, err := c.PutBucketEncryption(ctx, &s3.PutBucketEncryptionInput{Bucket: data, ServerSideEncryptionConfiguration: &types.ServerSideEncryptionConfiguration{Rules: []types.ServerSideEncryptionRule{{
			BucketKeyEnabled: aws.Bool(true), ApplyServerSideEncryptionByDefault: &types.ServerSideEncryptionByDefault{SSEAlgorithm: alg, KMSMasterKeyID: key},
		}}}})
		return err
	}
	encrypted := func(bucketKey bool) {
		t.Helper()
		out, err := c.GetBucketEncryption(ctx, &s3.GetBucketEncryptionInput{Bucket: data})
		if err != nil || len(out.ServerSideEncryptionConfiguration.Rules) != 1 {
			t.Fatalf("%+v, %v", out, err)
		}
		if r := out.ServerSideEncryptionConfiguration.Rules[0]; r.ApplyServerSideEncryptionByDefault.SSEAlgorithm != types.ServerSideEncryptionAes256 || *r.BucketKeyEnabled != bucketKey {
			t.Errorf("%+v", r)
		}
	}
	encrypted(false)
	wantCode(t, encrypt(types.ServerSideEncryptionAwsKms, nil), "NotImplemented")
	wantCode(t, encrypt(types.ServerSideEncryptionAes256, aws.String("key")), "InvalidArgument")
	if err := encrypt(types.ServerSideEncryptionAes256, nil); err != nil {
		t.Error(err)
	}
	encrypted(true)
	if _, err := c.DeleteBucketEncryption(ctx, &s3.DeleteBucketEncryptionInput{Bucket: data}); err != nil {
		t.Error(err)
	}
	encrypted(false)
}
