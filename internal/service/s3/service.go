// Package s3 serves Amazon S3: buckets, objects, uploads in parts and tags,
// as the AWS CLI and the SDKs use them.
//
// An object is a document that refers to bytes in package blob; writing one is
// one commit. The gateway has verified signature, chunks and checksums before
// a handler sees a body, so that nothing is referred to that was not sent.
// Requests that nobody signed are decided by the bucket policy, like any other.
// ACLs, versions and POST forms are not served: policies alone say who may do
// what, and the owner of a bucket owns its objects.
//
// The package never deletes bytes. What nothing refers to any longer is
// removed by blob.Store.Collect, for which Live tells what is referred to;
// Sweep, before it, drops the uploads that deleted buckets left behind.
package s3

import (
	"github.com/remit-ecs/remit/internal/api"
	"github.com/remit-ecs/remit/internal/api/s3api"
	"github.com/remit-ecs/remit/internal/authz"
	"github.com/remit-ecs/remit/internal/blob"
	"github.com/remit-ecs/remit/internal/gateway"
	"github.com/remit-ecs/remit/internal/store"
)

// Service serves Amazon S3.
type Service struct {
	store *store.Store
	blobs *blob.Store

	principals authz.Principals
}

// New returns the service over the store and the blobs that the gateway uses;
// who knows the principals that bucket policies name.
func New(s *store.Store, b *blob.Store, who authz.Principals) *Service {
	return &Service{store: s, blobs: b, principals: who}
}

// Register adds the operations that are served.
func (s *Service) Register(m *gateway.Mux) {
	gateway.Handle(m, s3api.ListBuckets, s.mayListBuckets, s.listBuckets, everywhere[s3api.ListBucketsInput]())
	gateway.Handle(m, s3api.CreateBucket, s.mayCreateBucket, s.createBucket, everywhere[s3api.CreateBucketInput]())
	gateway.Handle(m, s3api.DeleteBucket, s.mayDeleteBucket, s.deleteBucket, everywhere[s3api.DeleteBucketInput]())
	gateway.Handle(m, s3api.HeadBucket, s.mayHeadBucket, s.headBucket, everywhere[s3api.HeadBucketInput]())
	gateway.Handle(m, s3api.GetBucketLocation, s.mayGetBucketLocation, s.getBucketLocation, everywhere[s3api.GetBucketLocationInput]())
	gateway.Handle(m, s3api.GetBucketVersioning, s.mayGetBucketVersioning, s.getBucketVersioning, everywhere[s3api.GetBucketVersioningInput]())
	gateway.Handle(m, s3api.GetBucketAcl, s.mayGetBucketAcl, s.getBucketAcl, everywhere[s3api.GetBucketAclInput]())
	gateway.Handle(m, s3api.GetBucketTagging, s.mayGetBucketTagging, s.getBucketTagging, everywhere[s3api.GetBucketTaggingInput]())
	gateway.Handle(m, s3api.PutBucketTagging, s.mayPutBucketTagging, s.putBucketTagging, everywhere[s3api.PutBucketTaggingInput]())
	gateway.Handle(m, s3api.DeleteBucketTagging, s.mayDeleteBucketTagging, s.deleteBucketTagging, everywhere[s3api.DeleteBucketTaggingInput]())

	gateway.Handle(m, s3api.PutBucketPolicy, s.mayPutBucketPolicy, s.putBucketPolicy, everywhere[s3api.PutBucketPolicyInput]())
	gateway.Handle(m, s3api.GetBucketPolicy, s.mayGetBucketPolicy, s.getBucketPolicy, everywhere[s3api.GetBucketPolicyInput]())
	gateway.Handle(m, s3api.DeleteBucketPolicy, s.mayDeleteBucketPolicy, s.deleteBucketPolicy, everywhere[s3api.DeleteBucketPolicyInput]())
	gateway.Handle(m, s3api.GetBucketPolicyStatus, s.mayGetBucketPolicyStatus, s.getBucketPolicyStatus, everywhere[s3api.GetBucketPolicyStatusInput]())
	gateway.Handle(m, s3api.PutPublicAccessBlock, s.mayPutPublicAccessBlock, s.putPublicAccessBlock, everywhere[s3api.PutPublicAccessBlockInput]())
	gateway.Handle(m, s3api.GetPublicAccessBlock, s.mayGetPublicAccessBlock, s.getPublicAccessBlock, everywhere[s3api.GetPublicAccessBlockInput]())
	gateway.Handle(m, s3api.DeletePublicAccessBlock, s.mayDeletePublicAccessBlock, s.deletePublicAccessBlock, everywhere[s3api.DeletePublicAccessBlockInput]())
	gateway.Handle(m, s3api.PutBucketOwnershipControls, s.mayPutBucketOwnershipControls, s.putBucketOwnershipControls, everywhere[s3api.PutBucketOwnershipControlsInput]())
	gateway.Handle(m, s3api.GetBucketOwnershipControls, s.mayGetBucketOwnershipControls, s.getBucketOwnershipControls, everywhere[s3api.GetBucketOwnershipControlsInput]())
	gateway.Handle(m, s3api.DeleteBucketOwnershipControls, s.mayDeleteBucketOwnershipControls, s.deleteBucketOwnershipControls, everywhere[s3api.DeleteBucketOwnershipControlsInput]())
	gateway.Handle(m, s3api.PutBucketEncryption, s.mayPutBucketEncryption, s.putBucketEncryption, everywhere[s3api.PutBucketEncryptionInput]())
	gateway.Handle(m, s3api.GetBucketEncryption, s.mayGetBucketEncryption, s.getBucketEncryption, everywhere[s3api.GetBucketEncryptionInput]())
	gateway.Handle(m, s3api.DeleteBucketEncryption, s.mayDeleteBucketEncryption, s.deleteBucketEncryption, everywhere[s3api.DeleteBucketEncryptionInput]())

	gateway.Handle(m, s3api.ListObjects, s.mayListObjects, s.listObjects, within(func(in *s3api.ListObjectsInput) *string { return in.Bucket }))
	gateway.Handle(m, s3api.ListObjectsV2, s.mayListObjectsV2, s.listObjectsV2, within(func(in *s3api.ListObjectsV2Input) *string { return in.Bucket }))

	gateway.Handle(m, s3api.PutObject, s.mayPutObject, s.putObject, within(func(in *s3api.PutObjectInput) *string { return in.Bucket }), gateway.Spool[s3api.PutObjectInput]())
	gateway.Handle(m, s3api.GetObject, s.mayGetObject, s.getObject, within(func(in *s3api.GetObjectInput) *string { return in.Bucket }))
	gateway.Handle(m, s3api.HeadObject, s.mayHeadObject, s.headObject, within(func(in *s3api.HeadObjectInput) *string { return in.Bucket }))
	gateway.Handle(m, s3api.DeleteObject, s.mayDeleteObject, s.deleteObject, within(func(in *s3api.DeleteObjectInput) *string { return in.Bucket }))
	gateway.Handle(m, s3api.DeleteObjects, s.mayDeleteObjects, s.deleteObjects, within(func(in *s3api.DeleteObjectsInput) *string { return in.Bucket }), gateway.AsksItself[s3api.DeleteObjectsInput]())
	gateway.Handle(m, s3api.CopyObject, s.mayCopyObject, s.copyObject, within(func(in *s3api.CopyObjectInput) *string { return in.Bucket }))
	gateway.Handle(m, s3api.GetObjectAttributes, s.mayGetObjectAttributes, s.getObjectAttributes, within(func(in *s3api.GetObjectAttributesInput) *string { return in.Bucket }))

	gateway.Handle(m, s3api.CreateMultipartUpload, s.mayCreateMultipartUpload, s.createMultipartUpload, within(func(in *s3api.CreateMultipartUploadInput) *string { return in.Bucket }))
	gateway.Handle(m, s3api.UploadPart, s.mayUploadPart, s.uploadPart, within(func(in *s3api.UploadPartInput) *string { return in.Bucket }), gateway.Spool[s3api.UploadPartInput]())
	gateway.Handle(m, s3api.UploadPartCopy, s.mayUploadPartCopy, s.uploadPartCopy, within(func(in *s3api.UploadPartCopyInput) *string { return in.Bucket }))
	gateway.Handle(m, s3api.CompleteMultipartUpload, s.mayCompleteMultipartUpload, s.completeMultipartUpload, within(func(in *s3api.CompleteMultipartUploadInput) *string { return in.Bucket }))
	gateway.Handle(m, s3api.AbortMultipartUpload, s.mayAbortMultipartUpload, s.abortMultipartUpload, within(func(in *s3api.AbortMultipartUploadInput) *string { return in.Bucket }))
	gateway.Handle(m, s3api.ListParts, s.mayListParts, s.listParts, within(func(in *s3api.ListPartsInput) *string { return in.Bucket }))
	gateway.Handle(m, s3api.ListMultipartUploads, s.mayListMultipartUploads, s.listMultipartUploads, within(func(in *s3api.ListMultipartUploadsInput) *string { return in.Bucket }))

	gateway.Handle(m, s3api.GetObjectTagging, s.mayGetObjectTagging, s.getObjectTagging, within(func(in *s3api.GetObjectTaggingInput) *string { return in.Bucket }))
	gateway.Handle(m, s3api.PutObjectTagging, s.mayPutObjectTagging, s.putObjectTagging, within(func(in *s3api.PutObjectTaggingInput) *string { return in.Bucket }))
	gateway.Handle(m, s3api.DeleteObjectTagging, s.mayDeleteObjectTagging, s.deleteObjectTagging, within(func(in *s3api.DeleteObjectTaggingInput) *string { return in.Bucket }))
}

// everywhere makes the shard of the buckets the home of an operation.
func everywhere[In any]() gateway.Option[In] {
	return gateway.In(func(*gateway.Call, *In) string { return bucketsShard })
}

// within makes the shard of a bucket's contents the home of an operation.
func within[In any](bucket func(*In) *string) gateway.Option[In] {
	return gateway.In(func(_ *gateway.Call, in *In) string { return contentsShard(api.Value(bucket(in))) })
}
