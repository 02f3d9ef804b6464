package registry

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"github.com/remit-ecs/remit/internal/api"
	"github.com/remit-ecs/remit/internal/api/ecrapi"
	"github.com/remit-ecs/remit/internal/gateway"
)

// downloadPath is where the URLs of GetDownloadUrlForLayer lead. No name of a
// repository begins like this.
const downloadPath = "/v2/_layers/"

func digestOf(b []byte) string {
	sum := sha256.Sum256(b)
	return "sha256:" + hex.EncodeToString(sum[:])
}

var errBlobUnknown = refuse(http.StatusNotFound, "BLOB_UNKNOWN", "The requested layer was not found")

// headBlob answers whether a layer is there. An engine asks before it pushes,
// when it may check layers, and some ask before they pull, when they may only
// read them: to read is to know that it is there.
func (r *request) headBlob(digest string) error {
	out, err := gateway.Invoke(r.Context(), r.caller, r.target(), ecrapi.BatchCheckLayerAvailability, &ecrapi.BatchCheckLayerAvailabilityInput{
		RegistryId: &r.account, RepositoryName: &r.name, LayerDigests: []string{digest},
	})
	if denied(err) {
		token, derr := r.downloadToken(r.repository, digest)
		if denied(derr) {
			return err
		}
		if derr != nil {
			return derr
		}
		layer, _, size, oerr := r.ecr.OpenLayer(token)
		if oerr != nil {
			return oerr
		}
		_ = layer.Close()
		r.describeBlob(digest, size)
		return nil
	}
	if err != nil {
		return err
	}
	if len(out.Failures) > 0 {
		if s, ok := spell(string(out.Failures[0].FailureCode), api.Value(out.Failures[0].FailureReason)); ok {
			return s
		}
	}
	if len(out.Layers) == 0 || out.Layers[0].LayerAvailability != ecrapi.LayerAvailabilityAvailable {
		return errBlobUnknown
	}
	r.describeBlob(digest, api.Value(out.Layers[0].LayerSize))
	return nil
}

func (r *request) describeBlob(digest string, size int64) {
	h := r.w.Header()
	h.Set("Content-Type", "application/octet-stream")
	h.Set("Content-Length", strconv.FormatInt(size, 10))
	h.Set("Docker-Content-Digest", digest)
	h.Set("Etag", `"`+digest+`"`)
	h.Set("Accept-Ranges", "bytes")
	r.w.WriteHeader(http.StatusOK)
}

// downloadToken asks ECR for the right to read a layer.
func (r *request) downloadToken(from repository, digest string) (string, error) {
	out, err := gateway.Invoke(r.Context(), r.caller, gateway.Target{Account: r.caller.Principal().Account, Region: from.region}, ecrapi.GetDownloadUrlForLayer, &ecrapi.GetDownloadUrlForLayerInput{
		RegistryId: &from.account, RepositoryName: &from.name, LayerDigest: &digest,
	})
	if err != nil {
		return "", err
	}
	u, err := url.Parse(api.Value(out.DownloadUrl))
	if err != nil {
		return "", err
	}
	return u.Query().Get("token"), nil
}

// getBlob follows the download URL itself, so that engines need reach nothing
// but the registry.
func (r *request) getBlob(digest string) error {
	token, err := r.downloadToken(r.repository, digest)
	if hasCode(err, "InvalidParameterException") {
		return refuse(http.StatusBadRequest, "DIGEST_INVALID", message(err))
	}
	if err != nil {
		return err
	}
	return r.send(r.w, r.Request, token, digest)
}

// download serves a URL that GetDownloadUrlForLayer gave out. The token in it
// is all that is asked for.
func (h *Handler) download(w http.ResponseWriter, r *http.Request, digest string) {
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		drain(r)
		methodNotAllowed(w, http.MethodGet, http.MethodHead).write(w)
		return
	}
	if err := h.send(w, r, r.URL.Query().Get("token"), digest); err != nil {
		refuse(http.StatusForbidden, "DENIED", "The download URL is not valid, or not any more").write(w)
	}
}

// send streams the layer of a download token, or the range of it that is
// asked for.
func (h *Handler) send(w http.ResponseWriter, r *http.Request, token, digest string) error {
	layer, have, _, err := h.ecr.OpenLayer(token)
	if err != nil {
		return err
	}
	defer layer.Close()
	if have != digest {
		return errors.New("registry: the download token is for " + have)
	}
	w.Header().Set("Content-Type", "application/octet-stream")
	w.Header().Set("Docker-Content-Digest", digest)
	w.Header().Set("Etag", `"`+digest+`"`)
	http.ServeContent(w, r, "", time.Time{}, layer)
	return nil
}
