package sigv4

import (
	"bufio"
	"container/list"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
)

var (
	testNow   = time.Date(2026, 3, 4, 5, 6, 7, 0, time.UTC)
	testCreds = Credentials{AccessKeyID: "ASIAEXAMPLEEXAMPLE22", SecretAccessKey: "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY", SessionToken: "token/+=="}
)

func sdkCreds() aws.Credentials {
	return aws.Credentials{AccessKeyID: testCreds.AccessKeyID, SecretAccessKey: testCreds.SecretAccessKey, SessionToken: testCreds.SessionToken}
}

func hexSum(s string) string {
	h := sha256.Sum256([]byte(s))
	return hex.EncodeToString(h[:])
}

func hashOf(s string) func() (string, error) {
	return func() (string, error) { return hexSum(s), nil }
}

// arrive turns a client's request into what a server reads from the wire.
func arrive(t testing.TB, r *http.Request) *http.Request {
	t.Helper()
	var b strings.Builder
	if err := r.Write(&b); err != nil {
		t.Fatal(err)
	}
	got, err := http.ReadRequest(bufio.NewReader(strings.NewReader(b.String())))
	if err != nil {
		t.Fatalf("%v in:\n%s", err, b.String())
	}
	return got
}

func newRequest(t testing.TB, method, target, body string, headers ...string) *http.Request {
	t.Helper()
	r, err := http.NewRequest(method, target, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; i+1 < len(headers); i += 2 {
		r.Header.Add(headers[i], headers[i+1])
	}
	return r
}

var signedByBoth = []struct {
	name, service, method, url, body string
	headers                          []string
}{
	{"json", "ecs", "POST", "https://ecs.eu-central-1.example.com/", `{"cluster":"demo"}`,
		[]string{"X-Amz-Target", "AmazonEC2ContainerServiceV20141113.RunTask", "Content-Type", "application/x-amz-json-1.1"}},
	{"query", "sts", "POST", "http://127.0.0.1:4566/", "Action=GetCallerIdentity&Version=2011-06-15",
		[]string{"Content-Type", "application/x-www-form-urlencoded; charset=utf-8"}},
	{"websocket", "ecs", "GET", "https://h:1/acs/ws?agentHash=x&clusterArn=de%20mo&dockerVersion=DockerVersion%3A+20.10.24&seqNum=1", "",
		[]string{"Upgrade", "websocket", "Sec-WebSocket-Version", "13"}},
	{"path escaped twice", "ecr", "GET", "https://h/v2/a%20b/%C3%A9+x/c~d", "", nil},
	{"spaces in header", "ecs", "POST", "https://h/", "", []string{"X-Amz-Note", "  a   b  c ", "X-Amz-Note", "d"}},
	{"s3 key", "s3", "PUT", "https://h/bucket/a//b/../c%2Fd/%E2%82%AC%20%2B%28x%29%3D%26~", "hello",
		[]string{"X-Amz-Meta-A", "b", "Content-Md5", "XUFAKrxLKna5cZ2REBfFkg=="}},
	{"s3 query", "s3", "GET", "https://h/bucket?list-type=2&prefix=a%2Fb-&delimiter=%2F&acl&b=2&b=1&a-b=1&a%2Fb=2", "", nil},
}

func TestSDKSignsWeVerify(t *testing.T) {
	for _, c := range signedByBoth {
		t.Run(c.name, func(t *testing.T) {
			r := newRequest(t, c.method, c.url, c.body, c.headers...)
			hash := hexSum(c.body)
			opt := func(o *v4.SignerOptions) { o.DisableURIPathEscaping = c.service == "s3" }
			if c.service == "s3" {
				r.Header.Set("X-Amz-Content-Sha256", hash)
			}
			if err := v4.NewSigner(opt).SignHTTP(context.Background(), sdkCreds(), r, hash, c.service, "eu-central-1", testNow); err != nil {
				t.Fatal(err)
			}
			got := arrive(t, r)
			q, e := Parse(got)
			if e != nil {
				t.Fatal(e)
			}
			if q.AccessKeyID != testCreds.AccessKeyID || q.Region != "eu-central-1" || q.Service != c.service ||
				q.Date != "20260304" || !q.Time.Equal(testNow) || q.SessionToken != testCreds.SessionToken || q.Presigned {
				t.Errorf("parsed %+v", q)
			}
			if e := q.Verify(got, testCreds.SecretAccessKey, testNow, hashOf(c.body)); e != nil {
				t.Fatal(e)
			}
			if e := q.Verify(got, testCreds.SecretAccessKey+"x", testNow, hashOf(c.body)); e == nil || e.Kind != BadSignature {
				t.Fatalf("another secret: %v", e)
			}
			want := BadSignature
			if c.service == "s3" {
				want = BadPayloadHash
			}
			if e := q.Verify(got, testCreds.SecretAccessKey, testNow, hashOf(c.body+"x")); e == nil || e.Kind != want {
				t.Fatalf("another body: %v", e)
			}
			got.Method = "DELETE"
			if e := q.Verify(got, testCreds.SecretAccessKey, testNow, hashOf(c.body)); e == nil || e.Kind != BadSignature {
				t.Fatalf("another method: %v", e)
			}
		})
	}
}

func TestSDKPresignsWeVerify(t *testing.T) {
	for _, c := range signedByBoth {
		t.Run(c.name, func(t *testing.T) {
			u := c.url + map[bool]string{true: "&", false: "?"}[strings.Contains(c.url, "?")] + "X-Amz-Expires=600"
			r := newRequest(t, c.method, u, c.body, c.headers...)
			hash := hexSum(c.body)
			if c.service == "s3" {
				hash = UnsignedPayload
			}
			opt := func(o *v4.SignerOptions) { o.DisableURIPathEscaping = c.service == "s3" }
			signed, headers, err := v4.NewSigner(opt).PresignHTTP(context.Background(), sdkCreds(), r, hash, c.service, "eu-central-1", testNow)
			if err != nil {
				t.Fatal(err)
			}
			r = newRequest(t, c.method, signed, c.body)
			for k, v := range headers {
				if k != "Host" && k != "Content-Length" {
					r.Header[k] = v
				}
			}
			got := arrive(t, r)
			q, e := Parse(got)
			if e != nil {
				t.Fatal(e)
			}
			if !q.Presigned || q.Expires != 10*time.Minute || q.SessionToken != testCreds.SessionToken {
				t.Errorf("parsed %+v", q)
			}
			if e := q.Verify(got, testCreds.SecretAccessKey, testNow.Add(9*time.Minute), hashOf(c.body)); e != nil {
				t.Fatal(e)
			}
			if e := q.Verify(got, testCreds.SecretAccessKey, testNow.Add(11*time.Minute), hashOf(c.body)); e == nil || e.Kind != Expired {
				t.Fatalf("late: %v", e)
			}
			if e := q.Verify(got, testCreds.SecretAccessKey, testNow.Add(-time.Hour), hashOf(c.body)); e == nil || e.Kind != Expired {
				t.Fatalf("early: %v", e)
			}
			got.Header.Set("X-Amz-Acl", "public-read")
			if e := q.Verify(got, testCreds.SecretAccessKey, testNow, hashOf(c.body)); e == nil || e.Kind != UnsignedHeader {
				t.Fatalf("added header: %v", e)
			}
		})
	}
}

// The SDK has no verifier, so its signer says what our signature has to be:
// given the same headers it must find the same one.
func TestWeSignAsSDKDoes(t *testing.T) {
	for _, c := range signedByBoth {
		t.Run(c.name, func(t *testing.T) {
			ours := newRequest(t, c.method, c.url, c.body, c.headers...)
			ours.ContentLength = 0 // the SDK signs the length, we do not
			ours.Header.Del("Upgrade")
			ours.Header.Del("Sec-WebSocket-Version")
			theirs := ours.Clone(context.Background())
			hash := hexSum(c.body)
			Sign(ours, testCreds, c.service, "eu-central-1", testNow, hash)
			if c.service == "s3" {
				theirs.Header.Set("X-Amz-Content-Sha256", hash)
			}
			opt := func(o *v4.SignerOptions) { o.DisableURIPathEscaping = c.service == "s3" }
			if err := v4.NewSigner(opt).SignHTTP(context.Background(), sdkCreds(), theirs, hash, c.service, "eu-central-1", testNow); err != nil {
				t.Fatal(err)
			}
			if a, b := ours.Header.Get("Authorization"), theirs.Header.Get("Authorization"); a != b {
				t.Errorf("ours   %s\ntheirs %s", a, b)
			}

			pre := newRequest(t, c.method, c.url, "")
			u := Presign(pre, testCreds, c.service, "eu-central-1", testNow, time.Minute, hash)
			withExpires := *pre.URL
			q := withExpires.Query()
			q.Set("X-Amz-Expires", "60")
			withExpires.RawQuery = q.Encode()
			pre.URL = &withExpires
			signed, _, err := v4.NewSigner(opt).PresignHTTP(context.Background(), sdkCreds(), pre, hash, c.service, "eu-central-1", testNow)
			if err != nil {
				t.Fatal(err)
			}
			su, err := url.Parse(signed)
			if err != nil {
				t.Fatal(err)
			}
			if a, b := u.Query().Get("X-Amz-Signature"), su.Query().Get("X-Amz-Signature"); a != b || a == "" {
				t.Errorf("presigned: ours %s theirs %s", a, b)
			}
		})
	}
}

func TestPathNormalised(t *testing.T) {
	for in, want := range map[string]string{
		"": "/", "/": "/", "//": "/", "/a/../..": "/", "/./": "/", "/a//b/./c/../d/": "/a/b/d/",
		"/a/b/..": "/a/", "/a b": "/a%20b", "/a%20b": "/a%2520b", "/-_.~": "/-_.~",
	} {
		if got := string(appendPath(nil, in, false)); got != want {
			t.Errorf("%q: %q, want %q", in, got, want)
		}
	}
	for in, want := range map[string]string{
		"": "/", "/a//../b": "/a//../b", "/a%2fb": "/a%2Fb", "/a%7Eb": "/a~b", "/a+b": "/a%2Bb", "/%zz%2": "/%25zz%252",
	} {
		if got := string(appendPath(nil, in, true)); got != want {
			t.Errorf("s3 %q: %q, want %q", in, got, want)
		}
	}
}

func signed(t testing.TB, service string) *http.Request {
	r := newRequest(t, "POST", "http://host/", "body", "X-Amz-Target", "A.B")
	Sign(r, testCreds, service, "us-east-1", testNow, hexSum("body"))
	return arrive(t, r)
}

func TestRefusals(t *testing.T) {
	edit := func(old, new string) func(*http.Request) {
		return func(r *http.Request) {
			a := r.Header.Get("Authorization")
			if !strings.Contains(a, old) {
				panic("nothing to edit: " + old)
			}
			r.Header.Set("Authorization", strings.ReplaceAll(a, old, new))
		}
	}
	query := func(q string) func(*http.Request) {
		return func(r *http.Request) { r.Header.Del("Authorization"); r.URL.RawQuery = q }
	}
	const full = "X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential=AKIA%2F20260304%2Fus-east-1%2Fs3%2Faws4_request" +
		"&X-Amz-Date=20260304T050607Z&X-Amz-SignedHeaders=host&X-Amz-Signature=" + EmptyPayload
	late := func(d time.Duration) time.Time { return testNow.Add(d) }
	for _, c := range []struct {
		name    string
		service string
		edit    func(*http.Request)
		now     time.Time
		kind    Kind
		text    string // part of the family's text
		family  Family
		code    string
		status  int
	}{
		{"unsigned", "ecs", query(""), testNow, Missing, "Missing Authentication Token", JSON, "MissingAuthenticationTokenException", 400},
		{"unsigned query", "sts", query(""), testNow, Missing, "Request is missing Authentication Token", Query, "MissingAuthenticationToken", 403},
		{"unsigned s3", "s3", query(""), testNow, Missing, "Access Denied", S3, "AccessDenied", 403},
		{"no credential", "ecs", edit("Credential=", "X="), testNow, Malformed, "not a valid key=value pair", JSON, "IncompleteSignatureException", 400},
		{"empty parts", "sts", func(r *http.Request) { r.Header.Set("Authorization", algorithm); r.Header.Del("X-Amz-Date") }, testNow,
			Incomplete, "Authorization header requires 'Credential' parameter. Authorization header requires 'Signature' parameter. " +
				"Authorization header requires 'SignedHeaders' parameter. " +
				"Authorization header requires existence of either a 'X-Amz-Date' or a 'Date' header. ", Query, "IncompleteSignature", 400},
		{"empty parts s3", "s3", edit(", Signature=", ", X"), testNow, Malformed, "The authorization header is malformed; ", S3, "AuthorizationHeaderMalformed", 400},
		{"four element scope", "ecs", edit("/aws4_request", ""), testNow, Incomplete, "exactly 5 slash-delimited elements", JSON, "IncompleteSignatureException", 400},
		{"terminator", "sts", edit("aws4_request", "aws4_reque"), testNow, ScopeMismatch,
			"Credential should be scoped with a valid terminator: 'aws4_request', not 'aws4_reque'.", Query, "SignatureDoesNotMatch", 403},
		{"date", "ecs", edit("20260304/", "20260303/"), testNow, ScopeMismatch,
			"Date in Credential scope does not match YYYYMMDD from ISO-8601 version of date from HTTP: '20260303' != '20260304', from '20260304T050607Z'.",
			JSON, "InvalidSignatureException", 400},
		{"bad stamp", "ecs", func(r *http.Request) { r.Header.Set("X-Amz-Date", "yesterday") }, testNow, Malformed, "ISO-8601 'basic format'", JSON, "IncompleteSignatureException", 400},
		{"region changed", "ecs", edit("us-east-1", "us-east-2"), testNow, BadSignature, textBadSignature, JSON, "InvalidSignatureException", 400},
		{"region changed s3", "s3", edit("us-east-1", "us-east-2"), testNow, BadSignature, "Check your key and signing method.", S3, "SignatureDoesNotMatch", 403},
		{"signature upper case", "ecs", func(r *http.Request) {
			a := r.Header.Get("Authorization")
			i := strings.Index(a, "Signature=") + 10
			r.Header.Set("Authorization", a[:i]+strings.ToUpper(a[i:]))
		}, testNow, BadSignature, textBadSignature, JSON, "InvalidSignatureException", 400},
		{"unsorted headers", "ecs", edit("host;x-amz-date", "x-amz-date;host"), testNow, Malformed, "SignedHeaders", JSON, "IncompleteSignatureException", 400},
		{"host unsigned", "ecs", edit("host;", ""), testNow, UnsignedHeader, "'Host' or ':authority' must be a 'SignedHeader'", JSON, "InvalidSignatureException", 400},
		{"target unsigned", "ecs", edit(";x-amz-target", ""), testNow, UnsignedHeader, "'X-Amz-Target' must be a 'SignedHeader'", JSON, "InvalidSignatureException", 400},
		{"target unsigned s3", "s3", edit(";x-amz-target", ""), testNow, UnsignedHeader, "There were headers present in the request which were not signed", S3, "AccessDenied", 403},
		{"content-md5 added", "ecs", func(r *http.Request) { r.Header.Set("Content-MD5", "x") }, testNow, UnsignedHeader, "Content-Md5", JSON, "InvalidSignatureException", 400},
		{"host changed", "ecs", func(r *http.Request) { r.Host = "other" }, testNow, BadSignature, "", JSON, "InvalidSignatureException", 400},
		{"old", "ecs", nil, late(5*time.Minute + time.Second), Skewed,
			"Signature expired: 20260304T050607Z is now earlier than 20260304T050608Z (20260304T051108Z - 5 min.)", JSON, "InvalidSignatureException", 400},
		{"early", "sts", nil, late(-5*time.Minute - time.Second), Skewed,
			"Signature not yet current: 20260304T050607Z is still later than 20260304T050606Z (20260304T050106Z + 5 min.)", Query, "SignatureDoesNotMatch", 403},
		{"old s3", "s3", nil, late(16 * time.Minute), Skewed, "The difference between the request time and the current time is too large.", S3, "RequestTimeTooSkewed", 403},
		{"two authorizations", "ecs", func(r *http.Request) { r.Header.Add("Authorization", "Basic x") }, testNow, Unsupported, "Only one auth mechanism allowed", JSON, "IncompleteSignatureException", 400},
		{"header and query", "s3", func(r *http.Request) { r.URL.RawQuery = full }, testNow, Unsupported, "Only one auth mechanism allowed", S3, "InvalidRequest", 400},
		{"sigv2 header", "s3", func(r *http.Request) { r.Header.Set("Authorization", "AWS AKIA:c2ln") }, testNow, Unsupported, textUnsupported, S3, "InvalidRequest", 400},
		{"sigv2 query", "s3", query("AWSAccessKeyId=AKIA&Signature=x%3D&Expires=1"), testNow, Unsupported, textUnsupported, S3, "InvalidRequest", 400},
		{"sigv4a", "s3", edit(algorithm, "AWS4-ECDSA-P256-SHA256"), testNow, Unsupported, textUnsupported, S3, "InvalidRequest", 400},
		{"sigv4a query", "s3", query("X-Amz-Algorithm=AWS4-ECDSA-P256-SHA256"), testNow, Unsupported, `X-Amz-Algorithm only supports "AWS4-HMAC-SHA256"`, S3, "AuthorizationQueryParametersError", 400},
		{"basic", "ecs", func(r *http.Request) { r.Header.Set("Authorization", "Basic eDp5") }, testNow, Unsupported, "'Basic'", JSON, "IncompleteSignatureException", 400},
		{"query lacks parts", "s3", query("X-Amz-Algorithm=AWS4-HMAC-SHA256"), testNow, Incomplete, textQueryMissing, S3, "AuthorizationQueryParametersError", 400},
		{"query lacks date", "sts", query(strings.Replace(full, "X-Amz-Date", "X", 1)), testNow, Incomplete,
			"AWS query-string parameters must include 'X-Amz-Date'. Re-examine the query-string parameters.", Query, "IncompleteSignature", 400},
		{"query lacks expires", "s3", query(full), testNow, Incomplete, textQueryMissing, S3, "AuthorizationQueryParametersError", 400},
		{"query expires", "s3", query(full + "&X-Amz-Expires=604801"), testNow, Malformed, "must be less than a week", S3, "AuthorizationQueryParametersError", 400},
		{"query expires negative", "s3", query(full + "&X-Amz-Expires=-1"), testNow, Malformed, "non-negative", S3, "AuthorizationQueryParametersError", 400},
		{"query twice", "s3", query(full + "&X-Amz-Expires=1&X-Amz-Date=20260304T050608Z"), testNow, Malformed, "Duplicate", S3, "AuthorizationQueryParametersError", 400},
		{"query expired", "s3", func(r *http.Request) { query(full + "&X-Amz-Expires=1")(r) }, late(time.Minute), Expired, "Request has expired", S3, "AccessDenied", 403},
		{"query early", "s3", func(r *http.Request) { query(full + "&X-Amz-Expires=1")(r) }, late(-time.Hour), Expired, "Request is not valid yet", S3, "AccessDenied", 403},
		{"payload word", "s3", func(r *http.Request) { r.Header.Set("X-Amz-Content-Sha256", "whatever") }, testNow, BadPayloadHash, textPayloadHash, S3, "InvalidArgument", 400},
		{"no payload hash", "s3", func(r *http.Request) {
			edit("x-amz-content-sha256;", "")(r)
			r.Header.Del("X-Amz-Content-Sha256")
		}, testNow, Incomplete, "Missing required header for this request: x-amz-content-sha256", S3, "InvalidRequest", 400},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := signed(t, c.service)
			if c.edit != nil {
				c.edit(r)
			}
			q, e := Parse(r)
			if e == nil {
				e = q.Verify(r, testCreds.SecretAccessKey, c.now, hashOf("body"))
			}
			if e == nil {
				t.Fatal("accepted")
			}
			code, status := e.Code(c.family)
			if e.Kind != c.kind || !strings.Contains(e.Text(c.family), c.text) || code != c.code || status != c.status {
				t.Errorf("%v: %s %d %q", e.Kind, code, status, e.Text(c.family))
			}
		})
	}
}

func TestUnsignedPayloadIsForS3Alone(t *testing.T) {
	for service, want := range map[string]Kind{"ecs": BadPayloadHash, "s3": 0} {
		r := newRequest(t, "POST", "http://host/", "body", "X-Amz-Content-Sha256", UnsignedPayload)
		Sign(r, testCreds, service, "us-east-1", testNow, UnsignedPayload)
		r = arrive(t, r)
		q, e := Parse(r)
		if e != nil {
			t.Fatal(e)
		}
		e = q.Verify(r, testCreds.SecretAccessKey, testNow, hashOf("anything"))
		if want == 0 && e != nil || want != 0 && (e == nil || e.Kind != want) {
			t.Errorf("%s: %v", service, e)
		}
	}
}

func TestBodyUnknown(t *testing.T) {
	r := signed(t, "ecs")
	q, e := Parse(r)
	if e != nil {
		t.Fatal(e)
	}
	if e := q.Verify(r, testCreds.SecretAccessKey, testNow, nil); e == nil || e.Kind != BadPayloadHash {
		t.Errorf("a body that nobody hashed: %v", e)
	}
	fail := func() (string, error) { return "", errors.New("broken pipe") }
	if e := q.Verify(r, testCreds.SecretAccessKey, testNow, fail); e == nil || e.Kind != BadPayloadHash {
		t.Errorf("an unreadable body: %v", e)
	}
}

func TestCheckScope(t *testing.T) {
	q, e := Parse(signed(t, "ecs"))
	if e != nil {
		t.Fatal(e)
	}
	if e := q.CheckScope("ecs", "us-east-1"); e != nil {
		t.Error(e)
	}
	if e := q.CheckScope("", ""); e != nil {
		t.Error(e)
	}
	if e := q.CheckScope("ecr", ""); e == nil || e.Text(JSON) != "Credential should be scoped to correct service: 'ecr'. " {
		t.Error(e)
	}
	if e := q.CheckScope("", "eu-west-1"); e == nil || e.Text(S3) != "The authorization header is malformed; the region 'us-east-1' is wrong; expecting 'eu-west-1'" {
		t.Error(e)
	}
}

func TestKeyCache(t *testing.T) {
	c := &keyCache{limit: 2, byKey: map[scopeKey]*list.Element{}}
	a := scopeKey{"A", "20260304", "r", "s"}
	k, hit := c.get("one", a)
	if hit {
		t.Fatal("hit in an empty cache")
	}
	c.put(a, k)
	if k2, hit := c.get("one", a); !hit || k2 != k {
		t.Error("missed")
	}
	k2, hit := c.get("two", a)
	if hit || k2.key == k.key {
		t.Error("a changed secret got the old key")
	}
	c.put(a, k2)
	if _, hit := c.get("one", a); hit {
		t.Error("the old secret still hits")
	}
	for _, id := range []string{"B", "C"} {
		s := a
		s.accessKeyID = id
		c.put(s, deriveKey("x", s))
	}
	if _, hit := c.get("two", a); hit || c.order.Len() != 2 || len(c.byKey) != 2 {
		t.Error("not bounded")
	}
}

func TestCredentialsAreNotPrinted(t *testing.T) {
	for _, f := range []string{testCreds.String(), testCreds.GoString()} {
		if strings.Contains(f, testCreds.SecretAccessKey) || strings.Contains(f, testCreds.SessionToken) {
			t.Error(f)
		}
	}
}

func BenchmarkVerify(b *testing.B) {
	r := signed(b, "ecs")
	hash := hashOf("body")
	for b.Loop() {
		q, e := Parse(r)
		if e != nil {
			b.Fatal(e)
		}
		if e := q.Verify(r, testCreds.SecretAccessKey, testNow, hash); e != nil {
			b.Fatal(e)
		}
	}
}

func FuzzParse(f *testing.F) {
	r := signed(f, "ecs")
	f.Add(r.Header.Get("Authorization"), "20260304T050607Z", "")
	f.Add("AWS4-HMAC-SHA256 Credential=a/20260304/r/s/aws4_request,SignedHeaders=host,Signature="+EmptyPayload, "20260304T050607Z", "a=b")
	f.Add("", "", Presign(r, testCreds, "s3", "us-east-1", testNow, time.Hour, UnsignedPayload).RawQuery)
	f.Add("AWS a:b", "", "AWSAccessKeyId=a&Signature=b")
	f.Add("", "", "X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential=%zz&X-Amz-Date=;")
	f.Fuzz(func(t *testing.T, auth, date, query string) {
		r := &http.Request{Method: "GET", Host: "host", URL: &url.URL{Path: "/", RawQuery: query}, Header: http.Header{}}
		if auth != "" {
			r.Header.Set("Authorization", auth)
		}
		if date != "" {
			r.Header.Set("X-Amz-Date", date)
		}
		q, e := Parse(r)
		if (q == nil) == (e == nil) {
			t.Fatal("neither or both")
		}
		if e == nil {
			e = q.Verify(r, "a secret that the seeds were not signed with", q.Time, hashOf(""))
		}
		if e == nil {
			t.Fatal("verified")
		}
		for _, f := range []Family{JSON, Query, S3} {
			if code, status := e.Code(f); code == "" || status < 400 || e.Text(f) == "" {
				t.Fatalf("%v in family %d: %q %d %q", e, f, code, status, e.Text(f))
			}
		}
	})
}
