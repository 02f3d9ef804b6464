package registry_test

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"net/url"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ecr"
	"github.com/aws/aws-sdk-go-v2/service/ecr/types"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/random"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	v1types "github.com/google/go-containerregistry/pkg/v1/types"
	"github.com/google/go-containerregistry/pkg/v1/validate"

	"github.com/remit-ecs/remit/internal/clock"
	"github.com/remit-ecs/remit/internal/testkit"
)

const dockerManifest = "application/vnd.docker.distribution.manifest.v2+json"

// engine speaks the protocol by hand, as one principal.
type engine struct {
	t        *testing.T
	server   string
	host     string // sent as Host, if not empty
	password string
}

func (f *fixture) engine(c aws.Config) *engine {
	return &engine{t: f.t, server: f.server.URL, password: f.password(c)}
}

// base is the path of a repository.
func base(repo string) string {
	return "/v2/" + testkit.Account + ".dkr.ecr." + testkit.Region + ".amazonaws.com/" + repo
}

type answer struct {
	*http.Response
	body []byte
}

// do sends a request; header is name and value by turns.
func (e *engine) do(method, path string, body io.Reader, header ...string) answer {
	e.t.Helper()
	if !strings.HasPrefix(path, "http") {
		path = e.server + path
	}
	r, err := http.NewRequestWithContext(e.t.Context(), method, path, body)
	if err != nil {
		e.t.Fatal(err)
	}
	if e.password != "" {
		r.SetBasicAuth("AWS", e.password)
	}
	if e.host != "" {
		r.Host = e.host
	}
	for i := 0; i < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	resp, err := http.DefaultClient.Do(r)
	if err != nil {
		e.t.Fatalf("%s %s: %v", method, path, err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		e.t.Fatalf("%s %s: %v", method, path, err)
	}
	return answer{resp, text}
}

// want holds an answer to a status and returns it.
func (e *engine) want(status int, a answer) answer {
	e.t.Helper()
	if a.StatusCode != status {
		e.t.Fatalf("%s %s: %s, want %d: %s", a.Request.Method, a.Request.URL.Path, a.Status, status, a.body)
	}
	return a
}

// wantError holds an answer to an error of the protocol.
func (e *engine) wantError(status int, code, text string, a answer) {
	e.t.Helper()
	e.want(status, a)
	var body struct {
		Errors []struct{ Code, Message string }
	}
	if err := json.Unmarshal(a.body, &body); err != nil || len(body.Errors) != 1 || body.Errors[0].Code != code || !strings.Contains(body.Errors[0].Message, text) {
		e.t.Errorf("%s %s: %s, want %s with %q", a.Request.Method, a.Request.URL.Path, a.body, code, text)
	}
}

func digestOf(b []byte) string {
	sum := sha256.Sum256(b)
	return "sha256:" + hex.EncodeToString(sum[:])
}

// begin starts an upload and returns its location.
func (e *engine) begin(repo string) string {
	e.t.Helper()
	return e.want(202, e.do("POST", base(repo)+"/blobs/uploads/", nil)).Header.Get("Location")
}

// with adds the digest to a location, as engines do: query kept.
func with(location, digest string) string {
	u, err := url.Parse(location)
	if err != nil {
		panic(err)
	}
	q := u.Query()
	q.Set("digest", digest)
	u.RawQuery = q.Encode()
	return u.String()
}

// push uploads a blob in one request.
func (e *engine) push(repo string, b []byte) string {
	e.t.Helper()
	d := digestOf(b)
	e.want(201, e.do("POST", base(repo)+"/blobs/uploads/?digest="+url.QueryEscape(d), bytes.NewReader(b), "Content-Type", "application/octet-stream"))
	return d
}

// image puts a manifest over blobs, the first of which is the config.
func (e *engine) image(repo, tag string, blobs ...[]byte) string {
	e.t.Helper()
	text := manifestOf(blobs...)
	for _, b := range blobs {
		e.push(repo, b)
	}
	a := e.want(201, e.do("PUT", base(repo)+"/manifests/"+tag, strings.NewReader(text), "Content-Type", dockerManifest))
	if got := a.Header.Get("Docker-Content-Digest"); got != digestOf([]byte(text)) {
		e.t.Errorf("digest of the manifest: %s", got)
	}
	return digestOf([]byte(text))
}

func manifestOf(blobs ...[]byte) string {
	type descriptor struct {
		MediaType string `json:"mediaType"`
		Size      int    `json:"size"`
		Digest    string `json:"digest"`
	}
	m := map[string]any{"schemaVersion": 2, "mediaType": dockerManifest}
	layers := []descriptor{}
	for i, b := range blobs {
		d := descriptor{"application/vnd.docker.image.rootfs.diff.tar.gzip", len(b), digestOf(b)}
		if i == 0 {
			d.MediaType = "application/vnd.docker.container.image.v1+json"
			m["config"] = d
		} else {
			layers = append(layers, d)
		}
	}
	m["layers"] = layers
	text, err := json.Marshal(m)
	if err != nil {
		panic(err)
	}
	return string(text)
}

// TestUploads is every way in which engines send a layer.
func TestUploads(t *testing.T) {
	f := start(t)
	f.repository("app")
	e := f.engine(f.Root())
	blob := func() []byte { return []byte("layer " + strconv.FormatUint(rand.Uint64(), 36)) }
	tests := map[string]func(b []byte, d string){
		"one POST": func(b []byte, d string) { e.push("app", b) },
		"POST, then all with PUT": func(b []byte, d string) {
			a := e.want(201, e.do("PUT", with(e.begin("app"), d), bytes.NewReader(b)))
			if a.Header.Get("Location") != base("app")+"/blobs/"+d || a.Header.Get("Docker-Content-Digest") != d {
				t.Errorf("answer of PUT: %v", a.Header)
			}
		},
		"PATCH without length": func(b []byte, d string) { // docker streams
			a := e.want(202, e.do("PATCH", e.begin("app"), io.MultiReader(bytes.NewReader(b))))
			if got, want := a.Header.Get("Range"), "0-"+strconv.Itoa(len(b)-1); got != want {
				t.Errorf("Range %s, want %s", got, want)
			}
			e.want(201, e.do("PUT", with(a.Header.Get("Location"), d), nil))
		},
		"chunks with Content-Range": func(b []byte, d string) {
			at := e.begin("app")
			a := e.want(202, e.do("PATCH", at, bytes.NewReader(b[:4]), "Content-Range", "0-3"))
			e.want(201, e.do("PUT", with(a.Header.Get("Location"), d), bytes.NewReader(b[4:]), "Content-Range", "4-"+strconv.Itoa(len(b)-1)))
		},
		"absolute location": func(b []byte, d string) {
			e.want(201, e.do("PUT", with(f.server.URL+e.begin("app"), d), bytes.NewReader(b)))
		},
		"resumed": func(b []byte, d string) {
			at := e.begin("app")
			e.want(202, e.do("PATCH", at, bytes.NewReader(b[:4])))
			e.wantError(416, "BLOB_UPLOAD_INVALID", "consecutive", e.do("PATCH", at, bytes.NewReader(b[9:]), "Content-Range", "9-"+strconv.Itoa(len(b)-1)))
			a := e.want(204, e.do("GET", at, nil))
			if a.Header.Get("Range") != "0-3" {
				t.Errorf("Range of the status %s", a.Header.Get("Range"))
			}
			e.want(202, e.do("PATCH", at, bytes.NewReader(b[4:]), "Content-Range", "4-"+strconv.Itoa(len(b)-1)))
			e.want(201, e.do("PUT", with(at, d), nil))
		},
		"wrong digest, then the right one": func(b []byte, d string) {
			at := e.begin("app")
			e.wantError(400, "DIGEST_INVALID", "does not match the digest", e.do("PUT", with(at, digestOf([]byte("another"))), bytes.NewReader(b)))
			e.want(201, e.do("PUT", with(at, d), nil))
		},
		"twice": func(b []byte, d string) { e.push("app", b); e.push("app", b) },
	}
	for name, upload := range tests {
		b := blob()
		d := digestOf(b)
		e.wantHead(404, d)
		upload(b, d)
		a := e.wantHead(200, d)
		if a.ContentLength != int64(len(b)) || a.Header.Get("Docker-Content-Digest") != d {
			t.Errorf("%s: HEAD: %v", name, a.Header)
		}
	}

	at := e.begin("app")
	e.wantError(400, "BLOB_UPLOAD_INVALID", "does not contain any layer parts", e.do("PUT", with(at, digestOf(nil)), nil))
	e.wantError(400, "DIGEST_INVALID", "", e.do("PUT", at, nil))
	e.wantError(400, "DIGEST_INVALID", "", e.do("PUT", with(at, "sha512:00"), strings.NewReader("x")))
	e.wantError(400, "SIZE_INVALID", "", e.do("PATCH", at, strings.NewReader("abc"), "Content-Range", "0-9"))
	e.wantError(404, "BLOB_UPLOAD_UNKNOWN", "", e.do("PATCH", base("app")+"/blobs/uploads/nothing", strings.NewReader("x")))
	e.wantError(404, "BLOB_UPLOAD_UNKNOWN", "could not be found", e.do("PATCH", base("app")+"/blobs/uploads/00000000-0000-4000-8000-000000000000", strings.NewReader("x")))
	e.wantError(405, "UNSUPPORTED", "", e.do("DELETE", at, nil))
	e.wantError(405, "UNSUPPORTED", "", e.do("DELETE", base("app")+"/blobs/"+digestOf(nil), nil))
}

func (e *engine) wantHead(status int, digest string) answer {
	e.t.Helper()
	return e.want(status, e.do("HEAD", base("app")+"/blobs/"+digest, nil))
}

// TestBrokenConnection loses the connection in the middle of a chunk, and goes
// on where the registry says.
func TestBrokenConnection(t *testing.T) {
	f := start(t)
	f.repository("app")
	e := f.engine(f.Root())
	b := bytes.Repeat([]byte("0123456789"), 1000)
	at := e.begin("app")
	conn, err := net.Dial("tcp", strings.TrimPrefix(f.server.URL, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	fmt.Fprintf(conn, "PATCH %s HTTP/1.1\r\nHost: x\r\nAuthorization: Basic %s\r\nContent-Length: %d\r\n\r\n%s",
		at, base64.StdEncoding.EncodeToString([]byte("AWS:"+e.password)), len(b), b[:3000])
	_ = conn.(*net.TCPConn).CloseWrite()
	if _, err := io.ReadAll(conn); err != nil { // until the registry noticed
		t.Fatal(err)
	}
	_ = conn.Close()
	a := e.want(204, e.do("GET", at, nil))
	if a.Header.Get("Range") != "0-2999" {
		t.Fatalf("Range %s", a.Header.Get("Range"))
	}
	e.want(202, e.do("PATCH", at, bytes.NewReader(b[3000:]), "Content-Range", "3000-"+strconv.Itoa(len(b)-1)))
	e.want(201, e.do("PUT", with(at, digestOf(b)), nil))
}

// TestForeignUpload holds an upload to its repository, and its bytes to who
// sent them: that a blob exists elsewhere helps nobody.
func TestForeignUpload(t *testing.T) {
	f := start(t)
	f.repository("app")
	f.repository("secret")
	e := f.engine(f.Root())
	b := []byte("not yours")
	e.image("secret", "v1", []byte("{}"), b)
	at := e.begin("app")
	e.wantError(400, "BLOB_UPLOAD_INVALID", "", e.do("PUT", with(at, digestOf(b)), nil))
	e.wantError(404, "BLOB_UPLOAD_UNKNOWN", "", e.do("PATCH", strings.Replace(at, "/app/", "/secret/", 1), strings.NewReader("x")))
	e.wantError(400, "MANIFEST_BLOB_UNKNOWN", digestOf(b), e.do("PUT", base("app")+"/manifests/v1", strings.NewReader(manifestOf([]byte("{}"), b)), "Content-Type", dockerManifest))
	e.wantError(404, "BLOB_UNKNOWN", "", e.do("GET", base("app")+"/blobs/"+digestOf(b), nil))
}

// TestMount takes a layer over from a repository that the caller may read, and
// asks for an upload otherwise.
func TestMount(t *testing.T) {
	f := start(t)
	f.repository("app")
	f.repository("base")
	root := f.engine(f.Root())
	b := []byte("shared layer")
	d := digestOf(b)
	root.image("base", "v1", []byte("{}"), b)
	mount := base("app") + "/blobs/uploads/?mount=" + url.QueryEscape(d) + "&from=" + strings.TrimPrefix(base("base"), "/v2/")

	write := []string{"ecr:InitiateLayerUpload", "ecr:UploadLayerPart", "ecr:CompleteLayerUpload", "ecr:BatchCheckLayerAvailability"}
	writer := f.engine(f.With(testkit.Allow("*", "ecr:GetAuthorizationToken"), testkit.Allow(arnOf("app"), write...)))
	a := writer.want(202, writer.do("POST", mount, nil))
	if !strings.HasPrefix(a.Header.Get("Location"), base("app")+"/blobs/uploads/") {
		t.Errorf("no upload in place of the mount: %v", a.Header)
	}
	writer.wantHead(404, d)

	reader := f.engine(f.With(testkit.Allow("*", "ecr:GetAuthorizationToken"), testkit.Allow(arnOf("app"), write...), testkit.Allow(arnOf("base"), "ecr:GetDownloadUrlForLayer")))
	reader.want(201, reader.do("POST", mount, nil))
	reader.wantHead(200, d)
	root.want(202, root.do("POST", strings.Replace(mount, d[7:15], "00000000", 1), nil)) // not there
}

// TestBlobs reads layers, and parts of them.
func TestBlobs(t *testing.T) {
	f := start(t)
	f.repository("app")
	e := f.engine(f.Root())
	b := bytes.Repeat([]byte("0123456789"), 100)
	d := digestOf(b)
	e.push("app", b)
	e.wantError(404, "BLOB_UNKNOWN", "not associated with an image", e.do("GET", base("app")+"/blobs/"+d, nil))
	e.image("app", "v1", []byte("{}"), b)
	if a := e.want(200, e.do("GET", base("app")+"/blobs/"+d, nil)); !bytes.Equal(a.body, b) {
		t.Error("the layer is not what was pushed")
	}
	a := e.want(206, e.do("GET", base("app")+"/blobs/"+d, nil, "Range", "bytes=990-"))
	if string(a.body) != "0123456789" || a.Header.Get("Content-Range") != "bytes 990-999/1000" {
		t.Errorf("range: %q %v", a.body, a.Header)
	}
	e.want(416, e.do("GET", base("app")+"/blobs/"+d, nil, "Range", "bytes=1000-"))
	e.wantError(404, "BLOB_UNKNOWN", "", e.do("GET", base("app")+"/blobs/"+digestOf([]byte("x")), nil))
	e.wantError(400, "DIGEST_INVALID", "", e.do("GET", base("app")+"/blobs/sha256:12", nil))

	// HEAD by one who may pull and not push.
	puller := f.engine(f.With(testkit.Allow("*", "ecr:GetAuthorizationToken"), testkit.Allow(arnOf("app"), "ecr:GetDownloadUrlForLayer")))
	if a := puller.wantHead(200, d); a.ContentLength != 1000 {
		t.Errorf("HEAD before a pull: %v", a.Header)
	}
	f.engine(f.With(testkit.Allow("*", "ecr:GetAuthorizationToken"))).wantHead(403, d)
}

// TestDownloadURL follows the URL of GetDownloadUrlForLayer without credentials.
func TestDownloadURL(t *testing.T) {
	now := clock.NewFake(time.Now())
	f := start(t, testkit.WithClock(now))
	f.repository("app")
	b := []byte("a layer")
	f.engine(f.Root()).image("app", "v1", []byte("{}"), b)
	out, err := f.client(f.Root()).GetDownloadUrlForLayer(t.Context(), &ecr.GetDownloadUrlForLayerInput{RepositoryName: aws.String("app"), LayerDigest: aws.String(digestOf(b))})
	if err != nil {
		t.Fatal(err)
	}
	e := &engine{t: t, server: f.server.URL}
	if a := e.want(200, e.do("GET", *out.DownloadUrl, nil)); !bytes.Equal(a.body, b) {
		t.Errorf("downloaded %q", a.body)
	}
	for what, u := range map[string]string{
		"another layer": strings.Replace(*out.DownloadUrl, digestOf(b), digestOf([]byte("{}")), 1),
		"forged":        *out.DownloadUrl + "A",
		"no token":      strings.Split(*out.DownloadUrl, "?")[0],
	} {
		if a := e.do("GET", u, nil); a.StatusCode != 403 {
			t.Errorf("%s: %s", what, a.Status)
		}
	}
	e.want(405, e.do("PUT", *out.DownloadUrl, strings.NewReader("x")))
	now.Advance(time.Hour)
	e.wantError(403, "DENIED", "not any more", e.do("GET", *out.DownloadUrl, nil))
}

// TestExpired waits until a password has had its time.
func TestExpired(t *testing.T) {
	now := clock.NewFake(time.Now())
	f := start(t, testkit.WithClock(now))
	f.repository("app")
	f.Role("puller", "", testkit.Allow("*", "ecr:*"))
	long, short := f.engine(f.Root()), f.engine(f.Session("puller", "session", time.Hour))
	now.Advance(time.Hour - 2*time.Second)
	short.want(200, short.do("GET", base("app")+"/tags/list", nil))
	now.Advance(2 * time.Second) // the session ends, and its password with it
	short.wantError(403, "DENIED", "Your authorization token has expired. Reauthenticate and try again.", short.do("GET", base("app")+"/tags/list", nil))
	long.want(200, long.do("GET", base("app")+"/tags/list", nil))
	now.Advance(11 * time.Hour)
	long.wantError(403, "DENIED", "Your authorization token has expired.", long.do("GET", base("app")+"/tags/list", nil))
}

// TestNames reaches a repository under AWS's own host name, and not at all
// under others.
func TestNames(t *testing.T) {
	f := start(t)
	f.repository("team/app")
	e := f.engine(f.Root())
	e.host = testkit.Account + ".dkr.ecr." + testkit.Region + ".amazonaws.com:4566"
	a := e.want(200, e.do("GET", "/v2/team/app/tags/list", nil))
	if strings.TrimSpace(string(a.body)) != `{"name":"team/app","tags":[]}` {
		t.Errorf("%s", a.body)
	}
	if at := e.want(202, e.do("POST", "/v2/team/app/blobs/uploads/", nil)).Header.Get("Location"); !strings.HasPrefix(at, "/v2/team/app/blobs/uploads/") {
		t.Errorf("location %s", at)
	}
	e.host = ""
	for _, path := range []string{"/v2/team/app/tags/list", "/v2/x.dkr.ecr.eu-west-1.amazonaws.com/app/tags/list", base("App") + "/tags/list", base("a..b") + "/tags/list", "/v2/_catalog", base("team/app")} {
		e.wantError(404, "NAME_UNKNOWN", "", e.do("GET", path, nil))
	}
	// Another account's registry is there, and is not theirs.
	e.wantError(403, "DENIED", "ecr:ListImages", e.do("GET", strings.Replace(base("app"), testkit.Account, "999988887777", 1)+"/tags/list", nil))
}

// TestManifests refuses what no engine could use.
func TestManifests(t *testing.T) {
	f := start(t)
	f.repository("app")
	e := f.engine(f.Root())
	config, layer := []byte("{}"), []byte("layer")
	digest := e.image("app", "v1", config, layer)
	good := manifestOf(config, layer)
	put := func(tag, text string) answer {
		return e.do("PUT", base("app")+"/manifests/"+tag, strings.NewReader(text), "Content-Type", dockerManifest)
	}
	e.wantError(400, "MANIFEST_INVALID", "invalid JSON", put("bad", good[:20]))
	e.wantError(400, "MANIFEST_INVALID", "", put("bad", ""))
	e.wantError(400, "MANIFEST_INVALID", "schemaVersion", put("bad", strings.Replace(good, `"schemaVersion":2`, `"schemaVersion":1`, 1)))
	e.wantError(400, "MANIFEST_INVALID", "bytes", put("bad", strings.Replace(good, `"size":5`, `"size":6`, 1)))
	e.wantError(400, "MANIFEST_INVALID", "either", put("bad", strings.Replace(good, `"layers"`, `"manifests":[],"layers"`, 1)))
	e.wantError(400, "MANIFEST_BLOB_UNKNOWN", "required for pushing image", put("bad", manifestOf(config, []byte("nowhere"))))
	e.wantError(400, "DIGEST_INVALID", "", put(digestOf([]byte("x")), good))
	e.want(413, put("bad", strings.Repeat(" ", 5<<20)))
	e.wantError(404, "MANIFEST_UNKNOWN", "Requested image not found", e.do("GET", base("app")+"/manifests/bad", nil))

	head := e.want(200, e.do("HEAD", base("app")+"/manifests/v1", nil))
	if head.Header.Get("Content-Type") != dockerManifest || head.Header.Get("Docker-Content-Digest") != digest || head.ContentLength != int64(len(good)) {
		t.Errorf("HEAD: %v", head.Header)
	}
	if a := e.want(200, e.do("GET", base("app")+"/manifests/"+digest, nil)); string(a.body) != good {
		t.Errorf("GET by digest: %s", a.body)
	}

	// An image that an index lists stays while the index does.
	index := `{"schemaVersion":2,"mediaType":"application/vnd.oci.image.index.v1+json","manifests":[{"mediaType":"` + dockerManifest + `","digest":"` + digest + `","size":` + strconv.Itoa(len(good)) + `}]}`
	e.want(201, e.do("PUT", base("app")+"/manifests/all", strings.NewReader(index), "Content-Type", "application/vnd.oci.image.index.v1+json"))
	e.wantError(409, "DENIED", "referenced by manifest list", e.do("DELETE", base("app")+"/manifests/"+digest, nil))
	e.wantError(400, "MANIFEST_BLOB_UNKNOWN", "Images with digests", e.do("PUT", base("app")+"/manifests/none", strings.NewReader(strings.Replace(index, digest, digestOf(nil), 1)), "Content-Type", "application/vnd.oci.image.index.v1+json"))
}

// TestImmutable does not let a tag of an immutable repository move.
func TestImmutable(t *testing.T) {
	f := start(t)
	f.repository("app")
	e := f.engine(f.Root())
	e.image("app", "v1", []byte("{}"), []byte("one"))
	_, err := f.client(f.Root()).PutImageTagMutability(t.Context(), &ecr.PutImageTagMutabilityInput{RepositoryName: aws.String("app"), ImageTagMutability: types.ImageTagMutabilityImmutable})
	if err != nil {
		t.Fatal(err)
	}
	e.image("app", "v1", []byte("{}"), []byte("one")) // what is there already
	e.push("app", []byte("two"))
	e.wantError(400, "TAG_INVALID", "The image tag 'v1' already exists in the 'app' repository and cannot be overwritten because the repository is immutable.",
		e.do("PUT", base("app")+"/manifests/v1", strings.NewReader(manifestOf([]byte("{}"), []byte("two"))), "Content-Type", dockerManifest))
	e.image("app", "v2", []byte("{}"), []byte("two"))
}

// TestIndex pushes and pulls an image for several platforms.
func TestIndex(t *testing.T) {
	f := start(t)
	repo := f.repository("app")
	auth := f.auth(f.Root())
	index, err := random.Index(512, 2, 3)
	if err != nil {
		t.Fatal(err)
	}
	if err := remote.WriteIndex(repo.Tag("all"), index, auth); err != nil {
		t.Fatal(err)
	}
	back, err := remote.Index(repo.Tag("all"), auth)
	if err == nil {
		err = validate.Index(back)
	}
	if err != nil {
		t.Error(err)
	}
	if err := remote.Write(repo.Tag("none"), empty.Image, auth); err != nil {
		t.Errorf("an image without layers: %v", err)
	}
	if mt, err := back.MediaType(); err != nil || mt != v1types.OCIImageIndex {
		t.Errorf("media type %s, %v", mt, err)
	}
}

// zeros is a body of n bytes that is nowhere in memory.
type zeros struct{ n int64 }

func (z *zeros) Read(p []byte) (int, error) {
	if z.n == 0 {
		return 0, io.EOF
	}
	n := min(int64(len(p)), z.n)
	clear(p[:n])
	z.n -= n
	return int(n), nil
}

// TestLargeLayer pushes and pulls 64 MiB, and watches the heap.
func TestLargeLayer(t *testing.T) {
	const size, bound = 64 << 20, 24 << 20
	f := start(t)
	f.repository("app")
	e := f.engine(f.Root())
	sum := sha256.New()
	if _, err := io.Copy(sum, &zeros{size}); err != nil {
		t.Fatal(err)
	}
	d := "sha256:" + hex.EncodeToString(sum.Sum(nil))

	var before runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	var peak uint64
	done := make(chan struct{})
	var watch sync.WaitGroup
	watch.Go(func() {
		for {
			select {
			case <-done:
				return
			case <-time.After(5 * time.Millisecond):
				var now runtime.MemStats
				runtime.ReadMemStats(&now)
				peak = max(peak, now.HeapAlloc)
			}
		}
	})
	at := e.begin("app")
	at = e.want(202, e.do("PATCH", at, &zeros{size})).Header.Get("Location")
	e.want(201, e.do("PUT", with(at, d), nil))
	e.push("app", []byte("{}"))
	text := strings.Replace(strings.Replace(manifestOf([]byte("{}"), []byte("layer")), digestOf([]byte("layer")), d, 1), `"size":5`, `"size":`+strconv.Itoa(size), 1)
	e.want(201, e.do("PUT", base("app")+"/manifests/big", strings.NewReader(text), "Content-Type", dockerManifest))
	r, err := http.NewRequestWithContext(t.Context(), "GET", f.server.URL+base("app")+"/blobs/"+d, nil)
	if err != nil {
		t.Fatal(err)
	}
	r.SetBasicAuth("AWS", e.password)
	resp, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	sum.Reset()
	if n, err := io.Copy(sum, resp.Body); err != nil || n != size || "sha256:"+hex.EncodeToString(sum.Sum(nil)) != d {
		t.Errorf("pulled %d bytes, %v", n, err)
	}
	close(done)
	watch.Wait()
	if peak > before.HeapAlloc+bound {
		t.Errorf("the heap grew by %d MiB", (peak-before.HeapAlloc)>>20)
	}
}
