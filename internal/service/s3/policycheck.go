package s3

import (
	"bytes"
	"encoding/json"
	"net/http"
	"slices"
	"strings"

	"github.com/remit-ecs/remit/arn"
	"github.com/remit-ecs/remit/internal/api"
	"github.com/remit-ecs/remit/internal/gateway"
	"github.com/remit-ecs/remit/internal/resourcepolicy"
	"github.com/remit-ecs/remit/policy"
)

// maxPolicy is how large a bucket policy may be, in bytes.
// https://docs.aws.amazon.com/AmazonS3/latest/userguide/bucket-policies.html
const maxPolicy = 20 << 10

func malformedPolicy(text string) *api.Error {
	return clientError("MalformedPolicy", http.StatusBadRequest, text)
}

// draft reads a policy for a bucket, refusing it in S3's words. Observed:
// https://github.com/versity/versitygw/issues/645, 648, 649.
func (s *Service) draft(c *gateway.Call, name, account, text string) (*resourcepolicy.Draft, error) {
	if !bytes.HasPrefix(bytes.TrimSpace([]byte(text)), []byte("{")) || !json.Valid([]byte(text)) {
		return nil, malformedPolicy("Policies must be valid JSON and the first byte must be '{'")
	}
	if policy.Size([]byte(text)) > maxPolicy {
		return nil, clientError("PolicyTooLarge", http.StatusBadRequest, "Normalized policy document exceeds the maximum allowed size of 20480 bytes.")
	}
	if field := lacks(text); field != "" {
		return nil, malformedPolicy("Missing required field " + field)
	}
	d, err := resourcepolicy.New(c.Tx, s.principals, account, text)
	switch {
	case err != nil:
		return nil, malformedPolicy("Invalid policy syntax.").Because(err)
	case len(d.Missing) > 0:
		return nil, malformedPolicy("Invalid principal in policy")
	}
	for i := range d.Outline.Statements {
		if err := checkStatement(&d.Outline.Statements[i], name); err != nil {
			return nil, err
		}
	}
	return d, nil
}

// lacks names a required element that the policy or a statement does not have.
func lacks(text string) string {
	var whole map[string]json.RawMessage
	if json.Unmarshal([]byte(text), &whole) != nil {
		return ""
	}
	raw, ok := whole["Statement"]
	if !ok {
		return "Statement"
	}
	var list []map[string]json.RawMessage
	if json.Unmarshal(raw, &list) != nil {
		var one map[string]json.RawMessage
		if json.Unmarshal(raw, &one) != nil {
			return ""
		}
		list = []map[string]json.RawMessage{one}
	}
	for _, st := range list {
		for _, field := range []string{"Effect", "Principal", "Action", "Resource"} {
			_, has := st[field]
			_, hasNot := st["Not"+field]
			if !has && !hasNot {
				return field
			}
		}
	}
	return ""
}

// checkStatement holds a statement's actions, resources and condition keys
// against what S3 has.
func checkStatement(st *resourcepolicy.Statement, bucket string) error {
	if len(st.Principals["CanonicalUser"]) > 0 {
		return malformedPolicy("Invalid principal in policy") // DIVERGENCES.md
	}
	var onBucket, onObject bool
	for _, r := range slices.Concat(st.Resources, st.NotResources) {
		rest, ok := strings.CutPrefix(r, bucketARN(bucket))
		switch {
		case ok && rest == "":
			onBucket = true
		case ok && rest[0] == '/':
			onObject = true
		case ok && rest == "*": // the bucket and everything in it
			onBucket, onObject = true, true
		default:
			return malformedPolicy("Policy has invalid resource")
		}
	}
	for _, a := range slices.Concat(st.Actions, st.NotActions) {
		bucketAction, objectAction, ok := actionKinds(a)
		if !ok {
			return malformedPolicy("Policy has invalid action")
		}
		if len(st.Actions) > 0 && !(bucketAction && onBucket) && !(objectAction && onObject) {
			return malformedPolicy("Action does not apply to any resource(s) in statement")
		}
	}
	for _, cond := range st.Conditions {
		key := strings.ToLower(cond.Key)
		if head, _, ok := strings.Cut(key, "/"); ok {
			key = head + "/"
		}
		if strings.HasPrefix(key, "s3:") && !slices.Contains(conditionKeys, key) {
			return malformedPolicy("Policy has an invalid condition key")
		}
	}
	return nil
}

// actionKinds tells whether an action of a policy, which may have wildcards,
// is about buckets, about objects, or about both; false for what is none of
// S3's.
func actionKinds(text string) (onBucket, onObject, ok bool) {
	if text == "*" {
		return true, true, true
	}
	service, pattern, found := strings.Cut(strings.ToLower(text), ":")
	if !found || service != "s3" {
		return false, false, false
	}
	matches := func(name string) bool { return arn.Glob(pattern, strings.ToLower(name)) }
	onBucket, onObject = slices.ContainsFunc(bucketActions, matches), slices.ContainsFunc(objectActions, matches)
	return onBucket, onObject, onBucket || onObject
}

// The actions that a bucket policy can be about, by the kind of their resource.
// https://docs.aws.amazon.com/service-authorization/latest/reference/list_amazons3.html
var (
	bucketActions = strings.Fields(`
		AllowVendedLogDeliveryForResource CreateBucket CreateBucketMetadataTableConfiguration DeleteBucket DeleteBucketMetadataTableConfiguration
		DeleteBucketPolicy DeleteBucketWebsite GetAccelerateConfiguration GetAnalyticsConfiguration GetBucketAbac GetBucketAcl GetBucketCORS
		GetBucketLocation GetBucketLogging GetBucketMetadataTableConfiguration GetBucketNotification GetBucketObjectLockConfiguration
		GetBucketOwnershipControls GetBucketPolicy GetBucketPolicyStatus GetBucketPublicAccessBlock GetBucketRequestPayment GetBucketTagging
		GetBucketVersioning GetBucketWebsite GetEncryptionConfiguration GetIntelligentTieringConfiguration GetInventoryConfiguration
		GetLifecycleConfiguration GetMetricsConfiguration GetReplicationConfiguration ListBucket ListBucketMultipartUploads ListBucketVersions
		ListTagsForResource PauseReplication PutAccelerateConfiguration PutAnalyticsConfiguration PutBucketAbac PutBucketAcl PutBucketCORS PutBucketLogging
		PutBucketNotification PutBucketObjectLockConfiguration PutBucketOwnershipControls PutBucketPolicy PutBucketPublicAccessBlock PutBucketRequestPayment
		PutBucketTagging PutBucketVersioning PutBucketWebsite PutEncryptionConfiguration PutIntelligentTieringConfiguration PutInventoryConfiguration
		PutLifecycleConfiguration PutMetricsConfiguration PutReplicationConfiguration TagResource UntagResource
		UpdateBucketMetadataAnnotationTableConfiguration UpdateBucketMetadataInventoryTableConfiguration UpdateBucketMetadataJournalTableConfiguration`)
	objectActions = strings.Fields(`
		AbortMultipartUpload BypassGovernanceRetention DeleteObject DeleteObjectAnnotation DeleteObjectTagging DeleteObjectVersion
		DeleteObjectVersionAnnotation DeleteObjectVersionTagging GetObject GetObjectAcl GetObjectAnnotation GetObjectAttributes GetObjectLegalHold
		GetObjectRetention GetObjectTagging GetObjectTorrent GetObjectVersion GetObjectVersionAcl GetObjectVersionAnnotation
		GetObjectVersionAnnotationForReplication GetObjectVersionAttributes GetObjectVersionForReplication GetObjectVersionTagging GetObjectVersionTorrent
		InitiateReplication ListMultipartUploadParts ListObjectAnnotations ListObjectVersionAnnotations ObjectOwnerOverrideToBucketOwner PutObject
		PutObjectAcl PutObjectAnnotation PutObjectLegalHold PutObjectRetention PutObjectTagging PutObjectVersionAcl PutObjectVersionAnnotation
		PutObjectVersionTagging ReplicateDelete ReplicateObject ReplicateObjectAnnotation ReplicateTags RestoreObject UpdateObjectEncryption`)
)

// conditionKeys are S3's own condition keys, lower case.
var conditionKeys = strings.Fields(`
	s3:accessgrantscope s3:accessgrantsinstancearn s3:accessgrantslocationscope s3:accesspointnetworkorigin s3:accesspointtag/ s3:annotation-prefix
	s3:authtype s3:buckettag/ s3:dataaccesspointaccount s3:dataaccesspointarn s3:delimiter s3:deliverysourcearn s3:destinationregion
	s3:existingjoboperation s3:existingjobpriority s3:existingobjecttag/ s3:if-match s3:if-none-match s3:inventoryaccessibleoptionalfields
	s3:isreplicationpauserequest s3:jobsuspendedcause s3:locationconstraint s3:logtype s3:max-annotation-results s3:max-keys s3:object-lock-event-hold
	s3:object-lock-event-hold-duration-days s3:object-lock-legal-hold s3:object-lock-mode s3:object-lock-remaining-retention-days
	s3:object-lock-retain-until-date s3:objectcreationoperation s3:prefix s3:requestjoboperation s3:requestjobpriority s3:requestobjecttag/
	s3:requestobjecttagkeys s3:resourceaccount s3:resourcearnbeingauthorized s3:signatureage s3:signatureversion s3:tlsversion s3:versionid s3:x-amz-acl
	s3:x-amz-bucket-namespace s3:x-amz-content-sha256 s3:x-amz-copy-source s3:x-amz-grant-full-control s3:x-amz-grant-read s3:x-amz-grant-read-acp
	s3:x-amz-grant-write s3:x-amz-grant-write-acp s3:x-amz-metadata-directive s3:x-amz-object-annotation-directive s3:x-amz-object-if-match
	s3:x-amz-object-ownership s3:x-amz-server-side-encryption s3:x-amz-server-side-encryption-aws-kms-key-id
	s3:x-amz-server-side-encryption-customer-algorithm s3:x-amz-storage-class s3:x-amz-website-redirect-location`)
