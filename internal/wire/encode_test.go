// SPDX-License-Identifier: Apache-2.0

package wire_test

import (
	"io"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/remit-ecs/remit/internal/api"
	"github.com/remit-ecs/remit/internal/api/ecsapi"
	"github.com/remit-ecs/remit/internal/api/iamapi"
	"github.com/remit-ecs/remit/internal/api/logsapi"
	"github.com/remit-ecs/remit/internal/api/s3api"
	"github.com/remit-ecs/remit/internal/api/secretsmanagerapi"
	"github.com/remit-ecs/remit/internal/api/stsapi"
	"github.com/remit-ecs/remit/internal/wire"
)

func TestEncodeTexts(t *testing.T) {
	at := api.At(time.Unix(1700000000, 123456789))
	for _, c := range []struct {
		op     *api.OpInfo
		out    any
		status int
		header string // name: value
		want   string
	}{
		{ecsapi.ListClusters.Info, &ecsapi.ListClustersOutput{ClusterArns: []string{}}, 200, "X-Amzn-Requestid: id", `{"clusterArns":[]}`},
		{ecsapi.ListClusters.Info, nil, 200, "Content-Type: application/x-amz-json-1.1", `{}`},
		{logsapi.CreateLogGroup.Info, &logsapi.CreateLogGroupOutput{}, 200, "", `{}`},
		{ecsapi.DescribeTasks.Info, &ecsapi.DescribeTasksOutput{Tasks: []ecsapi.Task{{CreatedAt: at, LaunchType: ecsapi.LaunchTypeEc2, Version: api.Ptr[int64](0), Containers: []ecsapi.Container{{Name: api.Ptr("\x01\xff<>")}}}}},
			200, "", `{"tasks":[{"containers":[{"name":"\u0001` + "\ufffd" + `<>"}],"createdAt":1700000000.123,"launchType":"EC2","version":0}]}`},
		{stsapi.GetCallerIdentity.Info, &stsapi.GetCallerIdentityOutput{UserId: api.Ptr("AIDA"), Account: api.Ptr("111122223333"), Arn: api.Ptr("arn:aws:iam::111122223333:user/a&b")}, 200, "Content-Type: text/xml",
			`<GetCallerIdentityResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/"><GetCallerIdentityResult><UserId>AIDA</UserId><Account>111122223333</Account><Arn>arn:aws:iam::111122223333:user/a&amp;b</Arn></GetCallerIdentityResult><ResponseMetadata><RequestId>id</RequestId></ResponseMetadata></GetCallerIdentityResponse>` + "\n"},
		{iamapi.DeleteRole.Info, &iamapi.DeleteRoleOutput{}, 200, "",
			`<DeleteRoleResponse xmlns="https://iam.amazonaws.com/doc/2010-05-08/"><ResponseMetadata><RequestId>id</RequestId></ResponseMetadata></DeleteRoleResponse>` + "\n"},
		{iamapi.ListUsers.Info, &iamapi.ListUsersOutput{Users: []iamapi.User{{CreateDate: at, Tags: []iamapi.Tag{}}}, IsTruncated: api.Ptr(true)}, 200, "",
			`<ListUsersResponse xmlns="https://iam.amazonaws.com/doc/2010-05-08/"><ListUsersResult><Users><member><CreateDate>2023-11-14T22:13:20Z</CreateDate><Tags></Tags></member></Users><IsTruncated>true</IsTruncated></ListUsersResult><ResponseMetadata><RequestId>id</RequestId></ResponseMetadata></ListUsersResponse>` + "\n"},
		{s3api.GetBucketLocation.Info, &s3api.GetBucketLocationOutput{}, 200, "X-Amz-Request-Id: id",
			`<?xml version="1.0" encoding="UTF-8"?>` + "\n" + `<LocationConstraint xmlns="http://s3.amazonaws.com/doc/2006-03-01/"></LocationConstraint>`},
		{s3api.ListObjectsV2.Info, &s3api.ListObjectsV2Output{Contents: []s3api.Object{{Key: api.Ptr("a"), LastModified: at}, {Key: api.Ptr("b")}}, KeyCount: api.Ptr[int32](2)}, 200, "Content-Type: application/xml",
			`<?xml version="1.0" encoding="UTF-8"?>` + "\n" + `<ListBucketResult xmlns="http://s3.amazonaws.com/doc/2006-03-01/"><Contents><Key>a</Key><LastModified>2023-11-14T22:13:20.123Z</LastModified></Contents><Contents><Key>b</Key></Contents><KeyCount>2</KeyCount></ListBucketResult>`},
		{s3api.DeleteObject.Info, &s3api.DeleteObjectOutput{VersionId: api.Ptr("v")}, 204, "X-Amz-Version-Id: v", ``},
		{s3api.GetObject.Info, &s3api.GetObjectOutput{Body: io.NopCloser(strings.NewReader("ell")), ContentRange: api.Ptr("bytes 1-3/5"), LastModified: at}, 206, "Last-Modified: Tue, 14 Nov 2023 22:13:20 GMT", `ell`},
	} {
		w := httptest.NewRecorder()
		if err := wire.EncodeOutput(c.op, w, "id", c.out); err != nil {
			t.Errorf("%s: %v", c.op.Action(), err)
			continue
		}
		if w.Code != c.status || w.Body.String() != c.want {
			t.Errorf("%s: %d\n%s\nwant %d\n%s", c.op.Action(), w.Code, w.Body, c.status, c.want)
		}
		if name, value, _ := strings.Cut(c.header, ": "); w.Header().Get(name) != value {
			t.Errorf("%s: %s is %q, want %q", c.op.Action(), name, w.Header().Get(name), value)
		}
	}
}

func TestEncodeMetadataNames(t *testing.T) {
	w := httptest.NewRecorder()
	out := &s3api.HeadObjectOutput{Metadata: map[string]string{"Color": "blue"}}
	if err := wire.EncodeOutput(s3api.HeadObject.Info, w, "id", out); err != nil {
		t.Fatal(err)
	}
	//lint:ignore SA1008 S3 clients want user metadata in lower case
	if v := w.Header()["x-amz-meta-color"]; len(v) != 1 || v[0] != "blue" {
		t.Errorf("%v", w.Header())
	}
}

func TestEncodeErrorTexts(t *testing.T) {
	for _, c := range []struct {
		svc    *api.Service
		err    *api.Error
		status int
		want   string
	}{
		{ecsapi.API, ecsapi.ClientException("bad %q", "x"), 400, `{"__type":"ClientException","message":"bad \"x\""}`},
		{ecsapi.API, ecsapi.ConflictException("in use").With("resourceIds", []string{"a"}), 400, `{"__type":"ConflictException","message":"in use","resourceIds":["a"]}`},
		{ecsapi.API, api.AccessDenied("no"), 400, `{"__type":"AccessDeniedException","message":"no"}`},
		{ecsapi.API, api.Validation("x"), 400, `{"__type":"InvalidParameterException","message":"x"}`},
		{ecsapi.API, api.Internal(io.EOF), 500, `{"__type":"ServerException","message":"We encountered an internal error. Please try again."}`},
		{secretsmanagerapi.API, secretsmanagerapi.ResourceNotFoundException("x"), 400, `{"__type":"ResourceNotFoundException","Message":"x"}`},
		{nil, api.UnknownOperation("x"), 400, `{"__type":"UnknownOperationException","message":"x"}`},
		{nil, nil, 500, `{"__type":"InternalFailure","message":"We encountered an internal error. Please try again."}`},
		{iamapi.API, iamapi.NoSuchEntityException("<gone>"), 404, `<ErrorResponse xmlns="https://iam.amazonaws.com/doc/2010-05-08/"><Error><Type>Sender</Type><Code>NoSuchEntity</Code><Message>&lt;gone&gt;</Message></Error><RequestId>id</RequestId></ErrorResponse>` + "\n"},
		{stsapi.API, api.AccessDenied("no"), 403, `<ErrorResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/"><Error><Type>Sender</Type><Code>AccessDenied</Code><Message>no</Message></Error><RequestId>id</RequestId></ErrorResponse>` + "\n"},
		{stsapi.API, api.NotImplemented("x"), 501, `<ErrorResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/"><Error><Type>Receiver</Type><Code>NotImplemented</Code><Message>x</Message></Error><RequestId>id</RequestId></ErrorResponse>` + "\n"},
		{s3api.API, s3api.NoSuchKey("gone").With("Key", "a<b"), 404, `<?xml version="1.0" encoding="UTF-8"?>` + "\n" + `<Error><Code>NoSuchKey</Code><Message>gone</Message><Key>a&lt;b</Key><RequestId>id</RequestId></Error>`},
		{s3api.API, api.InvalidClientToken(), 403, `<?xml version="1.0" encoding="UTF-8"?>` + "\n" + `<Error><Code>InvalidAccessKeyId</Code><Message>The security token included in the request is invalid.</Message><RequestId>id</RequestId></Error>`},
	} {
		w := httptest.NewRecorder()
		wire.EncodeError(c.svc, w, "id", c.err)
		if w.Code != c.status || w.Body.String() != c.want {
			t.Errorf("%v: %d\n%s\nwant %d\n%s", c.err, w.Code, w.Body, c.status, c.want)
		}
	}
}

// Every idea has a spelling in every family.
func TestEveryIdeaIsSpelled(t *testing.T) {
	for _, svc := range services {
		for i := api.IdeaAccessDenied; i.String() != "unknown"; i++ {
			e := wire.Spell(svc, &api.Error{Idea: i, Code: i.String()})
			if e.Code == "" || e.Status < 400 || e.Status == 500 && i != api.IdeaInternal {
				t.Errorf("%s: %v is spelled %q, %d", svc.Name, i, e.Code, e.Status)
			}
		}
	}
}

func BenchmarkGetCallerIdentity(b *testing.B) {
	r := post("application/x-www-form-urlencoded")
	body := []byte("Action=GetCallerIdentity&Version=2011-06-15")
	out := &stsapi.GetCallerIdentityOutput{UserId: api.Ptr("AIDA"), Account: api.Ptr("111122223333"), Arn: api.Ptr("arn:aws:iam::111122223333:user/a")}
	w := httptest.NewRecorder()
	b.Run("Recognise", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if _, err := wire.Recognise(services, r, "sts", body); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("Encode", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			w.Body.Reset()
			if err := wire.EncodeOutput(stsapi.GetCallerIdentity.Info, w, "id", out); err != nil {
				b.Fatal(err)
			}
		}
	})
}

func BenchmarkRegisterTaskDefinition(b *testing.B) {
	body := []byte(`{"family":"web","networkMode":"awsvpc","containerDefinitions":[{"name":"app","image":"busybox","cpu":10,"memory":128,"essential":true,"command":["sh","-c","sleep 1"],"environment":[{"name":"A","value":"B"}],"logConfiguration":{"logDriver":"awslogs","options":{"awslogs-group":"g","awslogs-region":"r"}}}]}`)
	r := post("application/x-amz-json-1.1")
	b.ReportAllocs()
	for b.Loop() {
		in := new(ecsapi.RegisterTaskDefinitionInput)
		if err := wire.DecodeInput(ecsapi.RegisterTaskDefinition.Info, wire.Request{HTTP: r, Body: body}, in); err != nil {
			b.Fatal(err)
		}
		if err := wire.Validate(ecsapi.RegisterTaskDefinition.Info, in); err != nil {
			b.Fatal(err)
		}
	}
}
