package ecr

import (
	"strings"
	"time"

	"github.com/remit-ecs/remit/internal/api/ecrapi"
	"github.com/remit-ecs/remit/internal/blob"
	"github.com/remit-ecs/remit/internal/resourcepolicy"
	"github.com/remit-ecs/remit/internal/store"
)

// The documents, in the shard of the registry's account and region. A
// repository's name holds neither "@" nor ":".
//
//	registry settings         its policy
//	repository NAME           settings, tags, policy
//	├── image NAME@DIGEST     what a manifest says; its text is the blob DIGEST
//	│     ├── layers ───────► layer NAME@DIGEST, config and layers
//	│     └── children ─────► image NAME@DIGEST, those that an index lists
//	├── tag NAME:TAG ───────► image NAME@DIGEST
//	├── layer NAME@DIGEST     the blob DIGEST was uploaded into, or mounted in, this repository
//	└── upload NAME:ID        the bytes are the upload ecr-ID of package blob
//
// Bytes are shared between repositories; the right to them is not: a layer
// document is written only for bytes that the writer had, or was allowed to
// read where they came from.
var (
	repositories = store.NewKind[repository]("ecr.repository", 1)
	images       = store.NewKind("ecr.image", 1,
		store.Index[image]{Name: "layer", Keys: func(key string, v *image) []string { return within(key, v.Layers) }},
		store.Index[image]{Name: "child", Keys: func(key string, v *image) []string { return within(key, v.Children) }},
	)
	imageTags = store.NewKind("ecr.tag", 1, store.Index[imageTag]{Name: "image", Keys: func(key string, v *imageTag) []string {
		name, _, _ := strings.Cut(key, ":")
		return []string{name + "@" + string(v.Digest)}
	}})
	layers     = store.NewKind[layer]("ecr.layer", 1)
	registries = store.NewKind[registry]("ecr.registry", 1)
	uploads    = store.NewKind[upload]("ecr.upload", 1)
)

// within gives the keys of digests in the repository of an image's key.
func within(key string, digests []blob.Digest) []string {
	name, _, _ := strings.Cut(key, "@")
	out := make([]string, len(digests))
	for i, d := range digests {
		out[i] = name + "@" + string(d)
	}
	return out
}

type repository struct {
	Created    time.Time
	Mutability ecrapi.ImageTagMutability
	Exclusions []string          `json:",omitempty"` // tag patterns that Mutability does not hold for
	ScanOnPush bool              `json:",omitempty"` // kept and shown; nothing is scanned
	Tags       map[string]string `json:",omitempty"`

	Policy *resourcepolicy.Policy `json:",omitempty"`
}

// registry is what an account has set for its registry in a region.
type registry struct {
	Policy *resourcepolicy.Policy `json:",omitempty"`
}

type image struct {
	MediaType    string
	ArtifactType string        `json:",omitempty"`
	Subject      blob.Digest   `json:",omitempty"`
	Size         int64         // bytes of config and layers
	Layers       []blob.Digest `json:",omitempty"` // config and layers, each once
	Children     []blob.Digest `json:",omitempty"`
	Pushed       time.Time
	Pulled       time.Time `json:",omitzero"` // to the day, as ECR records it
}

type imageTag struct{ Digest blob.Digest }

type layer struct {
	Size int64
	// Used is when the layer came into the repository or, if later, when the
	// last image that had it was deleted.
	Used time.Time
}

type upload struct{ Started time.Time }

func (r ref) content(d blob.Digest) string { return r.name + "@" + string(d) }
func (r ref) tag(t string) string          { return r.name + ":" + t }
func (r ref) upload(id string) string      { return r.name + ":" + id }

// digestIn reads the digest out of the key of an image or layer.
func digestIn(key string) blob.Digest {
	_, d, _ := strings.Cut(key, "@")
	return blob.Digest(d)
}

// Live tells which blobs images and layers refer to, for garbage collection: a
// blob for which the function returns false is not needed by ECR as of r. What
// is being put meanwhile is young: Collect needs a grace of half an hour at
// least.
func Live(r store.Reader) func(blob.Digest) bool {
	live := map[blob.Digest]bool{}
	for _, shard := range images.Shards(r) {
		for key := range images.Prefix(r, shard, "") {
			live[digestIn(key)] = true
		}
	}
	for _, shard := range layers.Shards(r) {
		for key := range layers.Prefix(r, shard, "") {
			live[digestIn(key)] = true
		}
	}
	return func(d blob.Digest) bool { return live[d] }
}
