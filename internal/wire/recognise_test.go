// SPDX-License-Identifier: Apache-2.0

package wire_test

import (
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/remit-ecs/remit/internal/wire"
)

func TestRecognise(t *testing.T) {
	const form = "application/x-www-form-urlencoded"
	for _, c := range []struct {
		request string // METHOD URL
		header  string // Name: value
		signing string
		body    string
		want    string // action, or error code
	}{
		{"POST http://h/", "X-Amz-Target: AmazonEC2ContainerServiceV20141113.RunTask", "ecs", "{}", "ecs:RunTask"},
		{"POST http://h/", "X-Amz-Target: AmazonEC2ContainerServiceV20141113.RunTask", "", "{}", "ecs:RunTask"},
		{"POST http://h/", "X-Amz-Target: com.amazonaws.cloudtrail.v20131101.CloudTrail_20131101.LookupEvents", "cloudtrail", "", "cloudtrail:LookupEvents"},
		{"POST http://h/", "X-Amz-Target: Logs_20140328.StartQuery", "logs", "", "logs:StartQuery"},
		{"POST http://h/", "X-Amz-Target: AmazonEC2ContainerServiceV20141113.RunTask", "iam", "{}", "InvalidSignatureException"},
		{"POST http://h/", "X-Amz-Target: AmazonEC2ContainerServiceV20141113.runTask", "ecs", "{}", "UnknownOperationException"},
		{"POST http://h/", "X-Amz-Target: Nobody.RunTask", "ecs", "{}", "UnknownOperationException"},
		{"POST http://h/", "X-Amz-Target: RunTask", "ecs", "{}", "UnknownOperationException"},
		{"GET http://h/", "X-Amz-Target: AmazonEC2ContainerServiceV20141113.RunTask", "ecs", "", "UnknownOperationException"},
		{"POST http://h/", "", "ecs", "{}", "UnknownOperationException"},
		{"POST http://h/", "", "dynamodb", "{}", "UnknownOperationException"},

		{"POST http://h/", "Content-Type: " + form, "iam", "Action=GetUser&Version=2010-05-08", "iam:GetUser"},
		{"GET http://h/?Action=GetUser&Version=2010-05-08", "", "iam", "", "iam:GetUser"},
		{"POST http://h/?Action=GetUser&Version=2010-05-08", "", "iam", "", "iam:GetUser"},
		{"POST http://h/", "Content-Type: " + form, "", "Action=AssumeRoleWithWebIdentity&Version=2011-06-15", "sts:AssumeRoleWithWebIdentity"},
		{"POST http://h/", "Content-Type: " + form, "sts", "Action=GetUser&Version=2010-05-08", "InvalidAction"},
		{"POST http://h/", "Content-Type: " + form, "iam", "Action=GetUser&Version=2011-06-15", "InvalidAction"},
		{"POST http://h/", "Content-Type: " + form, "iam", "Action=GetUser", "InvalidAction"},
		{"POST http://h/", "Content-Type: " + form, "iam", "Action=GetUser&Action=DeleteUser&Version=2010-05-08", "MalformedInput"},
		{"POST http://h/?Action=GetUser", "Content-Type: " + form, "iam", "Action=DeleteUser&Version=2010-05-08", "MalformedInput"},
		{"PUT http://h/?Action=GetUser&Version=2010-05-08", "", "iam", "", "InvalidAction"},

		{"GET http://h/", "", "s3", "", "s3:ListBuckets"},
		{"GET http://h/b", "", "s3", "", "s3:ListObjects"},
		{"GET http://h/b/", "", "", "", "s3:ListObjects"},
		{"GET http://b.s3.eu-west-1.h/", "", "s3", "", "s3:ListObjects"},
		{"GET http://b.s3.eu-west-1.h/k?x-id=GetObject", "", "s3", "", "s3:GetObject"},
		{"GET http://h/b?list-type=2&prefix=x", "", "s3", "", "s3:ListObjectsV2"},
		{"GET http://h/b?location", "", "s3", "", "s3:GetBucketLocation"},
		{"GET http://h/b?location=", "", "s3", "", "s3:GetBucketLocation"},
		{"GET http://h/b?uploads", "", "s3", "", "s3:ListMultipartUploads"},
		{"GET http://h/b?versions", "", "s3", "", "s3:ListObjectVersions"},
		{"GET http://h/b?website", "", "s3", "", "s3:GetBucketWebsite"},
		{"PUT http://h/b", "", "s3", "", "s3:CreateBucket"},
		{"PUT http://h/b?tagging", "", "s3", "", "s3:PutBucketTagging"},
		{"HEAD http://h/b", "", "s3", "", "s3:HeadBucket"},
		{"HEAD http://h/b/k", "", "s3", "", "s3:HeadObject"},
		{"DELETE http://h/b", "", "s3", "", "s3:DeleteBucket"},
		{"DELETE http://h/b?policy", "", "s3", "", "s3:DeleteBucketPolicy"},
		{"DELETE http://h/b?acl", "", "s3", "", "MethodNotAllowed"},
		{"DELETE http://h/b?versioning", "", "s3", "", "MethodNotAllowed"},
		{"POST http://h/b?delete", "", "s3", "", "s3:DeleteObjects"},
		{"POST http://h/b", "", "s3", "", "MethodNotAllowed"},
		{"PUT http://h/b/k", "", "s3", "", "s3:PutObject"},
		{"PUT http://h/b/k?x-id=PutObject", "", "s3", "", "s3:PutObject"},
		{"PUT http://h/b/k", "X-Amz-Copy-Source: a/b", "s3", "", "s3:CopyObject"},
		{"PUT http://h/b/k?partNumber=1&uploadId=u", "", "s3", "", "s3:UploadPart"},
		{"PUT http://h/b/k?partNumber=1&uploadId=u", "X-Amz-Copy-Source: a/b", "s3", "", "s3:UploadPartCopy"},
		{"PUT http://h/b/k?uploadId=u", "", "s3", "", "MethodNotAllowed"},
		{"GET http://h/b/k?partNumber=1", "", "s3", "", "s3:GetObject"},
		{"GET http://h/b/k?uploadId=u", "", "s3", "", "s3:ListParts"},
		{"DELETE http://h/b/k", "", "s3", "", "s3:DeleteObject"},
		{"DELETE http://h/b/k?versionId=1", "", "s3", "", "s3:DeleteObject"},
		{"DELETE http://h/b/k?uploadId=u", "", "s3", "", "s3:AbortMultipartUpload"},
		{"DELETE http://h/b/k?tagging", "", "s3", "", "s3:DeleteObjectTagging"},
		{"DELETE http://h/b/k?acl", "", "s3", "", "MethodNotAllowed"},
		{"POST http://h/b/k?uploads", "", "s3", "", "s3:CreateMultipartUpload"},
		{"POST http://h/b/k?uploadId=u", "", "s3", "", "s3:CompleteMultipartUpload"},
		{"GET http://h/b?tagging&acl", "", "s3", "", "MethodNotAllowed"},
		{"PATCH http://h/b", "", "s3", "", "MethodNotAllowed"},
	} {
		method, url, _ := strings.Cut(c.request, " ")
		r := httptest.NewRequest(method, url, nil)
		if name, value, ok := strings.Cut(c.header, ": "); ok {
			r.Header.Set(name, value)
		}
		op, err := wire.Recognise(services, r, c.signing, []byte(c.body))
		got := ""
		switch {
		case err != nil && op != nil:
			got = wire.Spell(op.Service, err).Code
		case err != nil:
			got = wire.Spell(nil, err).Code
		default:
			got = op.Action()
		}
		if got != c.want {
			t.Errorf("%s (%s, %s, %s): %s, want %s", c.request, c.header, c.signing, c.body, got, c.want)
		}
	}
}
