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
