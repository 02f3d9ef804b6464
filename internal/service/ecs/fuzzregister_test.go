package ecs_test

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"

	"github.com/remit-ecs/remit/internal/service/ecs"
	"github.com/remit-ecs/remit/internal/testkit"
)

// FuzzRegisterTaskDefinition sends bodies along the whole path: the answer is
// success or an error that AWS has, never a failure of ours. A definition that
// was registered is then run, with the same promise.
func FuzzRegisterTaskDefinition(f *testing.F) {
	for _, s := range []string{
		`{"family":"f","containerDefinitions":[{"name":"a","image":"i","memory":64}]}`,
		`{"family":"f","networkMode":"awsvpc","requiresCompatibilities":["FARGATE"],"cpu":"256","memory":"512","taskRoleArn":"r","containerDefinitions":[{"name":"a","image":"i","healthCheck":{"command":["x"]},"logConfiguration":{"logDriver":"awslogs","options":{"awslogs-group":"g","awslogs-region":"r","awslogs-stream-prefix":"p"}}}]}`,
		`{"family":"f","containerDefinitions":[null,{}]}`,
		`{"family":"f","containerDefinitions":[{"name":"a","image":"i","memory":64,"linuxParameters":{},"dependsOn":[{"containerName":"a","condition":"START"}],"portMappings":[{"containerPort":-1}]}],"runtimePlatform":{},"proxyConfiguration":{"containerName":"x"},"volumes":[{}]}`,
		`{"family":7}`, `[]`, `{`,
	} {
		f.Add([]byte(s))
	}
	k := testkit.New(f, func(k *testkit.Kit) []testkit.Registrar {
		return []testkit.Registrar{ecs.New(ecs.Options{Store: k.Store, Clock: k.Clock, Reserved: reserved, Secret: []byte("a secret of this test, long enough")})}
	})
	cfg := k.Root()
	creds, err := cfg.Credentials.Retrieve(f.Context())
	if err != nil {
		f.Fatal(err)
	}
	call := func(t *testing.T, op string, body []byte) bool {
		r := httptest.NewRequest(http.MethodPost, k.URL+"/", bytes.NewReader(body))
		r.Header.Set("Content-Type", "application/x-amz-json-1.1")
		r.Header.Set("X-Amz-Target", "AmazonEC2ContainerServiceV20141113."+op)
		sum := sha256.Sum256(body)
		if err := v4.NewSigner().SignHTTP(t.Context(), creds, r, hex.EncodeToString(sum[:]), "ecs", testkit.Region, time.Now()); err != nil {
			t.Fatal(err)
		}
		w := httptest.NewRecorder()
		k.Gateway.ServeHTTP(w, r)
		var e struct {
			Type string `json:"__type"`
		}
		if err := json.Unmarshal(w.Body.Bytes(), &e); err != nil {
			t.Fatalf("%s %s: answer %s: %v", op, body, w.Body, err)
		}
		if w.Code != 200 && (w.Code != 400 || !strings.HasSuffix(e.Type, "Exception")) {
			t.Fatalf("%s %s: %d %s", op, body, w.Code, w.Body)
		}
		return w.Code == 200
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		if !call(t, "RegisterTaskDefinition", body) {
			return
		}
		var in struct {
			Family string `json:"family"`
		}
		if json.Unmarshal(body, &in) != nil || in.Family == "" {
			return // the decoder reads member names as AWS spells them; encoding/json is laxer
		}
		for _, launch := range []string{"EC2", "FARGATE"} {
			b, _ := json.Marshal(map[string]any{"taskDefinition": in.Family, "launchType": launch,
				"networkConfiguration": map[string]any{"awsvpcConfiguration": map[string]any{"subnets": []string{"subnet-1"}}}})
			call(t, "RunTask", b)
		}
	})
}
