package ecr

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"io"
	"net/url"
	"time"

	"github.com/remit-ecs/remit/internal/api"
	"github.com/remit-ecs/remit/internal/api/ecrapi"
	"github.com/remit-ecs/remit/internal/authz"
	"github.com/remit-ecs/remit/internal/blob"
	"github.com/remit-ecs/remit/internal/gateway"
	"github.com/remit-ecs/remit/internal/store"
)

// A layer that no image has is swept after orphanLife, and said to be
// unavailable some time before: a client that was just told that it need not
// upload a layer has until then to put its image.
const (
	orphanLife   = 24 * time.Hour
	orphanOffers = 12 * time.Hour
)

// hasImage tells whether an image of the repository has the layer.
func (r ref) hasImage(rd store.Reader, d blob.Digest) bool {
	for range images.By(rd, r.shard(), "layer", r.content(d)) {
		return true
	}
	return false
}

// available returns a layer that an image put now may count on.
func (r ref) available(rd store.Reader, d blob.Digest, now time.Time) (*layer, bool) {
	l, ok := layers.Get(rd, r.shard(), r.content(d))
	if !ok || !r.hasImage(rd, d) && now.Sub(l.Used) > orphanOffers {
		return nil, false
	}
	return l, true
}

func (s *Service) mayBatchCheckLayerAvailability(c *gateway.Call, in *ecrapi.BatchCheckLayerAvailabilityInput) ([]authz.Ask, error) {
	return at(c, in.RegistryId, in.RepositoryName).ask(c, "ecr:BatchCheckLayerAvailability")
}

// https://docs.aws.amazon.com/AmazonECR/latest/APIReference/API_BatchCheckLayerAvailability.html
func (s *Service) batchCheckLayerAvailability(c *gateway.Call, in *ecrapi.BatchCheckLayerAvailabilityInput) (*ecrapi.BatchCheckLayerAvailabilityOutput, error) {
	r := at(c, in.RegistryId, in.RepositoryName)
	if _, err := r.find(c.Tx); err != nil {
		return nil, err
	}
	out := &ecrapi.BatchCheckLayerAvailabilityOutput{Layers: []ecrapi.Layer{}, Failures: []ecrapi.LayerFailure{}}
	for _, text := range in.LayerDigests {
		if text == "" {
			out.Failures = append(out.Failures, ecrapi.LayerFailure{LayerDigest: &text, FailureCode: ecrapi.LayerFailureCodeMissingLayerDigest, FailureReason: api.Ptr("Invalid request parameters: layer digest cannot be empty")})
			continue
		}
		d, err := blob.ParseDigest(text)
		if err != nil {
			out.Failures = append(out.Failures, ecrapi.LayerFailure{LayerDigest: &text, FailureCode: ecrapi.LayerFailureCodeInvalidLayerDigest, FailureReason: api.Ptr("Invalid request parameters: layer digest should be sha256: and 64 hexadecimal digits")})
			continue
		}
		l := ecrapi.Layer{LayerDigest: &text, LayerAvailability: ecrapi.LayerAvailabilityUnavailable}
		if doc, ok := r.available(c.Tx, d, c.Time); ok {
			l.LayerAvailability, l.LayerSize = ecrapi.LayerAvailabilityAvailable, &doc.Size
		}
		out.Layers = append(out.Layers, l)
	}
	return out, nil
}

// downloadLife is how long a download URL works.
const downloadLife = time.Hour

// download is what a download token says: that its bearer was allowed, at that
// time, to read the layer of this repository.
type download struct {
	Registry string      `json:"a"`
	Region   string      `json:"r"`
	Name     string      `json:"n"`
	Digest   blob.Digest `json:"d"`
	Expires  int64       `json:"e"` // Unix seconds
}

const downloadPurpose = "ecr/download"

// DownloadPath is the path under which package registry serves what
// GetDownloadUrlForLayer promises: the digest follows, and the token is the
// query parameter "token".
const DownloadPath = "/v2/_layers/"

func (s *Service) mayGetDownloadURLForLayer(c *gateway.Call, in *ecrapi.GetDownloadUrlForLayerInput) ([]authz.Ask, error) {
	return at(c, in.RegistryId, in.RepositoryName).ask(c, "ecr:GetDownloadUrlForLayer")
}

// getDownloadURLForLayer answers with a URL of this server that works for an
// hour without credentials. It is the only maker of download tokens.
// https://docs.aws.amazon.com/AmazonECR/latest/APIReference/API_GetDownloadUrlForLayer.html
func (s *Service) getDownloadURLForLayer(c *gateway.Call, in *ecrapi.GetDownloadUrlForLayerInput) (*ecrapi.GetDownloadUrlForLayerOutput, error) {
	r := at(c, in.RegistryId, in.RepositoryName)
	if _, err := r.find(c.Tx); err != nil {
		return nil, err
	}
	d, err := blob.ParseDigest(api.Value(in.LayerDigest))
	if err != nil {
		return nil, ecrapi.InvalidParameterException("Invalid parameter at 'LayerDigest' failed to satisfy constraint: 'must be sha256: and 64 hexadecimal digits'")
	}
	if _, ok := layers.Get(c.Tx, c.Home, r.content(d)); !ok {
		return nil, ecrapi.LayersNotFoundException("The layer with digest '%s' does not exist in the repository with name '%s' in the registry with id '%s'", d, r.name, r.registry)
	}
	if !r.hasImage(c.Tx, d) {
		return nil, ecrapi.LayerInaccessibleException("The specified layer is not available because it is not associated with an image. Unassociated image layers may be cleaned up at any time.")
	}
	text, err := json.Marshal(download{r.registry, r.region, r.name, d, c.Time.Add(downloadLife).Unix()})
	if err != nil {
		return nil, err
	}
	u := url.URL{Path: DownloadPath + string(d), RawQuery: "token=" + base64.RawURLEncoding.EncodeToString(s.Keys.Seal(downloadPurpose, text))}
	if c.Host != "" {
		u.Scheme, u.Host = c.Scheme, c.Host
	}
	return &ecrapi.GetDownloadUrlForLayerOutput{DownloadUrl: api.Ptr(u.String()), LayerDigest: in.LayerDigest}, nil
}

var errDownload = errors.New("ecr: the download URL is not valid, or not any more")

// OpenLayer opens the layer that a download token is for. It refuses what
// getDownloadURLForLayer did not make, what is too old, and what has left the
// repository since. The caller closes the reader.
func (s *Service) OpenLayer(token string) (r io.ReadSeekCloser, digest string, size int64, err error) {
	t, err := s.openDownload(token, s.Clock.Now())
	if err != nil {
		return nil, "", 0, err
	}
	from := ref{t.Registry, t.Region, t.Name}
	if _, ok := layers.Get(s.Store.View(context.Background()), from.shard(), from.content(t.Digest)); !ok {
		return nil, "", 0, errDownload
	}
	r, size, err = s.Blobs.Open(t.Digest)
	return r, string(t.Digest), size, err
}

func (s *Service) openDownload(token string, now time.Time) (*download, error) {
	sealed, err := base64.RawURLEncoding.DecodeString(token)
	if err != nil {
		return nil, errDownload
	}
	text, err := s.Keys.Open(downloadPurpose, sealed)
	if err != nil {
		return nil, errDownload
	}
	var t download
	if err := json.Unmarshal(text, &t); err != nil || now.Unix() >= t.Expires {
		return nil, errDownload
	}
	return &t, nil
}
