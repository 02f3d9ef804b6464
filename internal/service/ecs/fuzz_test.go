package ecs

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"

	"github.com/remit-ecs/remit/internal/api"
	"github.com/remit-ecs/remit/internal/api/ecsapi"
)

// FuzzTaskDefinition: whatever is registered is refused with an AWS error or
// completed, and what was completed once is complete.
func FuzzTaskDefinition(f *testing.F) {
	for _, s := range []string{
		`{"containerDefinitions":[{"name":"a","image":"i","memory":64}]}`,
		`{"networkMode":"awsvpc","requiresCompatibilities":["FARGATE"],"cpu":".25 vCPU","memory":"0.5GB","containerDefinitions":[{"name":"a","image":"111122223333.dkr.ecr.eu-west-1.amazonaws.com/x"}]}`,
		`{"memory":"1 GB","executionRoleArn":"r","volumes":[{"name":"v","host":{}}],"containerDefinitions":[{"name":"a","image":"i","essential":true,"secrets":[{"name":"S","valueFrom":"arn:aws:secretsmanager:r:1:secret:x"}],"mountPoints":[{"sourceVolume":"v"}],"dependsOn":[{"containerName":"b","condition":"SUCCESS"}]},{"name":"b","image":"j","essential":false,"portMappings":[{"containerPort":80,"hostPort":80}],"ulimits":[{"name":"nofile","softLimit":1,"hardLimit":2}],"logConfiguration":{"logDriver":"awslogs","options":{"awslogs-group":"g","awslogs-region":"r"}}}]}`,
		`{"containerDefinitions":[{"name":"a","image":"i","memory":64,"dependsOn":[{"containerName":"a"}]},{}]}`,
		`{"containerDefinitions":[{"linuxParameters":{"capabilities":{}},"healthCheck":{},"restartPolicy":{},"repositoryCredentials":{},"firelensConfiguration":{},"logConfiguration":{},"portMappings":[{}],"environment":[{}],"secrets":[{}],"dependsOn":[{}],"ulimits":[{}]}]}`,
	} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, doc []byte) {
		var d ecsapi.TaskDefinition
		if json.Unmarshal(doc, &d) != nil {
			return
		}
		d.RegisteredAt, d.DeregisteredAt, d.DeleteRequestedAt = nil, nil, nil
		check := func(err error) {
			var e *api.Error
			if err != nil && (!errors.As(err, &e) || e.Fault != api.FaultClient || !strings.HasSuffix(e.Code, "Exception")) {
				t.Fatalf("%s: %v", doc, err)
			}
		}
		err := completeDefinition(&d)
		check(err)
		check(checkHonoured(&d))
		if err != nil {
			return
		}
		before, _ := json.Marshal(d)
		if err := completeDefinition(&d); err != nil {
			t.Fatalf("%s: completed, then refused: %v", before, err)
		}
		if after, _ := json.Marshal(d); string(before) != string(after) {
			t.Fatalf("completed twice:\n%s\n%s", before, after)
		}
	})
}

func FuzzNames(f *testing.F) {
	f.Add("arn:aws:ecs:eu-west-1:111122223333:task/prod/0f")
	f.Add("arn:aws:ecs:r:1:task/x")
	f.Add("a:1")
	f.Fuzz(func(t *testing.T, s string) {
		if ref, id, ok := parseARN("task", s); ok && ref.resource("task", id) != strings.Replace(s, strings.SplitN(s, ":", 3)[1], "aws", 1) {
			t.Errorf("%q is %s", s, ref.resource("task", id))
		}
		if e, ok := ParseECRImage(s); ok && len(e.Registry) != 12 {
			t.Errorf("%q", s)
		}
		_, _ = normalCPU(s), normalMemory(s)
	})
}
