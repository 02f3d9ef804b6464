package registry

import (
	"encoding/json"
	"errors"
	"net/http"
	"strings"

	"github.com/remit-ecs/remit/internal/api"
	"github.com/remit-ecs/remit/internal/api/ecrapi"
)

// refusal is an error as the distribution protocol puts it.
type refusal struct {
	status        int
	code, message string
}

func refuse(status int, code, message string) *refusal { return &refusal{status, code, message} }

// Error returns code and message.
func (e *refusal) Error() string { return e.code + ": " + e.message }

func (e *refusal) write(w http.ResponseWriter) {
	type item struct {
		Code    string `json:"code"`
		Message string `json:"message"`
	}
	body, err := json.Marshal(map[string][]item{"errors": {{e.code, e.message}}})
	if err != nil {
		panic(err) // two strings
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(e.status)
	_, _ = w.Write(body)
}

func nameUnknown() *refusal {
	return refuse(http.StatusNotFound, "NAME_UNKNOWN", "Repositories are named ACCOUNT.dkr.ecr.REGION.amazonaws.com/NAME behind the address of this server")
}

func methodNotAllowed(w http.ResponseWriter, allowed ...string) *refusal {
	w.Header().Set("Allow", strings.Join(allowed, ", "))
	return refuse(http.StatusMethodNotAllowed, "UNSUPPORTED", "The operation is unsupported.")
}

// spellings are ECR's errors as engines know them. The messages stay ECR's,
// because engines show them.
var spellings = map[string]refusal{
	"RepositoryNotFoundException":       {status: http.StatusNotFound, code: "NAME_UNKNOWN"},
	"ImageNotFoundException":            {status: http.StatusNotFound, code: "MANIFEST_UNKNOWN"},
	"ImageTagAlreadyExistsException":    {status: http.StatusBadRequest, code: "TAG_INVALID"},
	"ImageDigestDoesNotMatchException":  {status: http.StatusBadRequest, code: "DIGEST_INVALID"},
	"InvalidLayerException":             {status: http.StatusBadRequest, code: "DIGEST_INVALID"},
	"LayersNotFoundException":           {status: http.StatusNotFound, code: "BLOB_UNKNOWN"},
	"LayerInaccessibleException":        {status: http.StatusNotFound, code: "BLOB_UNKNOWN"},
	"ReferencedImagesNotFoundException": {status: http.StatusBadRequest, code: "MANIFEST_BLOB_UNKNOWN"},
	"UploadNotFoundException":           {status: http.StatusNotFound, code: "BLOB_UPLOAD_UNKNOWN"},
	"EmptyUploadException":              {status: http.StatusBadRequest, code: "BLOB_UPLOAD_INVALID"},
	"InvalidLayerPartException":         {status: http.StatusRequestedRangeNotSatisfiable, code: "BLOB_UPLOAD_INVALID"},
	"LayerPartTooSmallException":        {status: http.StatusBadRequest, code: "SIZE_INVALID"},
	"LimitExceededException":            {status: http.StatusRequestEntityTooLarge, code: "SIZE_INVALID"},
	"InvalidParameterException":         {status: http.StatusBadRequest, code: "NAME_INVALID"},

	// Failure codes of the batch operations.
	string(ecrapi.ImageFailureCodeImageNotFound):                 {status: http.StatusNotFound, code: "MANIFEST_UNKNOWN"},
	string(ecrapi.ImageFailureCodeInvalidImageTag):               {status: http.StatusBadRequest, code: "TAG_INVALID"},
	string(ecrapi.ImageFailureCodeInvalidImageDigest):            {status: http.StatusBadRequest, code: "DIGEST_INVALID"},
	string(ecrapi.ImageFailureCodeImageReferencedByManifestList): {status: http.StatusConflict, code: "DENIED"},
	string(ecrapi.LayerFailureCodeInvalidLayerDigest):            {status: http.StatusBadRequest, code: "DIGEST_INVALID"},
}

// spell is the refusal for a failure code or error code of ECR; false where
// there is none.
func spell(code, message string) (*refusal, bool) {
	s, ok := spellings[code]
	if !ok {
		return nil, false
	}
	return refuse(s.status, s.code, message), true
}

// failure is the refusal for whatever a verb returned.
func (h *Handler) failure(err error, r *http.Request) *refusal {
	var known *refusal
	if errors.As(err, &known) {
		return known
	}
	var e *api.Error
	if !errors.As(err, &e) {
		h.log.Error("registry", "method", r.Method, "path", r.URL.Path, "error", err)
		return refuse(http.StatusInternalServerError, "UNKNOWN", "We encountered an internal error. Please try again.")
	}
	switch e.Idea {
	case api.IdeaAccessDenied:
		return refuse(http.StatusForbidden, "DENIED", e.Message)
	case api.IdeaValidation:
		return refuse(http.StatusBadRequest, "NAME_INVALID", e.Message)
	case api.IdeaThrottling:
		return refuse(http.StatusTooManyRequests, "TOOMANYREQUESTS", e.Message)
	case api.IdeaUnavailable:
		h.log.Error("registry", "method", r.Method, "path", r.URL.Path, "error", e, "cause", errors.Unwrap(e))
		return refuse(http.StatusServiceUnavailable, "UNAVAILABLE", e.Message)
	}
	if s, ok := spell(e.Code, e.Message); ok {
		return s
	}
	h.log.Error("registry", "method", r.Method, "path", r.URL.Path, "error", e, "cause", errors.Unwrap(e))
	return refuse(http.StatusInternalServerError, "UNKNOWN", "We encountered an internal error. Please try again.")
}

// denied tells a refusal of the policies.
func denied(err error) bool {
	var e *api.Error
	return errors.As(err, &e) && e.Idea == api.IdeaAccessDenied
}

// hasCode tells an error of ECR by its code.
func hasCode(err error, code string) bool {
	var e *api.Error
	return errors.As(err, &e) && e.Code == code
}

// invalid tells input that breaks a constraint of the model.
func invalid(err error) bool {
	var e *api.Error
	return errors.As(err, &e) && e.Idea == api.IdeaValidation
}

// message is the text of an error of ECR.
func message(err error) string {
	var e *api.Error
	if errors.As(err, &e) {
		return e.Message
	}
	return ""
}

// lastValid is the position that an InvalidLayerPartException names.
func lastValid(err error) (int64, bool) {
	var e *api.Error
	if !errors.As(err, &e) {
		return 0, false
	}
	last, ok := e.Fields["lastValidByteReceived"].(int64)
	return last, ok
}
