package engine

import (
	"bytes"
	"cmp"
	"compress/gzip"
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"hash"
	"io"
	"net/http"
	"net/url"
	"regexp"
	goruntime "runtime"
	"strings"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/types"
)

// Bounds on what a registry may answer.
const (
	maxManifest = 4 << 20
	maxConfig   = 8 << 20
)

// reference is a parsed image name.
type reference struct {
	host, repository string
	tag              string // "" when digest is set
	digest           string // "sha256:..."
}

// name is what the registry's manifests endpoint takes.
func (r reference) name() string {
	if r.digest != "" {
		return r.digest
	}
	return r.tag
}

var (
	hostPattern       = regexp.MustCompile(`^([A-Za-z0-9]([A-Za-z0-9.-]*[A-Za-z0-9])?|\[[0-9a-fA-F:]+\])(:[0-9]{1,5})?$`)
	repositoryPattern = regexp.MustCompile(`^[a-z0-9]+([._/-]+[a-z0-9]+)*$`)
	tagPattern        = regexp.MustCompile(`^[A-Za-z0-9_][A-Za-z0-9._-]{0,127}$`)
	digestPattern     = regexp.MustCompile(`^sha256:[0-9a-f]{64}$`)
)

// parseReference reads an image as Docker does: without a host it is Docker
// Hub's, without a tag it is latest.
func parseReference(image string) (reference, error) {
	bad := func(why string) (reference, error) {
		return reference{}, fmt.Errorf("invalid reference format: %s", why)
	}
	rest, digest, pinned := strings.Cut(image, "@")
	if pinned && !digestPattern.MatchString(digest) {
		return bad("the digest must be sha256 and 64 hexadecimal digits")
	}
	r := reference{digest: digest}
	if host, path, ok := strings.Cut(rest, "/"); ok && (strings.ContainsAny(host, ".:") || host == "localhost") {
		r.host, rest = host, path
	}
	if i := strings.LastIndexByte(rest, ':'); i > strings.LastIndexByte(rest, '/') {
		r.tag, rest = rest[i+1:], rest[:i]
		if !tagPattern.MatchString(r.tag) {
			return bad("the tag has characters that are not allowed")
		}
	}
	if r.tag == "" && !pinned {
		r.tag = "latest"
	}
	switch {
	case r.host == "" || r.host == "docker.io":
		r.host = "registry-1.docker.io"
		if !strings.Contains(rest, "/") {
			rest = "library/" + rest
		}
	case !hostPattern.MatchString(r.host):
		return bad("the registry host has characters that are not allowed")
	}
	if r.repository = rest; !repositoryPattern.MatchString(rest) {
		return bad("the repository name must be lower case")
	}
	return r, nil
}

// registry reads one repository of an OCI distribution endpoint.
type registry struct {
	base               string // scheme://host
	repository         string
	username, password string
	client             *http.Client
	bearer             string
}

// registryError is a registry's refusal.
type registryError struct {
	status int
	errors []struct {
		Code    string `json:"code"`
		Message string `json:"message"`
	}
	what string
}

// Error reads "denied: User: ... is not authorized to perform ...".
func (e *registryError) Error() string {
	var parts []string
	for _, d := range e.errors {
		parts = append(parts, strings.ToLower(d.Code)+": "+d.Message)
	}
	if parts == nil {
		return fmt.Sprintf("unexpected status from %s: %d %s", e.what, e.status, http.StatusText(e.status))
	}
	return strings.Join(parts, "; ")
}

// blobError marks a failure while fetching a layer or the configuration, which
// is worded differently from one while unpacking it.
type blobError struct{ err error }

func (e *blobError) Error() string { return e.err.Error() }
func (e *blobError) Unwrap() error { return e.err }

func (r *registry) get(ctx context.Context, path string, accept ...string) (*http.Response, error) {
	for challenged := false; ; challenged = true {
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, r.base+path, nil)
		if err != nil {
			return nil, err
		}
		req.Header["Accept"] = accept
		// net/http drops this header when a redirect leaves the host.
		switch {
		case r.bearer != "":
			req.Header.Set("Authorization", "Bearer "+r.bearer)
		case r.username != "":
			req.SetBasicAuth(r.username, r.password)
		}
		resp, err := r.client.Do(req)
		if err != nil {
			return nil, err
		}
		if resp.StatusCode == http.StatusOK {
			return resp, nil
		}
		body, _ := io.ReadAll(io.LimitReader(resp.Body, 64<<10))
		resp.Body.Close()
		if resp.StatusCode == http.StatusUnauthorized && !challenged && r.bearer == "" {
			if ok, err := r.authorize(ctx, resp.Header.Get("WWW-Authenticate")); err != nil {
				return nil, err
			} else if ok {
				continue
			}
		}
		refused := &registryError{status: resp.StatusCode, what: "GET request to " + r.base + path}
		var doc struct{ Errors json.RawMessage }
		if json.Unmarshal(body, &doc) == nil {
			_ = json.Unmarshal(doc.Errors, &refused.errors)
		}
		return nil, refused
	}
}

var challengeParameter = regexp.MustCompile(`([a-z]+)="([^"]*)"`)

// authorize answers a Bearer challenge with a token for pulling. It reports
// false when the challenge is of another kind.
func (r *registry) authorize(ctx context.Context, challenge string) (bool, error) {
	scheme, parameters, _ := strings.Cut(challenge, " ")
	if !strings.EqualFold(scheme, "Bearer") {
		return false, nil
	}
	p := map[string]string{}
	for _, m := range challengeParameter.FindAllStringSubmatch(parameters, -1) {
		p[m[1]] = m[2]
	}
	u, err := url.Parse(p["realm"])
	if err != nil || u.Host == "" {
		return false, errors.New("the registry's token endpoint cannot be read")
	}
	if u.Scheme != "https" && strings.HasPrefix(r.base, "https:") {
		return false, errors.New("the registry's token endpoint is not https")
	}
	q := u.Query()
	q.Set("service", p["service"])
	q.Set("scope", "repository:"+r.repository+":pull")
	u.RawQuery = q.Encode()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, u.String(), nil)
	if err != nil {
		return false, err
	}
	if r.username != "" {
		req.SetBasicAuth(r.username, r.password)
	}
	resp, err := r.client.Do(req)
	if err != nil {
		return false, err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return false, &registryError{status: resp.StatusCode, what: "GET request to " + u.Host}
	}
	var doc struct {
		Token       string `json:"token"`
		AccessToken string `json:"access_token"`
	}
	if err := json.NewDecoder(io.LimitReader(resp.Body, 64<<10)).Decode(&doc); err != nil {
		return false, errors.New("the registry's token endpoint gave no token")
	}
	if r.bearer = cmp.Or(doc.Token, doc.AccessToken); r.bearer == "" {
		return false, errors.New("the registry's token endpoint gave no token")
	}
	return true, nil
}

// resolve finds the image that a name means on this machine's architecture.
// The digest is that of what the name names, which for a multi-platform image
// is its index.
func (r *registry) resolve(ctx context.Context, ref reference) (img *remoteImage, digest string, err error) {
	raw, kind, err := r.manifest(ctx, ref.name())
	if err != nil {
		return nil, "", err
	}
	digest = sha(raw)
	if kind.IsIndex() {
		var index v1.IndexManifest
		if err := json.Unmarshal(raw, &index); err != nil {
			return nil, "", fmt.Errorf("image index: %w", err)
		}
		child := ""
		for _, m := range index.Manifests {
			if p := m.Platform; p != nil && p.OS == "linux" && p.Architecture == goruntime.GOARCH {
				child = m.Digest.String()
				break
			}
		}
		if child == "" {
			return nil, "", fmt.Errorf("no match for platform in manifest: not found (linux/%s)", goruntime.GOARCH)
		}
		if raw, kind, err = r.manifest(ctx, child); err != nil {
			return nil, "", err
		}
	}
	if !kind.IsImage() {
		return nil, "", fmt.Errorf("media type %q is not an image", kind)
	}
	img = &remoteImage{ctx: ctx, registry: r, raw: raw, kind: kind}
	if err := json.Unmarshal(raw, &img.manifest); err != nil {
		return nil, "", fmt.Errorf("image manifest: %w", err)
	}
	return img, digest, nil
}

func (r *registry) manifest(ctx context.Context, name string) ([]byte, types.MediaType, error) {
	resp, err := r.get(ctx, "/v2/"+r.repository+"/manifests/"+name,
		string(types.OCIManifestSchema1), string(types.DockerManifestSchema2),
		string(types.OCIImageIndex), string(types.DockerManifestList))
	if err != nil {
		return nil, "", err
	}
	defer resp.Body.Close()
	raw, err := io.ReadAll(io.LimitReader(resp.Body, maxManifest+1))
	if err != nil {
		return nil, "", err
	}
	if len(raw) > maxManifest {
		return nil, "", fmt.Errorf("the manifest is larger than %d bytes", maxManifest)
	}
	if strings.HasPrefix(name, "sha256:") && sha(raw) != name {
		return nil, "", fmt.Errorf("the registry sent a manifest that is not %s", name)
	}
	kind, _, _ := strings.Cut(resp.Header.Get("Content-Type"), ";")
	return raw, types.MediaType(strings.TrimSpace(kind)), nil
}

func sha(b []byte) string { return fmt.Sprintf("sha256:%x", sha256.Sum256(b)) }

// remoteImage is a v1.Image whose layers are fetched when they are read. Its
// context is that of the pull: a v1.Image has nowhere else to take one from.
type remoteImage struct {
	ctx      context.Context
	registry *registry
	raw      []byte
	kind     types.MediaType
	manifest v1.Manifest
	config   []byte
}

var _ v1.Image = (*remoteImage)(nil)

func (i *remoteImage) MediaType() (types.MediaType, error) { return i.kind, nil }
func (i *remoteImage) Size() (int64, error)                { return int64(len(i.raw)), nil }
func (i *remoteImage) ConfigName() (v1.Hash, error)        { return i.manifest.Config.Digest, nil }
func (i *remoteImage) Digest() (v1.Hash, error)            { return v1.NewHash(sha(i.raw)) }
func (i *remoteImage) Manifest() (*v1.Manifest, error)     { return i.manifest.DeepCopy(), nil }
func (i *remoteImage) RawManifest() ([]byte, error)        { return i.raw, nil }

func (i *remoteImage) RawConfigFile() ([]byte, error) {
	if i.config != nil {
		return i.config, nil
	}
	if i.manifest.Config.Size > maxConfig {
		return nil, fmt.Errorf("the image configuration is larger than %d bytes", maxConfig)
	}
	blob, err := i.registry.blob(i.ctx, i.manifest.Config)
	if err != nil {
		return nil, err
	}
	defer blob.Close()
	config, err := io.ReadAll(blob)
	if err != nil {
		return nil, err
	}
	i.config = config
	return config, nil
}

func (i *remoteImage) ConfigFile() (*v1.ConfigFile, error) {
	raw, err := i.RawConfigFile()
	if err != nil {
		return nil, err
	}
	return v1.ParseConfigFile(bytes.NewReader(raw))
}

func (i *remoteImage) Layers() ([]v1.Layer, error) {
	config, err := i.ConfigFile()
	if err != nil {
		return nil, err
	}
	if len(config.RootFS.DiffIDs) != len(i.manifest.Layers) {
		return nil, errors.New("the image's configuration and manifest disagree on the number of layers")
	}
	layers := make([]v1.Layer, len(i.manifest.Layers))
	for n, d := range i.manifest.Layers {
		layers[n] = &remoteLayer{i, d, config.RootFS.DiffIDs[n]}
	}
	return layers, nil
}

func (i *remoteImage) LayerByDigest(h v1.Hash) (v1.Layer, error) {
	return i.layer(func(l *remoteLayer) bool { return l.Descriptor.Digest == h })
}

func (i *remoteImage) LayerByDiffID(h v1.Hash) (v1.Layer, error) {
	return i.layer(func(l *remoteLayer) bool { return l.diffID == h })
}

func (i *remoteImage) layer(is func(*remoteLayer) bool) (v1.Layer, error) {
	layers, err := i.Layers()
	if err != nil {
		return nil, err
	}
	for _, l := range layers {
		if is(l.(*remoteLayer)) {
			return l, nil
		}
	}
	return nil, errors.New("the image has no such layer")
}

type remoteLayer struct {
	image      *remoteImage
	Descriptor v1.Descriptor
	diffID     v1.Hash
}

func (l *remoteLayer) Digest() (v1.Hash, error)            { return l.Descriptor.Digest, nil }
func (l *remoteLayer) DiffID() (v1.Hash, error)            { return l.diffID, nil }
func (l *remoteLayer) Size() (int64, error)                { return l.Descriptor.Size, nil }
func (l *remoteLayer) MediaType() (types.MediaType, error) { return l.Descriptor.MediaType, nil }

func (l *remoteLayer) Compressed() (io.ReadCloser, error) {
	return l.image.registry.blob(l.image.ctx, l.Descriptor)
}

// Uncompressed looks at the bytes, not at the media type, which is often wrong.
func (l *remoteLayer) Uncompressed() (io.ReadCloser, error) {
	blob, err := l.Compressed()
	if err != nil {
		return nil, err
	}
	var magic [2]byte
	n, err := io.ReadFull(blob, magic[:])
	if err != nil && err != io.ErrUnexpectedEOF && err != io.EOF {
		blob.Close()
		return nil, err
	}
	whole := struct {
		io.Reader
		io.Closer
	}{io.MultiReader(bytes.NewReader(magic[:n]), blob), blob}
	if magic != [2]byte{0x1f, 0x8b} {
		if strings.HasSuffix(string(l.Descriptor.MediaType), "zstd") {
			blob.Close()
			return nil, errors.New("layers compressed with zstd are not supported")
		}
		return whole, nil
	}
	z, err := gzip.NewReader(whole)
	if err != nil {
		blob.Close()
		return nil, err
	}
	return struct {
		io.Reader
		io.Closer
	}{z, blob}, nil
}

// blob opens a blob whose bytes are checked against its descriptor while they
// are read: a wrong digest or length is an error in place of io.EOF.
func (r *registry) blob(ctx context.Context, d v1.Descriptor) (io.ReadCloser, error) {
	if d.Digest.Algorithm != "sha256" {
		return nil, &blobError{fmt.Errorf("digest algorithm %q is not supported", d.Digest.Algorithm)}
	}
	resp, err := r.get(ctx, "/v2/"+r.repository+"/blobs/"+d.Digest.String(), "*/*")
	if err != nil {
		return nil, &blobError{err}
	}
	return &verified{body: resp.Body, hash: sha256.New(), want: d}, nil
}

type verified struct {
	body io.ReadCloser
	hash hash.Hash
	read int64
	want v1.Descriptor
}

func (v *verified) Read(p []byte) (int, error) {
	n, err := v.body.Read(p)
	v.hash.Write(p[:n])
	if v.read += int64(n); v.read > v.want.Size {
		return 0, &blobError{fmt.Errorf("blob %s is longer than its manifest says", v.want.Digest)}
	}
	switch {
	case err == io.EOF:
		if v.read != v.want.Size || fmt.Sprintf("%x", v.hash.Sum(nil)) != v.want.Digest.Hex {
			return n, &blobError{fmt.Errorf("blob %s is not what its manifest says", v.want.Digest)}
		}
	case err != nil:
		return n, &blobError{err}
	}
	return n, err
}

func (v *verified) Close() error { return v.body.Close() }
