package refusal

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"strings"

	"github.com/aws/aws-sdk-go-v2/service/ecr"
	ecrt "github.com/aws/aws-sdk-go-v2/service/ecr/types"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	s3t "github.com/aws/aws-sdk-go-v2/service/s3/types"

	"github.com/remit-ecs/remit/internal/testkit/whole"
)

func (f *subject) ecrTags() []ecrt.Tag { return []ecrt.Tag{{Key: ptr(tagKey), Value: ptr("a")}} }

func (f *subject) repository() *string {
	must(f.ecr.CreateRepository(f.ctx, &ecr.CreateRepositoryInput{RepositoryName: &f.name, Tags: f.ecrTags()}))
	return &f.name
}

func (f *subject) repositoryARN() *string {
	return must(f.ecr.CreateRepository(f.ctx, &ecr.CreateRepositoryInput{RepositoryName: &f.name, Tags: f.ecrTags()})).Repository.RepositoryArn
}

func (f *subject) upload(repository *string) *string {
	return must(f.ecr.InitiateLayerUpload(f.ctx, &ecr.InitiateLayerUploadInput{RepositoryName: repository})).UploadId
}

// uploaded is an upload with all of its bytes.
func (f *subject) uploaded(repository *string, content string) (upload *string) {
	upload = f.upload(repository)
	must(f.ecr.UploadLayerPart(f.ctx, f.part(repository, upload, content)))
	return upload
}

func (f *subject) part(repository, upload *string, content string) *ecr.UploadLayerPartInput {
	return &ecr.UploadLayerPartInput{RepositoryName: repository, UploadId: upload, PartFirstByte: ptr[int64](0), PartLastByte: ptr(int64(len(content)) - 1), LayerPartBlob: []byte(content)}
}

func digest(content string) string {
	sum := sha256.Sum256([]byte(content))
	return "sha256:" + hex.EncodeToString(sum[:])
}

func (f *subject) layer(repository *string, content string) string {
	must(f.ecr.CompleteLayerUpload(f.ctx, &ecr.CompleteLayerUploadInput{RepositoryName: repository, UploadId: f.uploaded(repository, content), LayerDigests: []string{digest(content)}}))
	return digest(content)
}

func (f *subject) layerContent() string { return "layer of " + f.name }

// manifest is that of an image whose layers are in the repository.
func (f *subject) manifest(repository *string) *string {
	config, layer := `{"architecture":"amd64","os":"linux","rootfs":{"type":"layers","diff_ids":[]}}`+strings.Repeat(" ", len(f.name)), f.layerContent()
	return ptr(fmt.Sprintf(`{"schemaVersion":2,"mediaType":"application/vnd.docker.distribution.manifest.v2+json",
"config":{"mediaType":"application/vnd.docker.container.image.v1+json","size":%d,"digest":%q},
"layers":[{"mediaType":"application/vnd.docker.image.rootfs.diff.tar.gzip","size":%d,"digest":%q}]}`,
		len(config), f.layer(repository, config), len(layer), f.layer(repository, layer)))
}

func (f *subject) image() (repository *string, ids []ecrt.ImageIdentifier) {
	repository = f.repository()
	must(f.ecr.PutImage(f.ctx, &ecr.PutImageInput{RepositoryName: repository, ImageManifest: f.manifest(repository), ImageTag: ptr("v1")}))
	return repository, []ecrt.ImageIdentifier{{ImageTag: ptr("v1")}}
}

var ecrFixtures = map[string]fixture{
	"ecr:GetAuthorizationToken": func(f *subject) any { return &ecr.GetAuthorizationTokenInput{} },
	"ecr:CreateRepository": func(f *subject) any {
		return &ecr.CreateRepositoryInput{RepositoryName: &f.name, Tags: f.ecrTags()}
	},
	"ecr:DescribeRepositories": func(f *subject) any {
		return &ecr.DescribeRepositoriesInput{RepositoryNames: []string{*f.repository()}}
	},
	"ecr:DeleteRepository": func(f *subject) any { return &ecr.DeleteRepositoryInput{RepositoryName: f.repository()} },
	"ecr:PutImageTagMutability": func(f *subject) any {
		return &ecr.PutImageTagMutabilityInput{RepositoryName: f.repository(), ImageTagMutability: ecrt.ImageTagMutabilityImmutable}
	},
	"ecr:PutImageScanningConfiguration": func(f *subject) any {
		return &ecr.PutImageScanningConfigurationInput{RepositoryName: f.repository(), ImageScanningConfiguration: &ecrt.ImageScanningConfiguration{}}
	},
	"ecr:TagResource": func(f *subject) any {
		return &ecr.TagResourceInput{ResourceArn: f.repositoryARN(), Tags: f.ecrTags()}
	},
	"ecr:UntagResource": func(f *subject) any {
		return &ecr.UntagResourceInput{ResourceArn: f.repositoryARN(), TagKeys: []string{tagKey}}
	},
	"ecr:ListTagsForResource": func(f *subject) any { return &ecr.ListTagsForResourceInput{ResourceArn: f.repositoryARN()} },

	"ecr:PutImage": func(f *subject) any {
		r := f.repository()
		return &ecr.PutImageInput{RepositoryName: r, ImageManifest: f.manifest(r), ImageTag: ptr("v1")}
	},
	"ecr:BatchGetImage": func(f *subject) any {
		r, ids := f.image()
		return &ecr.BatchGetImageInput{RepositoryName: r, ImageIds: ids}
	},
	"ecr:BatchDeleteImage": func(f *subject) any {
		r, ids := f.image()
		return &ecr.BatchDeleteImageInput{RepositoryName: r, ImageIds: ids}
	},
	"ecr:ListImages":     func(f *subject) any { return &ecr.ListImagesInput{RepositoryName: f.repository()} },
	"ecr:DescribeImages": func(f *subject) any { return &ecr.DescribeImagesInput{RepositoryName: f.repository()} },

	"ecr:BatchCheckLayerAvailability": func(f *subject) any {
		r := f.repository()
		return &ecr.BatchCheckLayerAvailabilityInput{RepositoryName: r, LayerDigests: []string{f.layer(r, f.name)}}
	},
	"ecr:GetDownloadUrlForLayer": func(f *subject) any {
		r, _ := f.image()
		return &ecr.GetDownloadUrlForLayerInput{RepositoryName: r, LayerDigest: ptr(digest(f.layerContent()))}
	},
	"ecr:InitiateLayerUpload": func(f *subject) any { return &ecr.InitiateLayerUploadInput{RepositoryName: f.repository()} },
	"ecr:UploadLayerPart": func(f *subject) any {
		r := f.repository()
		return f.part(r, f.upload(r), f.name)
	},
	"ecr:CompleteLayerUpload": func(f *subject) any {
		r := f.repository()
		return &ecr.CompleteLayerUploadInput{RepositoryName: r, UploadId: f.uploaded(r, f.name), LayerDigests: []string{digest(f.name)}}
	},
}

const (
	s3Tagging = tagKey + "=a"
	someKey   = "a/key"
)

func location() *s3t.CreateBucketConfiguration {
	return &s3t.CreateBucketConfiguration{LocationConstraint: s3t.BucketLocationConstraint(whole.Region)}
}

func (f *subject) bucketTags() *s3t.Tagging {
	return &s3t.Tagging{TagSet: []s3t.Tag{{Key: ptr(tagKey), Value: ptr("a")}}}
}

func (f *subject) bucket() *string {
	must(f.s3.CreateBucket(f.ctx, &s3.CreateBucketInput{Bucket: &f.name, CreateBucketConfiguration: location()}))
	return &f.name
}

func (f *subject) taggedBucket() *string {
	b := f.bucket()
	must(f.s3.PutBucketTagging(f.ctx, &s3.PutBucketTaggingInput{Bucket: b, Tagging: f.bucketTags()}))
	return b
}

func (f *subject) object() (bucket, key *string) {
	bucket, key = f.bucket(), ptr(someKey)
	must(f.s3.PutObject(f.ctx, &s3.PutObjectInput{Bucket: bucket, Key: key, Body: strings.NewReader("content"), Tagging: ptr(s3Tagging)}))
	return bucket, key
}

func (f *subject) multipart() (bucket, key, upload *string) {
	bucket, key = f.bucket(), ptr("parts")
	return bucket, key, must(f.s3.CreateMultipartUpload(f.ctx, &s3.CreateMultipartUploadInput{Bucket: bucket, Key: key})).UploadId
}

func source(bucket, key *string) *string { return ptr(*bucket + "/" + *key) }

var s3Fixtures = map[string]fixture{
	"s3:ListBuckets": func(f *subject) any { return &s3.ListBucketsInput{} },
	"s3:CreateBucket": func(f *subject) any {
		c := location()
		c.Tags = f.bucketTags().TagSet
		return &s3.CreateBucketInput{Bucket: &f.name, CreateBucketConfiguration: c}
	},
	"s3:DeleteBucket":        func(f *subject) any { return &s3.DeleteBucketInput{Bucket: f.bucket()} },
	"s3:HeadBucket":          func(f *subject) any { return &s3.HeadBucketInput{Bucket: f.bucket()} },
	"s3:GetBucketLocation":   func(f *subject) any { return &s3.GetBucketLocationInput{Bucket: f.bucket()} },
	"s3:GetBucketAcl":        func(f *subject) any { return &s3.GetBucketAclInput{Bucket: f.bucket()} },
	"s3:GetBucketVersioning": func(f *subject) any { return &s3.GetBucketVersioningInput{Bucket: f.bucket()} },
	"s3:GetBucketTagging":    func(f *subject) any { return &s3.GetBucketTaggingInput{Bucket: f.taggedBucket()} },
	"s3:PutBucketTagging": func(f *subject) any {
		return &s3.PutBucketTaggingInput{Bucket: f.taggedBucket(), Tagging: f.bucketTags()}
	},
	"s3:DeleteBucketTagging": func(f *subject) any { return &s3.DeleteBucketTaggingInput{Bucket: f.taggedBucket()} },
	"s3:ListObjects": func(f *subject) any {
		return &s3.ListObjectsInput{Bucket: f.bucket(), Prefix: ptr("a/"), Delimiter: ptr("/")}
	},
	"s3:ListObjectsV2": func(f *subject) any {
		return &s3.ListObjectsV2Input{Bucket: f.bucket(), Prefix: ptr("a/"), Delimiter: ptr("/"), MaxKeys: ptr[int32](5)}
	},

	"s3:PutObject": func(f *subject) any {
		return &s3.PutObjectInput{Bucket: f.bucket(), Key: ptr(someKey), Body: bytes.NewReader([]byte("content")), Tagging: ptr(s3Tagging)}
	},
	"s3:GetObject": func(f *subject) any {
		b, k := f.object()
		return &s3.GetObjectInput{Bucket: b, Key: k}
	},
	"s3:HeadObject": func(f *subject) any {
		b, k := f.object()
		return &s3.HeadObjectInput{Bucket: b, Key: k}
	},
	"s3:GetObjectAttributes": func(f *subject) any {
		b, k := f.object()
		return &s3.GetObjectAttributesInput{Bucket: b, Key: k, ObjectAttributes: []s3t.ObjectAttributes{s3t.ObjectAttributesEtag}}
	},
	"s3:DeleteObject": func(f *subject) any {
		b, k := f.object()
		return &s3.DeleteObjectInput{Bucket: b, Key: k}
	},
	"s3:DeleteObjects": func(f *subject) any {
		b, k := f.object()
		return &s3.DeleteObjectsInput{Bucket: b, Delete: &s3t.Delete{Objects: []s3t.ObjectIdentifier{{Key: k}, {Key: ptr("another")}}}}
	},
	"s3:CopyObject": func(f *subject) any {
		b, k := f.object()
		return &s3.CopyObjectInput{Bucket: b, Key: ptr("copy"), CopySource: source(b, k)}
	},
	"s3:GetObjectTagging": func(f *subject) any {
		b, k := f.object()
		return &s3.GetObjectTaggingInput{Bucket: b, Key: k}
	},
	"s3:PutObjectTagging": func(f *subject) any {
		b, k := f.object()
		return &s3.PutObjectTaggingInput{Bucket: b, Key: k, Tagging: f.bucketTags()}
	},
	"s3:DeleteObjectTagging": func(f *subject) any {
		b, k := f.object()
		return &s3.DeleteObjectTaggingInput{Bucket: b, Key: k}
	},

	"s3:CreateMultipartUpload": func(f *subject) any {
		return &s3.CreateMultipartUploadInput{Bucket: f.bucket(), Key: ptr("parts"), Tagging: ptr(s3Tagging)}
	},
	"s3:UploadPart": func(f *subject) any {
		b, k, u := f.multipart()
		return &s3.UploadPartInput{Bucket: b, Key: k, UploadId: u, PartNumber: ptr[int32](1), Body: bytes.NewReader([]byte("content"))}
	},
	"s3:UploadPartCopy": func(f *subject) any {
		b, k, u := f.multipart()
		must(f.s3.PutObject(f.ctx, &s3.PutObjectInput{Bucket: b, Key: ptr(someKey), Body: strings.NewReader("content")}))
		return &s3.UploadPartCopyInput{Bucket: b, Key: k, UploadId: u, PartNumber: ptr[int32](1), CopySource: source(b, ptr(someKey))}
	},
	"s3:ListParts": func(f *subject) any {
		b, k, u := f.multipart()
		return &s3.ListPartsInput{Bucket: b, Key: k, UploadId: u}
	},
	"s3:ListMultipartUploads": func(f *subject) any { return &s3.ListMultipartUploadsInput{Bucket: f.bucket()} },
	"s3:AbortMultipartUpload": func(f *subject) any {
		b, k, u := f.multipart()
		return &s3.AbortMultipartUploadInput{Bucket: b, Key: k, UploadId: u}
	},
	"s3:CompleteMultipartUpload": func(f *subject) any {
		b, k, u := f.multipart()
		part := must(f.s3.UploadPart(f.ctx, &s3.UploadPartInput{Bucket: b, Key: k, UploadId: u, PartNumber: ptr[int32](1), Body: strings.NewReader("content")}))
		return &s3.CompleteMultipartUploadInput{Bucket: b, Key: k, UploadId: u, MultipartUpload: &s3t.CompletedMultipartUpload{Parts: []s3t.CompletedPart{{PartNumber: ptr[int32](1), ETag: part.ETag}}}}
	},
}
