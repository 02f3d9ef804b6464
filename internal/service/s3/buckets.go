package s3

import (
	"net/http"
	"net/netip"
	"regexp"
	"strings"

	"github.com/remit-ecs/remit/internal/api"
	"github.com/remit-ecs/remit/internal/api/s3api"
	"github.com/remit-ecs/remit/internal/authz"
	"github.com/remit-ecs/remit/internal/gateway"
	"github.com/remit-ecs/remit/internal/id"
	"github.com/remit-ecs/remit/internal/session"
)

var bucketName = regexp.MustCompile(`^[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]$`)

// validBucketName tells whether a bucket may have the name.
// https://docs.aws.amazon.com/AmazonS3/latest/userguide/bucketnamingrules.html
func validBucketName(name string) bool {
	if !bucketName.MatchString(name) || strings.Contains(name, "..") {
		return false
	}
	if a, err := netip.ParseAddr(name); err == nil && a.Is4() {
		return false
	}
	for _, p := range [...]string{"xn--", "sthree-", "amzn-s3-demo-"} {
		if strings.HasPrefix(name, p) {
			return false
		}
	}
	for _, s := range [...]string{"-s3alias", "--ol-s3", ".mrap", "--x-s3", "--table-s3"} {
		if strings.HasSuffix(name, s) {
			return false
		}
	}
	return true
}

func one(a authz.Ask, err error) ([]authz.Ask, error) {
	if err != nil {
		return nil, err
	}
	return []authz.Ask{a}, nil
}

func (s *Service) mayListBuckets(c *gateway.Call, _ *s3api.ListBucketsInput) ([]authz.Ask, error) {
	return []authz.Ask{question(c, "s3:ListAllMyBuckets", "arn:aws:s3:::*", c.Account, nil)}, nil
}

// listBuckets lists the caller's buckets of all regions.
// https://docs.aws.amazon.com/AmazonS3/latest/API/API_ListBuckets.html
func (s *Service) listBuckets(c *gateway.Call, in *s3api.ListBucketsInput) (*s3api.ListBucketsOutput, error) {
	limit := 10000
	if in.MaxBuckets != nil {
		if *in.MaxBuckets < 1 || *in.MaxBuckets > 10000 {
			return nil, invalidArgument("Argument max-buckets must be an integer between 1 and 10000")
		}
		limit = int(*in.MaxBuckets)
	}
	after, ok := c.After(in.ContinuationToken)
	if !ok {
		return nil, invalidArgument("The continuation token provided is incorrect")
	}
	out := &s3api.ListBucketsOutput{Buckets: []s3api.Bucket{}, Owner: owner(c.Account), Prefix: in.Prefix}
	last := ""
	for name, b := range buckets.By(c.Tx, bucketsShard, "account", c.Account) {
		if name <= after || !strings.HasPrefix(name, api.Value(in.Prefix)) || in.BucketRegion != nil && *in.BucketRegion != b.Region {
			continue
		}
		if len(out.Buckets) == limit {
			out.ContinuationToken = c.NextToken(last)
			break
		}
		last = name
		out.Buckets = append(out.Buckets, s3api.Bucket{Name: &name, CreationDate: api.At(b.Created), BucketRegion: &b.Region, BucketArn: api.Ptr(bucketARN(name))})
	}
	return out, nil
}

func owner(account string) *s3api.Owner { return &s3api.Owner{ID: api.Ptr(canonicalID(account))} }

func (s *Service) mayCreateBucket(c *gateway.Call, in *s3api.CreateBucketInput) ([]authz.Ask, error) {
	// The name belongs to nobody yet, or to whom it must not be told: the
	// question is about the caller's own account.
	k := keys{}.set("s3:x-amz-acl", string(in.ACL)).set("s3:x-amz-object-ownership", string(in.ObjectOwnership))
	k.headers(c, createHeaders)
	if cfg := in.CreateBucketConfiguration; cfg != nil {
		k.set("s3:locationconstraint", string(cfg.LocationConstraint))
		tagKeys(k, "aws:requesttag/", "aws:tagkeys", fromAPI(cfg.Tags))
	}
	asks := []authz.Ask{question(c, "s3:CreateBucket", bucketARN(api.Value(in.Bucket)), c.Account, k)}
	if cfg := in.CreateBucketConfiguration; cfg != nil && len(cfg.Tags) > 0 {
		asks = append(asks, question(c, "s3:TagResource", bucketARN(api.Value(in.Bucket)), c.Account, tagKeys(keys{}, "aws:requesttag/", "aws:tagkeys", fromAPI(cfg.Tags))))
	}
	return asks, nil
}

// createHeaders are condition keys of s3:CreateBucket that repeat a header.
var createHeaders = map[string]string{
	"s3:x-amz-bucket-namespace":   "X-Amz-Bucket-Namespace",
	"s3:x-amz-grant-full-control": "X-Amz-Grant-Full-Control",
	"s3:x-amz-grant-read":         "X-Amz-Grant-Read",
	"s3:x-amz-grant-read-acp":     "X-Amz-Grant-Read-Acp",
	"s3:x-amz-grant-write":        "X-Amz-Grant-Write",
	"s3:x-amz-grant-write-acp":    "X-Amz-Grant-Write-Acp",
}

// createBucket makes a bucket in the region of the request.
// https://docs.aws.amazon.com/AmazonS3/latest/API/API_CreateBucket.html
func (s *Service) createBucket(c *gateway.Call, in *s3api.CreateBucketInput) (*s3api.CreateBucketOutput, error) {
	name := api.Value(in.Bucket)
	if c.Principal.Type == session.Anonymous {
		return nil, api.AccessDenied("Access Denied") // nobody can own a bucket
	}
	if !validBucketName(name) {
		return nil, clientError("InvalidBucketName", http.StatusBadRequest, "The specified bucket is not valid.").With("BucketName", name)
	}
	region, err := location(c.Region, in.CreateBucketConfiguration)
	if err != nil {
		return nil, err
	}
	switch {
	case in.ACL != "" && in.ACL != s3api.BucketCannedACLPrivate,
		in.GrantFullControl != nil, in.GrantRead != nil, in.GrantReadACP != nil, in.GrantWrite != nil, in.GrantWriteACP != nil:
		return nil, clientError("InvalidBucketAclWithObjectOwnership", http.StatusBadRequest, "Bucket cannot have ACLs set with ObjectOwnership's BucketOwnerEnforced setting")
	case in.ObjectOwnership != "" && in.ObjectOwnership != s3api.ObjectOwnershipBucketOwnerEnforced:
		return nil, notServed("x-amz-object-ownership")
	case api.Value(in.ObjectLockEnabledForBucket):
		return nil, notServed("x-amz-bucket-object-lock-enabled")
	}
	var tags []tag
	if cfg := in.CreateBucketConfiguration; cfg != nil {
		tags = fromAPI(cfg.Tags)
		if err := checkTags(tags, maxBucketTags); err != nil {
			return nil, err
		}
	}
	if b, ok := buckets.Get(c.Tx, bucketsShard, name); ok {
		switch {
		case b.Account != c.Account:
			return nil, s3api.BucketAlreadyExists("The requested bucket name is not available. The bucket namespace is shared by all users of the system. Please select a different name and try again.").With("BucketName", name)
		case b.Region != usEast1 || region != usEast1:
			return nil, s3api.BucketAlreadyOwnedByYou("Your previous request to create the named bucket succeeded and you already own it.").With("BucketName", name)
		}
		// In us-east-1, for the sake of old programs, doing it again succeeds.
	} else {
		buckets.Put(c.Tx, name, &bucket{ID: id.Hex(c.IDs, 16), Account: c.Account, Region: region, Created: c.Time, Tags: tags})
	}
	out := &s3api.CreateBucketOutput{Location: api.Ptr("/" + name), BucketArn: api.Ptr(bucketARN(name))}
	if c.Region != usEast1 {
		out.Location = api.Ptr(c.Scheme + "://" + c.Host + "/" + name)
	}
	return out, nil
}

const usEast1 = "us-east-1"

// location is the region that a new bucket goes to. Only a request to us-east-1
// may name another one, and us-east-1 itself is named by saying nothing.
func location(region string, cfg *s3api.CreateBucketConfiguration) (string, error) {
	want := ""
	if cfg != nil {
		want = string(cfg.LocationConstraint)
		if cfg.Location != nil || cfg.Bucket != nil {
			return "", notServed("directory buckets")
		}
	}
	illegal := func(what string) error {
		return clientError("IllegalLocationConstraintException", http.StatusBadRequest,
			"The "+what+" location constraint is incompatible for the region specific endpoint this request was sent to.")
	}
	switch {
	case want == usEast1:
		return "", clientError("InvalidLocationConstraint", http.StatusBadRequest, "The specified location-constraint is not valid").With("LocationConstraint", want)
	case want == "" && region == usEast1:
		return usEast1, nil
	case want == "":
		return "", illegal("unspecified")
	case want == "EU":
		want = "eu-west-1"
	}
	if region != usEast1 && want != region {
		return "", illegal(want)
	}
	return want, nil
}

func (s *Service) mayDeleteBucket(c *gateway.Call, in *s3api.DeleteBucketInput) ([]authz.Ask, error) {
	return one(askBucket(c, "s3:DeleteBucket", in.Bucket, nil))
}

// deleteBucket removes an empty bucket. Uploads under way do not hold it; what
// they had stored is swept.
// https://docs.aws.amazon.com/AmazonS3/latest/API/API_DeleteBucket.html
func (s *Service) deleteBucket(c *gateway.Call, in *s3api.DeleteBucketInput) (*s3api.DeleteBucketOutput, error) {
	if _, err := open(c, in.Bucket, in.ExpectedBucketOwner); err != nil {
		return nil, err
	}
	for range objects.Prefix(c.Tx, contentsShard(*in.Bucket), "") {
		return nil, clientError("BucketNotEmpty", http.StatusConflict, "The bucket you tried to delete is not empty").With("BucketName", *in.Bucket)
	}
	buckets.Delete(c.Tx, *in.Bucket)
	return &s3api.DeleteBucketOutput{}, nil
}

func (s *Service) mayHeadBucket(c *gateway.Call, in *s3api.HeadBucketInput) ([]authz.Ask, error) {
	return one(askBucket(c, "s3:ListBucket", in.Bucket, nil))
}

// https://docs.aws.amazon.com/AmazonS3/latest/API/API_HeadBucket.html
func (s *Service) headBucket(c *gateway.Call, in *s3api.HeadBucketInput) (*s3api.HeadBucketOutput, error) {
	b, err := open(c, in.Bucket, in.ExpectedBucketOwner)
	if err != nil {
		return nil, err
	}
	return &s3api.HeadBucketOutput{BucketRegion: &b.Region, BucketArn: api.Ptr(bucketARN(*in.Bucket)), AccessPointAlias: api.Ptr(false)}, nil
}

func (s *Service) mayGetBucketLocation(c *gateway.Call, in *s3api.GetBucketLocationInput) ([]authz.Ask, error) {
	return one(askBucket(c, "s3:GetBucketLocation", in.Bucket, nil))
}

// https://docs.aws.amazon.com/AmazonS3/latest/API/API_GetBucketLocation.html
func (s *Service) getBucketLocation(c *gateway.Call, in *s3api.GetBucketLocationInput) (*s3api.GetBucketLocationOutput, error) {
	b, err := open(c, in.Bucket, in.ExpectedBucketOwner)
	if err != nil {
		return nil, err
	}
	out := &s3api.GetBucketLocationOutput{}
	if b.Region != usEast1 {
		out.LocationConstraint = s3api.BucketLocationConstraint(b.Region)
	}
	return out, nil
}

func (s *Service) mayGetBucketVersioning(c *gateway.Call, in *s3api.GetBucketVersioningInput) ([]authz.Ask, error) {
	return one(askBucket(c, "s3:GetBucketVersioning", in.Bucket, nil))
}

// getBucketVersioning answers what AWS answers of a bucket whose versioning was
// never enabled: nothing.
// https://docs.aws.amazon.com/AmazonS3/latest/API/API_GetBucketVersioning.html
func (s *Service) getBucketVersioning(c *gateway.Call, in *s3api.GetBucketVersioningInput) (*s3api.GetBucketVersioningOutput, error) {
	if _, err := open(c, in.Bucket, in.ExpectedBucketOwner); err != nil {
		return nil, err
	}
	return &s3api.GetBucketVersioningOutput{}, nil
}

func (s *Service) mayGetBucketAcl(c *gateway.Call, in *s3api.GetBucketAclInput) ([]authz.Ask, error) {
	return one(askBucket(c, "s3:GetBucketAcl", in.Bucket, nil))
}

// getBucketAcl answers the one list there is: everything to the owner.
// https://docs.aws.amazon.com/AmazonS3/latest/API/API_GetBucketAcl.html
func (s *Service) getBucketAcl(c *gateway.Call, in *s3api.GetBucketAclInput) (*s3api.GetBucketAclOutput, error) {
	b, err := open(c, in.Bucket, in.ExpectedBucketOwner)
	if err != nil {
		return nil, err
	}
	o := owner(b.Account)
	return &s3api.GetBucketAclOutput{Owner: o, Grants: []s3api.Grant{{
		Grantee: &s3api.Grantee{ID: o.ID, Type: s3api.TypeCanonicalUser}, Permission: s3api.PermissionFullControl,
	}}}, nil
}
