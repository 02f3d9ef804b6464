package sigv4

import (
	"crypto/sha256"
	"crypto/subtle"
	"encoding/hex"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"
)

const (
	skew   = 5 * time.Minute
	skewS3 = 15 * time.Minute // S3 is more patient, and so are its clients
)

// Verify checks that r, as parsed into q, was signed with the secret access
// key, for the time now.
//
// bodySHA256 returns the SHA-256 of the body in hexadecimal. It is called at
// most once, and where the request declares a hash only after the signature has
// proved good, so that strangers cannot make us hash. Pass nil for a body that
// must not be read yet: the declared hash is then taken as signed, and the body
// is to be read through [NewBody], which checks it. Without a declared hash, nil
// is refused unless the body is empty.
//
// Payload words such as UNSIGNED-PAYLOAD are accepted for S3 alone.
func (q *Request) Verify(r *http.Request, secret string, now time.Time, bodySHA256 func() (string, error)) *Error {
	if e := q.checkTime(now); e != nil {
		return e
	}
	if e := q.checkSigned(r); e != nil {
		return e
	}
	hash, e := q.payloadHash(r, bodySHA256)
	if e != nil {
		return e
	}
	scope := scopeKey{q.AccessKeyID, q.Date, q.Region, q.Service}
	key, cached := keys.get(secret, scope)
	want := signature(key, r, q.SignedHeaders, q.stamp, scope, q.Presigned, hash)
	if subtle.ConstantTimeCompare(want[:], []byte(q.Signature)) != 1 {
		return errBadSignature
	}
	if !cached {
		keys.put(scope, key)
	}
	if bodySHA256 != nil && isHex64(q.PayloadHash) {
		switch got, err := bodySHA256(); {
		case err != nil:
			return bodyUnreadable()
		case got != q.PayloadHash:
			return &Error{Kind: BadPayloadHash, Message: textBadSignature, Presigned: q.Presigned}
		}
	}
	q.key = key
	return nil
}

func (q *Request) checkTime(now time.Time) *Error {
	s3 := q.Service == "s3"
	allowed := skew
	if s3 {
		allowed = skewS3
	}
	early := q.Time.After(now.Add(allowed))
	if !q.Presigned {
		switch {
		case early:
			return &Error{Kind: Skewed, Message: notYetText(q.Time, now, allowed)}
		case q.Time.Before(now.Add(-allowed)):
			return &Error{Kind: Skewed, Message: expiredText(q.Time, now, allowed)}
		}
		return nil
	}
	switch {
	case early:
		return &Error{Kind: Expired, Message: notYetText(q.Time, now, allowed), Presigned: true,
			s3: spelling{"AccessDenied", http.StatusForbidden, "Request is not valid yet"}}
	case now.After(q.Time.Add(q.Expires)):
		return &Error{Kind: Expired, Message: expiredText(q.Time, now, q.Expires), Presigned: true}
	}
	return nil
}

// checkSigned refuses a request with headers that change its meaning and are
// not covered by the signature.
func (q *Request) checkSigned(r *http.Request) *Error {
	if !slices.Contains(q.SignedHeaders, "host") {
		return &Error{Kind: UnsignedHeader, Presigned: q.Presigned,
			Message: "'Host' or ':authority' must be a 'SignedHeader' in the AWS Authorization."}
	}
	for name := range r.Header {
		// Keys are canonical; a map made by hand may hold others.
		if name != "Content-Md5" && !(len(name) > 6 && strings.EqualFold(name[:6], "X-Amz-")) {
			continue
		}
		if !slices.ContainsFunc(q.SignedHeaders, func(s string) bool { return strings.EqualFold(s, name) }) {
			return &Error{Kind: UnsignedHeader, Presigned: q.Presigned,
				Message: "'" + clip(name) + "' must be a 'SignedHeader' in the AWS Authorization."}
		}
	}
	return nil
}

// payloadHash returns the last line of the canonical request.
func (q *Request) payloadHash(r *http.Request, bodySHA256 func() (string, error)) (string, *Error) {
	s3 := q.Service == "s3"
	switch q.PayloadHash {
	case "":
		if s3 {
			if q.Presigned {
				return UnsignedPayload, nil
			}
			return "", &Error{Kind: Incomplete, Message: "Missing required header for this request: x-amz-content-sha256",
				s3: spelling{"InvalidRequest", http.StatusBadRequest, "Missing required header for this request: x-amz-content-sha256"}}
		}
		if bodySHA256 == nil {
			if r.ContentLength == 0 && len(r.TransferEncoding) == 0 {
				return EmptyPayload, nil
			}
			return "", &Error{Kind: BadPayloadHash, Message: textBadSignature}
		}
		h, err := bodySHA256()
		if err != nil {
			return "", bodyUnreadable()
		}
		return h, nil
	case UnsignedPayload, StreamingPayload, StreamingPayloadTrailer, StreamingUnsignedTrailer:
		if s3 {
			return q.PayloadHash, nil
		}
	default:
		if isHex64(q.PayloadHash) {
			return q.PayloadHash, nil
		}
	}
	return "", &Error{Kind: BadPayloadHash, Message: textPayloadHash, Presigned: q.Presigned,
		s3: spelling{"InvalidArgument", http.StatusBadRequest, textPayloadHash}}
}

func bodyUnreadable() *Error {
	const text = "The request body could not be read."
	return &Error{Kind: BadPayloadHash, Message: text, s3: spelling{"IncompleteBody", http.StatusBadRequest, text}}
}

// buffers are for canonical requests: about a kilobyte each, all short-lived.
var buffers = sync.Pool{New: func() any { b := make([]byte, 0, 2048); return &b }}

// signature calculates the signature of r.
func signature(key *signingKey, r *http.Request, names []string, stamp string, s scopeKey, presigned bool, payloadHash string) [64]byte {
	buf := buffers.Get().(*[]byte)
	b := appendCanonical((*buf)[:0], r, names, s.service == "s3", presigned, payloadHash)
	sum := sha256.Sum256(b)
	b = append(b[:0], algorithm...)
	b = append(b, '\n')
	b = appendScope(b, stamp, s)
	b = append(b, '\n')
	b = hex.AppendEncode(b, sum[:])
	out := key.sum(b)
	if cap(b) <= 64<<10 {
		*buf = b
		buffers.Put(buf)
	}
	return out
}

// appendScope appends the time stamp and the credential scope, two lines that
// every string to sign has.
func appendScope(b []byte, stamp string, s scopeKey) []byte {
	b = append(b, stamp...)
	b = append(b, '\n')
	for _, part := range [...]string{s.date, s.region, s.service} {
		b = append(b, part...)
		b = append(b, '/')
	}
	return append(b, terminator...)
}
