package hosts

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/remit-ecs/remit/internal/api"
	"github.com/remit-ecs/remit/internal/api/ecsapi"
	"github.com/remit-ecs/remit/internal/service/ecs"
)

func TestDecodeFrame(t *testing.T) {
	for frame, want := range map[string]string{
		`{"type":"AckRequest","message":{"cluster":"c","containerInstance":"i","messageId":"m"}}`: "AckRequest",
		`{"type":"Unheard","message":{}}`:                 "Unheard",
		`{"type":"AckRequest","message":{}}`:              "",
		`{"type":"AckRequest","message":{"messageId":7}}`: "",
		`{"type":"AckRequest"}`:                           "",
		`{"AccessDenied":"x"}`:                            "",
		`{"type":"A","message":{}}x`:                      "",
		`[]`:                                              "",
		``:                                                "",
	} {
		kind, _, err := decodeFrame([]byte(frame))
		if kind != want || (err == nil) != (want != "") {
			t.Errorf("%s: %q %v", frame, kind, err)
		}
	}
	if _, _, err := decodeFrame([]byte(`{"type":"A","message":"` + strings.Repeat("x", MaxFrame) + `"}`)); err == nil {
		t.Error("a frame beyond the limit was read")
	}
}

func FuzzFrames(f *testing.F) {
	f.Add([]byte(`{"type":"AckRequest","message":{"messageId":"m"}}`))
	f.Add([]byte(`{"type":"TaskStopVerificationMessage","message":{"messageId":"m","stopCandidates":[{"taskArn":"a"}]}}`))
	f.Add([]byte("Host: x\r\n\r\n" + `{"type":"PublishHealthRequest","message":{"tasks":[{"containers":[{}]}]}}`))
	f.Add([]byte("Host: x\r\n"))
	f.Fuzz(func(t *testing.T, frame []byte) {
		if kind, m, err := decodeFrame(frame); err == nil {
			if kind == "" || kind == typeAck && m.MessageID == "" {
				t.Errorf("accepted %q", frame)
			}
		}
		if kind, _, err := decodeTelemetry(frame); err == nil && kind == "" {
			t.Errorf("accepted %q", frame)
		}
	})
}

// TestRunPayload pins what agents read, where the rules are easy to get wrong.
func TestRunPayload(t *testing.T) {
	task := &ecs.Task{Account: "111122223333", Region: "eu-west-1", Cluster: "prod", ID: strings.Repeat("0f", 16), Family: "shop",
		TaskRole: "arn:aws:iam::111122223333:role/t", ExecutionRole: "arn:aws:iam::111122223333:role/e"}
	task.Shown = ecsapi.Task{TaskArn: api.Ptr("arn:aws:ecs:eu-west-1:111122223333:task/prod/" + task.ID), LaunchType: ecsapi.LaunchTypeEc2,
		Overrides: &ecsapi.TaskOverride{ContainerOverrides: []ecsapi.ContainerOverride{{Name: api.Ptr("app"), Memory: api.Ptr[int32](300),
			Environment: []ecsapi.KeyValuePair{{Name: api.Ptr("A"), Value: api.Ptr("2")}}}}}}
	def := &ecsapi.TaskDefinition{NetworkMode: ecsapi.NetworkModeBridge, Revision: api.Ptr[int32](12), ContainerDefinitions: []ecsapi.ContainerDefinition{{
		Name: api.Ptr("app"), Image: api.Ptr("127.0.0.1:4566/111122223333.dkr.ecr.eu-west-1.amazonaws.com/shop:3"), Essential: api.Ptr(true), Cpu: api.Ptr[int32](128),
		MemoryReservation: api.Ptr[int32](100), User: api.Ptr("1000"), HealthCheck: &ecsapi.HealthCheck{Command: []string{"CMD", "true"}, Interval: api.Ptr[int32](30)}, ReadonlyRootFilesystem: api.Ptr(true), DockerLabels: map[string]string{"k": "v"},
		Environment: []ecsapi.KeyValuePair{{Name: api.Ptr("A"), Value: api.Ptr("1")}},
		Ulimits:     []ecsapi.Ulimit{{Name: "nofile", SoftLimit: api.Ptr[int32](1), HardLimit: api.Ptr[int32](2)}},
		Secrets: []ecsapi.Secret{{Name: api.Ptr("S"), ValueFrom: api.Ptr("arn:aws:secretsmanager:us-east-1:111122223333:secret:db-AbCdEf:password::")},
			{Name: api.Ptr("P"), ValueFrom: api.Ptr("/shop/token")}},
		PortMappings:     []ecsapi.PortMapping{{ContainerPort: api.Ptr[int32](80), HostPort: api.Ptr[int32](0), Protocol: "tcp"}},
		LogConfiguration: &ecsapi.LogConfiguration{LogDriver: "awslogs", Options: map[string]string{"awslogs-group": "/shop", "awslogs-region": "eu-west-1", "awslogs-stream-prefix": "web"}},
	}}}
	got, err := runPayload(task, def, &roleCredentials{CredentialsID: "1"}, nil, "http://10.0.0.1:8080")
	if err != nil {
		t.Fatal(err)
	}
	c := got.Containers[0]
	b, err := json.Marshal(c)
	if err != nil {
		t.Fatal(err)
	}
	want := `{"name":"app","image":"127.0.0.1:4566/111122223333.dkr.ecr.eu-west-1.amazonaws.com/shop:3","essential":true,"cpu":128,"memory":300,` +
		`"environment":{"A":"2","AWS_EXECUTION_ENV":"AWS_ECS_EC2"},"portMappings":[{"containerPort":80,"hostPort":0,"protocol":"tcp"}],"mountPoints":[],"volumesFrom":[],"links":[],"overrides":"{}",` +
		`"secrets":[{"name":"S","provider":"asm","type":"ENVIRONMENT_VARIABLE","region":"us-east-1","valueFrom":"arn:aws:secretsmanager:us-east-1:111122223333:secret:db-AbCdEf:password::"},` +
		`{"name":"P","provider":"ssm","type":"ENVIRONMENT_VARIABLE","region":"eu-west-1","valueFrom":"/shop/token"}],` +
		`"registryAuthentication":{"type":"ecr","ecrAuthData":{"registryId":"111122223333","region":"eu-west-1","useExecutionRole":true}},"logsAuthStrategy":"ExecutionRole","healthCheckType":"docker",` +
		`"dockerConfig":{"version":"1.18","config":"{\"User\":\"1000\",\"Labels\":{\"k\":\"v\"},\"Healthcheck\":{\"Test\":[\"CMD\",\"true\"],\"Interval\":30000000000}}","hostConfig":"{\"NetworkMode\":\"bridge\",\"CapAdd\":[],\"CapDrop\":[],\"ReadonlyRootfs\":true,\"MemoryReservation\":104857600,\"Ulimits\":[{\"Name\":\"nofile\",\"Soft\":1,\"Hard\":2}],` +
		`\"LogConfig\":{\"Type\":\"awslogs\",\"Config\":{\"awslogs-endpoint\":\"http://10.0.0.1:8080\",\"awslogs-group\":\"/shop\",\"awslogs-region\":\"eu-west-1\",\"awslogs-stream\":\"web/app/` + task.ID + `\"}}}"}}`
	if string(b) != want {
		t.Errorf("got  %s\nwant %s", b, want)
	}
	if got.NetworkMode != "bridge" || got.Version != "12" || len(got.Interfaces) != 0 {
		t.Errorf("task: %+v", got)
	}
	if s := got.RoleCredentials; strings.Contains(s.String()+s.GoString(), "secret") {
		t.Error("credentials are printed")
	}
}

// TestFetched: private registries and environment files, with their override.
func TestFetched(t *testing.T) {
	file := func(k string) []ecsapi.EnvironmentFile {
		return []ecsapi.EnvironmentFile{{Type: "s3", Value: api.Ptr("arn:aws:s3:::conf/" + k)}}
	}
	task := &ecs.Task{Region: "eu-west-1", ExecutionRole: "e"}
	task.Shown.Overrides = &ecsapi.TaskOverride{ContainerOverrides: []ecsapi.ContainerOverride{{Name: api.Ptr("b"), EnvironmentFiles: file("over.env")}}}
	cd := ecsapi.ContainerDefinition{Image: api.Ptr("registry.example/x"), EnvironmentFiles: file("def.env"),
		RepositoryCredentials: &ecsapi.RepositoryCredentials{CredentialsParameter: api.Ptr("arn:aws:secretsmanager:us-east-1:111122223333:secret:r")}}
	a, b := cd, cd
	a.Name, b.Name = api.Ptr("a"), api.Ptr("b")
	got, err := runPayload(task, &ecsapi.TaskDefinition{ContainerDefinitions: []ecsapi.ContainerDefinition{a, b}}, nil, nil, "")
	if err != nil {
		t.Fatal(err)
	}
	if f := got.Containers[0].Files[0].Value + " " + got.Containers[1].Files[0].Value; f != "arn:aws:s3:::conf/def.env arn:aws:s3:::conf/over.env" {
		t.Errorf("environment files: %s", f)
	}
	if r := got.Containers[0].Registry; r.Type != "asm" || r.ECR != nil || r.ASM.Region != "us-east-1" {
		t.Errorf("registry: %+v", r)
	}
}
