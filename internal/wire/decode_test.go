// SPDX-License-Identifier: Apache-2.0

package wire_test

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"github.com/remit-ecs/remit/internal/api"
	"github.com/remit-ecs/remit/internal/api/ecsapi"
	"github.com/remit-ecs/remit/internal/api/iamapi"
	"github.com/remit-ecs/remit/internal/api/s3api"
	"github.com/remit-ecs/remit/internal/wire"
)

// decode decodes a body and returns the input as encoding/json writes it, or
// the error.
func decode(op *api.OpInfo, r *http.Request, body string) (string, *api.Error) {
	in := op.NewInput()
	if err := wire.DecodeInput(op, wire.Request{HTTP: r, Body: []byte(body)}, in); err != nil {
		return "", err
	}
	b, err := json.Marshal(in)
	if err != nil {
		return "", api.Internal(err)
	}
	return string(b), nil
}

func post(contentType string) *http.Request {
	r := httptest.NewRequest("POST", "/", nil)
	r.Header.Set("Content-Type", contentType)
	return r
}

func TestDecodeJSON(t *testing.T) {
	op := ecsapi.RegisterTaskDefinition.Info
	deep := strings.Repeat(`{"x":`, 100) + "1" + strings.Repeat("}", 100)
	for _, c := range []struct{ in, want, message string }{
		{in: ``, want: `{}`},
		{in: ` { } `, want: `{}`},
		{in: `{"family":"web","Family":"no","unknown":{"a":[1,2,{"b":null}]}}`, want: `{"family":"web"}`},
		{in: `{"family":null,"volumes":null}`, want: `{}`},
		{in: `{"family":""}`, want: `{"family":""}`},
		{in: `{"family":"a","family":"b"}`, want: `{"family":"b"}`},
		{in: `{"volumes":[{"name":"a","host":{"sourcePath":"/"}}],"volumes":[{"name":"b"}]}`, want: `{"volumes":[{"name":"b"}]}`},
		{in: `{"volumes":[],"containerDefinitions":[{"dockerLabels":{},"command":[]}]}`, want: `{"containerDefinitions":[{"command":[],"dockerLabels":{}}],"volumes":[]}`},
		{in: `{"family":"\u0041\ud83d\ude00\ud800\n\/\"\\"}`, want: "{\"family\":\"A\U0001F600\ufffd\\n/\\\"\\\\\"}"},
		{in: `{"enableFaultInjection":true,"containerDefinitions":[{"cpu":1e2,"memory":128.0}]}`, want: `{"containerDefinitions":[{"cpu":100,"memory":128}],"enableFaultInjection":true}`},

		{in: `{"family":1}`, message: "NUMBER_VALUE can not be converted to a String"},
		{in: `{"family":true}`, message: "TRUE_VALUE can not be converted to a String"},
		{in: `{"family":{}}`, message: "Start of structure or map found where not expected."},
		{in: `{"family":[]}`, message: "Start of list found where not expected."},
		{in: `{"volumes":{}}`, message: "Expected list or null"},
		{in: `{"volumes":[null]}`, message: "A list must not contain null."},
		{in: `{"volumes":["a"]}`, message: "Unexpected field type"},
		{in: `{"enableFaultInjection":"true"}`, message: "STRING_VALUE can not be converted to a Boolean"},
		{in: `{"containerDefinitions":[{"cpu":"1"}]}`, message: "STRING_VALUE can not be converted to an Integer"},
		{in: `{"containerDefinitions":[{"cpu":1.5}]}`, message: "'1.5' can not be converted to an Integer."},
		{in: `{"containerDefinitions":[{"cpu":2147483648}]}`, message: "'2147483648' can not be converted to an Integer."},
		{in: `{"containerDefinitions":[{"dockerLabels":[]}]}`, message: "Start of list found where not expected."},
		{in: `[]`, message: "Start of list found where not expected."},
		{in: `null`, message: "Unexpected field type"},
		{in: `{"family":"a"`, message: "Could not parse the request body into json at offset 13."},
		{in: `{"family":"a"}x`, message: "Could not parse the request body into json at offset 14."},
		{in: `{"family":"a",}`, message: "Could not parse the request body into json at offset 14."},
		{in: `{"cpu":01}`, message: "NUMBER_VALUE can not be converted to a String"},
		{in: `{"x":01}`, message: "Could not parse the request body into json at offset 7."},
		{in: "{\"family\":\"\xff\"}", message: "Could not parse the request body into json at offset 11."},
		{in: "{\"family\":\"\n\"}", message: "Could not parse the request body into json at offset 11."},
		{in: deep, message: "The request is nested too deeply."},
	} {
		got, err := decode(op, post("application/x-amz-json-1.1"), c.in)
		switch {
		case err == nil && c.message != "":
			t.Errorf("%s: read as %s", c.in, got)
		case err != nil && err.Message != c.message:
			t.Errorf("%s: %v, want %q", c.in, err, c.message)
		case err != nil && err.Idea != api.IdeaMalformed:
			t.Errorf("%s: %v", c.in, err.Idea)
		case got != c.want:
			t.Errorf("%s: %s, want %s", c.in, got, c.want)
		}
	}
}

// A short message must not become a large amount of memory.
func TestDecodeAmplification(t *testing.T) {
	body := `{"containerDefinitions":[` + strings.Repeat("{},", 2_000_000) + `{}]}`
	if _, err := decode(ecsapi.RegisterTaskDefinition.Info, post("application/x-amz-json-1.1"), body); err == nil || err.Idea != api.IdeaTooLarge {
		t.Errorf("JSON: %v", err)
	}
	var form strings.Builder
	for range maxPairs {
		form.WriteString("&a=")
	}
	if _, err := decode(iamapi.CreateRole.Info, post("application/x-www-form-urlencoded"), form.String()); err == nil || err.Idea != api.IdeaTooLarge {
		t.Errorf("form: %v", err)
	}
	key := strings.Repeat("a.", 1_000_000)
	if _, err := decode(iamapi.CreateRole.Info, post("application/x-www-form-urlencoded"), "Tags."+key+"=1"); err == nil {
		t.Error("form: a million dots are well")
	}
}

const maxPairs = 100_001

func TestDecodeQuery(t *testing.T) {
	op := iamapi.CreateRole.Info
	simulate := iamapi.SimulateCustomPolicy.Info
	for _, c := range []struct {
		op                *api.OpInfo
		in, want, message string
	}{
		{op: op, in: "Action=CreateRole&Version=2010-05-08", want: `{}`},
		{op: op, in: "RoleName=a+b%26&rolename=x&Unknown.1.x=1", want: `{"RoleName":"a b\u0026"}`},
		{op: op, in: "RoleName=", want: `{"RoleName":""}`},
		{op: op, in: "MaxSessionDuration=3600", want: `{"MaxSessionDuration":3600}`},
		{op: op, in: "Tags.member.2.Key=b&Tags.member.10.Key=c&Tags.member.1.Key=a&Tags.member.1.Value=", want: `{"Tags":[{"Key":"a","Value":""},{"Key":"b"},{"Key":"c"}]}`},
		{op: op, in: "Tags=", want: `{"Tags":[]}`},
		{op: simulate, in: "ContextEntries.member.1.ContextKeyValues.member.1=x&ContextEntries.member.1.ContextKeyValues.member.2=y&ContextEntries.member.1.ContextKeyType=string",
			want: `{"ContextEntries":[{"ContextKeyValues":["x","y"],"ContextKeyType":"string"}]}`},

		{op: op, in: "MaxSessionDuration=long", message: "'long' can not be converted to an Integer."},
		{op: op, in: "MaxSessionDuration=", message: "'' can not be converted to an Integer."},
		{op: op, in: "RoleName.x=1", message: "A simple value was expected where parameters with dots were found."},
		{op: op, in: "Tags.1.Key=a", message: "A list or map is written as NAME.member.N."},
		{op: op, in: "Tags.member.x.Key=a", message: "'x' is not the number of an entry."},
		{op: op, in: "Tags.member.0.Key=a", message: "'0' is not the number of an entry."},
		{op: op, in: "Tags.member.1.Key=a&Tags.member.01.Key=b", message: "The entry 1 stands more than once."},
		{op: op, in: "RoleName=a&RoleName=b", message: "The parameter RoleName stands more than once."},
		{op: op, in: "RoleName=%zz", message: "The parameters are not correctly URL-encoded."},
		{op: op, in: "RoleName=%ff", message: "The parameters are not UTF-8."},
		{op: op, in: "Tags.member.1.Key" + strings.Repeat(".a", 100) + "=1", message: "The request is nested too deeply."},
	} {
		got, err := decode(c.op, post("application/x-www-form-urlencoded; charset=utf-8"), c.in)
		switch {
		case err == nil && c.message != "":
			t.Errorf("%s: read as %s", c.in, got)
		case err != nil && err.Message != c.message:
			t.Errorf("%s: %v, want %q", c.in, err, c.message)
		case got != c.want:
			t.Errorf("%s: %s, want %s", c.in, got, c.want)
		}
	}
	r := post("application/x-www-form-urlencoded")
	r.URL.RawQuery = "RoleName=a"
	if _, err := decode(op, r, "RoleName=b"); err == nil {
		t.Error("a parameter in the query string and the body was accepted")
	}
}

func TestDecodeS3(t *testing.T) {
	for _, c := range []struct {
		op                *api.OpInfo
		method, url, body string
		header            map[string]string
		want, message     string
	}{
		{op: s3api.GetObject.Info, method: "GET", url: "http://localhost/b/a%2Fb/%20c?versionId=v&partNumber=2",
			header: map[string]string{"Range": "bytes=0-1", "If-Modified-Since": "Tue, 14 Nov 2023 22:13:20 GMT"},
			want:   `{"Bucket":"b","IfModifiedSince":1700000000,"Key":"a/b/ c","Range":"bytes=0-1","VersionId":"v","PartNumber":2}`},
		{op: s3api.GetObject.Info, method: "GET", url: "http://my.bucket.s3.eu-west-1.localhost:8080/k", want: `{"Bucket":"my.bucket","Key":"k"}`},
		{op: s3api.GetObject.Info, method: "GET", url: "http://s3.localhost/b/k", want: `{"Bucket":"b","Key":"k"}`},
		{op: s3api.GetObject.Info, method: "GET", url: "http://localhost/b//k/", want: `{"Bucket":"b","Key":"/k/"}`},
		{op: s3api.PutObjectTagging.Info, method: "PUT", url: "http://localhost/b/k?tagging",
			body: `<?xml version="1.0"?><!-- c --><x:Tagging xmlns:x="u"><x:TagSet><x:Tag><Key>a</Key><Value> v&lt; </Value><Other><Deep/></Other></x:Tag><Tag/></x:TagSet></x:Tagging>`,
			want: `{"Bucket":"b","Key":"k","Tagging":{"TagSet":[{"Key":"a","Value":" v\u003c "},{}]}}`},
		{op: s3api.DeleteObjects.Info, method: "POST", url: "http://localhost/b?delete", body: `<Delete><Quiet>true</Quiet><Object><Key>a</Key></Object><Object><Key>b</Key></Object></Delete>`,
			want: `{"Bucket":"b","Delete":{"Objects":[{"Key":"a"},{"Key":"b"}],"Quiet":true}}`},
		{op: s3api.PutBucketAcl.Info, method: "PUT", url: "http://localhost/b?acl",
			body: `<AccessControlPolicy><AccessControlList><Grant><Grantee xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance" xsi:type="CanonicalUser"><ID>me</ID></Grantee></Grant></AccessControlList></AccessControlPolicy>`,
			want: `{"AccessControlPolicy":{"Grants":[{"Grantee":{"ID":"me","Type":"CanonicalUser"}}]},"Bucket":"b"}`},
		{op: s3api.PutBucketPolicy.Info, method: "PUT", url: "http://localhost/b?policy", body: `{"Version":"2012-10-17"}`,
			want: `{"Bucket":"b","Policy":"{\"Version\":\"2012-10-17\"}"}`},

		{op: s3api.PutObjectTagging.Info, method: "PUT", url: "http://localhost/b/k?tagging", body: `<Tagging><TagSet>`, message: "MalformedXML"},
		{op: s3api.PutObjectTagging.Info, method: "PUT", url: "http://localhost/b/k?tagging", body: `<Wrong/>`, message: "MalformedXML"},
		{op: s3api.PutObjectTagging.Info, method: "PUT", url: "http://localhost/b/k?tagging", body: `<Tagging/><Tagging/>`, message: "MalformedXML"},
		{op: s3api.PutObjectTagging.Info, method: "PUT", url: "http://localhost/b/k?tagging", body: `<!DOCTYPE x [<!ENTITY a "b">]><Tagging><TagSet><Tag><Key>&a;</Key></Tag></TagSet></Tagging>`, message: "MalformedXML"},
		{op: s3api.PutObjectTagging.Info, method: "PUT", url: "http://localhost/b/k?tagging", body: `<Tagging>` + strings.Repeat("<a>", 200) + strings.Repeat("</a>", 200) + `</Tagging>`, message: "MalformedXML"},
		{op: s3api.PutObjectTagging.Info, method: "PUT", url: "http://localhost/b/k?tagging", body: `<Tagging><TagSet><Tag><Key><b/></Key></Tag></TagSet></Tagging>`, message: "MalformedXML"},
		{op: s3api.ListObjectsV2.Info, method: "GET", url: "http://localhost/b?list-type=2&max-keys=many", message: "InvalidArgument"},
	} {
		r := httptest.NewRequest(c.method, c.url, nil)
		for k, v := range c.header {
			r.Header.Set(k, v)
		}
		r.ContentLength = -1
		got, err := decode(c.op, r, c.body)
		switch {
		case err == nil && c.message != "":
			t.Errorf("%s: read as %s", c.body, got)
		case err != nil && wire.Spell(s3api.API, err).Code != c.message:
			t.Errorf("%s %s: %v, want %q", c.url, c.body, err, c.message)
		case got != c.want:
			t.Errorf("%s: %s, want %s", c.url, got, c.want)
		}
	}
}

func FuzzDecodeJSON(f *testing.F) {
	f.Add(`{"family":"web","containerDefinitions":[{"name":"a","cpu":1e2,"dockerLabels":{"a":"b"}}]}`)
	f.Add(`{"family":"\ud83d\ude00","x":[{"y":null},-0.5e-3,true,false]}`)
	op := ecsapi.RegisterTaskDefinition.Info
	f.Fuzz(func(t *testing.T, s string) {
		in := new(ecsapi.RegisterTaskDefinitionInput)
		if err := wire.DecodeInput(op, wire.Request{HTTP: post("application/x-amz-json-1.1"), Body: []byte(s)}, in); err != nil {
			if err.Idea != api.IdeaMalformed && err.Idea != api.IdeaTooLarge {
				t.Fatal(err)
			}
			return
		}
		if s != "" && !json.Valid([]byte(s)) && strings.TrimSpace(s) != "" {
			t.Fatalf("%q is not JSON", s)
		}
		wire.Validate(op, in)
		wire.RedactedInput(op, in)
		b, err := json.Marshal(in)
		if err != nil {
			t.Fatal(err)
		}
		again, aerr := decode(op, post("application/x-amz-json-1.1"), string(b))
		if aerr != nil || again != string(b) {
			t.Fatalf("%s became %s (%v)", b, again, aerr)
		}
	})
}

func FuzzDecodeQuery(f *testing.F) {
	f.Add("RoleName=a&Tags.member.1.Key=a&Tags.member.2.Value=b&MaxSessionDuration=1")
	f.Add("Tags=&Tags.member=&Tags.member.1=&RoleName.a=b")
	op := iamapi.CreateRole.Info
	f.Fuzz(func(t *testing.T, s string) {
		in := new(iamapi.CreateRoleInput)
		if err := wire.DecodeInput(op, wire.Request{HTTP: post("application/x-www-form-urlencoded"), Body: []byte(s)}, in); err == nil {
			wire.Validate(op, in)
			wire.RedactedInput(op, in)
		}
	})
}

func FuzzDecodeXML(f *testing.F) {
	f.Add(`<Delete><Quiet>true</Quiet><Object><Key>a</Key></Object></Delete>`)
	f.Add(`<Delete xmlns="x"><!-- c --><Object><Key>&lt;</Key><a/></Object></Delete>`)
	op := s3api.DeleteObjects.Info
	f.Fuzz(func(t *testing.T, s string) {
		in := new(s3api.DeleteObjectsInput)
		if err := wire.DecodeInput(op, wire.Request{HTTP: httptest.NewRequest("POST", "/b?delete", nil), Body: []byte(s)}, in); err == nil {
			wire.Validate(op, in)
			wire.RedactedInput(op, in)
		}
	})
}

func FuzzRecognise(f *testing.F) {
	f.Add("GET", "/b/k", "tagging", "localhost", "", "s3", "")
	f.Add("POST", "/", "", "localhost", "AmazonEC2ContainerServiceV20141113.RunTask", "ecs", "")
	f.Add("POST", "/", "", "localhost", "", "iam", "Action=GetUser&Version=2010-05-08")
	f.Add("PUT", "/%zz", "%", "b.s3.x", "", "", "Action")
	f.Fuzz(func(t *testing.T, method, path, query, host, target, signing, body string) {
		u := &url.URL{Path: path, RawPath: path, RawQuery: query}
		r := &http.Request{Method: method, URL: u, Host: host, Header: http.Header{"Content-Type": {"application/x-www-form-urlencoded"}}}
		if target != "" {
			r.Header["X-Amz-Target"] = []string{target}
		}
		op, err := wire.Recognise(services, r, signing, []byte(body))
		if err == nil && (op == nil || op.Service.Op(op.Name) != op) {
			t.Fatalf("%+v", op)
		}
		if op != nil && op.Served() {
			_ = wire.DecodeInput(op, wire.Request{HTTP: r, Body: []byte(body)}, op.NewInput())
		}
	})
}
