package s3

import (
	"crypto/tls"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/remit-ecs/remit/internal/api"
	"github.com/remit-ecs/remit/internal/authz"
	"github.com/remit-ecs/remit/internal/gateway"
	"github.com/remit-ecs/remit/internal/session"
)

// keys are the condition keys of a question, by lower-case name.
type keys map[string][]string

// set adds a key that has a value.
func (k keys) set(name, value string) keys {
	if value != "" {
		k[name] = []string{value}
	}
	return k
}

func (k keys) ptr(name string, value *string) keys {
	if value != nil {
		k[name] = []string{*value}
	}
	return k
}

// headers adds the keys that repeat a header, where the request has it.
func (k keys) headers(c *gateway.Call, of map[string]string) keys {
	if c.HTTP != nil {
		for key, header := range of {
			k.set(key, c.HTTP.Header.Get(header))
		}
	}
	return k
}

// bucketARN and objectARN are how policies name them: without region and
// account.
func bucketARN(bucket string) string      { return "arn:aws:s3:::" + bucket }
func objectARN(bucket, key string) string { return "arn:aws:s3:::" + bucket + "/" + key }

// askBucket asks for an action on a bucket.
func askBucket(c *gateway.Call, action string, name *string, k keys) (authz.Ask, error) {
	return ask(c, action, api.Value(name), bucketARN(api.Value(name)), k)
}

// askObject asks for an action on an object.
func askObject(c *gateway.Call, action string, name, key *string, k keys) (authz.Ask, error) {
	return ask(c, action, api.Value(name), objectARN(api.Value(name), api.Value(key)), k)
}

// ask makes the question. A signature for another region than the bucket's is
// refused here, as it is before anybody asks for permissions in AWS.
func ask(c *gateway.Call, action, name, resource string, k keys) (authz.Ask, error) {
	b, ok := buckets.Get(c.Tx, bucketsShard, name)
	if ok {
		c.Adopt(b.Account, b.Region)
	}
	// GetBucketLocation is how clients find the region out.
	if ok && b.Region != c.Region && action != "s3:GetBucketLocation" {
		return authz.Ask{}, wrongRegion(c.Region, b.Region)
	}
	return question(c, action, resource, ownerOf(c, name), k), nil
}

// ownerOf is the account that a question about a bucket, or about what is in
// it, belongs to. Of a bucket that does not exist it is the caller's, so that
// only those who may use the name learn that it is free.
func ownerOf(c *gateway.Call, bucket string) string {
	if b, ok := buckets.Get(c.Tx, bucketsShard, bucket); ok {
		return b.Account
	}
	return c.Account
}

func question(c *gateway.Call, action, resource, owner string, k keys) authz.Ask {
	return authz.Ask{Action: action, Resource: resource, Account: owner, Keys: everyKey(c, owner, k), Refuse: refuse}
}

// refuse words a refusal as S3 does, which sets the resource in quotation marks
// and names none for ListBuckets.
func refuse(v *authz.Verdict) *api.Error {
	if v.Principal.Type == session.Anonymous {
		return api.AccessDenied("Access Denied")
	}
	resource := `"` + v.Ask.Resource + `"`
	if v.Ask.Action == "s3:ListAllMyBuckets" {
		resource = ""
	}
	return api.AccessDenied(v.Decision.Message(v.Principal.ARN, v.Ask.Action, resource))
}

// everyKey adds the condition keys that every action of S3 has.
// https://docs.aws.amazon.com/AmazonS3/latest/API/bucket-policy-s3-sigv4-conditions.html
func everyKey(c *gateway.Call, owner string, k keys) keys {
	if k == nil {
		k = keys{}
	}
	k.set("s3:resourceaccount", owner)
	r := c.HTTP
	if r == nil {
		return k
	}
	k.set("s3:x-amz-content-sha256", r.Header.Get("X-Amz-Content-Sha256"))
	if r.TLS != nil {
		k.set("s3:tlsversion", strings.TrimPrefix(tls.VersionName(r.TLS.Version), "TLS "))
	}
	switch q := r.URL.Query(); {
	case r.Header.Get("Authorization") != "":
		k.set("s3:authtype", "REST-HEADER").set("s3:signatureversion", "AWS4-HMAC-SHA256")
	case q.Get("X-Amz-Signature") != "":
		k.set("s3:authtype", "REST-QUERY-STRING").set("s3:signatureversion", "AWS4-HMAC-SHA256")
		if at, err := time.Parse("20060102T150405Z", q.Get("X-Amz-Date")); err == nil {
			k.set("s3:signatureage", strconv.FormatInt(max(c.Time.Sub(at).Milliseconds(), 0), 10))
		}
		if q.Get("X-Amz-Content-Sha256") != "" {
			k.set("s3:x-amz-content-sha256", q.Get("X-Amz-Content-Sha256"))
		} else if r.Header.Get("X-Amz-Content-Sha256") == "" {
			k.set("s3:x-amz-content-sha256", "UNSIGNED-PAYLOAD")
		}
	}
	return k
}

// open returns the bucket of an authorised request.
func open(c *gateway.Call, name, expectedOwner *string) (*bucket, error) {
	b, ok := buckets.Get(c.Tx, bucketsShard, api.Value(name))
	if !ok {
		return nil, noSuchBucket(api.Value(name))
	}
	if expectedOwner != nil && *expectedOwner != b.Account {
		return nil, clientError("AccessDenied", http.StatusForbidden, "Access Denied")
	}
	return b, nil
}

// find returns an object of an authorised request. Whether a key exists is
// told only to those who may list the bucket: others are refused.
// https://docs.aws.amazon.com/AmazonS3/latest/API/API_GetObject.html
func find(c *gateway.Call, bucket, key string) (*object, error) {
	if o, ok := objects.Get(c.Tx, contentsShard(bucket), key); ok {
		return o, nil
	}
	if err := c.Ask(question(c, "s3:ListBucket", bucketARN(bucket), ownerOf(c, bucket), nil)); err != nil {
		return nil, err
	}
	return nil, noSuchKey(key)
}
