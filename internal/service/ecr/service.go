// Package ecr serves Amazon Elastic Container Registry: repositories, images,
// layers, and the passwords with which container engines log in.
//
// Package registry speaks the engines' protocol and turns it into the
// operations of this package, through the gateway. It holds no bytes itself:
// what it uploads is read inside UploadLayerPart, after that was authorised
// (StreamPart), and what it downloads it opens with the token that only
// GetDownloadUrlForLayer makes (OpenLayer). So nobody moves a layer without a
// decision and a record of this very request.
//
// The package knows no HTTP and no container engine. It never deletes bytes:
// it says which digests are referred to (Live), and whoever collects garbage
// asks it.
package ecr

import (
	"sync"
	"time"

	"github.com/remit-ecs/remit/internal/api"
	"github.com/remit-ecs/remit/internal/api/ecrapi"
	"github.com/remit-ecs/remit/internal/authz"
	"github.com/remit-ecs/remit/internal/blob"
	"github.com/remit-ecs/remit/internal/clock"
	"github.com/remit-ecs/remit/internal/gateway"
	"github.com/remit-ecs/remit/internal/seal"
	"github.com/remit-ecs/remit/internal/session"
	"github.com/remit-ecs/remit/internal/store"
)

// Config is what a Service is built from.
type Config struct {
	Store *store.Store
	Blobs *blob.Store
	Keys  *seal.Keyring // seals passwords and download tokens
	Clock clock.Clock

	// Sources tells whether the principal behind a password still exists.
	Sources authz.Sources
	// Principals tells who the principals of a policy are.
	Principals authz.Principals
	// Revoker tells which sessions ended early; nil where none do.
	Revoker session.Revoker
}

// Service serves Amazon ECR.
type Service struct {
	Config
	passwords *session.Sealer

	// finished remembers uploads whose bytes became a blob before the document
	// that says so was committed: the handler may have to run again, and the
	// upload is gone by then.
	mu       sync.Mutex
	finished map[string]finished // by upload id
}

type finished struct {
	digest blob.Digest
	size   int64
	at     time.Time
}

// finishedLife is how long a client may try again to complete an upload whose
// bytes are a blob already. It is well within the grace that garbage
// collection gives to blobs that nothing refers to yet.
const finishedLife = 5 * time.Minute

// New returns the service.
func New(c Config) *Service {
	var opts []session.Option
	if c.Revoker != nil {
		opts = append(opts, session.WithRevoker(c.Revoker))
	}
	passwords, err := session.NewSealer(c.Keys.Derive("ecr", session.KeySize), opts...)
	if err != nil {
		panic(err) // the key has the right size
	}
	return &Service{Config: c, passwords: passwords, finished: map[string]finished{}}
}

// Register adds the operations that are served.
func (s *Service) Register(m *gateway.Mux) {
	gateway.Handle(m, ecrapi.GetAuthorizationToken, s.mayGetAuthorizationToken, s.getAuthorizationToken)

	gateway.Handle(m, ecrapi.CreateRepository, s.mayCreateRepository, s.createRepository, of(func(in *ecrapi.CreateRepositoryInput) *string { return in.RegistryId }))
	gateway.Handle(m, ecrapi.DescribeRepositories, s.mayDescribeRepositories, s.describeRepositories, of(func(in *ecrapi.DescribeRepositoriesInput) *string { return in.RegistryId }))
	gateway.Handle(m, ecrapi.DeleteRepository, s.mayDeleteRepository, s.deleteRepository, of(func(in *ecrapi.DeleteRepositoryInput) *string { return in.RegistryId }))
	gateway.Handle(m, ecrapi.PutImageTagMutability, s.mayPutImageTagMutability, s.putImageTagMutability, of(func(in *ecrapi.PutImageTagMutabilityInput) *string { return in.RegistryId }))
	gateway.Handle(m, ecrapi.PutImageScanningConfiguration, s.mayPutImageScanningConfiguration, s.putImageScanningConfiguration, of(func(in *ecrapi.PutImageScanningConfigurationInput) *string { return in.RegistryId }))
	gateway.Handle(m, ecrapi.TagResource, s.mayTagResource, s.tagResource)
	gateway.Handle(m, ecrapi.UntagResource, s.mayUntagResource, s.untagResource)
	gateway.Handle(m, ecrapi.ListTagsForResource, s.mayListTagsForResource, s.listTagsForResource)

	gateway.Handle(m, ecrapi.SetRepositoryPolicy, s.maySetRepositoryPolicy, s.setRepositoryPolicy, of(func(in *ecrapi.SetRepositoryPolicyInput) *string { return in.RegistryId }))
	gateway.Handle(m, ecrapi.GetRepositoryPolicy, s.mayGetRepositoryPolicy, s.getRepositoryPolicy, of(func(in *ecrapi.GetRepositoryPolicyInput) *string { return in.RegistryId }))
	gateway.Handle(m, ecrapi.DeleteRepositoryPolicy, s.mayDeleteRepositoryPolicy, s.deleteRepositoryPolicy, of(func(in *ecrapi.DeleteRepositoryPolicyInput) *string { return in.RegistryId }))
	gateway.Handle(m, ecrapi.PutRegistryPolicy, s.mayPutRegistryPolicy, s.putRegistryPolicy)
	gateway.Handle(m, ecrapi.GetRegistryPolicy, s.mayGetRegistryPolicy, s.getRegistryPolicy)
	gateway.Handle(m, ecrapi.DeleteRegistryPolicy, s.mayDeleteRegistryPolicy, s.deleteRegistryPolicy)

	gateway.Handle(m, ecrapi.PutImage, s.mayPutImage, s.putImage, of(func(in *ecrapi.PutImageInput) *string { return in.RegistryId }))
	gateway.Handle(m, ecrapi.BatchGetImage, s.mayBatchGetImage, s.batchGetImage, of(func(in *ecrapi.BatchGetImageInput) *string { return in.RegistryId }))
	gateway.Handle(m, ecrapi.BatchDeleteImage, s.mayBatchDeleteImage, s.batchDeleteImage, of(func(in *ecrapi.BatchDeleteImageInput) *string { return in.RegistryId }))
	gateway.Handle(m, ecrapi.ListImages, s.mayListImages, s.listImages, of(func(in *ecrapi.ListImagesInput) *string { return in.RegistryId }))
	gateway.Handle(m, ecrapi.DescribeImages, s.mayDescribeImages, s.describeImages, of(func(in *ecrapi.DescribeImagesInput) *string { return in.RegistryId }))

	gateway.Handle(m, ecrapi.BatchCheckLayerAvailability, s.mayBatchCheckLayerAvailability, s.batchCheckLayerAvailability, of(func(in *ecrapi.BatchCheckLayerAvailabilityInput) *string { return in.RegistryId }))
	gateway.Handle(m, ecrapi.GetDownloadUrlForLayer, s.mayGetDownloadURLForLayer, s.getDownloadURLForLayer, of(func(in *ecrapi.GetDownloadUrlForLayerInput) *string { return in.RegistryId }))
	gateway.Handle(m, ecrapi.InitiateLayerUpload, s.mayInitiateLayerUpload, s.initiateLayerUpload, of(func(in *ecrapi.InitiateLayerUploadInput) *string { return in.RegistryId }))
	gateway.Handle(m, ecrapi.UploadLayerPart, s.mayUploadLayerPart, s.uploadLayerPart, of(func(in *ecrapi.UploadLayerPartInput) *string { return in.RegistryId }))
	gateway.Handle(m, ecrapi.CompleteLayerUpload, s.mayCompleteLayerUpload, s.completeLayerUpload, of(func(in *ecrapi.CompleteLayerUploadInput) *string { return in.RegistryId }))
}

// of makes the registry that a request names the home of its operation: a
// registry belongs to the account whose number is its id.
func of[In any](registryID func(*In) *string) gateway.Option[In] {
	return gateway.In(func(c *gateway.Call, in *In) string { return at(c, registryID(in), nil).shard() })
}

// ref names a repository.
type ref struct{ registry, region, name string }

// at is the repository that a request is about. Without a registry it is in
// the caller's.
func at(c *gateway.Call, registryID, name *string) ref {
	r := ref{c.Account, c.Region, api.Value(name)}
	if id := api.Value(registryID); id != "" {
		r.registry = id
	}
	return r
}

func (r ref) shard() string { return gateway.Regional(r.registry, r.region) }

func (r ref) arn() string {
	return "arn:aws:ecr:" + r.region + ":" + r.registry + ":repository/" + r.name
}

// find returns a repository, or AWS's error. It does not say whether the
// caller may know.
func (r ref) find(rd store.Reader) (*repository, error) {
	if doc, ok := repositories.Get(rd, r.shard(), r.name); ok {
		return doc, nil
	}
	return nil, ecrapi.RepositoryNotFoundException("The repository with name '%s' does not exist in the registry with id '%s'", r.name, r.registry)
}

// ask is the question that nearly every operation asks: may the caller do this
// to the repository?
func (r ref) ask(c *gateway.Call, action string) ([]authz.Ask, error) {
	keys := map[string][]string{}
	if doc, ok := repositories.Get(c.Tx, r.shard(), r.name); ok {
		addResourceTags(keys, doc.Tags)
	}
	return []authz.Ask{{Action: action, Resource: r.arn(), Account: r.registry, Keys: keys}}, nil
}
