package sigv4

import (
	"fmt"
	"net/http"
	"time"
)

// Kind says what was wrong with a signature, whatever the protocol calls it.
type Kind uint8

// The kinds of refusal.
const (
	Missing        Kind = iota + 1 // the request is not signed at all
	Incomplete                     // a part of the signature is absent
	Malformed                      // a part is present and cannot be read
	Unsupported                    // another mechanism: SigV2, SigV4A, Basic
	ScopeMismatch                  // credential scope: date, region, service or terminator
	Skewed                         // signed too far from the current time
	Expired                        // a presigned request outside its validity
	UnsignedHeader                 // a header that has to be signed is not
	BadSignature                   // the signature is not the one calculated
	BadPayloadHash                 // the body is not the one that was signed
	BadChunk                       // aws-chunked framing, lengths or trailers are wrong
	BadDigest                      // a declared checksum is not the body's
)

var kindNames = [...]string{
	"None", "Missing", "Incomplete", "Malformed", "Unsupported", "ScopeMismatch", "Skewed",
	"Expired", "UnsignedHeader", "BadSignature", "BadPayloadHash", "BadChunk", "BadDigest",
}

// String returns the name of the kind, for logs and tests.
func (k Kind) String() string {
	if int(k) < len(kindNames) {
		return kindNames[k]
	}
	return "Kind(" + fmt.Sprint(uint8(k)) + ")"
}

// Family groups the AWS protocols that spell authentication errors alike.
type Family uint8

// The protocol families.
const (
	JSON  Family = iota // awsJson1_0, awsJson1_1, restJson1: ECS, ECR, Logs, Secrets Manager, SSM
	Query               // awsQuery, ec2Query: IAM, STS
	S3                  // S3's restXml
)

// Error is a refusal. Its text never holds a secret.
type Error struct {
	Kind Kind
	// Message is the text of the JSON and Query families.
	Message string
	// Presigned is set when the signature came in the query string: S3 has
	// codes of its own for that.
	Presigned bool

	s3 spelling // empty fields: by Kind
}

// spelling is a code, status and text that differs from the table's.
type spelling struct {
	code   string
	status int
	text   string
}

// Error implements error.
func (e *Error) Error() string { return "sigv4: " + e.Kind.String() + ": " + e.Message }

// Code returns the error code and HTTP status of e in the protocol family.
func (e *Error) Code(f Family) (code string, status int) {
	code, status = Code(e.Kind, f)
	if f == S3 {
		if e.Presigned && code == "AuthorizationHeaderMalformed" {
			code = "AuthorizationQueryParametersError"
		}
		if e.s3.code != "" {
			code, status = e.s3.code, e.s3.status
		}
	}
	return code, status
}

// Text returns AWS's text for e in the protocol family.
func (e *Error) Text(f Family) string {
	switch {
	case f == S3 && e.s3.text != "":
		return e.s3.text
	case f == S3 && s3Texts[e.Kind] != "":
		return s3Texts[e.Kind]
	case f == Query && e.Kind == Missing:
		return "Request is missing Authentication Token"
	}
	return e.Message
}

// Code returns the error code and HTTP status that services of the protocol
// family answer with for a header signature refused for this reason. Prefer
// [Error.Code], which also knows the cases that S3 tells apart. An unknown kind
// is a refusal too.
func Code(k Kind, f Family) (code string, status int) {
	switch f {
	case S3:
		switch k {
		case Incomplete, Malformed, ScopeMismatch:
			return "AuthorizationHeaderMalformed", http.StatusBadRequest
		case Unsupported:
			return "InvalidRequest", http.StatusBadRequest
		case Skewed:
			return "RequestTimeTooSkewed", http.StatusForbidden
		case BadSignature:
			return "SignatureDoesNotMatch", http.StatusForbidden
		case BadPayloadHash:
			return "XAmzContentSHA256Mismatch", http.StatusBadRequest
		case BadChunk:
			return "IncompleteBody", http.StatusBadRequest
		case BadDigest:
			return "BadDigest", http.StatusBadRequest
		}
		return "AccessDenied", http.StatusForbidden // Missing, Expired, UnsignedHeader
	case Query:
		switch k {
		case Missing:
			return "MissingAuthenticationToken", http.StatusForbidden
		case Incomplete, Malformed, Unsupported:
			return "IncompleteSignature", http.StatusBadRequest
		}
		return "SignatureDoesNotMatch", http.StatusForbidden
	}
	switch k {
	case Missing:
		return "MissingAuthenticationTokenException", http.StatusBadRequest
	case Incomplete, Malformed, Unsupported:
		return "IncompleteSignatureException", http.StatusBadRequest
	}
	return "InvalidSignatureException", http.StatusBadRequest
}

// Texts of AWS. Those with verbs are used through the constructors below.
const (
	textBadSignature = "The request signature we calculated does not match the signature you provided. " +
		"Check your AWS Secret Access Key and signing method. Consult the service documentation for details."
	textUnsupported = "The authorization mechanism you have provided is not supported. Please use AWS4-HMAC-SHA256."
	textOneAuth     = "Only one auth mechanism allowed; only the X-Amz-Algorithm query parameter, " +
		"Signature query string parameter or the Authorization header should be specified"
	textCredential   = `the Credential is mal-formed; expecting "<YOUR-AKID>/YYYYMMDD/REGION/SERVICE/aws4_request".`
	textQueryMissing = "Query-string authentication version 4 requires the X-Amz-Algorithm, X-Amz-Credential, " +
		"X-Amz-Signature, X-Amz-Date, X-Amz-SignedHeaders, and X-Amz-Expires parameters."
	textPayloadHash = "x-amz-content-sha256 must be UNSIGNED-PAYLOAD, STREAMING-UNSIGNED-PAYLOAD-TRAILER, " +
		"STREAMING-AWS4-HMAC-SHA256-PAYLOAD, STREAMING-AWS4-HMAC-SHA256-PAYLOAD-TRAILER or a valid sha256 value."
)

var s3Texts = map[Kind]string{
	Missing:        "Access Denied",
	Unsupported:    textUnsupported,
	Skewed:         "The difference between the request time and the current time is too large.",
	Expired:        "Request has expired",
	UnsignedHeader: "There were headers present in the request which were not signed",
	BadSignature: "The request signature we calculated does not match the signature you provided. " +
		"Check your key and signing method.",
	BadPayloadHash: "The provided 'x-amz-content-sha256' header does not match what was computed.",
}

// ErrMissing is what [Parse] returns for a request that carries no signature.
var ErrMissing = &Error{Kind: Missing, Message: "Missing Authentication Token"}

var errBadSignature = &Error{Kind: BadSignature, Message: textBadSignature}

// malformed words a header or query part that cannot be read; S3 introduces
// the detail of a header by a phrase of its own.
func malformed(k Kind, presigned bool, message, s3Detail string) *Error {
	if !presigned {
		s3Detail = "The authorization header is malformed; " + s3Detail
	}
	return &Error{Kind: k, Message: message, Presigned: presigned, s3: spelling{text: s3Detail}}
}

const stampFormat = "20060102T150405Z"

// minutes renders an allowance as AWS does, in minutes.
func minutes(d time.Duration) string {
	if d%time.Minute == 0 {
		return fmt.Sprintf("%d min.", d/time.Minute)
	}
	return fmt.Sprintf("%d sec.", d/time.Second)
}

func expiredText(signed, now time.Time, allowed time.Duration) string {
	return fmt.Sprintf("Signature expired: %s is now earlier than %s (%s - %s)",
		signed.UTC().Format(stampFormat), now.UTC().Add(-allowed).Format(stampFormat),
		now.UTC().Format(stampFormat), minutes(allowed))
}

func notYetText(signed, now time.Time, allowed time.Duration) string {
	return fmt.Sprintf("Signature not yet current: %s is still later than %s (%s + %s)",
		signed.UTC().Format(stampFormat), now.UTC().Add(allowed).Format(stampFormat),
		now.UTC().Format(stampFormat), minutes(allowed))
}
