package sigv4

import (
	"bufio"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/hex"
	"hash"
	"io"
	"net/http"
	"slices"
	"strconv"
	"strings"
)

const (
	// maxChunkLine bounds the line before a chunk and each trailer line.
	maxChunkLine = 4 << 10
	// maxTrailers bounds the trailer lines of a body.
	maxTrailers = 16
	// bodyBuffer is all the memory that a body takes, whatever its chunks.
	bodyBuffer = 32 << 10
)

// Body is the decoded body of an S3 request, verified as it is read: chunk
// signatures, the trailer's signature, the decoded length, the declared hash
// and declared checksums, whichever the request has.
//
// Data is handed out before all of it is verified, so that no chunk has to fit
// in memory. Nothing that was read may be acted upon before Read has returned
// io.EOF. Other errors are of type *[Error] where the body was at fault, and are
// final.
type Body struct {
	q   *Request
	in  *bufio.Reader
	err error

	// Length is the decoded length in bytes, or -1 where it was not declared.
	Length int64

	chunked, signed, trailer bool

	began bool
	left  int64 // of the chunk being read, or of a plain body; -1: unknown
	total int64 // decoded so far

	chunkSig string    // claimed for the chunk being read
	prevSig  string    // of the chunk before, first that of the request
	chunk    hash.Hash // SHA-256 of the chunk being read
	payload  hash.Hash // SHA-256 of a plain body with a declared hash

	declared []string // names of the trailers to come
	sums     []*checksum
	trailers map[string]string
}

// NewBody returns a reader of the decoded body of a request that q has
// verified. r's own Content-Encoding is left as it is: the caller drops
// "aws-chunked" from it.
//
// A missing or wrong X-Amz-Decoded-Content-Length, an X-Amz-Trailer that does
// not fit the payload's kind, and a checksum algorithm that is not known are
// refused at once.
func NewBody(q *Request, r *http.Request, body io.Reader) (*Body, *Error) {
	b := &Body{q: q, in: bufio.NewReaderSize(body, bodyBuffer), Length: r.ContentLength}
	if q.key == nil && !q.unsigned || q.unsigned && (q.PayloadHash == StreamingPayload || q.PayloadHash == StreamingPayloadTrailer) {
		// Not verified: there is nothing to check chunks against.
		return nil, errBadSignature
	}
	switch q.PayloadHash {
	case StreamingPayload:
		b.chunked, b.signed = true, true
	case StreamingPayloadTrailer:
		b.chunked, b.signed, b.trailer = true, true, true
	case StreamingUnsignedTrailer:
		b.chunked, b.trailer = true, true
	case UnsignedPayload:
	case "":
		if !(q.Presigned && q.Service == "s3") && !q.unsigned {
			return nil, errBadSignature
		}
	default:
		b.payload = sha256.New()
	}
	if b.chunked {
		n, err := strconv.ParseUint(single(r.Header, "X-Amz-Decoded-Content-Length"), 10, 63)
		if err != nil {
			const text = "You must provide the Content-Length HTTP header."
			return nil, &Error{Kind: BadChunk, Message: text, s3: spelling{"MissingContentLength", http.StatusLengthRequired, text}}
		}
		b.Length = int64(n)
		b.prevSig = q.Signature
		if b.signed {
			b.chunk = sha256.New()
		}
	}
	b.left = b.Length
	if b.chunked {
		b.left = 0
	}

	if names := single(r.Header, "X-Amz-Trailer"); names != "" {
		if !b.trailer {
			return nil, badTrailer()
		}
		for name := range strings.SplitSeq(names, ",") {
			name = strings.ToLower(strings.TrimSpace(name))
			if !isHeaderName(name) || slices.Contains(b.declared, name) || len(b.declared) == maxTrailers {
				return nil, badTrailer()
			}
			b.declared = append(b.declared, name)
			if e := b.watch(name, ""); e != nil {
				return nil, e
			}
		}
	}
	for name := range r.Header {
		lower := strings.ToLower(name)
		if lower == "content-md5" || strings.HasPrefix(lower, checksumPrefix) {
			if e := b.watch(lower, single(r.Header, name)); e != nil {
				return nil, e
			}
		}
	}
	return b, nil
}

// watch adds the checksum that a header or a declared trailer promises. Other
// names are of no concern here.
func (b *Body) watch(name, want string) *Error {
	c, e := newChecksum(name, want)
	if e != nil {
		return e
	}
	if c != nil {
		b.sums = append(b.sums, c)
	}
	return nil
}

// Trailers returns the trailer fields by lower-case name. It is complete once
// Read has returned io.EOF, and nil before.
func (b *Body) Trailers() map[string]string {
	if b.err != io.EOF {
		return nil
	}
	return b.trailers
}

// Checksums returns the declared checksums, all verified, by lower-case header
// name ("x-amz-checksum-crc32") in base64. It is nil until Read has returned
// io.EOF.
func (b *Body) Checksums() map[string]string {
	if b.err != io.EOF {
		return nil
	}
	out := make(map[string]string, len(b.sums))
	for _, c := range b.sums {
		out[c.name] = c.want
	}
	return out
}

// Read implements io.Reader.
func (b *Body) Read(p []byte) (int, error) {
	if b.err != nil {
		return 0, b.err
	}
	if len(p) == 0 {
		return 0, nil
	}
	if b.left == 0 {
		if err := b.next(); err != nil {
			b.err = err
			return 0, err
		}
	}
	if b.left > 0 && int64(len(p)) > b.left {
		p = p[:b.left]
	}
	n, err := b.in.Read(p)
	b.took(p[:n])
	switch {
	case err == nil:
	case err != io.EOF:
		b.err = err
	case b.left > 0:
		b.err = incompleteBody()
	case b.left < 0: // a plain body of undeclared length ends here
		b.err = b.finish()
	}
	if n > 0 {
		return n, nil // the error, if any, is kept for the next call
	}
	return 0, b.err
}

func (b *Body) took(p []byte) {
	b.total += int64(len(p))
	if b.left > 0 {
		b.left -= int64(len(p))
	}
	if b.chunk != nil {
		b.chunk.Write(p)
	}
	if b.payload != nil {
		b.payload.Write(p)
	}
	for _, c := range b.sums {
		c.hash.Write(p)
	}
}

// next is called where a chunk, or a plain body, has been read to its end. It
// returns nil when there is more to read.
func (b *Body) next() error {
	if !b.chunked {
		if _, err := b.in.ReadByte(); err != io.EOF {
			if err != nil {
				return err
			}
			return incompleteBody()
		}
		return b.finish()
	}
	if b.began {
		if err := b.crlf(); err != nil {
			return err
		}
		if err := b.checkChunk(); err != nil {
			return err
		}
	}
	b.began = true
	size, err := b.chunkLine()
	if err != nil {
		return err
	}
	if size > b.Length-b.total {
		return incompleteBody()
	}
	if size > 0 {
		b.left = size
		return nil
	}
	if err := b.checkChunk(); err != nil {
		return err
	}
	if b.total != b.Length {
		return incompleteBody()
	}
	if err := b.readTrailer(); err != nil {
		return err
	}
	if _, err := b.in.ReadByte(); err != io.EOF {
		if err != nil {
			return err
		}
		return malformedChunk()
	}
	return b.finish()
}

// chunkLine reads "size[;chunk-signature=hex]".
func (b *Body) chunkLine() (int64, error) {
	line, err := b.line()
	if err != nil {
		return 0, err
	}
	digits, ext, hasExt := strings.Cut(line, ";")
	if digits == "" || len(digits) > 15 {
		return 0, malformedChunk()
	}
	var size int64
	for i := range len(digits) {
		d, ok := unhex(digits[i])
		if !ok {
			return 0, malformedChunk()
		}
		size = size<<4 | int64(d)
	}
	if hasExt != b.signed {
		return 0, malformedChunk()
	}
	if b.signed {
		sig, ok := strings.CutPrefix(ext, "chunk-signature=")
		if !ok || !isHex64(sig) {
			return 0, malformedChunk()
		}
		b.chunkSig = sig
	}
	return size, nil
}

// checkChunk verifies the signature of the chunk that has just been read.
func (b *Body) checkChunk() error {
	if !b.signed {
		return nil
	}
	var sum [sha256.Size]byte
	b.chunk.Sum(sum[:0])
	b.chunk.Reset()
	return b.checkSig("AWS4-HMAC-SHA256-PAYLOAD", EmptyPayload, sum, b.chunkSig)
}

// checkSig verifies one link of the chain of signatures. second is the line
// that chunks have and trailers have not.
func (b *Body) checkSig(kind, second string, sum [sha256.Size]byte, claimed string) error {
	s := make([]byte, 0, 512)
	s = append(append(s, kind...), '\n')
	s = appendScope(s, b.q.stamp, scopeKey{b.q.AccessKeyID, b.q.Date, b.q.Region, b.q.Service})
	s = append(append(append(s, '\n'), b.prevSig...), '\n')
	if second != "" {
		s = append(append(s, second...), '\n')
	}
	s = hex.AppendEncode(s, sum[:])
	want := b.q.key.sum(s)
	if subtle.ConstantTimeCompare(want[:], []byte(claimed)) != 1 {
		return errBadSignature
	}
	b.prevSig = claimed
	return nil
}

// readTrailer reads the trailer fields and the empty line that ends the body.
func (b *Body) readTrailer() error {
	const signatureName = "x-amz-trailer-signature"
	var signed []byte // what the trailer's signature covers
	var claimed string
	for {
		line, err := b.line()
		if err != nil {
			return err
		}
		if line == "" {
			// Some clients end the fields with an empty line before the
			// signature's own.
			if b.trailer && b.signed && claimed == "" && len(signed) > 0 {
				if next, _ := b.in.Peek(len(signatureName)); strings.EqualFold(string(next), signatureName) {
					continue
				}
			}
			break
		}
		name, value, ok := strings.Cut(line, ":")
		name, value = strings.ToLower(strings.TrimSpace(name)), strings.TrimSpace(value)
		if !ok || !b.trailer || claimed != "" {
			return badTrailer()
		}
		if name == signatureName {
			if !b.signed || !isHex64(value) {
				return badTrailer()
			}
			claimed = value
			continue
		}
		if _, dup := b.trailers[name]; dup || !slices.Contains(b.declared, name) {
			return badTrailer()
		}
		if b.trailers == nil {
			b.trailers = make(map[string]string)
		}
		b.trailers[name] = value
		signed = append(append(append(append(signed, name...), ':'), value...), '\n')
	}
	if len(b.trailers) != len(b.declared) {
		return badTrailer()
	}
	if b.trailer && b.signed {
		if claimed == "" {
			return badTrailer()
		}
		return b.checkSig("AWS4-HMAC-SHA256-TRAILER", "", sha256.Sum256(signed), claimed)
	}
	return nil
}

// finish checks what can be checked at the end only; it returns io.EOF when all
// is well.
func (b *Body) finish() error {
	if b.payload != nil {
		if got := hex.EncodeToString(b.payload.Sum(nil)); got != b.q.PayloadHash {
			return &Error{Kind: BadPayloadHash, Message: textBadSignature}
		}
	}
	for _, c := range b.sums {
		if v, ok := b.trailers[c.name]; ok {
			c.trailer = v
		}
		if e := c.check(); e != nil {
			return e
		}
	}
	return io.EOF
}

// line reads a line that ends in CRLF, without it.
func (b *Body) line() (string, error) {
	raw, err := b.in.ReadSlice('\n')
	switch {
	case err == io.EOF:
		return "", incompleteBody()
	case err == bufio.ErrBufferFull || len(raw) > maxChunkLine:
		return "", malformedChunk()
	case err != nil:
		return "", err
	}
	if len(raw) < 2 || raw[len(raw)-2] != '\r' {
		return "", malformedChunk()
	}
	return string(raw[:len(raw)-2]), nil
}

func (b *Body) crlf() error {
	line, err := b.line()
	if err == nil && line != "" {
		return malformedChunk()
	}
	return err
}

func incompleteBody() *Error {
	return &Error{Kind: BadChunk, Message: "You did not provide the number of bytes specified by the Content-Length HTTP header"}
}

func malformedChunk() *Error {
	const text = "The request body is not a well-formed aws-chunked stream."
	return &Error{Kind: BadChunk, Message: text, s3: spelling{"InvalidRequest", http.StatusBadRequest, text}}
}

func badTrailer() *Error {
	const text = "The request contained trailing data that was not well-formed or did not conform to our published schema."
	return &Error{Kind: BadChunk, Message: text, s3: spelling{"MalformedTrailerError", http.StatusBadRequest, text}}
}
