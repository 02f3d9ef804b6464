// SPDX-License-Identifier: Apache-2.0

package wire_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/ecs"
	ecstypes "github.com/aws/aws-sdk-go-v2/service/ecs/types"
	"github.com/aws/aws-sdk-go-v2/service/iam"
	iamtypes "github.com/aws/aws-sdk-go-v2/service/iam/types"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	s3types "github.com/aws/aws-sdk-go-v2/service/s3/types"
	"github.com/aws/aws-sdk-go-v2/service/secretsmanager"
	smtypes "github.com/aws/aws-sdk-go-v2/service/secretsmanager/types"
	"github.com/aws/aws-sdk-go-v2/service/sts"
	"github.com/aws/smithy-go"

	"github.com/remit-ecs/remit/internal/api"
	"github.com/remit-ecs/remit/internal/api/cloudtrailapi"
	"github.com/remit-ecs/remit/internal/api/ecrapi"
	"github.com/remit-ecs/remit/internal/api/ecsapi"
	"github.com/remit-ecs/remit/internal/api/iamapi"
	"github.com/remit-ecs/remit/internal/api/logsapi"
	"github.com/remit-ecs/remit/internal/api/s3api"
	"github.com/remit-ecs/remit/internal/api/secretsmanagerapi"
	"github.com/remit-ecs/remit/internal/api/ssmapi"
	"github.com/remit-ecs/remit/internal/api/stsapi"
	"github.com/remit-ecs/remit/internal/wire"
)

var services = []*api.Service{ecsapi.API, iamapi.API, stsapi.API, ecrapi.API, logsapi.API,
	secretsmanagerapi.API, ssmapi.API, s3api.API, cloudtrailapi.API}

// signingName reads the service out of the credential scope, without checking
// anything.
func signingName(r *http.Request) string {
	_, scope, ok := strings.Cut(r.Header.Get("Authorization"), "Credential=")
	if !ok {
		return ""
	}
	scope, _, _ = strings.Cut(scope, ",")
	parts := strings.Split(scope, "/")
	if len(parts) != 5 {
		return ""
	}
	return parts[3]
}

// serve answers real SDK clients with what do returns for the decoded input.
func serve(t *testing.T, do func(op *api.OpInfo, in any) (any, error)) string {
	t.Helper()
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		const id = "11111111-2222-3333-4444-555555555555"
		body, err := io.ReadAll(r.Body)
		if err != nil {
			t.Error(err)
		}
		op, aerr := wire.Recognise(services, r, signingName(r), body)
		if aerr != nil {
			var svc *api.Service
			if op != nil {
				svc = op.Service
			}
			wire.EncodeError(svc, w, id, aerr)
			return
		}
		if !op.Served() {
			wire.EncodeError(op.Service, w, id, api.NotImplemented(op.Action()))
			return
		}
		req := wire.Request{HTTP: r, Body: body}
		if op.StreamingInput {
			req.Stream = io.NopCloser(bytes.NewReader(body))
		}
		in := op.NewInput()
		if aerr := wire.DecodeInput(op, req, in); aerr != nil {
			wire.EncodeError(op.Service, w, id, aerr)
			return
		}
		if aerr := wire.Validate(op, in); aerr != nil {
			wire.EncodeError(op.Service, w, id, aerr)
			return
		}
		out, err := do(op, in)
		if err != nil {
			var e *api.Error
			if !errors.As(err, &e) {
				e = api.Internal(err)
			}
			wire.EncodeError(op.Service, w, id, e)
			return
		}
		if err := wire.ValidateOutput(op, out); err != nil {
			t.Error(err)
		}
		if err := wire.EncodeOutput(op, w, id, out); err != nil {
			t.Error(err)
		}
	}))
	t.Cleanup(s.Close)
	return s.URL
}

func config(url string) aws.Config {
	return aws.Config{
		Region:           "eu-west-1",
		BaseEndpoint:     &url,
		Credentials:      credentials.NewStaticCredentialsProvider("AKIDEXAMPLE", "secret", ""),
		RetryMaxAttempts: 1,
	}
}

func code(err error) string {
	var e smithy.APIError
	if errors.As(err, &e) {
		return e.ErrorCode() + ": " + e.ErrorMessage()
	}
	return "no API error: " + errors.Unwrap(err).Error()
}

func TestSDKJSON(t *testing.T) {
	at := time.Unix(1700000000, 123e6).UTC()
	url := serve(t, func(op *api.OpInfo, in any) (any, error) {
		switch in := in.(type) {
		case *ecsapi.RegisterTaskDefinitionInput:
			return &ecsapi.RegisterTaskDefinitionOutput{
				TaskDefinition: &ecsapi.TaskDefinition{
					Family: in.Family, ContainerDefinitions: in.ContainerDefinitions, Volumes: in.Volumes,
					RegisteredAt: api.At(at), Revision: api.Ptr[int32](3), NetworkMode: in.NetworkMode,
				},
				Tags: in.Tags,
			}, nil
		case *ecsapi.DeleteClusterInput:
			return nil, ecsapi.ClusterNotFoundException("Cluster not found.")
		case *ecsapi.RunTaskInput:
			return nil, api.AccessDenied("no")
		case *ecsapi.ListClustersInput:
			return nil, api.NotImplemented("ecs:ListClusters")
		}
		t.Errorf("%s called with %T", op.Name, in)
		return nil, api.Internal(nil)
	})
	c := ecs.NewFromConfig(config(url))
	ctx := context.Background()
	containers := []ecstypes.ContainerDefinition{{
		Name: aws.String("app"), Image: aws.String("busybox \"quoted\" \u00e9\u2028\U0001F600 <&>"), Cpu: 7, Essential: aws.Bool(false),
		Command:          []string{"sh", "-c", "echo\n\ttab"},
		Environment:      []ecstypes.KeyValuePair{{Name: aws.String("A"), Value: aws.String("")}},
		DockerLabels:     map[string]string{"b": "2", "a": "1"},
		LogConfiguration: &ecstypes.LogConfiguration{LogDriver: ecstypes.LogDriverAwslogs, Options: map[string]string{"awslogs-group": "g"}},
		PortMappings:     []ecstypes.PortMapping{{ContainerPort: aws.Int32(80), Protocol: ecstypes.TransportProtocolTcp}},
	}}
	out, err := c.RegisterTaskDefinition(ctx, &ecs.RegisterTaskDefinitionInput{
		Family: aws.String("web"), NetworkMode: ecstypes.NetworkModeAwsvpc, ContainerDefinitions: containers,
		Tags: []ecstypes.Tag{{Key: aws.String("k"), Value: aws.String("v")}},
	})
	if err != nil {
		t.Fatal(err)
	}
	td := out.TaskDefinition
	if !reflect.DeepEqual(td.ContainerDefinitions, containers) {
		t.Errorf("containers came back as %+v", td.ContainerDefinitions)
	}
	if !td.RegisteredAt.Equal(at) || td.Revision != 3 || *td.Family != "web" || td.NetworkMode != ecstypes.NetworkModeAwsvpc {
		t.Errorf("came back as %+v", td)
	}
	if len(out.Tags) != 1 || *out.Tags[0].Value != "v" || td.Volumes != nil {
		t.Errorf("tags %v, volumes %v", out.Tags, td.Volumes)
	}
	_, err = c.DeleteCluster(ctx, &ecs.DeleteClusterInput{Cluster: aws.String("x")})
	var notFound *ecstypes.ClusterNotFoundException
	if !errors.As(err, &notFound) || *notFound.Message != "Cluster not found." {
		t.Errorf("DeleteCluster: %v", err)
	}
	if _, err = c.RunTask(ctx, &ecs.RunTaskInput{TaskDefinition: aws.String("web")}); code(err) != "AccessDeniedException: no" {
		t.Errorf("RunTask: %v", err)
	}
	if _, err = c.ListClusters(ctx, &ecs.ListClustersInput{}); code(err) != "NotImplemented: ecs:ListClusters" {
		t.Errorf("ListClusters: %v", err)
	}
	_, err = c.RunTask(ctx, &ecs.RunTaskInput{TaskDefinition: aws.String("web"), LaunchType: "MOON"})
	if code(err) != "InvalidParameterException: 1 validation error detected: Value 'MOON' at 'launchType' failed to satisfy constraint: Member must satisfy enum value set: [EC2, FARGATE, EXTERNAL, MANAGED_INSTANCES]" {
		t.Errorf("RunTask: %v", err)
	}
}

func TestSDKJSONBlobs(t *testing.T) {
	url := serve(t, func(op *api.OpInfo, in any) (any, error) {
		switch in := in.(type) {
		case *secretsmanagerapi.CreateSecretInput:
			if !bytes.Equal(in.SecretBinary, []byte{0, 1, 254, 255}) || in.ClientRequestToken == nil {
				t.Errorf("CreateSecret: %+v", in)
			}
			return &secretsmanagerapi.CreateSecretOutput{ARN: api.Ptr("arn:aws:secretsmanager:eu-west-1:111122223333:secret:s-AbCdEf"), Name: in.Name}, nil
		case *secretsmanagerapi.GetSecretValueInput:
			return nil, secretsmanagerapi.ResourceNotFoundException("Secrets Manager can't find the specified secret.")
		}
		return nil, api.Internal(nil)
	})
	c := secretsmanager.NewFromConfig(config(url))
	out, err := c.CreateSecret(context.Background(), &secretsmanager.CreateSecretInput{Name: aws.String("s"), SecretBinary: []byte{0, 1, 254, 255}})
	if err != nil || *out.Name != "s" {
		t.Errorf("CreateSecret: %+v, %v", out, err)
	}
	_, err = c.GetSecretValue(context.Background(), &secretsmanager.GetSecretValueInput{SecretId: aws.String("s")})
	var notFound *smtypes.ResourceNotFoundException
	if !errors.As(err, &notFound) || *notFound.Message != "Secrets Manager can't find the specified secret." {
		t.Errorf("GetSecretValue: %v", err)
	}
}

func TestSDKQuery(t *testing.T) {
	at := time.Unix(1700000000, 0).UTC()
	const trust = `{"Statement":[{"Effect":"Allow","Principal":"*","Action":"sts:AssumeRole"}]}`
	url := serve(t, func(op *api.OpInfo, in any) (any, error) {
		switch in := in.(type) {
		case *iamapi.CreateRoleInput:
			if *in.AssumeRolePolicyDocument != trust || *in.MaxSessionDuration != 7200 {
				t.Errorf("CreateRole: %+v", in)
			}
			return &iamapi.CreateRoleOutput{Role: &iamapi.Role{
				Path: api.Ptr("/"), RoleName: in.RoleName, RoleId: api.Ptr("AROAEXAMPLEEXAMPLE"), CreateDate: api.At(at),
				Arn: api.Ptr("arn:aws:iam::111122223333:role/app"), Tags: in.Tags, Description: api.Ptr("<&> \r\n\té"),
			}}, nil
		case *iamapi.ListRolesInput:
			return &iamapi.ListRolesOutput{Roles: []iamapi.Role{}, IsTruncated: api.Ptr(false)}, nil
		case *iamapi.DeleteRoleInput:
			return nil, nil
		case *iamapi.GetRoleInput:
			return nil, iamapi.NoSuchEntityException("The role with name %s cannot be found.", *in.RoleName)
		case *iamapi.SimulateCustomPolicyInput:
			if len(in.PolicyInputList) != 2 || len(in.ContextEntries) != 1 || len(in.ContextEntries[0].ContextKeyValues) != 2 {
				t.Errorf("SimulateCustomPolicy: %+v", in)
			}
			return &iamapi.SimulateCustomPolicyOutput{EvaluationResults: []iamapi.EvaluationResult{{
				EvalActionName: api.Ptr("ecs:RunTask"), EvalDecision: iamapi.PolicyEvaluationDecisionTypeAllowed,
				EvalDecisionDetails: map[string]iamapi.PolicyEvaluationDecisionType{"one": "allowed", "two": "explicitDeny"},
			}}}, nil
		case *stsapi.GetCallerIdentityInput:
			return &stsapi.GetCallerIdentityOutput{Account: api.Ptr("111122223333"), UserId: api.Ptr("AIDA"), Arn: api.Ptr("arn:aws:iam::111122223333:user/a")}, nil
		case *stsapi.AssumeRoleWithWebIdentityInput:
			return nil, api.AccessDenied("not you")
		}
		return nil, api.Internal(nil)
	})
	ctx := context.Background()
	c := iam.NewFromConfig(config(url))
	out, err := c.CreateRole(ctx, &iam.CreateRoleInput{RoleName: aws.String("app"), AssumeRolePolicyDocument: aws.String(trust),
		MaxSessionDuration: aws.Int32(7200), Tags: []iamtypes.Tag{{Key: aws.String("k"), Value: aws.String("v + w")}, {Key: aws.String("l"), Value: aws.String("")}}})
	if err != nil {
		t.Fatal(err)
	}
	if r := out.Role; !r.CreateDate.Equal(at) || len(r.Tags) != 2 || *r.Tags[0].Value != "v + w" || *r.Description != "<&> \r\n\té" {
		t.Errorf("CreateRole: %+v", r)
	}
	list, err := c.ListRoles(ctx, &iam.ListRolesInput{})
	if err != nil || list.Roles == nil || list.IsTruncated {
		t.Errorf("ListRoles: %+v %v", list, err)
	}
	if _, err = c.DeleteRole(ctx, &iam.DeleteRoleInput{RoleName: aws.String("app")}); err != nil {
		t.Errorf("DeleteRole: %v", err)
	}
	_, err = c.GetRole(ctx, &iam.GetRoleInput{RoleName: aws.String("app")})
	var none *iamtypes.NoSuchEntityException
	if !errors.As(err, &none) || *none.Message != "The role with name app cannot be found." {
		t.Errorf("GetRole: %v", err)
	}
	_, err = c.GetRole(ctx, &iam.GetRoleInput{RoleName: aws.String(strings.Repeat("a", 65))})
	if want := "ValidationError: 1 validation error detected: Value '" + strings.Repeat("a", 65) + "' at 'roleName' failed to satisfy constraint: Member must have length less than or equal to 64"; code(err) != want {
		t.Errorf("GetRole: %v", err)
	}
	sim, err := c.SimulateCustomPolicy(ctx, &iam.SimulateCustomPolicyInput{
		PolicyInputList: []string{"{}", "{}"}, ActionNames: []string{"ecs:RunTask"},
		ContextEntries: []iamtypes.ContextEntry{{ContextKeyName: aws.String("aws:x"), ContextKeyType: iamtypes.ContextKeyTypeEnumStringList, ContextKeyValues: []string{"a", "b"}}},
	})
	if err != nil || sim.EvaluationResults[0].EvalDecisionDetails["two"] != "explicitDeny" {
		t.Errorf("SimulateCustomPolicy: %+v %v", sim, err)
	}
	s := sts.NewFromConfig(config(url))
	who, err := s.GetCallerIdentity(ctx, &sts.GetCallerIdentityInput{})
	if err != nil || *who.Account != "111122223333" {
		t.Errorf("GetCallerIdentity: %+v %v", who, err)
	}
	_, err = s.AssumeRoleWithWebIdentity(ctx, &sts.AssumeRoleWithWebIdentityInput{RoleArn: aws.String("arn:aws:iam::111122223333:role/app"), RoleSessionName: aws.String("s1"), WebIdentityToken: aws.String("a.b.c.d")})
	if code(err) != "AccessDenied: not you" {
		t.Errorf("AssumeRoleWithWebIdentity: %v", err)
	}
}

func TestSDKS3(t *testing.T) {
	at := time.Unix(1700000000, 0).UTC()
	url := serve(t, func(op *api.OpInfo, in any) (any, error) {
		switch in := in.(type) {
		case *s3api.PutObjectInput:
			b, err := io.ReadAll(in.Body)
			if err != nil || !bytes.Contains(b, []byte("hello")) || *in.Key != "a b/ü+?.txt" || in.Metadata["color"] != "Blue" || *in.ContentType != "text/plain" {
				t.Errorf("PutObject: %q %+v", b, in)
			}
			return &s3api.PutObjectOutput{ETag: api.Ptr(`"abc"`)}, nil
		case *s3api.GetObjectInput:
			if *in.Key == "none" {
				return nil, s3api.NoSuchKey("The specified key does not exist.").With("Key", *in.Key)
			}
			return &s3api.GetObjectOutput{Body: io.NopCloser(strings.NewReader("hello")), ContentLength: api.Ptr[int64](5),
				ETag: api.Ptr(`"abc"`), LastModified: api.At(at), Metadata: map[string]string{"color": "Blue"}, ContentType: api.Ptr("text/plain")}, nil
		case *s3api.HeadObjectInput:
			if *in.Key == "none" {
				return nil, s3api.NoSuchKey("gone")
			}
			return &s3api.HeadObjectOutput{ContentLength: api.Ptr[int64](5)}, nil
		case *s3api.ListObjectsV2Input:
			return &s3api.ListObjectsV2Output{Name: in.Bucket, KeyCount: api.Ptr[int32](2), IsTruncated: api.Ptr(false), MaxKeys: in.MaxKeys,
				Contents:       []s3api.Object{{Key: api.Ptr("a&b"), LastModified: api.At(at), Size: api.Ptr[int64](5)}, {Key: api.Ptr("c")}},
				CommonPrefixes: []s3api.CommonPrefix{{Prefix: api.Ptr("p/")}}}, nil
		case *s3api.GetBucketLocationInput:
			return &s3api.GetBucketLocationOutput{LocationConstraint: "eu-west-1"}, nil
		case *s3api.CreateBucketInput:
			if in.CreateBucketConfiguration == nil || in.CreateBucketConfiguration.LocationConstraint != "eu-west-1" {
				t.Errorf("CreateBucket: %+v", in)
			}
			return &s3api.CreateBucketOutput{Location: api.Ptr("/" + *in.Bucket)}, nil
		case *s3api.DeleteObjectsInput:
			var deleted []s3api.DeletedObject
			for _, o := range in.Delete.Objects {
				deleted = append(deleted, s3api.DeletedObject{Key: o.Key})
			}
			return &s3api.DeleteObjectsOutput{Deleted: deleted}, nil
		case *s3api.UploadPartInput:
			return &s3api.UploadPartOutput{ETag: in.UploadId}, nil
		case *s3api.CompleteMultipartUploadInput:
			return &s3api.CompleteMultipartUploadOutput{ETag: in.MultipartUpload.Parts[1].ETag}, nil
		case *s3api.GetObjectTaggingInput:
			return &s3api.GetObjectTaggingOutput{TagSet: []s3api.Tag{{Key: api.Ptr("k"), Value: api.Ptr("v")}}}, nil
		case *s3api.PutBucketTaggingInput:
			if len(in.Tagging.TagSet) != 1 || *in.Tagging.TagSet[0].Key != "k" {
				t.Errorf("PutBucketTagging: %+v", in)
			}
			return nil, nil
		case *s3api.CopyObjectInput:
			return &s3api.CopyObjectOutput{CopyObjectResult: &s3api.CopyObjectResult{ETag: in.CopySource, LastModified: api.At(at)}}, nil
		case *s3api.GetBucketAclInput:
			return &s3api.GetBucketAclOutput{Grants: []s3api.Grant{{Grantee: &s3api.Grantee{ID: api.Ptr("me"), Type: s3api.TypeCanonicalUser}, Permission: s3api.PermissionFullControl}}}, nil
		case *s3api.GetBucketPolicyInput:
			return &s3api.GetBucketPolicyOutput{Policy: api.Ptr(`{"Version":"2012-10-17"}`)}, nil
		case *s3api.DeleteBucketInput, *s3api.DeleteObjectInput:
			return nil, nil
		case *s3api.GetObjectAttributesInput:
			if len(in.ObjectAttributes) != 2 || in.ObjectAttributes[1] != "ObjectSize" {
				t.Errorf("GetObjectAttributes: %+v", in)
			}
			return &s3api.GetObjectAttributesOutput{ObjectSize: api.Ptr[int64](9)}, nil
		}
		t.Errorf("%s called", op.Name)
		return nil, api.Internal(nil)
	})
	ctx := context.Background()
	c := s3.NewFromConfig(config(url), func(o *s3.Options) { o.UsePathStyle = true })
	b, k := aws.String("bucket.one"), aws.String("a b/ü+?.txt")
	put, err := c.PutObject(ctx, &s3.PutObjectInput{Bucket: b, Key: k, Body: strings.NewReader("hello"), Metadata: map[string]string{"color": "Blue"}, ContentType: aws.String("text/plain")})
	if err != nil || *put.ETag != `"abc"` {
		t.Errorf("PutObject: %+v %v", put, err)
	}
	get, err := c.GetObject(ctx, &s3.GetObjectInput{Bucket: b, Key: k})
	if err != nil {
		t.Fatal(err)
	}
	if body, _ := io.ReadAll(get.Body); string(body) != "hello" || get.Metadata["color"] != "Blue" || !get.LastModified.Equal(at) || *get.ContentLength != 5 {
		t.Errorf("GetObject: %q %+v", body, get)
	}
	_, err = c.GetObject(ctx, &s3.GetObjectInput{Bucket: b, Key: aws.String("none")})
	var none *s3types.NoSuchKey
	if !errors.As(err, &none) {
		t.Errorf("GetObject: %v", err)
	}
	if h, err := c.HeadObject(ctx, &s3.HeadObjectInput{Bucket: b, Key: k}); err != nil || *h.ContentLength != 5 {
		t.Errorf("HeadObject: %+v %v", h, err)
	}
	var gone *s3types.NotFound
	if _, err = c.HeadObject(ctx, &s3.HeadObjectInput{Bucket: b, Key: aws.String("none")}); !errors.As(err, &gone) {
		t.Errorf("HeadObject: %v", err)
	}
	list, err := c.ListObjectsV2(ctx, &s3.ListObjectsV2Input{Bucket: b, MaxKeys: aws.Int32(10)})
	if err != nil || len(list.Contents) != 2 || *list.Contents[0].Key != "a&b" || !list.Contents[0].LastModified.Equal(at) || *list.MaxKeys != 10 || *list.CommonPrefixes[0].Prefix != "p/" {
		t.Errorf("ListObjectsV2: %+v %v", list, err)
	}
	if l, err := c.GetBucketLocation(ctx, &s3.GetBucketLocationInput{Bucket: b}); err != nil || l.LocationConstraint != "eu-west-1" {
		t.Errorf("GetBucketLocation: %+v %v", l, err)
	}
	if _, err := c.CreateBucket(ctx, &s3.CreateBucketInput{Bucket: b, CreateBucketConfiguration: &s3types.CreateBucketConfiguration{LocationConstraint: "eu-west-1"}}); err != nil {
		t.Errorf("CreateBucket: %v", err)
	}
	d, err := c.DeleteObjects(ctx, &s3.DeleteObjectsInput{Bucket: b, Delete: &s3types.Delete{Objects: []s3types.ObjectIdentifier{{Key: aws.String("x<y")}, {Key: aws.String("z")}}}})
	if err != nil || len(d.Deleted) != 2 || *d.Deleted[0].Key != "x<y" {
		t.Errorf("DeleteObjects: %+v %v", d, err)
	}
	up, err := c.UploadPart(ctx, &s3.UploadPartInput{Bucket: b, Key: k, UploadId: aws.String("u"), PartNumber: aws.Int32(1), Body: strings.NewReader("x")})
	if err != nil || *up.ETag != "u" {
		t.Errorf("UploadPart: %+v %v", up, err)
	}
	done, err := c.CompleteMultipartUpload(ctx, &s3.CompleteMultipartUploadInput{Bucket: b, Key: k, UploadId: aws.String("u"),
		MultipartUpload: &s3types.CompletedMultipartUpload{Parts: []s3types.CompletedPart{{ETag: aws.String("1"), PartNumber: aws.Int32(1)}, {ETag: aws.String("2"), PartNumber: aws.Int32(2)}}}})
	if err != nil || *done.ETag != "2" {
		t.Errorf("CompleteMultipartUpload: %+v %v", done, err)
	}
	if tags, err := c.GetObjectTagging(ctx, &s3.GetObjectTaggingInput{Bucket: b, Key: k}); err != nil || *tags.TagSet[0].Value != "v" {
		t.Errorf("GetObjectTagging: %+v %v", tags, err)
	}
	if _, err := c.PutBucketTagging(ctx, &s3.PutBucketTaggingInput{Bucket: b, Tagging: &s3types.Tagging{TagSet: []s3types.Tag{{Key: aws.String("k"), Value: aws.String("v")}}}}); err != nil {
		t.Errorf("PutBucketTagging: %v", err)
	}
	if cp, err := c.CopyObject(ctx, &s3.CopyObjectInput{Bucket: b, Key: k, CopySource: aws.String("a/b")}); err != nil || *cp.CopyObjectResult.ETag != "a/b" {
		t.Errorf("CopyObject: %+v %v", cp, err)
	}
	if acl, err := c.GetBucketAcl(ctx, &s3.GetBucketAclInput{Bucket: b}); err != nil || acl.Grants[0].Grantee.Type != s3types.TypeCanonicalUser {
		t.Errorf("GetBucketAcl: %+v %v", acl, err)
	}
	if p, err := c.GetBucketPolicy(ctx, &s3.GetBucketPolicyInput{Bucket: b}); err != nil || *p.Policy != `{"Version":"2012-10-17"}` {
		t.Errorf("GetBucketPolicy: %+v %v", p, err)
	}
	if _, err := c.DeleteBucket(ctx, &s3.DeleteBucketInput{Bucket: b}); err != nil {
		t.Errorf("DeleteBucket: %v", err)
	}
	if a, err := c.GetObjectAttributes(ctx, &s3.GetObjectAttributesInput{Bucket: b, Key: k, ObjectAttributes: []s3types.ObjectAttributes{"ETag", "ObjectSize"}}); err != nil || *a.ObjectSize != 9 {
		t.Errorf("GetObjectAttributes: %+v %v", a, err)
	}
	_, err = c.GetBucketWebsite(ctx, &s3.GetBucketWebsiteInput{Bucket: b})
	if err == nil {
		t.Error("GetBucketWebsite was served")
	}
}
