package sigv4

import (
	"crypto/sha256"
	"encoding/base64"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"
)

// Payload hashes that are words, not hashes.
const (
	UnsignedPayload          = "UNSIGNED-PAYLOAD"
	StreamingPayload         = "STREAMING-AWS4-HMAC-SHA256-PAYLOAD"
	StreamingPayloadTrailer  = "STREAMING-AWS4-HMAC-SHA256-PAYLOAD-TRAILER"
	StreamingUnsignedTrailer = "STREAMING-UNSIGNED-PAYLOAD-TRAILER"
	// EmptyPayload is the SHA-256 of no bytes.
	EmptyPayload = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
)

const (
	algorithm  = "AWS4-HMAC-SHA256"
	terminator = "aws4_request"

	// maxExpires is the longest validity of a presigned request.
	maxExpires = 7 * 24 * time.Hour
	// defaultExpires is the validity of a presigned request without
	// X-Amz-Expires, which S3 demands and STS does not.
	defaultExpires = 15 * time.Minute
	// maxSignedHeaders bounds the work that an unauthenticated caller can ask for.
	maxSignedHeaders = 128
)

// Request is what a request says about its own signature. Nothing in it is to
// be believed before [Request.Verify] has returned nil.
type Request struct {
	AccessKeyID string
	// Date, Region and Service are the credential scope; Date is YYYYMMDD.
	Date, Region, Service string
	SignedHeaders         []string // lower case, sorted, without duplicates
	Signature             string   // 64 lower-case hexadecimal digits
	Time                  time.Time
	SessionToken          string // empty for long-term access keys
	Presigned             bool
	// Expires is the validity of a presigned request, counted from Time.
	Expires time.Duration
	// PayloadHash is the declared hash in hexadecimal, one of the words above,
	// or empty where the request declares none.
	PayloadHash string

	stamp string      // Time as it was signed
	key   *signingKey // set by a successful Verify, for the chunks of the body

	unsigned bool // made by Unsigned
}

// Unsigned stands in the place of the signature that a request does not have
// and need not have, so that [NewBody] holds its body against the hash and the
// checksums that it declares. It can be used for nothing else.
func Unsigned(r *http.Request) *Request {
	return &Request{PayloadHash: single(r.Header, "X-Amz-Content-Sha256"), unsigned: true}
}

// Parse reads the signature of r from its Authorization header or its query
// string. It returns [ErrMissing] when there is none.
func Parse(r *http.Request) (*Request, *Error) {
	auth := r.Header["Authorization"]
	params, bad := authParams(r.URL.RawQuery)
	inQuery := params.algorithm != "" || params.credential != "" || params.signature != ""
	switch {
	case bad:
		return nil, malformed(Malformed, true, "Duplicate authentication parameters in the query-string.",
			"Duplicate authentication parameters in the query-string.")
	case len(auth) > 1, len(auth) == 1 && (inQuery || params.v2Key != ""):
		return nil, &Error{Kind: Unsupported, Message: textOneAuth, s3: spelling{text: textOneAuth}}
	case len(auth) == 1:
		return parseHeader(r, auth[0])
	case inQuery:
		return parseQuery(r, params)
	case params.v2Key != "" || params.v2Version != "":
		return nil, unsupported("AWS2")
	}
	return nil, ErrMissing
}

// unsupported refuses another mechanism by its name.
func unsupported(name string) *Error {
	if len(name) > 64 {
		name = name[:64]
	}
	return &Error{Kind: Unsupported, Message: "Unsupported AWS 'algorithm': '" + name + "'. " + textUnsupported}
}

func parseHeader(r *http.Request, auth string) (*Request, *Error) {
	name, rest, _ := strings.Cut(strings.TrimSpace(auth), " ")
	if name != algorithm {
		// "AWS akid:signature" is Signature Version 2.
		return nil, unsupported(name)
	}
	var credential, signature, signedHeaders string
	for part := range strings.SplitSeq(rest, ",") {
		part = strings.TrimSpace(part)
		if part == "" {
			continue
		}
		k, v, ok := strings.Cut(part, "=")
		dst := (*string)(nil)
		switch k {
		case "Credential":
			dst = &credential
		case "Signature":
			dst = &signature
		case "SignedHeaders":
			dst = &signedHeaders
		}
		if !ok || dst == nil || *dst != "" {
			return nil, malformed(Malformed, false,
				"'"+digest(part)+"' not a valid key=value pair (missing equal-sign) in Authorization header "+
					"(hashed with SHA-256 and encoded with Base64): '"+digest(auth)+"'.",
				"the authorization component is malformed.")
		}
		*dst = v
	}
	stamp := single(r.Header, "X-Amz-Date")
	var when time.Time
	var stampErr *Error
	if stamp != "" {
		when, stampErr = parseStamp(stamp, false)
	} else if date := single(r.Header, "Date"); date != "" {
		t, err := http.ParseTime(date)
		if err != nil {
			if t, stampErr = parseStamp(date, false); stampErr != nil {
				return nil, stampErr
			}
		}
		when, stamp = t.UTC(), t.UTC().Format(stampFormat)
	}

	var lacks strings.Builder
	for _, p := range []struct{ name, value string }{
		{"Credential", credential}, {"Signature", signature}, {"SignedHeaders", signedHeaders},
	} {
		if p.value == "" {
			lacks.WriteString("Authorization header requires '" + p.name + "' parameter. ")
		}
	}
	if stamp == "" {
		lacks.WriteString("Authorization header requires existence of either a 'X-Amz-Date' or a 'Date' header. ")
	}
	if lacks.Len() > 0 {
		e := malformed(Incomplete, false,
			lacks.String()+"(Hashed with SHA-256 and encoded with Base64) Authorization="+digest(auth),
			"the authorization header requires three components: Credential, SignedHeaders, and Signature.")
		if credential != "" && signature != "" && signedHeaders != "" {
			e.s3 = spelling{"AccessDenied", http.StatusForbidden,
				"AWS authentication requires a valid Date or x-amz-date header"}
		}
		return nil, e
	}
	if stampErr != nil {
		return nil, stampErr
	}
	q := &Request{
		Time: when, stamp: stamp, Signature: signature,
		SessionToken: single(r.Header, "X-Amz-Security-Token"),
		PayloadHash:  single(r.Header, "X-Amz-Content-Sha256"),
	}
	return q.finish(credential, signedHeaders)
}

func parseQuery(r *http.Request, p queryAuth) (*Request, *Error) {
	if p.algorithm != "" && p.algorithm != algorithm {
		e := unsupported(p.algorithm)
		e.Presigned = true
		e.s3 = spelling{"AuthorizationQueryParametersError", http.StatusBadRequest,
			`X-Amz-Algorithm only supports "AWS4-HMAC-SHA256"`}
		return nil, e
	}
	var lacks strings.Builder
	for _, f := range []struct{ name, value string }{
		{"X-Amz-Algorithm", p.algorithm}, {"X-Amz-Credential", p.credential}, {"X-Amz-Signature", p.signature},
		{"X-Amz-SignedHeaders", p.signedHeaders}, {"X-Amz-Date", p.date},
	} {
		if f.value == "" {
			lacks.WriteString("AWS query-string parameters must include '" + f.name + "'. ")
		}
	}
	if lacks.Len() > 0 {
		return nil, malformed(Incomplete, true, lacks.String()+"Re-examine the query-string parameters.", textQueryMissing)
	}
	when, e := parseStamp(p.date, true)
	if e != nil {
		return nil, e
	}
	q := &Request{
		Time: when, stamp: p.date, Signature: p.signature, Presigned: true,
		SessionToken: p.token, Expires: defaultExpires, PayloadHash: p.payloadHash,
	}
	if q.PayloadHash == "" {
		q.PayloadHash = single(r.Header, "X-Amz-Content-Sha256")
	}
	if q, e = q.finish(p.credential, p.signedHeaders); e != nil {
		return nil, e
	}
	if p.expires == "" {
		if q.Service == "s3" {
			return nil, malformed(Incomplete, true,
				"AWS query-string parameters must include 'X-Amz-Expires'. Re-examine the query-string parameters.", textQueryMissing)
		}
		return q, nil
	}
	n, err := strconv.ParseInt(p.expires, 10, 32)
	switch {
	case err != nil:
		return nil, malformed(Malformed, true, "X-Amz-Expires should be a number", "X-Amz-Expires should be a number")
	case n < 0:
		return nil, malformed(Malformed, true, "X-Amz-Expires must be non-negative", "X-Amz-Expires must be non-negative")
	case time.Duration(n)*time.Second > maxExpires:
		const text = "X-Amz-Expires must be less than a week (in seconds); that is, the given X-Amz-Expires must be less than 604800 seconds"
		return nil, malformed(Malformed, true, text, text)
	}
	q.Expires = time.Duration(n) * time.Second
	return q, nil
}

// finish reads the credential scope and the list of signed headers and checks
// what can be checked without a secret.
func (q *Request) finish(credential, signedHeaders string) (*Request, *Error) {
	scope := strings.Split(credential, "/")
	if len(scope) != 5 || len(credential) > 512 {
		return nil, malformed(Incomplete, q.Presigned,
			"Credential must have exactly 5 slash-delimited elements, e.g. keyid/date/region/service/term,"+
				" got '"+clip(credential)+"'", textCredential)
	}
	for _, s := range scope {
		if s == "" || strings.ContainsAny(s, " \t\r\n") {
			return nil, malformed(Malformed, q.Presigned, "Credential must not have empty elements or spaces.", textCredential)
		}
	}
	q.AccessKeyID, q.Date, q.Region, q.Service = scope[0], scope[1], scope[2], scope[3]
	if q.Date != q.stamp[:8] {
		return nil, malformed(ScopeMismatch, q.Presigned,
			"Date in Credential scope does not match YYYYMMDD from ISO-8601 version of date from HTTP: '"+
				clip(q.Date)+"' != '"+q.stamp[:8]+"', from '"+q.stamp+"'.",
			`Invalid credential date "`+clip(q.Date)+`". This date is not the same as X-Amz-Date: "`+q.stamp[:8]+`".`)
	}
	if scope[4] != terminator {
		return nil, malformed(ScopeMismatch, q.Presigned,
			"Credential should be scoped with a valid terminator: 'aws4_request', not '"+clip(scope[4])+"'.",
			`incorrect terminal "`+clip(scope[4])+`". This endpoint uses "aws4_request".`)
	}
	if !isHex64(q.Signature) {
		// AWS compares and says no more; neither do we.
		return nil, errBadSignature
	}
	q.SignedHeaders = strings.Split(signedHeaders, ";")
	if len(q.SignedHeaders) > maxSignedHeaders {
		return nil, malformed(Malformed, q.Presigned, "Too many signed headers.", "too many signed headers.")
	}
	for i, h := range q.SignedHeaders {
		if !isHeaderName(h) || i > 0 && q.SignedHeaders[i-1] >= h {
			const text = "SignedHeaders must be lower case, sorted and separated by semicolons."
			return nil, malformed(Malformed, q.Presigned, text, text)
		}
	}
	return q, nil
}

// CheckScope refuses a signature made for another service or region. Empty
// arguments are not checked.
func (q *Request) CheckScope(service, region string) *Error {
	if service != "" && q.Service != service {
		return malformed(ScopeMismatch, q.Presigned,
			"Credential should be scoped to correct service: '"+service+"'. ",
			`incorrect service "`+clip(q.Service)+`". This endpoint belongs to "`+service+`".`)
	}
	if region != "" && q.Region != region {
		return malformed(ScopeMismatch, q.Presigned,
			"Credential should be scoped to a valid region. ",
			"the region '"+clip(q.Region)+"' is wrong; expecting '"+region+"'")
	}
	return nil
}

// queryAuth holds the authentication parameters of a query string.
type queryAuth struct {
	algorithm, credential, signature, signedHeaders, date, expires, token, payloadHash string
	v2Key, v2Version                                                                   string
}

// authParams picks the authentication parameters out of a query string. Their
// names count exactly as written. bad is set when one stands there twice, since
// two readers could then disagree on which of them was signed.
func authParams(raw string) (p queryAuth, bad bool) {
	// Most queries hold none of them.
	if !strings.Contains(raw, "X-Amz-") && !strings.Contains(raw, "AWSAccessKeyId") && !strings.Contains(raw, "SignatureVersion") {
		return p, false
	}
	for part := range strings.SplitSeq(raw, "&") {
		k, v, _ := strings.Cut(part, "=")
		var dst *string
		switch k {
		case "X-Amz-Algorithm":
			dst = &p.algorithm
		case "X-Amz-Credential":
			dst = &p.credential
		case "X-Amz-Signature":
			dst = &p.signature
		case "X-Amz-SignedHeaders":
			dst = &p.signedHeaders
		case "X-Amz-Date":
			dst = &p.date
		case "X-Amz-Expires":
			dst = &p.expires
		case "X-Amz-Security-Token":
			dst = &p.token
		case "X-Amz-Content-Sha256":
			dst = &p.payloadHash
		case "AWSAccessKeyId":
			dst = &p.v2Key
		case "SignatureVersion":
			dst = &p.v2Version
		default:
			continue
		}
		if *dst != "" {
			return p, true
		}
		d, err := url.QueryUnescape(v)
		if err != nil {
			d = v
		}
		*dst = d
	}
	return p, false
}

func parseStamp(s string, presigned bool) (time.Time, *Error) {
	t, err := time.Parse(stampFormat, s)
	if err != nil || len(s) != len(stampFormat) {
		e := malformed(Malformed, presigned,
			"Date must be in ISO-8601 'basic format'. Got '"+clip(s)+"'. See http://en.wikipedia.org/wiki/ISO_8601",
			`X-Amz-Date must be in the ISO8601 Long Format "yyyyMMdd'T'HHmmss'Z'"`)
		if !presigned {
			e.s3 = spelling{"AccessDenied", http.StatusForbidden, "AWS authentication requires a valid Date or x-amz-date header"}
		}
		return time.Time{}, e
	}
	return t, nil
}

// single returns the only value of a header; of a repeated one it returns the
// joined values, which then fail to parse or to match.
func single(h http.Header, name string) string {
	switch v := h[name]; len(v) {
	case 0:
		return ""
	case 1:
		return strings.TrimSpace(v[0])
	default:
		return strings.Join(v, ",")
	}
}

// clip bounds what a message repeats of the caller's own words.
func clip(s string) string {
	if len(s) > 128 {
		return s[:128]
	}
	return s
}

func digest(s string) string {
	h := sha256.Sum256([]byte(s))
	return base64.StdEncoding.EncodeToString(h[:])
}

func isHex64(s string) bool {
	if len(s) != 64 {
		return false
	}
	for i := range len(s) {
		if c := s[i]; (c < '0' || c > '9') && (c < 'a' || c > 'f') {
			return false
		}
	}
	return true
}

func isHeaderName(s string) bool {
	if s == "" {
		return false
	}
	for i := range len(s) {
		c := s[i]
		if (c < 'a' || c > 'z') && (c < '0' || c > '9') && !strings.ContainsRune("!#$%&'*+-.^_`|~", rune(c)) {
			return false
		}
	}
	return true
}
