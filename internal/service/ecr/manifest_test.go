package ecr

import (
	"strings"
	"testing"

	"github.com/remit-ecs/remit/internal/blob"
)

const (
	digestA = "sha256:aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
	digestB = "sha256:bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb"

	imageText = `{"schemaVersion":2,"mediaType":"` + ociManifest + `","config":{"mediaType":"application/vnd.oci.image.config.v1+json","digest":"` + digestA + `","size":2},"layers":[{"mediaType":"application/vnd.oci.image.layer.v1.tar","digest":"` + digestB + `","size":5}]}`
	indexText = `{"schemaVersion":2,"manifests":[{"mediaType":"` + ociManifest + `","digest":"` + digestA + `","size":2}]}`
)

func TestParseManifest(t *testing.T) {
	tests := []struct {
		name, text, declared string
		want                 string // media type, or part of the error
	}{
		{"image", imageText, "", ociManifest},
		{"image, declared", imageText, ociManifest, ociManifest},
		{"image, declared as another", imageText, dockerManifest, "says that it is"},
		{"index without a type", indexText, "", ociIndex},
		{"docker list", indexText, dockerList, dockerList},
		{"index declared as image", indexText, ociManifest, "config and layers"},
		{"image and index", strings.Replace(imageText, `"layers"`, `"manifests":[],"layers"`, 1), "", "either"},
		{"neither", `{"schemaVersion":2}`, "", "either"},
		{"schema 1", `{"schemaVersion":1,"fsLayers":[]}`, "", "schemaVersion"},
		{"unknown type", indexText, "text/plain", "not supported"},
		{"short digest", strings.Replace(imageText, digestB, "sha256:bb", 1), "", "not a sha256 digest"},
		{"negative size", strings.Replace(imageText, `"size":5`, `"size":-5`, 1), "", "size"},
		{"more than one value", imageText + imageText, "", "invalid JSON"},
		{"no JSON", "layers", "", "invalid JSON"},
		{"null", "null", "", "schemaVersion"},
		{"bad subject", strings.Replace(imageText, `"config"`, `"subject":{"digest":"x"},"config"`, 1), "", "subject"},
	}
	for _, tt := range tests {
		m, err := parseManifest([]byte(tt.text), tt.declared)
		if err != nil {
			if !strings.Contains(err.Error(), tt.want) {
				t.Errorf("%s: %v", tt.name, err)
			}
		} else if m.mediaType != tt.want {
			t.Errorf("%s: %s, want %s", tt.name, m.mediaType, tt.want)
		}
	}
}

// TestForeign does not ask for layers that are fetched from elsewhere, and asks
// for those that only carry URLs.
func TestForeign(t *testing.T) {
	foreign := strings.Replace(imageText, `"mediaType":"application/vnd.oci.image.layer.v1.tar"`, `"urls":["https://example.com/x"],"mediaType":"application/vnd.docker.image.rootfs.foreign.diff.tar.gzip"`, 1)
	m, err := parseManifest([]byte(foreign), "")
	if err != nil || len(m.blobs) != 1 {
		t.Errorf("foreign: %+v, %v", m, err)
	}
	m, err = parseManifest([]byte(strings.Replace(foreign, ".foreign.", ".", 1)), "")
	if err != nil || len(m.blobs) != 2 {
		t.Errorf("own, with URLs: %+v, %v", m, err)
	}
}

// FuzzParseManifest holds whatever is taken to refer to digests, and to be
// either an image or an index.
func FuzzParseManifest(f *testing.F) {
	f.Add(imageText, "")
	f.Add(indexText, dockerList)
	f.Add(strings.Replace(imageText, ociManifest, dockerManifest, 1), dockerManifest)
	f.Add(`{"schemaVersion":2,"config":{},"layers":null}`, "")
	f.Fuzz(func(t *testing.T, text, declared string) {
		m, err := parseManifest([]byte(text), declared)
		if err != nil {
			return
		}
		if declared != "" && m.mediaType != declared {
			t.Errorf("declared %q, taken as %q", declared, m.mediaType)
		}
		if len(m.blobs) > 0 && len(m.children) > 0 {
			t.Error("an image and an index")
		}
		for _, d := range append(m.blobs, m.children...) {
			if _, err := blob.ParseDigest(string(d.Digest)); err != nil || d.Size < 0 {
				t.Errorf("%+v: %v", d, err)
			}
		}
	})
}
