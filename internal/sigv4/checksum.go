package sigv4

import (
	"crypto/md5"
	"crypto/sha1"
	"crypto/sha256"
	"crypto/sha512"
	"crypto/subtle"
	"encoding/base64"
	"hash"
	"hash/crc32"
	"hash/crc64"
	"net/http"
	"strings"
)

const checksumPrefix = "x-amz-checksum-"

// Tables of the reflected polynomials that S3 names CRC32C and CRC64NVME.
var (
	castagnoli = crc32.MakeTable(crc32.Castagnoli)
	nvme       = crc64.MakeTable(0x9a6c9329ac4bc9b5)
)

// checksum is one declared checksum of a body.
type checksum struct {
	name    string // lower-case header name
	want    string // base64, from the header; after check, the verified value
	trailer string // the same from the trailer
	hash    hash.Hash
}

// newChecksum returns nil, nil for a header that declares no checksum, and
// refuses algorithms it does not know: a checksum that is not checked is worse
// than none.
func newChecksum(name, want string) (*checksum, *Error) {
	c := &checksum{name: name, want: want}
	alg, ok := strings.CutPrefix(name, checksumPrefix)
	if !ok {
		if name != "content-md5" {
			return nil, nil
		}
		alg = "md5"
	}
	switch alg {
	case "algorithm", "type", "mode":
		return nil, nil // x-amz-checksum-algorithm and its like describe, they hold no sum
	case "crc32":
		c.hash = crc32.NewIEEE()
	case "crc32c":
		c.hash = crc32.New(castagnoli)
	case "crc64nvme":
		c.hash = crc64.New(nvme)
	case "sha1":
		c.hash = sha1.New()
	case "sha256":
		c.hash = sha256.New()
	case "sha512":
		c.hash = sha512.New()
	case "md5":
		c.hash = md5.New()
	default:
		text := "The algorithm type you specified in " + clip(name) + " header is invalid."
		return nil, &Error{Kind: BadDigest, Message: text, s3: spelling{"InvalidRequest", http.StatusBadRequest, text}}
	}
	return c, nil
}

// check compares what was declared with what was read.
func (c *checksum) check() *Error {
	if c.want == "" {
		c.want = c.trailer
	}
	if raw, err := base64.StdEncoding.DecodeString(c.want); err != nil || len(raw) != c.hash.Size() {
		code, text := "InvalidRequest", "Value for "+c.name+" header is invalid."
		if c.name == "content-md5" {
			code, text = "InvalidDigest", "The Content-MD5 you specified was invalid."
		}
		return &Error{Kind: BadDigest, Message: text, s3: spelling{code, http.StatusBadRequest, text}}
	}
	got := base64.StdEncoding.EncodeToString(c.hash.Sum(nil))
	if subtle.ConstantTimeCompare([]byte(got), []byte(c.want)) == 1 {
		return nil
	}
	if c.name == "content-md5" {
		return &Error{Kind: BadDigest, Message: "The Content-MD5 you specified did not match what we received."}
	}
	what := strings.ToUpper(strings.TrimPrefix(c.name, checksumPrefix))
	return &Error{Kind: BadDigest, Message: "The " + what + " you specified did not match the calculated checksum."}
}
