// Package registry speaks the OCI distribution protocol, with which container
// engines push and pull images, and turns each of its verbs into operations
// of Amazon ECR.
//
//	GET, HEAD  /v2/NAME/manifests/REFERENCE   ecr:BatchGetImage
//	PUT        /v2/NAME/manifests/REFERENCE   ecr:PutImage
//	DELETE     /v2/NAME/manifests/REFERENCE   ecr:BatchDeleteImage
//	HEAD       /v2/NAME/blobs/DIGEST          ecr:BatchCheckLayerAvailability, or else GetDownloadUrlForLayer
//	GET        /v2/NAME/blobs/DIGEST          ecr:GetDownloadUrlForLayer
//	POST       /v2/NAME/blobs/uploads/        ecr:InitiateLayerUpload
//	PATCH, GET /v2/NAME/blobs/uploads/ID      ecr:UploadLayerPart
//	PUT        /v2/NAME/blobs/uploads/ID      ecr:UploadLayerPart, CompleteLayerUpload
//	GET        /v2/NAME/tags/list             ecr:ListImages
//	GET        /v2/_layers/DIGEST?token=T     what GetDownloadUrlForLayer promised
//
// NAME is ACCOUNT.dkr.ecr.REGION.amazonaws.com/REPOSITORY, which is what is
// sent for the image HOST:PORT/ACCOUNT.dkr.ecr.REGION.amazonaws.com/REPOSITORY;
// or REPOSITORY alone, where the host is named like that.
//
// The password of a request stands for a principal, and every operation goes
// through the gateway as that principal: authorised with the policies of now,
// and audited. The package stores nothing, reads no policy and cannot open a
// blob: bytes come and go through ECR's operations only.
//
// See https://github.com/opencontainers/distribution-spec/blob/main/spec.md
package registry

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"strings"

	"github.com/remit-ecs/remit/internal/api"
	"github.com/remit-ecs/remit/internal/api/ecrapi"
	"github.com/remit-ecs/remit/internal/gateway"
	"github.com/remit-ecs/remit/internal/session"
)

// ECR is what the registry needs of service/ecr beside its operations.
type ECR interface {
	// OpenToken returns the principal that a password stands for.
	OpenToken(password string) (*session.Principal, error)
	// StreamPart gives the UploadLayerPart invoked with the context its bytes.
	StreamPart(ctx context.Context, offset int64, r io.Reader) context.Context
	// MountLayer gives the CompleteLayerUpload invoked with the context the
	// layer that a download token is for.
	MountLayer(ctx context.Context, token string) context.Context
	// OpenLayer opens the layer that a download token is for.
	OpenLayer(token string) (r io.ReadSeekCloser, digest string, size int64, err error)
}

// Handler serves /v2/.
type Handler struct {
	gateway *gateway.Gateway
	ecr     ECR
	log     *slog.Logger
}

// New returns a handler that reaches ECR through g.
func New(g *gateway.Gateway, e ECR, log *slog.Logger) *Handler { return &Handler{g, e, log} }

// request is one request on its way to ECR's operations.
type request struct {
	*Handler
	w http.ResponseWriter
	*http.Request
	repository
	caller *gateway.Invoker
}

// ServeHTTP serves one request of an engine, or of the holder of a download URL.
func (h *Handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Docker-Distribution-Api-Version", "registry/2.0")
	if digest, ok := strings.CutPrefix(r.URL.Path, downloadPath); ok {
		h.download(w, r, digest)
		return
	}
	p, refusal := h.authenticate(w, r)
	if refusal != nil {
		refusal.write(w)
		return
	}
	if r.URL.Path == "/v2/" || r.URL.Path == "/v2" {
		if r.Method != http.MethodGet && r.Method != http.MethodHead {
			methodNotAllowed(w, http.MethodGet, http.MethodHead).write(w)
			return
		}
		w.Header().Set("Content-Type", "application/json")
		_, _ = io.WriteString(w, "{}")
		return
	}
	route, ok := parse(r.Host, r.URL.Path)
	if !ok {
		drain(r)
		nameUnknown().write(w)
		return
	}
	req := &request{Handler: h, w: w, Request: r, repository: route.repository, caller: h.gateway.For(p).From(r)}
	if err := req.serve(route); err != nil {
		drain(r)
		h.failure(err, r).write(w)
	}
}

func (r *request) serve(to route) error {
	switch to.noun {
	case manifests:
		switch r.Method {
		case http.MethodGet, http.MethodHead:
			return r.getManifest(to.reference)
		case http.MethodPut:
			return r.putManifest(to.reference)
		case http.MethodDelete:
			return r.deleteManifest(to.reference)
		}
		return methodNotAllowed(r.w, http.MethodGet, http.MethodHead, http.MethodPut, http.MethodDelete)
	case blobs:
		switch r.Method {
		case http.MethodHead:
			return r.headBlob(to.reference)
		case http.MethodGet:
			return r.getBlob(to.reference)
		}
		return methodNotAllowed(r.w, http.MethodGet, http.MethodHead)
	case uploads:
		switch {
		case to.reference == "" && r.Method == http.MethodPost:
			return r.startUpload()
		case to.reference == "":
			return methodNotAllowed(r.w, http.MethodPost)
		case r.Method == http.MethodGet:
			return r.uploadStatus(to.reference)
		case r.Method == http.MethodPatch:
			return r.patchUpload(to.reference)
		case r.Method == http.MethodPut:
			return r.putUpload(to.reference)
		}
		return methodNotAllowed(r.w, http.MethodGet, http.MethodPatch, http.MethodPut)
	default: // tags
		if r.Method != http.MethodGet {
			return methodNotAllowed(r.w, http.MethodGet)
		}
		return r.listTags()
	}
}

// target is where the operations of the request happen: in the caller's name,
// in the region of the registry.
func (r *request) target() gateway.Target {
	return gateway.Target{Account: r.caller.Principal().Account, Region: r.region}
}

// authenticate finds out whom the password stands for.
func (h *Handler) authenticate(w http.ResponseWriter, r *http.Request) (*session.Principal, *refusal) {
	user, password, ok := r.BasicAuth()
	switch p, err := h.gateway.Unchecked(r); {
	case err != nil:
		return nil, h.failure(h.gateway.Refused(r, ecrapi.BatchGetImage.Info.Service, err), r)
	case ok && p != nil:
		return p, nil
	}
	if ok {
		err := session.ErrInvalid
		if user == "AWS" {
			var p *session.Principal
			if p, err = h.ecr.OpenToken(password); err == nil {
				return p, nil
			}
		}
		// Engines ask without a password first, to learn that they need one;
		// only what they then claim to be is worth a record.
		refusal := api.InvalidClientToken()
		if errors.Is(err, session.ErrExpired) {
			refusal = api.ExpiredToken()
		}
		if e := h.gateway.Refused(r, ecrapi.BatchGetImage.Info.Service, refusal); e.Fault == api.FaultServer {
			return nil, refuse(http.StatusServiceUnavailable, "UNAVAILABLE", e.Message)
		}
		if errors.Is(err, session.ErrExpired) {
			return nil, refuse(http.StatusForbidden, "DENIED", "Your authorization token has expired. Reauthenticate and try again.")
		}
	}
	scheme := "http"
	if r.TLS != nil {
		scheme = "https"
	}
	w.Header().Set("WWW-Authenticate", `Basic realm="`+scheme+`://`+quotable(r.Host)+`/",service="ecr.amazonaws.com"`)
	return nil, refuse(http.StatusUnauthorized, "UNAUTHORIZED", "Not Authorized")
}

// quotable keeps a Host header from ending the quoted string it is put into.
func quotable(host string) string {
	return strings.Map(func(c rune) rune {
		if c == '"' || c == '\\' || c < ' ' {
			return -1
		}
		return c
	}, host)
}

// maxDrain bounds what is read of a body that is not wanted. Clients that
// stream a layer read the answer only after they have sent it; a connection
// closed under them would hide the reason from them.
const maxDrain = 32 << 20

func drain(r *http.Request) {
	if r.Body != nil {
		_, _ = io.CopyN(io.Discard, r.Body, maxDrain)
	}
}
