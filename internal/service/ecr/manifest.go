package ecr

import (
	"encoding/json"
	"fmt"
	"math"
	"slices"
	"strings"

	"github.com/remit-ecs/remit/internal/blob"
)

// The manifest types that are taken.
// https://docs.aws.amazon.com/AmazonECR/latest/userguide/image-manifest-formats.html
const (
	dockerManifest = "application/vnd.docker.distribution.manifest.v2+json"
	dockerList     = "application/vnd.docker.distribution.manifest.list.v2+json"
	ociManifest    = "application/vnd.oci.image.manifest.v1+json"
	ociIndex       = "application/vnd.oci.image.index.v1+json"
)

// manifest is what is kept of a manifest's text, which itself is a blob.
type manifest struct {
	mediaType    string
	artifactType string
	subject      blob.Digest
	blobs        []descriptor // config and layers that the repository must have
	children     []descriptor // manifests that the repository must have
}

// descriptor refers to content.
// https://github.com/opencontainers/image-spec/blob/main/descriptor.md
type descriptor struct {
	MediaType string      `json:"mediaType"`
	Digest    blob.Digest `json:"digest"`
	Size      int64       `json:"size"`
	URLs      []string    `json:"urls"`
}

// foreign tells a layer that is fetched from elsewhere, and so need not be here.
func (d *descriptor) foreign() bool {
	return len(d.URLs) > 0 && (strings.Contains(d.MediaType, "nondistributable") || strings.Contains(d.MediaType, ".foreign."))
}

func (d *descriptor) check() error {
	if _, err := blob.ParseDigest(string(d.Digest)); err != nil {
		return fmt.Errorf("%q is not a sha256 digest", d.Digest)
	}
	if d.Size < 0 {
		return fmt.Errorf("%s has the size %d", d.Digest, d.Size)
	}
	return nil
}

// parseManifest reads a manifest. The declared media type, if there is one,
// must be the manifest's own; a text that could be taken for an image and for
// an index is neither.
func parseManifest(text []byte, declared string) (*manifest, error) {
	var doc struct {
		SchemaVersion int           `json:"schemaVersion"`
		MediaType     string        `json:"mediaType"`
		ArtifactType  string        `json:"artifactType"`
		Config        *descriptor   `json:"config"`
		Layers        *[]descriptor `json:"layers"`
		Manifests     *[]descriptor `json:"manifests"`
		Subject       *descriptor   `json:"subject"`
		FSLayers      any           `json:"fsLayers"`
	}
	if err := json.Unmarshal(text, &doc); err != nil {
		return nil, fmt.Errorf("invalid JSON: %w", err)
	}
	if doc.SchemaVersion != 2 || doc.FSLayers != nil {
		return nil, fmt.Errorf("schemaVersion must be 2")
	}
	isIndex, isImage := doc.Manifests != nil, doc.Config != nil || doc.Layers != nil
	if isIndex == isImage {
		return nil, fmt.Errorf("it must have either a config and layers, or manifests")
	}
	m := &manifest{mediaType: doc.MediaType, artifactType: doc.ArtifactType}
	if m.mediaType == "" {
		m.mediaType = declared
	}
	if m.mediaType == "" && isIndex {
		m.mediaType = ociIndex
	} else if m.mediaType == "" {
		m.mediaType = ociManifest
	}
	if declared != "" && declared != m.mediaType {
		return nil, fmt.Errorf("it was sent as %q and says that it is %q", declared, m.mediaType)
	}
	switch m.mediaType {
	case dockerManifest, ociManifest:
		if !isImage || doc.Config == nil || doc.Layers == nil {
			return nil, fmt.Errorf("a %s must have a config and layers", m.mediaType)
		}
	case dockerList, ociIndex:
		if !isIndex {
			return nil, fmt.Errorf("a %s must have manifests", m.mediaType)
		}
	default:
		return nil, fmt.Errorf("the media type %q is not supported", m.mediaType)
	}
	if doc.Subject != nil {
		if err := doc.Subject.check(); err != nil {
			return nil, fmt.Errorf("subject: %w", err)
		}
		m.subject = doc.Subject.Digest
	}
	if isIndex {
		for _, d := range *doc.Manifests {
			if err := d.check(); err != nil {
				return nil, fmt.Errorf("manifests: %w", err)
			}
			m.children = append(m.children, d)
		}
		return m, nil
	}
	if m.artifactType == "" && doc.Config.MediaType != "application/vnd.oci.image.config.v1+json" && doc.Config.MediaType != "application/vnd.docker.container.image.v1+json" {
		m.artifactType = doc.Config.MediaType
	}
	for _, d := range append([]descriptor{*doc.Config}, *doc.Layers...) {
		if err := d.check(); err != nil {
			return nil, fmt.Errorf("layers: %w", err)
		}
		if !d.foreign() {
			m.blobs = append(m.blobs, d)
		}
	}
	return m, nil
}

// digests lists each digest once, in order.
func digests(ds []descriptor) []blob.Digest {
	var out []blob.Digest
	seen := make(map[blob.Digest]bool, len(ds))
	for _, d := range ds {
		if !seen[d.Digest] {
			seen[d.Digest] = true
			out = append(out, d.Digest)
		}
	}
	return out
}

// list renders digests as ECR's errors do.
func list(ds []blob.Digest) string {
	slices.Sort(ds)
	parts := make([]string, len(ds))
	for i, d := range ds {
		parts[i] = string(d)
	}
	return "[" + strings.Join(parts, ", ") + "]"
}

// add is a+b, and the largest number where that is larger.
func add(a, b int64) int64 {
	if a > math.MaxInt64-b {
		return math.MaxInt64
	}
	return a + b
}
