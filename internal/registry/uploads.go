package registry

import (
	"net/http"
	"regexp"
	"strconv"

	"github.com/remit-ecs/remit/internal/api"
	"github.com/remit-ecs/remit/internal/api/ecrapi"
	"github.com/remit-ecs/remit/internal/gateway"
)

// startUpload begins an upload. With ?digest the body is the whole layer; with
// ?mount&from a layer of another repository is taken, if the caller may read
// it there.
func (r *request) startUpload() error {
	q := r.URL.Query()
	if digest, from := q.Get("mount"), q.Get("from"); digest != "" && from != "" {
		if done, err := r.mount(digest, from); done || err != nil {
			return err
		}
	}
	id, err := r.initiate()
	if err != nil {
		return err
	}
	if digest := q.Get("digest"); digest != "" {
		if _, err := r.append(id, -1); err != nil {
			return err
		}
		return r.complete(id, digest, "")
	}
	r.progress(id, -1)
	r.w.WriteHeader(http.StatusAccepted)
	return nil
}

func (r *request) initiate() (uploadID string, err error) {
	out, err := gateway.Invoke(r.Context(), r.caller, r.target(), ecrapi.InitiateLayerUpload, &ecrapi.InitiateLayerUploadInput{RegistryId: &r.account, RepositoryName: &r.name})
	if err != nil {
		return "", err
	}
	return api.Value(out.UploadId), nil
}

// mount reports false where the layer has to be uploaded after all.
func (r *request) mount(digest, from string) (done bool, err error) {
	source, ok := parseRepository(r.Host, from)
	if !ok || source.account != r.account || source.region != r.region {
		return false, nil
	}
	token, err := r.downloadToken(source, digest)
	if err != nil {
		return false, nil // not there, or not theirs to read: that is not told apart
	}
	id, err := r.initiate()
	if err != nil {
		return false, err
	}
	return true, r.complete(id, digest, token)
}

// append adds the body to an upload and returns the position of its last byte.
// The bytes go straight from the connection into the upload, inside the
// operation.
func (r *request) append(uploadID string, offset int64) (last int64, err error) {
	ctx := r.ecr.StreamPart(r.Context(), offset, r.Body)
	out, err := gateway.Invoke(ctx, r.caller, r.target(), ecrapi.UploadLayerPart, r.part(uploadID, offset))
	if err != nil {
		return 0, r.position(uploadID, err)
	}
	return api.Value(out.LastByteReceived), nil
}

// part is the input of a part whose bytes are not in it; the operation
// corrects what it says about them.
func (r *request) part(uploadID string, offset int64) *ecrapi.UploadLayerPartInput {
	first := max(offset, 0)
	return &ecrapi.UploadLayerPartInput{
		RegistryId: &r.account, RepositoryName: &r.name, UploadId: &uploadID,
		PartFirstByte: &first, PartLastByte: &first, LayerPartBlob: []byte{},
	}
}

// position tells a client that went on elsewhere than at the end where it is.
func (r *request) position(uploadID string, err error) error {
	if last, ok := lastValid(err); ok {
		r.progress(uploadID, last)
	}
	return err
}

func (r *request) complete(uploadID, digest, mount string) error {
	ctx := r.Context()
	if mount != "" {
		ctx = r.ecr.MountLayer(ctx, mount)
	}
	_, err := gateway.Invoke(ctx, r.caller, r.target(), ecrapi.CompleteLayerUpload, &ecrapi.CompleteLayerUploadInput{
		RegistryId: &r.account, RepositoryName: &r.name, UploadId: &uploadID, LayerDigests: []string{digest},
	})
	switch {
	case hasCode(err, "LayerAlreadyExistsException"):
		// Somebody else was first, with the same bytes.
	case hasCode(err, "InvalidParameterException"):
		return refuse(http.StatusBadRequest, "DIGEST_INVALID", message(err))
	case err != nil:
		return err
	}
	h := r.w.Header()
	h.Set("Location", r.base+"/blobs/"+digest)
	h.Set("Docker-Content-Digest", digest)
	r.w.WriteHeader(http.StatusCreated)
	return nil
}

// progress sets the headers that say how to go on with an upload.
func (r *request) progress(uploadID string, last int64) {
	h := r.w.Header()
	h.Set("Location", r.base+"/blobs/uploads/"+uploadID)
	h.Set("Docker-Upload-Uuid", uploadID)
	h.Set("Range", "0-"+strconv.FormatInt(max(last, 0), 10))
}

func (r *request) uploadStatus(uploadID string) error {
	ctx := r.ecr.StreamPart(r.Context(), -1, http.NoBody)
	out, err := gateway.Invoke(ctx, r.caller, r.target(), ecrapi.UploadLayerPart, r.part(uploadID, -1))
	if err != nil {
		return uploadUnknown(err)
	}
	r.progress(uploadID, api.Value(out.LastByteReceived))
	r.w.WriteHeader(http.StatusNoContent)
	return nil
}

func (r *request) patchUpload(uploadID string) error {
	offset, err := r.offset()
	if err != nil {
		return err
	}
	last, err := r.append(uploadID, offset)
	if err != nil {
		return uploadUnknown(err)
	}
	r.progress(uploadID, last)
	r.w.WriteHeader(http.StatusAccepted)
	return nil
}

// putUpload ends an upload; the body, if there is one, is its last part or all
// of it.
func (r *request) putUpload(uploadID string) error {
	digest := r.URL.Query().Get("digest")
	if digest == "" {
		return refuse(http.StatusBadRequest, "DIGEST_INVALID", "The digest of the layer is missing")
	}
	if r.ContentLength != 0 {
		offset, err := r.offset()
		if err != nil {
			return err
		}
		if _, err := r.append(uploadID, offset); err != nil {
			return uploadUnknown(err)
		}
	}
	return uploadUnknown(r.complete(uploadID, digest, ""))
}

// uploadUnknown words what the model's pattern says of an id that is not ours.
func uploadUnknown(err error) error {
	if invalid(err) {
		return refuse(http.StatusNotFound, "BLOB_UPLOAD_UNKNOWN", "The upload is not known")
	}
	return err
}

// contentRange is START-END, both inclusive: the distribution protocol's form,
// or HTTP's.
var contentRange = regexp.MustCompile(`^(?:bytes[ =])?([0-9]{1,18})-([0-9]{1,18})(?:/(?:[0-9]+|\*))?$`)

// offset is where the body belongs: -1, at the end, where the client does not
// say.
func (r *request) offset() (int64, error) {
	text := r.Header.Get("Content-Range")
	if text == "" {
		return -1, nil
	}
	m := contentRange.FindStringSubmatch(text)
	if m == nil {
		return 0, refuse(http.StatusBadRequest, "BLOB_UPLOAD_INVALID", "The Content-Range is not START-END")
	}
	first, err1 := strconv.ParseInt(m[1], 10, 64)
	last, err2 := strconv.ParseInt(m[2], 10, 64)
	if err1 != nil || err2 != nil || r.ContentLength >= 0 && last-first+1 != r.ContentLength {
		return 0, refuse(http.StatusBadRequest, "SIZE_INVALID", "The Content-Range does not agree with the Content-Length")
	}
	return first, nil
}
