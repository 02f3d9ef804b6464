package ecr

import (
	"errors"
	"io"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/remit-ecs/remit/internal/api"
	"github.com/remit-ecs/remit/internal/api/ecrapi"
	"github.com/remit-ecs/remit/internal/authz"
	"github.com/remit-ecs/remit/internal/blob"
	"github.com/remit-ecs/remit/internal/gateway"
	"github.com/remit-ecs/remit/internal/store"
)

// tagPattern is what a tag may look like.
// https://github.com/opencontainers/distribution-spec/blob/main/spec.md#pulling-manifests
var tagPattern = regexp.MustCompile(`^[a-zA-Z0-9_][a-zA-Z0-9._-]{0,127}$`)

func (s *Service) mayPutImage(c *gateway.Call, in *ecrapi.PutImageInput) ([]authz.Ask, error) {
	return at(c, in.RegistryId, in.RepositoryName).ask(c, "ecr:PutImage")
}

// putImage keeps a manifest whose layers are all there, under a tag if one is
// given. The manifest's text becomes a blob before the image is committed; if
// it never is, nothing refers to the blob and it is collected.
// https://docs.aws.amazon.com/AmazonECR/latest/APIReference/API_PutImage.html
func (s *Service) putImage(c *gateway.Call, in *ecrapi.PutImageInput) (*ecrapi.PutImageOutput, error) {
	r := at(c, in.RegistryId, in.RepositoryName)
	doc, err := r.find(c.Tx)
	if err != nil {
		return nil, err
	}
	text, tag := []byte(api.Value(in.ImageManifest)), api.Value(in.ImageTag)
	m, err := parseManifest(text, api.Value(in.ImageManifestMediaType))
	if err != nil {
		return nil, ecrapi.InvalidParameterException("Invalid parameter at 'ImageManifest' failed to satisfy constraint: '%v'", err)
	}
	digest := blob.DigestOf(text)
	if want := api.Value(in.ImageDigest); want != "" && want != string(digest) {
		return nil, ecrapi.ImageDigestDoesNotMatchException("The specified image digest '%s' does not match the digest '%s' that was calculated for the image", want, digest)
	}
	if tag != "" && !tagPattern.MatchString(tag) {
		return nil, ecrapi.InvalidParameterException("Invalid parameter at 'imageTag' failed to satisfy constraint: 'must satisfy regular expression '%s''", tagPattern)
	}
	img, known := images.Get(c.Tx, c.Home, r.content(digest))
	if tag != "" {
		if t, ok := imageTags.Get(c.Tx, c.Home, r.tag(tag)); ok && t.Digest == digest {
			return nil, alreadyThere(r, digest, tag)
		} else if ok && doc.immutable(tag) {
			return nil, ecrapi.ImageTagAlreadyExistsException("The image tag '%s' already exists in the '%s' repository and cannot be overwritten because the repository is immutable.", tag, r.name)
		}
	} else if known {
		return nil, alreadyThere(r, digest, "")
	}
	if !known {
		if img, err = r.newImage(c, m); err != nil {
			return nil, err
		}
		if err := s.keep(text, digest); err != nil {
			return nil, api.Unavailable("The image could not be stored.", err)
		}
		images.Put(c.Tx, r.content(digest), img)
	}
	if tag != "" {
		imageTags.Put(c.Tx, r.tag(tag), &imageTag{digest})
	}
	return &ecrapi.PutImageOutput{Image: &ecrapi.Image{
		RegistryId: &r.registry, RepositoryName: &r.name, ImageId: identifier(digest, tag),
		ImageManifest: in.ImageManifest, ImageManifestMediaType: &img.MediaType,
	}}, nil
}

func alreadyThere(r ref, d blob.Digest, tag string) error {
	if tag == "" {
		return ecrapi.ImageAlreadyExistsException("Image with digest '%s' already exists in the repository with name '%s' in registry with id '%s'", d, r.name, r.registry)
	}
	return ecrapi.ImageAlreadyExistsException("Image with digest '%s' and tag '%s' already exists in the repository with name '%s' in registry with id '%s'", d, tag, r.name, r.registry)
}

// newImage is the document of a manifest, once everything it refers to is
// found in the repository, with the sizes it says.
func (r ref) newImage(c *gateway.Call, m *manifest) (*image, error) {
	img := &image{MediaType: m.mediaType, ArtifactType: m.artifactType, Subject: m.subject, Layers: digests(m.blobs), Children: digests(m.children), Pushed: c.Time.UTC()}
	var missing []blob.Digest
	for _, d := range img.Children {
		if _, ok := images.Get(c.Tx, c.Home, r.content(d)); !ok {
			missing = append(missing, d)
		}
	}
	if len(missing) > 0 {
		return nil, ecrapi.ReferencedImagesNotFoundException("Images with digests '%s' required for pushing image into repository with name '%s' in the registry with id '%s' do not exist", list(missing), r.name, r.registry)
	}
	have := map[blob.Digest]int64{}
	for _, d := range img.Layers {
		if l, ok := layers.Get(c.Tx, c.Home, r.content(d)); ok {
			have[d] = l.Size
			img.Size = add(img.Size, l.Size)
		} else {
			missing = append(missing, d)
		}
	}
	if len(missing) > 0 {
		return nil, ecrapi.LayersNotFoundException("Layers with digests '%s' required for pushing image into repository with name '%s' in the registry with id '%s' do not exist", list(missing), r.name, r.registry)
	}
	for _, d := range m.blobs {
		if d.Size != have[d.Digest] {
			return nil, ecrapi.InvalidParameterException("Invalid parameter at 'ImageManifest' failed to satisfy constraint: 'the layer %s has %d bytes, not %d'", d.Digest, have[d.Digest], d.Size)
		}
	}
	return img, nil
}

// keep stores a manifest's text.
func (s *Service) keep(text []byte, digest blob.Digest) error {
	w, err := s.Blobs.Create()
	if err != nil {
		return err
	}
	defer w.Abort()
	if _, err := w.Write(text); err != nil {
		return err
	}
	_, err = w.Commit(digest)
	return err
}

func identifier(d blob.Digest, tag string) *ecrapi.ImageIdentifier {
	i := &ecrapi.ImageIdentifier{ImageDigest: api.Ptr(string(d))}
	if tag != "" {
		i.ImageTag = &tag
	}
	return i
}

// lookup finds the digest of an image by its identifier, or says why not.
func (r ref) lookup(rd store.Reader, i *ecrapi.ImageIdentifier) (blob.Digest, *ecrapi.ImageFailure) {
	digest, tag := api.Value(i.ImageDigest), api.Value(i.ImageTag)
	failure := func(code ecrapi.ImageFailureCode, reason string) (blob.Digest, *ecrapi.ImageFailure) {
		return "", &ecrapi.ImageFailure{ImageId: i, FailureCode: code, FailureReason: &reason}
	}
	if digest == "" && tag == "" {
		return failure(ecrapi.ImageFailureCodeMissingDigestAndTag, "Invalid request parameters: both tag and digest cannot be null")
	}
	d := blob.Digest(digest)
	if digest != "" {
		if _, err := blob.ParseDigest(digest); err != nil {
			return failure(ecrapi.ImageFailureCodeInvalidImageDigest, "Invalid request parameters: image digest should satisfy the regex '[a-zA-Z0-9-_+.]+:[a-fA-F0-9]+'")
		}
	}
	if tag != "" {
		if !tagPattern.MatchString(tag) {
			return failure(ecrapi.ImageFailureCodeInvalidImageTag, "Invalid request parameters: image tag should satisfy the regex '"+tagPattern.String()+"'")
		}
		t, ok := imageTags.Get(rd, r.shard(), r.tag(tag))
		if !ok {
			return failure(ecrapi.ImageFailureCodeImageNotFound, "Requested image not found")
		}
		if digest != "" && t.Digest != d {
			return failure(ecrapi.ImageFailureCodeImageTagDoesNotMatchDigest, "Requested image tag does not match the image digest")
		}
		return t.Digest, nil
	}
	if _, ok := images.Get(rd, r.shard(), r.content(d)); !ok {
		return failure(ecrapi.ImageFailureCodeImageNotFound, "Requested image not found")
	}
	return d, nil
}

// tagsOf lists the tags of an image, in order.
func (r ref) tagsOf(rd store.Reader, d blob.Digest) []string {
	var out []string
	for key := range imageTags.By(rd, r.shard(), "image", r.content(d)) {
		_, t, _ := strings.Cut(key, ":")
		out = append(out, t)
	}
	slices.Sort(out)
	return out
}

func (s *Service) mayBatchGetImage(c *gateway.Call, in *ecrapi.BatchGetImageInput) ([]authz.Ask, error) {
	return at(c, in.RegistryId, in.RepositoryName).ask(c, "ecr:BatchGetImage")
}

// pullRecord is how exactly the time of the last pull is kept.
const pullRecord = 24 * time.Hour

// batchGetImage answers with manifests as they were put. AcceptedMediaTypes
// changes nothing: manifests are not converted.
// https://docs.aws.amazon.com/AmazonECR/latest/APIReference/API_BatchGetImage.html
func (s *Service) batchGetImage(c *gateway.Call, in *ecrapi.BatchGetImageInput) (*ecrapi.BatchGetImageOutput, error) {
	r := at(c, in.RegistryId, in.RepositoryName)
	if _, err := r.find(c.Tx); err != nil {
		return nil, err
	}
	out := &ecrapi.BatchGetImageOutput{Images: []ecrapi.Image{}, Failures: []ecrapi.ImageFailure{}}
	for _, i := range in.ImageIds {
		d, failure := r.lookup(c.Tx, &i)
		if failure != nil {
			out.Failures = append(out.Failures, *failure)
			continue
		}
		img, ok := images.Get(c.Tx, c.Home, r.content(d))
		if !ok {
			return nil, errors.New("tag of an image that is not there: " + string(d))
		}
		text, err := s.text(d)
		if err != nil {
			return nil, err
		}
		if c.Time.Sub(img.Pulled) >= pullRecord {
			pulled := *img
			pulled.Pulled = c.Time.UTC()
			images.Put(c.Tx, r.content(d), &pulled)
		}
		out.Images = append(out.Images, ecrapi.Image{
			RegistryId: &r.registry, RepositoryName: &r.name, ImageId: identifier(d, api.Value(i.ImageTag)),
			ImageManifest: &text, ImageManifestMediaType: &img.MediaType,
		})
	}
	return out, nil
}

// text reads a manifest back.
func (s *Service) text(d blob.Digest) (string, error) {
	f, size, err := s.Blobs.Open(d)
	if err != nil {
		return "", err
	}
	defer f.Close()
	b := make([]byte, size)
	if _, err := io.ReadFull(f, b); err != nil {
		return "", err
	}
	return string(b), nil
}

func (s *Service) mayBatchDeleteImage(c *gateway.Call, in *ecrapi.BatchDeleteImageInput) ([]authz.Ask, error) {
	return at(c, in.RegistryId, in.RepositoryName).ask(c, "ecr:BatchDeleteImage")
}

// batchDeleteImage takes a tag away, and the image with its last tag; named by
// digest alone, the image with all its tags.
// https://docs.aws.amazon.com/AmazonECR/latest/APIReference/API_BatchDeleteImage.html
func (s *Service) batchDeleteImage(c *gateway.Call, in *ecrapi.BatchDeleteImageInput) (*ecrapi.BatchDeleteImageOutput, error) {
	r := at(c, in.RegistryId, in.RepositoryName)
	if _, err := r.find(c.Tx); err != nil {
		return nil, err
	}
	out := &ecrapi.BatchDeleteImageOutput{ImageIds: []ecrapi.ImageIdentifier{}, Failures: []ecrapi.ImageFailure{}}
	for _, i := range in.ImageIds {
		d, failure := r.lookup(c.Tx, &i)
		if failure != nil {
			out.Failures = append(out.Failures, *failure)
			continue
		}
		parents := r.parents(c.Tx, d)
		tags := r.tagsOf(c.Tx, d)
		gone := tags
		if t := api.Value(i.ImageTag); t != "" {
			gone = []string{t}
		} else if len(parents) > 0 {
			reason := "Requested image referenced by manifest list: " + list(parents)
			out.Failures = append(out.Failures, ecrapi.ImageFailure{ImageId: &i, FailureCode: ecrapi.ImageFailureCodeImageReferencedByManifestList, FailureReason: &reason})
			continue
		}
		for _, t := range gone {
			imageTags.Delete(c.Tx, r.tag(t))
			out.ImageIds = append(out.ImageIds, *identifier(d, t))
		}
		if len(gone) == 0 {
			out.ImageIds = append(out.ImageIds, *identifier(d, ""))
		}
		if len(gone) == len(tags) && len(parents) == 0 {
			r.remove(c, d)
		}
	}
	return out, nil
}

// parents lists the indexes that list an image.
func (r ref) parents(rd store.Reader, d blob.Digest) []blob.Digest {
	var out []blob.Digest
	for key := range images.By(rd, r.shard(), "child", r.content(d)) {
		out = append(out, digestIn(key))
	}
	return out
}

// remove deletes an image. From now on the layers that no other image has are
// unassociated.
func (r ref) remove(c *gateway.Call, d blob.Digest) {
	img, ok := images.Get(c.Tx, c.Home, r.content(d))
	if !ok {
		return
	}
	images.Delete(c.Tx, r.content(d))
	for _, ld := range img.Layers {
		l, ok := layers.Get(c.Tx, c.Home, r.content(ld))
		if ok && !r.hasImage(c.Tx, ld) {
			layers.Put(c.Tx, r.content(ld), &layer{Size: l.Size, Used: c.Time.UTC()})
		}
	}
}

func (s *Service) mayListImages(c *gateway.Call, in *ecrapi.ListImagesInput) ([]authz.Ask, error) {
	return at(c, in.RegistryId, in.RepositoryName).ask(c, "ecr:ListImages")
}

// https://docs.aws.amazon.com/AmazonECR/latest/APIReference/API_ListImages.html
func (s *Service) listImages(c *gateway.Call, in *ecrapi.ListImagesInput) (*ecrapi.ListImagesOutput, error) {
	r := at(c, in.RegistryId, in.RepositoryName)
	if _, err := r.find(c.Tx); err != nil {
		return nil, err
	}
	after, ok := c.After(in.NextToken)
	if !ok {
		return nil, errBadToken
	}
	afterImage, afterTag, _ := strings.Cut(after, " ")
	var status ecrapi.TagStatus
	if in.Filter != nil {
		status = in.Filter.TagStatus
	}
	out := &ecrapi.ListImagesOutput{ImageIds: []ecrapi.ImageIdentifier{}}
	last := ""
	for key := range images.Prefix(c.Tx, c.Home, r.content("")) {
		if key < afterImage {
			continue
		}
		d := digestIn(key)
		tags := r.tagsOf(c.Tx, d)
		if len(tags) == 0 {
			tags = []string{""}
		}
		for _, t := range tags {
			if key == afterImage && t <= afterTag || !wanted(status, t != "") {
				continue
			}
			if len(out.ImageIds) == pageSize(in.MaxResults) {
				out.NextToken = c.NextToken(last)
				return out, nil
			}
			out.ImageIds = append(out.ImageIds, *identifier(d, t))
			last = key + " " + t
		}
	}
	return out, nil
}

func wanted(s ecrapi.TagStatus, tagged bool) bool {
	switch s {
	case ecrapi.TagStatusTagged:
		return tagged
	case ecrapi.TagStatusUntagged:
		return !tagged
	}
	return true
}

func (s *Service) mayDescribeImages(c *gateway.Call, in *ecrapi.DescribeImagesInput) ([]authz.Ask, error) {
	return at(c, in.RegistryId, in.RepositoryName).ask(c, "ecr:DescribeImages")
}

// https://docs.aws.amazon.com/AmazonECR/latest/APIReference/API_DescribeImages.html
func (s *Service) describeImages(c *gateway.Call, in *ecrapi.DescribeImagesInput) (*ecrapi.DescribeImagesOutput, error) {
	r := at(c, in.RegistryId, in.RepositoryName)
	if _, err := r.find(c.Tx); err != nil {
		return nil, err
	}
	out := &ecrapi.DescribeImagesOutput{ImageDetails: []ecrapi.ImageDetail{}}
	if len(in.ImageIds) > 0 {
		for _, i := range in.ImageIds {
			d, failure := r.lookup(c.Tx, &i)
			if failure != nil {
				return nil, ecrapi.ImageNotFoundException("The image with imageId {imageDigest:'%s', imageTag:'%s'} does not exist within the repository with name '%s' in the registry with id '%s'", orNull(i.ImageDigest), orNull(i.ImageTag), r.name, r.registry)
			}
			if img, ok := images.Get(c.Tx, c.Home, r.content(d)); ok {
				out.ImageDetails = append(out.ImageDetails, r.detail(c, d, img))
			}
		}
		return out, nil
	}
	after, ok := c.After(in.NextToken)
	if !ok {
		return nil, errBadToken
	}
	var status ecrapi.TagStatus
	if in.Filter != nil {
		status = in.Filter.TagStatus
	}
	last := ""
	for key, img := range images.Prefix(c.Tx, c.Home, r.content("")) {
		if key <= after {
			continue
		}
		detail := r.detail(c, digestIn(key), img)
		if !wanted(status, len(detail.ImageTags) > 0) {
			continue
		}
		if len(out.ImageDetails) == pageSize(in.MaxResults) {
			out.NextToken = c.NextToken(last)
			break
		}
		out.ImageDetails = append(out.ImageDetails, detail)
		last = key
	}
	return out, nil
}

func orNull(s *string) string {
	if s == nil {
		return "null"
	}
	return *s
}

func (r ref) detail(c *gateway.Call, d blob.Digest, img *image) ecrapi.ImageDetail {
	out := ecrapi.ImageDetail{
		RegistryId: &r.registry, RepositoryName: &r.name, ImageDigest: api.Ptr(string(d)), ImageTags: r.tagsOf(c.Tx, d),
		ImageSizeInBytes: &img.Size, ImagePushedAt: &api.Time{Time: img.Pushed}, ImageManifestMediaType: &img.MediaType,
	}
	if img.ArtifactType != "" {
		out.ArtifactMediaType = &img.ArtifactType
	}
	if img.Subject != "" {
		out.SubjectManifestDigest = api.Ptr(string(img.Subject))
	}
	if !img.Pulled.IsZero() {
		out.LastRecordedPullTime = &api.Time{Time: img.Pulled}
	}
	return out
}
