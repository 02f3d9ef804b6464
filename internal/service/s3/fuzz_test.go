package s3_test

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/xml"
	"io"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"

	"github.com/remit-ecs/remit/internal/testkit"
)

// post sends a signed body as root. Whatever it holds, the answer is a result
// or a refusal in well-formed XML, and never our own failure.
func post(t *testing.T, k *testkit.Kit, path string, body []byte) {
	cred, err := k.Root().Credentials.Retrieve(ctx)
	if err != nil {
		t.Fatal(err)
	}
	r := httptest.NewRequest(http.MethodPost, k.URL+path, bytes.NewReader(body))
	sum := sha256.Sum256(body)
	hash := hex.EncodeToString(sum[:])
	r.Header.Set("X-Amz-Content-Sha256", hash)
	if err := v4.NewSigner().SignHTTP(ctx, aws.Credentials{AccessKeyID: cred.AccessKeyID, SecretAccessKey: cred.SecretAccessKey}, r, hash, "s3", testkit.Region, time.Now(), func(o *v4.SignerOptions) { o.DisableURIPathEscaping = true }); err != nil {
		t.Fatal(err)
	}
	w := httptest.NewRecorder()
	k.Gateway.ServeHTTP(w, r)
	if w.Code >= 500 && w.Code != http.StatusNotImplemented {
		t.Fatalf("%d to %q: %s", w.Code, body, w.Body)
	}
	for d := xml.NewDecoder(w.Body); ; {
		if _, err := d.Token(); err == io.EOF {
			return
		} else if err != nil {
			t.Fatalf("the answer to %q: %v", body, err)
		}
	}
}

func FuzzDeleteObjects(f *testing.F) {
	for _, s := range []string{
		`<Delete><Object><Key>a</Key></Object></Delete>`,
		`<Delete xmlns="http://s3.amazonaws.com/doc/2006-03-01/"><Quiet>true</Quiet><Object><Key>a&amp;b</Key><VersionId>null</VersionId></Object><Object><Key/></Object></Delete>`,
		`<Delete><Object><Key>&#x1;</Key><ETag>x</ETag><Size>1</Size><LastModifiedTime>never</LastModifiedTime></Object></Delete>`,
		`<!DOCTYPE x [<!ENTITY e "e">]><Delete><Object><Key>&e;</Key></Object></Delete>`,
		`<Delete/>`, `<Delete>`, ``, `x`,
	} {
		f.Add([]byte(s))
	}
	k, _ := start(f)
	f.Fuzz(func(t *testing.T, body []byte) { post(t, k, "/data?delete", body) })
}

func FuzzCompleteMultipartUpload(f *testing.F) {
	for _, s := range []string{
		`<CompleteMultipartUpload><Part><PartNumber>1</PartNumber><ETag>"83878c91171338902e0fe0fb97a8c47a"</ETag></Part></CompleteMultipartUpload>`,
		`<CompleteMultipartUpload><Part><PartNumber>-1</PartNumber></Part></CompleteMultipartUpload>`,
		`<CompleteMultipartUpload><Part><PartNumber>99999999999</PartNumber></Part></CompleteMultipartUpload>`,
		`<CompleteMultipartUpload><Part><ChecksumCRC32>AAAA</ChecksumCRC32></Part><Part/></CompleteMultipartUpload>`,
		`<CompleteMultipartUpload/>`, ``,
	} {
		f.Add([]byte(s))
	}
	k, c := start(f)
	id := begun(f, c)
	f.Fuzz(func(t *testing.T, body []byte) { post(t, k, "/data/k?uploadId="+id, body) })
}
