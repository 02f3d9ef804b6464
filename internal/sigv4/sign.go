package sigv4

import (
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Credentials sign requests. They never appear in what the package prints.
type Credentials struct {
	AccessKeyID     string
	SecretAccessKey string
	SessionToken    string // empty for long-term access keys
}

// String names the access key alone.
func (c Credentials) String() string { return "credentials of " + c.AccessKeyID }

// GoString is String, so that %#v tells no more.
func (c Credentials) GoString() string { return c.String() }

// Sign signs r in its Authorization header. payloadHash is the SHA-256 of the
// body in hexadecimal ([EmptyPayload] for none) or one of the payload words. It
// sets X-Amz-Date, X-Amz-Security-Token and, for S3, X-Amz-Content-Sha256.
// Headers that matter have to be set before.
func Sign(r *http.Request, c Credentials, service, region string, now time.Time, payloadHash string) {
	stamp := now.UTC().Format(stampFormat)
	r.Header.Set("X-Amz-Date", stamp)
	if c.SessionToken != "" {
		r.Header.Set("X-Amz-Security-Token", c.SessionToken)
	} else {
		r.Header.Del("X-Amz-Security-Token")
	}
	if service == "s3" {
		r.Header.Set("X-Amz-Content-Sha256", payloadHash)
	}
	names := signable(r)
	scope := scopeKey{c.AccessKeyID, stamp[:8], region, service}
	key, cached := keys.get(c.SecretAccessKey, scope)
	if !cached {
		keys.put(scope, key)
	}
	sig := signature(key, r, names, stamp, scope, false, payloadHash)
	r.Header.Set("Authorization", algorithm+" Credential="+credential(scope)+
		", SignedHeaders="+strings.Join(names, ";")+", Signature="+string(sig[:]))
}

// Presign returns the URL of r with a signature in its query string, valid for
// expires (whole seconds, at most 7 days) from now. r is not changed. Headers
// of r that are signed have to be sent with the request; payloadHash is as for
// [Sign], and UNSIGNED-PAYLOAD for S3.
func Presign(r *http.Request, c Credentials, service, region string, now time.Time, expires time.Duration, payloadHash string) *url.URL {
	stamp := now.UTC().Format(stampFormat)
	scope := scopeKey{c.AccessKeyID, stamp[:8], region, service}
	r = r.Clone(r.Context())
	names := signable(r)

	b := []byte(r.URL.RawQuery)
	add := func(name, value string) {
		if len(b) > 0 {
			b = append(b, '&')
		}
		b = append(b, name...)
		b = append(b, '=')
		for i := range len(value) {
			b = appendEscaped(b, value[i])
		}
	}
	add("X-Amz-Algorithm", algorithm)
	add("X-Amz-Credential", credential(scope))
	add("X-Amz-Date", stamp)
	add("X-Amz-Expires", strconv.FormatInt(int64(expires/time.Second), 10))
	add("X-Amz-SignedHeaders", strings.Join(names, ";"))
	if c.SessionToken != "" {
		add("X-Amz-Security-Token", c.SessionToken)
	}
	r.URL.RawQuery = string(b)
	key, _ := keys.get(c.SecretAccessKey, scope)
	sig := signature(key, r, names, stamp, scope, true, payloadHash)
	add("X-Amz-Signature", string(sig[:]))
	r.URL.RawQuery = string(b)
	return r.URL
}

func credential(s scopeKey) string {
	return s.accessKeyID + "/" + s.date + "/" + s.region + "/" + s.service + "/" + terminator
}

// signable lists the headers to sign: those that change what the request means
// and that proxies leave alone.
func signable(r *http.Request) []string {
	names := []string{"host"}
	for name := range r.Header {
		lower := strings.ToLower(name)
		if lower == "content-type" || lower == "content-md5" || strings.HasPrefix(lower, "x-amz-") {
			names = append(names, lower)
		}
	}
	slices.Sort(names)
	return slices.Compact(names)
}
