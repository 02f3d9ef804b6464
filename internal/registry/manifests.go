package registry

import (
	"encoding/json"
	"errors"
	"io"
	"mime"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"github.com/remit-ecs/remit/internal/api"
	"github.com/remit-ecs/remit/internal/api/ecrapi"
	"github.com/remit-ecs/remit/internal/gateway"
)

// maxManifest is ECR's limit for a manifest in bytes.
const maxManifest = 4 << 20

// identify turns a reference into ECR's identifier. No tag has a colon.
func identify(reference string) ecrapi.ImageIdentifier {
	if strings.Contains(reference, ":") {
		return ecrapi.ImageIdentifier{ImageDigest: &reference}
	}
	return ecrapi.ImageIdentifier{ImageTag: &reference}
}

func imageFailure(f *ecrapi.ImageFailure) error {
	if s, ok := spell(string(f.FailureCode), api.Value(f.FailureReason)); ok {
		return s
	}
	return errors.New(string(f.FailureCode))
}

func (r *request) getManifest(reference string) error {
	out, err := gateway.Invoke(r.Context(), r.caller, r.target(), ecrapi.BatchGetImage, &ecrapi.BatchGetImageInput{
		RegistryId: &r.account, RepositoryName: &r.name, ImageIds: []ecrapi.ImageIdentifier{identify(reference)},
		AcceptedMediaTypes: accepted(r.Header),
	})
	if err != nil {
		return err
	}
	if len(out.Failures) > 0 {
		return imageFailure(&out.Failures[0])
	}
	img := out.Images[0]
	h, text := r.w.Header(), api.Value(img.ImageManifest)
	h.Set("Content-Type", api.Value(img.ImageManifestMediaType))
	h.Set("Content-Length", strconv.Itoa(len(text)))
	h.Set("Docker-Content-Digest", api.Value(img.ImageId.ImageDigest))
	h.Set("Etag", `"`+api.Value(img.ImageId.ImageDigest)+`"`)
	if r.Method == http.MethodGet {
		_, _ = io.WriteString(r.w, text)
	}
	return nil
}

// accepted lists the media types of the Accept headers, for the record.
func accepted(h http.Header) []string {
	var out []string
	for _, v := range h.Values("Accept") {
		for t := range strings.SplitSeq(v, ",") {
			if t, _, err := mime.ParseMediaType(t); err == nil && t != "*/*" && len(out) < 100 {
				out = append(out, t)
			}
		}
	}
	return out
}

func (r *request) putManifest(reference string) error {
	text, err := io.ReadAll(io.LimitReader(r.Body, maxManifest+1))
	switch {
	case err != nil:
		return refuse(http.StatusBadRequest, "MANIFEST_INVALID", "The manifest could not be read")
	case len(text) > maxManifest:
		return refuse(http.StatusRequestEntityTooLarge, "MANIFEST_INVALID", "The manifest is larger than "+strconv.Itoa(maxManifest)+" bytes")
	case len(text) == 0:
		return refuse(http.StatusBadRequest, "MANIFEST_INVALID", "The manifest is empty")
	}
	id := identify(reference)
	in := &ecrapi.PutImageInput{RegistryId: &r.account, RepositoryName: &r.name, ImageManifest: api.Ptr(string(text)), ImageTag: id.ImageTag, ImageDigest: id.ImageDigest}
	if t, _, err := mime.ParseMediaType(r.Header.Get("Content-Type")); err == nil {
		in.ImageManifestMediaType = &t
	}
	_, err = gateway.Invoke(r.Context(), r.caller, r.target(), ecrapi.PutImage, in)
	switch {
	case hasCode(err, "ImageAlreadyExistsException"):
		// Engines put what they already put.
	case hasCode(err, "LayersNotFoundException"):
		return refuse(http.StatusBadRequest, "MANIFEST_BLOB_UNKNOWN", message(err))
	case hasCode(err, "InvalidParameterException"):
		return refuse(http.StatusBadRequest, "MANIFEST_INVALID", message(err))
	case err != nil:
		return err
	}
	digest := digestOf(text)
	h := r.w.Header()
	h.Set("Location", r.base+"/manifests/"+digest)
	h.Set("Docker-Content-Digest", digest)
	r.w.WriteHeader(http.StatusCreated)
	return nil
}

func (r *request) deleteManifest(reference string) error {
	out, err := gateway.Invoke(r.Context(), r.caller, r.target(), ecrapi.BatchDeleteImage, &ecrapi.BatchDeleteImageInput{
		RegistryId: &r.account, RepositoryName: &r.name, ImageIds: []ecrapi.ImageIdentifier{identify(reference)},
	})
	if err != nil {
		return err
	}
	if len(out.Failures) > 0 {
		return imageFailure(&out.Failures[0])
	}
	r.w.WriteHeader(http.StatusAccepted)
	return nil
}

// listTags answers with all tags in order, or with n of them after "last".
func (r *request) listTags() error {
	in := &ecrapi.ListImagesInput{RegistryId: &r.account, RepositoryName: &r.name, MaxResults: api.Ptr[int32](1000), Filter: &ecrapi.ListImagesFilter{TagStatus: ecrapi.TagStatusTagged}}
	all := []string{}
	for {
		out, err := gateway.Invoke(r.Context(), r.caller, r.target(), ecrapi.ListImages, in)
		if err != nil {
			return err
		}
		for _, i := range out.ImageIds {
			all = append(all, api.Value(i.ImageTag))
		}
		if in.NextToken = out.NextToken; in.NextToken == nil {
			break
		}
	}
	slices.Sort(all)
	q := r.URL.Query()
	if last := q.Get("last"); last != "" {
		i, found := slices.BinarySearch(all, last)
		if found {
			i++
		}
		all = all[i:]
	}
	h := r.w.Header()
	if q.Has("n") {
		n, err := strconv.Atoi(q.Get("n"))
		if err != nil || n < 0 {
			return refuse(http.StatusBadRequest, "PAGINATION_NUMBER_INVALID", "The number of results requested is invalid")
		}
		if n < len(all) {
			all = all[:n]
			if n > 0 {
				h.Set("Link", `<`+r.base+`/tags/list?`+url.Values{"n": {strconv.Itoa(n)}, "last": {all[n-1]}}.Encode()+`>; rel="next"`)
			}
		}
	}
	h.Set("Content-Type", "application/json")
	return json.NewEncoder(r.w).Encode(struct {
		Name string   `json:"name"`
		Tags []string `json:"tags"`
	}{strings.TrimPrefix(r.base, "/v2/"), all})
}
