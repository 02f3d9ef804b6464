package s3

import (
	"crypto/md5"
	"crypto/sha1"
	"crypto/sha256"
	"crypto/sha512"
	"encoding/base64"
	"hash"
	"hash/crc32"
	"hash/crc64"
	"reflect"
	"strings"

	"github.com/remit-ecs/remit/internal/api/s3api"
)

// What a checksum is of.
// https://docs.aws.amazon.com/AmazonS3/latest/userguide/checking-object-integrity.html
const (
	composite  = string(s3api.ChecksumTypeComposite)  // of the checksums of the parts
	fullObject = string(s3api.ChecksumTypeFullObject) // of the bytes
)

// Tables of the reflected polynomials of CRC32C and CRC64NVME.
var (
	castagnoli = crc32.MakeTable(crc32.Castagnoli)
	nvme       = crc64.MakeTable(nvmePolynomial)
)

const nvmePolynomial = 0x9a6c9329ac4bc9b5

// newHash returns nil for an algorithm that is not computed here.
func newHash(algorithm string) hash.Hash {
	switch algorithm {
	case "CRC32":
		return crc32.NewIEEE()
	case "CRC32C":
		return crc32.New(castagnoli)
	case "CRC64NVME":
		return crc64.New(nvme)
	case "SHA1":
		return sha1.New()
	case "SHA256":
		return sha256.New()
	case "SHA512":
		return sha512.New()
	case "MD5":
		return md5.New()
	}
	return nil
}

// isCRC tells whether the checksum of a whole follows from those of its parts.
func isCRC(algorithm string) bool { return strings.HasPrefix(algorithm, "CRC") }

// verified turns the checksums that the gateway has verified
// ("x-amz-checksum-crc32") into those of a document ("CRC32").
func verified(sums map[string]string) map[string]string {
	var out map[string]string
	for name, v := range sums {
		alg, ok := strings.CutPrefix(name, "x-amz-checksum-")
		if !ok {
			continue // Content-MD5
		}
		if out == nil {
			out = make(map[string]string, 1)
		}
		out[strings.ToUpper(alg)] = v
	}
	return out
}

// show fills the members ChecksumCRC32 and so on of an answer.
func show(out any, sums map[string]string) {
	v := reflect.ValueOf(out).Elem()
	for alg, sum := range sums {
		if f := v.FieldByName("Checksum" + alg); f.IsValid() {
			f.Set(reflect.ValueOf(&sum))
		}
	}
}

// told reads the members ChecksumCRC32 and so on of a request.
func told(in any) map[string]string {
	v := reflect.ValueOf(in).Elem()
	var out map[string]string
	for i := range v.NumField() {
		alg, ok := strings.CutPrefix(v.Type().Field(i).Name, "Checksum")
		p, isText := v.Field(i).Interface().(*string)
		if !ok || !isText || p == nil {
			continue
		}
		if out == nil {
			out = make(map[string]string, 1)
		}
		out[alg] = *p
	}
	return out
}

func base64Sum(h hash.Hash) string { return base64.StdEncoding.EncodeToString(h.Sum(nil)) }

// checksumType is what a checksum of an upload in parts will be of.
func checksumType(algorithm, kind string) (string, error) {
	bad := func() (string, error) {
		return "", invalidRequest("The " + kind + " checksum type cannot be used with the " + strings.ToLower(algorithm) + " checksum algorithm.")
	}
	switch {
	case algorithm == "" && kind == "":
		return "", nil
	case algorithm == "":
		return "", invalidRequest("The x-amz-checksum-type header can only be used with the x-amz-checksum-algorithm header.")
	case newHash(algorithm) == nil:
		return "", invalidRequest("Checksum algorithm provided is unsupported. Please try again with any of the valid types: [CRC32, CRC32C, CRC64NVME, SHA1, SHA256]")
	case algorithm == "CRC64NVME" && kind == composite, !isCRC(algorithm) && kind == fullObject:
		return bad()
	case kind != "":
		return kind, nil
	case algorithm == "CRC64NVME":
		return fullObject, nil
	}
	return composite, nil
}

// combineCRC returns the checksum of two stretches of bytes from theirs and
// from the length of the second. The first is nil where nothing stands before.
func combineCRC(algorithm string, first, second []byte, size int64) []byte {
	if first == nil {
		return second
	}
	polynomial, bits := uint64(crc32.IEEE), 32
	switch algorithm {
	case "CRC32C":
		polynomial = crc32.Castagnoli
	case "CRC64NVME":
		polynomial, bits = nvmePolynomial, 64
	}
	number := func(b []byte) (n uint64) {
		for _, c := range b {
			n = n<<8 | uint64(c)
		}
		return n
	}
	sum := appendZeros(polynomial, bits, number(first), size) ^ number(second)
	out := make([]byte, bits/8)
	for i := range out {
		out[i] = byte(sum >> (bits - 8*(i+1)))
	}
	return out
}

// appendZeros returns the checksum of what crc is of with size zero bytes
// behind it. Appending a zero bit is a linear map over the bits of the
// checksum, so appending many is a power of it, found by squaring.
func appendZeros(polynomial uint64, bits int, crc uint64, size int64) uint64 {
	apply := func(m *[64]uint64, v uint64) (out uint64) {
		for i := 0; v != 0; i, v = i+1, v>>1 {
			if v&1 != 0 {
				out ^= m[i]
			}
		}
		return out
	}
	var m [64]uint64 // m[i] is the image of bit i
	m[0] = polynomial
	for i := 1; i < bits; i++ {
		m[i] = 1 << (i - 1)
	}
	square := func() {
		var sq [64]uint64
		for i := range bits {
			sq[i] = apply(&m, m[i])
		}
		m = sq
	}
	for range 3 { // one bit, two, four, eight: a byte
		square()
	}
	for ; size > 0; size >>= 1 {
		if size&1 != 0 {
			crc = apply(&m, crc)
		}
		square()
	}
	return crc
}
