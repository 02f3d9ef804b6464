package ecr

import (
	"bytes"
	"context"
	"errors"
	"io"

	"github.com/remit-ecs/remit/internal/api"
	"github.com/remit-ecs/remit/internal/api/ecrapi"
	"github.com/remit-ecs/remit/internal/authz"
	"github.com/remit-ecs/remit/internal/blob"
	"github.com/remit-ecs/remit/internal/gateway"
	"github.com/remit-ecs/remit/internal/id"
)

const (
	partSize = 10 << 20 // what ECR proposes
	// maxLayer is ECR's quota of 52,000 MiB.
	// https://docs.aws.amazon.com/AmazonECR/latest/userguide/service-quotas.html
	maxLayer = 52_000 << 20
)

type (
	partKey  struct{}
	mountKey struct{}
)

// part is the body of an UploadLayerPart that does not fit into its input.
type part struct {
	offset int64
	r      io.Reader
}

// StreamPart gives the UploadLayerPart that is invoked with the returned
// context its bytes: all of r, to be added at offset, or, if that is negative,
// at the end. The operation reads them once it is authorised, and not into
// memory; it writes into its input which bytes they were, for the record.
func (s *Service) StreamPart(ctx context.Context, offset int64, r io.Reader) context.Context {
	return context.WithValue(ctx, partKey{}, part{offset, r})
}

// MountLayer lets the CompleteLayerUpload that is invoked with the returned
// context take the layer of another repository in place of uploaded bytes, on
// the strength of a download token for it.
func (s *Service) MountLayer(ctx context.Context, token string) context.Context {
	return context.WithValue(ctx, mountKey{}, token)
}

func (s *Service) mayInitiateLayerUpload(c *gateway.Call, in *ecrapi.InitiateLayerUploadInput) ([]authz.Ask, error) {
	return at(c, in.RegistryId, in.RepositoryName).ask(c, "ecr:InitiateLayerUpload")
}

// https://docs.aws.amazon.com/AmazonECR/latest/APIReference/API_InitiateLayerUpload.html
func (s *Service) initiateLayerUpload(c *gateway.Call, in *ecrapi.InitiateLayerUploadInput) (*ecrapi.InitiateLayerUploadOutput, error) {
	r := at(c, in.RegistryId, in.RepositoryName)
	if _, err := r.find(c.Tx); err != nil {
		return nil, err
	}
	uploadID := id.UUID(c.IDs)
	uploads.Put(c.Tx, r.upload(uploadID), &upload{Started: c.Time.UTC()})
	return &ecrapi.InitiateLayerUploadOutput{UploadId: &uploadID, PartSize: api.Ptr[int64](partSize)}, nil
}

// findUpload returns AWS's error where the repository has no such upload.
func findUpload(c *gateway.Call, r ref, uploadID string) error {
	if _, err := r.find(c.Tx); err != nil {
		return err
	}
	if _, ok := uploads.Get(c.Tx, c.Home, r.upload(uploadID)); !ok {
		return uploadNotFound(r, uploadID)
	}
	return nil
}

func uploadNotFound(r ref, uploadID string) *api.Error {
	return ecrapi.UploadNotFoundException("The upload with id '%s' could not be found in the repository with name '%s' in the registry with id '%s'", uploadID, r.name, r.registry)
}

func (s *Service) mayUploadLayerPart(c *gateway.Call, in *ecrapi.UploadLayerPartInput) ([]authz.Ask, error) {
	return at(c, in.RegistryId, in.RepositoryName).ask(c, "ecr:UploadLayerPart")
}

// uploadLayerPart writes no document, and so runs once: the bytes it adds are
// no part of the transaction.
// https://docs.aws.amazon.com/AmazonECR/latest/APIReference/API_UploadLayerPart.html
func (s *Service) uploadLayerPart(c *gateway.Call, in *ecrapi.UploadLayerPartInput) (*ecrapi.UploadLayerPartOutput, error) {
	r, uploadID := at(c, in.RegistryId, in.RepositoryName), api.Value(in.UploadId)
	if err := findUpload(c, r, uploadID); err != nil {
		return nil, err
	}
	p, streamed := c.Context.Value(partKey{}).(part)
	if !streamed {
		first, last := api.Value(in.PartFirstByte), api.Value(in.PartLastByte)
		if last-first+1 != int64(len(in.LayerPartBlob)) {
			return nil, ecrapi.InvalidParameterException("Invalid parameter at 'PartLastByte' failed to satisfy constraint: 'must be the position of the last of the %d bytes'", len(in.LayerPartBlob))
		}
		p = part{first, bytes.NewReader(in.LayerPartBlob)}
	}
	u, err := s.openUpload(uploadID)
	if err != nil {
		return nil, api.Unavailable("The layer could not be stored.", err)
	}
	before := u.Size()
	size, err := u.Append(p.offset, io.LimitReader(p.r, maxLayer+1-before))
	if p.offset >= 0 {
		before = p.offset
	}
	in.PartFirstByte, in.PartLastByte = &before, api.Ptr(max(size-1, 0))
	switch {
	case errors.Is(err, blob.ErrNotFound): // finished by another request meanwhile
		return nil, uploadNotFound(r, uploadID)
	case errors.Is(err, blob.ErrNoSpace):
		return nil, api.Unavailable("The layer could not be stored.", err)
	case errors.Is(err, blob.ErrOffset):
		return nil, ecrapi.InvalidLayerPartException("The first byte of the layer part is not consecutive to the last byte of the previous layer part upload, %d", size-1).
			With("registryId", r.registry).With("repositoryName", r.name).With("uploadId", uploadID).With("lastValidByteReceived", size-1).Because(err)
	case err != nil:
		return nil, ecrapi.InvalidLayerPartException("The layer part broke off after byte %d", size-1).
			With("registryId", r.registry).With("repositoryName", r.name).With("uploadId", uploadID).With("lastValidByteReceived", size-1).Because(err)
	case size > maxLayer:
		return nil, ecrapi.LimitExceededException("The layer is larger than the quota of %d bytes", int64(maxLayer))
	}
	return &ecrapi.UploadLayerPartOutput{RegistryId: &r.registry, RepositoryName: &r.name, UploadId: &uploadID, LastByteReceived: api.Ptr(size - 1)}, nil
}

// bytesPrefix begins the names of our uploads in the blob store, which has
// other users.
const bytesPrefix = "ecr-"

// openUpload returns the bytes so far of an upload that has a document. The
// first part makes the file.
func (s *Service) openUpload(uploadID string) (*blob.Upload, error) {
	u, err := s.Blobs.Upload(bytesPrefix + uploadID)
	if !errors.Is(err, blob.ErrNotFound) {
		return u, err
	}
	if u, err = s.Blobs.StartUpload(bytesPrefix + uploadID); err == nil {
		return u, nil
	}
	return s.Blobs.Upload(bytesPrefix + uploadID) // another request was first
}

func (s *Service) mayCompleteLayerUpload(c *gateway.Call, in *ecrapi.CompleteLayerUploadInput) ([]authz.Ask, error) {
	return at(c, in.RegistryId, in.RepositoryName).ask(c, "ecr:CompleteLayerUpload")
}

// https://docs.aws.amazon.com/AmazonECR/latest/APIReference/API_CompleteLayerUpload.html
func (s *Service) completeLayerUpload(c *gateway.Call, in *ecrapi.CompleteLayerUploadInput) (*ecrapi.CompleteLayerUploadOutput, error) {
	r, uploadID := at(c, in.RegistryId, in.RepositoryName), api.Value(in.UploadId)
	if err := findUpload(c, r, uploadID); err != nil {
		return nil, err
	}
	want, err := blob.ParseDigest(in.LayerDigests[0])
	if err != nil || len(in.LayerDigests) > 1 {
		return nil, ecrapi.InvalidParameterException("Invalid parameter at 'LayerDigests' failed to satisfy constraint: 'must be one digest: sha256: and 64 hexadecimal digits'")
	}
	f, err := s.finish(c, r, uploadID, want)
	if err != nil {
		return nil, err
	}
	if _, ok := r.available(c.Tx, f.digest, c.Time); ok {
		// The upload's document stays and is swept: an error changes nothing.
		return nil, ecrapi.LayerAlreadyExistsException("Layer with digest '%s' already exists in the repository with name '%s' in registry with id '%s'", f.digest, r.name, r.registry)
	}
	layers.Put(c.Tx, r.content(f.digest), &layer{Size: f.size, Used: c.Time.UTC()})
	uploads.Delete(c.Tx, r.upload(uploadID))
	c.AfterCommit(func() { s.forget(uploadID) })
	return &ecrapi.CompleteLayerUploadOutput{RegistryId: &r.registry, RepositoryName: &r.name, UploadId: &uploadID, LayerDigest: api.Ptr(string(f.digest))}, nil
}

// finish makes a blob of what was uploaded, or finds the layer to be mounted.
func (s *Service) finish(c *gateway.Call, r ref, uploadID string, want blob.Digest) (finished, error) {
	if token, ok := c.Context.Value(mountKey{}).(string); ok {
		t, err := s.openDownload(token, c.Time)
		if err != nil || t.Digest != want {
			return finished{}, api.AccessDenied("The layer to be mounted may not be read.")
		}
		from := ref{t.Registry, t.Region, t.Name}
		l, ok := layers.Get(c.Tx, from.shard(), from.content(want))
		if !ok {
			return finished{}, ecrapi.InvalidLayerException("The layer to be mounted is not in the repository with name '%s' any more", from.name)
		}
		return finished{want, l.Size, c.Time}, nil
	}
	s.mu.Lock()
	f, ok := s.finished[uploadID]
	s.mu.Unlock()
	switch {
	case ok && c.Time.Sub(f.at) > finishedLife:
		return finished{}, uploadNotFound(r, uploadID)
	case ok && f.digest != want:
		return finished{}, invalidLayer(want)
	case ok:
		return f, nil
	}
	u, err := s.Blobs.Upload(bytesPrefix + uploadID)
	if errors.Is(err, blob.ErrNotFound) {
		return finished{}, ecrapi.EmptyUploadException("The specified layer upload does not contain any layer parts.")
	}
	if err != nil {
		return finished{}, err
	}
	d, size, err := u.Commit(want)
	switch {
	case errors.Is(err, blob.ErrDigest):
		return finished{}, invalidLayer(want).Because(err)
	case errors.Is(err, blob.ErrNotFound): // finished by another request meanwhile
		return finished{}, uploadNotFound(r, uploadID)
	case err != nil:
		return finished{}, api.Unavailable("The layer could not be stored.", err)
	}
	f = finished{d, size, c.Time}
	s.mu.Lock()
	s.finished[uploadID] = f
	s.mu.Unlock()
	return f, nil
}

func (s *Service) forget(uploadID string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.finished, uploadID)
}

func invalidLayer(want blob.Digest) *api.Error {
	return ecrapi.InvalidLayerException("The layer digest calculation performed by Amazon ECR upon receipt of the image layer does not match the digest specified: %s", want)
}
