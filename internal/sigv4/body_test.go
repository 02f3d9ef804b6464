package sigv4

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/iotest"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"
)

// The example of "Signature Calculations for the Authorization Header:
// Transferring Payload in Multiple Chunks" in the Amazon S3 API Reference.
const (
	docSecret = "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"
	docAuth   = "AWS4-HMAC-SHA256 Credential=AKIAIOSFODNN7EXAMPLE/20130524/us-east-1/s3/aws4_request," +
		"SignedHeaders=content-encoding;content-length;host;x-amz-content-sha256;x-amz-date;x-amz-decoded-content-length;x-amz-storage-class," +
		"Signature=4f232c4386841ef735655705268965c44a0e4690baa4adea153f7db9fa80a0a9"
)

var docTime = time.Date(2013, 5, 24, 0, 0, 0, 0, time.UTC)

func TestDocumentedChunks(t *testing.T) {
	a := strings.Repeat("a", 65536)
	wire := "10000;chunk-signature=ad80c730a21e5b8d04586a2213dd63b9a0e99e0e2307b0ade35a65485a288648\r\n" + a + "\r\n" +
		"400;chunk-signature=0055627c9e194cb4542bae2aa5492e3c1575bbb81b612b7d234b86a503ef5497\r\n" + a[:1024] + "\r\n" +
		"0;chunk-signature=b6c6ea8a5354eaf15b3cb7646744f4275b71ea724fed81ceb9323e279d449df9\r\n\r\n"
	r := newRequest(t, "PUT", "https://s3.amazonaws.com/examplebucket/chunkObject.txt", wire,
		"Authorization", docAuth, "Content-Encoding", "aws-chunked", "X-Amz-Content-Sha256", StreamingPayload,
		"X-Amz-Date", "20130524T000000Z", "X-Amz-Decoded-Content-Length", "66560", "X-Amz-Storage-Class", "REDUCED_REDUNDANCY")
	r = arrive(t, r)
	q, e := Parse(r)
	if e != nil {
		t.Fatal(e)
	}
	if e := q.Verify(r, docSecret, docTime, nil); e != nil {
		t.Fatal(e)
	}
	b, e := NewBody(q, r, r.Body)
	if e != nil {
		t.Fatal(e)
	}
	got, err := io.ReadAll(b)
	if err != nil || string(got) != a+a[:1024] || b.Length != 66560 {
		t.Errorf("%d bytes, %v", len(got), err)
	}
}

// The canonical form of a trailer, from the same reference's example of a
// trailing checksum: the documented hash of its one field.
func TestDocumentedTrailerHash(t *testing.T) {
	sum := sha256.Sum256([]byte("x-amz-checksum-crc32c:sOO8/Q==\n"))
	if got := hex.EncodeToString(sum[:]); got != "1e376db7e1a34a8ef1c4bcee131a2d60a1cb62503747488624e10995f448d774" {
		t.Error(got)
	}
}

func crc32Of(s string) string {
	return base64.StdEncoding.EncodeToString(binary.BigEndian.AppendUint32(nil, crc32.ChecksumIEEE([]byte(s))))
}

// chunkedRequest signs an upload of the chunks, with a crc32 trailer where the
// payload word has one, and returns it with its encoded body.
func chunkedRequest(t testing.TB, word string, chunks ...string) (*http.Request, string) {
	t.Helper()
	data := strings.Join(chunks, "")
	r := newRequest(t, "PUT", "http://host/bucket/key", "", "Content-Encoding", "aws-chunked",
		"X-Amz-Decoded-Content-Length", fmt.Sprint(len(data)))
	trailer := strings.HasSuffix(word, "-TRAILER")
	if trailer {
		r.Header.Set("X-Amz-Trailer", "x-amz-checksum-crc32")
	}
	Sign(r, testCreds, "s3", "us-east-1", testNow, word)
	r.ContentLength = -1 // as a server would know it of a streamed body

	_, prev, _ := strings.Cut(r.Header.Get("Authorization"), "Signature=")
	stamp := testNow.Format(stampFormat)
	scope := scopeKey{testCreds.AccessKeyID, stamp[:8], "us-east-1", "s3"}
	key := deriveKey(testCreds.SecretAccessKey, scope)
	link := func(kind string, lines ...string) string {
		s := string(appendScope([]byte(kind+"\n"), stamp, scope)) + "\n" + prev + "\n" + strings.Join(lines, "\n")
		sum := key.sum([]byte(s))
		prev = string(sum[:])
		return prev
	}
	var b strings.Builder
	for _, c := range append(chunks, "") {
		fmt.Fprintf(&b, "%x", len(c))
		if word != StreamingUnsignedTrailer {
			b.WriteString(";chunk-signature=" + link("AWS4-HMAC-SHA256-PAYLOAD", EmptyPayload, hexSum(c)))
		}
		b.WriteString("\r\n" + c)
		if c != "" {
			b.WriteString("\r\n")
		}
	}
	if trailer {
		field := "x-amz-checksum-crc32:" + crc32Of(data)
		b.WriteString(field + "\r\n")
		if word == StreamingPayloadTrailer {
			b.WriteString("x-amz-trailer-signature:" + link("AWS4-HMAC-SHA256-TRAILER", hexSum(field+"\n")) + "\r\n")
		}
	}
	b.WriteString("\r\n")
	return r, b.String()
}

func openBody(t testing.TB, r *http.Request, wire io.Reader) (*Body, *Error) {
	t.Helper()
	q, e := Parse(r)
	if e != nil {
		t.Fatal(e)
	}
	if e := q.Verify(r, testCreds.SecretAccessKey, testNow, nil); e != nil {
		t.Fatal(e)
	}
	return NewBody(q, r, wire)
}

func TestChunkedBodies(t *testing.T) {
	for _, word := range []string{StreamingPayload, StreamingPayloadTrailer, StreamingUnsignedTrailer} {
		for _, chunks := range [][]string{{}, {"a"}, {strings.Repeat("x", 100_000), "tail"}} {
			r, wire := chunkedRequest(t, word, chunks...)
			for name, in := range map[string]io.Reader{"whole": strings.NewReader(wire),
				"bytewise": iotest.OneByteReader(strings.NewReader(wire)), "with EOF": iotest.DataErrReader(strings.NewReader(wire))} {
				b, e := openBody(t, r, in)
				if e != nil {
					t.Fatal(e)
				}
				got, err := io.ReadAll(b)
				if err != nil || string(got) != strings.Join(chunks, "") {
					t.Errorf("%s %d %s: %d bytes, %v", word, len(chunks), name, len(got), err)
				}
				if strings.HasSuffix(word, "TRAILER") {
					want := crc32Of(strings.Join(chunks, ""))
					if b.Checksums()["x-amz-checksum-crc32"] != want || b.Trailers()["x-amz-checksum-crc32"] != want {
						t.Errorf("%s: checksums %v, trailers %v", word, b.Checksums(), b.Trailers())
					}
				}
			}
		}
	}
}

// Every byte of a signed stream counts: no single change may go unnoticed.
func TestChunkedBodyChangedAnywhere(t *testing.T) {
	for _, word := range []string{StreamingPayload, StreamingPayloadTrailer, StreamingUnsignedTrailer} {
		r, wire := chunkedRequest(t, word, "hello ", "world")
		for i := range wire {
			for name, w := range map[string]string{
				"flip": wire[:i] + string(rune(wire[i]^1)) + wire[i+1:], "cut": wire[:i], "drop": wire[:i] + wire[i+1:],
				"insert": wire[:i] + "0" + wire[i:],
			} {
				b, e := openBody(t, r, strings.NewReader(w))
				if e != nil {
					t.Fatal(e)
				}
				got, err := io.ReadAll(b)
				var be *Error
				if err != nil && !errors.As(err, &be) {
					t.Errorf("%s %s %d: error of type %T", word, name, i, err)
				}
				// What still reads as the same data was changed in framing
				// only: a size with another leading zero.
				if err == nil && string(got) != "hello world" {
					t.Errorf("%s: %s at %d gave %q", word, name, i, got)
				}
				if err == nil && name != "insert" && !strings.EqualFold(w, wire) {
					t.Errorf("%s: %s at %d went unnoticed: %q", word, name, i, w)
				}
			}
		}
		b, _ := openBody(t, r, strings.NewReader(wire+"x"))
		if _, err := io.ReadAll(b); err == nil {
			t.Errorf("%s: data after the end", word)
		}
	}
}

func TestBodyRefusals(t *testing.T) {
	crc := crc32Of("hello")
	for _, c := range []struct {
		name, word, wire string
		headers          []string
		kind             Kind
		code             string
	}{
		{"no decoded length", StreamingUnsignedTrailer, "", nil, BadChunk, "MissingContentLength"},
		{"decoded length too small", StreamingUnsignedTrailer, "5\r\nhello\r\n0\r\n\r\n", []string{"X-Amz-Decoded-Content-Length", "4"}, BadChunk, "IncompleteBody"},
		{"decoded length too big", StreamingUnsignedTrailer, "5\r\nhello\r\n0\r\n\r\n", []string{"X-Amz-Decoded-Content-Length", "6"}, BadChunk, "IncompleteBody"},
		{"signature where none belongs", StreamingUnsignedTrailer, "5;chunk-signature=" + EmptyPayload + "\r\nhello\r\n0\r\n\r\n",
			[]string{"X-Amz-Decoded-Content-Length", "5"}, BadChunk, "InvalidRequest"},
		{"no signature", StreamingPayload, "5\r\nhello\r\n0\r\n\r\n", []string{"X-Amz-Decoded-Content-Length", "5"}, BadChunk, "InvalidRequest"},
		{"size too long", StreamingUnsignedTrailer, strings.Repeat("0", 40) + "5\r\nhello", []string{"X-Amz-Decoded-Content-Length", "5"}, BadChunk, "InvalidRequest"},
		{"endless line", StreamingUnsignedTrailer, strings.Repeat("0", 100_000), []string{"X-Amz-Decoded-Content-Length", "5"}, BadChunk, "InvalidRequest"},
		{"trailer not declared", StreamingUnsignedTrailer, "5\r\nhello\r\n0\r\nx-amz-checksum-crc32:" + crc + "\r\n\r\n",
			[]string{"X-Amz-Decoded-Content-Length", "5"}, BadChunk, "MalformedTrailerError"},
		{"trailer missing", StreamingUnsignedTrailer, "5\r\nhello\r\n0\r\n\r\n",
			[]string{"X-Amz-Decoded-Content-Length", "5", "X-Amz-Trailer", "x-amz-checksum-crc32"}, BadChunk, "MalformedTrailerError"},
		{"trailer twice", StreamingUnsignedTrailer, "5\r\nhello\r\n0\r\nx-amz-checksum-crc32:" + crc + "\r\nx-amz-checksum-crc32:" + crc + "\r\n\r\n",
			[]string{"X-Amz-Decoded-Content-Length", "5", "X-Amz-Trailer", "x-amz-checksum-crc32"}, BadChunk, "MalformedTrailerError"},
		{"trailer wrong", StreamingUnsignedTrailer, "5\r\nhello\r\n0\r\nx-amz-checksum-crc32:AAAAAA==\r\n\r\n",
			[]string{"X-Amz-Decoded-Content-Length", "5", "X-Amz-Trailer", "x-amz-checksum-crc32"}, BadDigest, "BadDigest"},
		{"trailer not base64", StreamingUnsignedTrailer, "5\r\nhello\r\n0\r\nx-amz-checksum-crc32:zz\r\n\r\n",
			[]string{"X-Amz-Decoded-Content-Length", "5", "X-Amz-Trailer", "x-amz-checksum-crc32"}, BadDigest, "InvalidRequest"},
		{"trailer without streaming", UnsignedPayload, "hello", []string{"X-Amz-Trailer", "x-amz-checksum-crc32"}, BadChunk, "MalformedTrailerError"},
		{"unknown algorithm", UnsignedPayload, "hello", []string{"X-Amz-Checksum-Rot13", "x"}, BadDigest, "InvalidRequest"},
		{"header checksum", UnsignedPayload, "hello", []string{"X-Amz-Checksum-Sha1", "AAAAAAAAAAAAAAAAAAAAAAAAAAA="}, BadDigest, "BadDigest"},
		{"md5", UnsignedPayload, "hello", []string{"Content-Md5", "AAAAAAAAAAAAAAAAAAAAAA=="}, BadDigest, "BadDigest"},
		{"md5 unreadable", UnsignedPayload, "hello", []string{"Content-Md5", "AA"}, BadDigest, "InvalidDigest"},
		{"declared hash", hexSum("other"), "hello", nil, BadPayloadHash, "XAmzContentSHA256Mismatch"},
		{"short", hexSum("hello"), "hell", []string{"Content-Length", "5"}, BadChunk, "IncompleteBody"},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := newRequest(t, "PUT", "http://host/b/k", "", c.headers...)
			Sign(r, testCreds, "s3", "us-east-1", testNow, c.word)
			r.ContentLength = int64(len(c.wire))
			if r.Header.Get("Content-Length") == "5" {
				r.ContentLength = 5
			}
			b, e := openBody(t, r, strings.NewReader(c.wire))
			if e == nil {
				_, err := io.ReadAll(b)
				if !errors.As(err, &e) {
					t.Fatal(err)
				}
				if _, again := b.Read(make([]byte, 1)); again != err || b.Trailers() != nil || b.Checksums() != nil {
					t.Error("an error is to be final")
				}
			}
			if code, _ := e.Code(S3); e.Kind != c.kind || code != c.code {
				t.Errorf("%v %s %s", e.Kind, code, e.Text(S3))
			}
		})
	}
}

func TestBodyOfUnverifiedRequest(t *testing.T) {
	r := signed(t, "s3")
	q, e := Parse(r)
	if e != nil {
		t.Fatal(e)
	}
	if _, e := NewBody(q, r, r.Body); e == nil {
		t.Error("a body without a verified signature")
	}
}

// The real S3 client, with each checksum it can send, over both kinds of
// connection: over TLS it streams with an unsigned trailer, otherwise it signs
// the payload.
func TestSDKUploads(t *testing.T) {
	payload := bytes.Repeat([]byte("0123456789abcdef"), 20_000)
	var want []byte
	var mode string
	handler := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		q, e := Parse(r)
		if e == nil {
			e = q.Verify(r, testCreds.SecretAccessKey, time.Now(), nil)
		}
		var got []byte
		if e == nil {
			mode = q.PayloadHash
			var b *Body
			if b, e = NewBody(q, r, r.Body); e == nil {
				var err error
				if got, err = io.ReadAll(b); err != nil && !errors.As(err, &e) {
					t.Error(err)
				}
				if e == nil && len(b.Checksums()) != 1 {
					t.Errorf("checksums %v", b.Checksums())
				}
			}
		}
		if e != nil {
			code, status := e.Code(S3)
			t.Errorf("%s %s", code, e.Text(S3))
			w.WriteHeader(status)
			return
		}
		if !bytes.Equal(got, want) {
			t.Errorf("got %d bytes, want %d", len(got), len(want))
		}
	})
	for _, c := range []struct {
		name  string
		start func(http.Handler) *httptest.Server
		mode  string
	}{
		{"tls", httptest.NewTLSServer, StreamingUnsignedTrailer},
		{"plain", httptest.NewServer, ""},
	} {
		srv := c.start(handler)
		defer srv.Close()
		client := s3.New(s3.Options{
			BaseEndpoint: aws.String(srv.URL), Region: "us-east-1", UsePathStyle: true, HTTPClient: srv.Client(), RetryMaxAttempts: 1,
			Credentials: aws.CredentialsProviderFunc(func(context.Context) (aws.Credentials, error) { return sdkCreds(), nil }),
		})
		for _, alg := range []types.ChecksumAlgorithm{types.ChecksumAlgorithmCrc32, types.ChecksumAlgorithmCrc32c,
			types.ChecksumAlgorithmCrc64nvme, types.ChecksumAlgorithmSha1, types.ChecksumAlgorithmSha256} {
			for _, want = range [][]byte{payload, nil} {
				_, err := client.PutObject(context.Background(), &s3.PutObjectInput{
					Bucket: aws.String("bucket"), Key: aws.String("a//ü +(1)/../x~y"), Body: bytes.NewReader(want), ChecksumAlgorithm: alg,
				})
				if err != nil {
					t.Errorf("%s %s: %v", c.name, alg, err)
				}
				if c.mode != "" && mode != c.mode && len(want) > 0 {
					t.Errorf("%s: payload %q", c.name, mode)
				}
			}
		}
		// A presigned upload, used as a browser would.
		want = payload
		pre, err := s3.NewPresignClient(client).PresignPutObject(context.Background(), &s3.PutObjectInput{
			Bucket: aws.String("bucket"), Key: aws.String("k"), ChecksumSHA256: aws.String(b64sum(payload))})
		if err != nil {
			t.Fatal(err)
		}
		req, err := http.NewRequest(pre.Method, pre.URL, bytes.NewReader(payload))
		if err != nil {
			t.Fatal(err)
		}
		for k, v := range pre.SignedHeader {
			if k != "Host" && k != "Content-Length" {
				req.Header[k] = v
			}
		}
		resp, err := srv.Client().Do(req)
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		if resp.StatusCode != 200 {
			t.Errorf("presigned: %s", resp.Status)
		}
	}
}

func b64sum(b []byte) string {
	sum := sha256.Sum256(b)
	return base64.StdEncoding.EncodeToString(sum[:])
}

func FuzzBody(f *testing.F) {
	words := []string{StreamingPayload, StreamingPayloadTrailer, StreamingUnsignedTrailer}
	var requests []*http.Request
	for i, w := range words {
		r, wire := chunkedRequest(f, w, "hello ", "world")
		requests = append(requests, r)
		f.Add(uint8(i), wire)
	}
	f.Add(uint8(2), "b\r\nhello world\r\n0\r\n:\r\n\r\n")
	f.Fuzz(func(t *testing.T, which uint8, wire string) {
		r := requests[int(which)%len(requests)]
		b, e := openBody(t, r, strings.NewReader(wire))
		if e != nil {
			t.Fatal(e)
		}
		got, err := io.ReadAll(b)
		if len(got) > 11 {
			t.Fatalf("%d bytes, more than declared", len(got))
		}
		if err == nil && string(got) != "hello world" {
			// Signed, or held to its checksum: there is no second body.
			t.Fatalf("accepted %q", got)
		}
	})
}

func BenchmarkBody(b *testing.B) {
	chunk := strings.Repeat("x", 64<<10)
	r, wire := chunkedRequest(b, StreamingPayloadTrailer, chunk, chunk, chunk, chunk)
	b.SetBytes(int64(4 * len(chunk)))
	for b.Loop() {
		body, e := openBody(b, r, strings.NewReader(wire))
		if e != nil {
			b.Fatal(e)
		}
		if _, err := io.Copy(io.Discard, body); err != nil {
			b.Fatal(err)
		}
	}
}
