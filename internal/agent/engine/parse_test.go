package engine

import (
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/remit-ecs/remit/internal/agent/acs"
)

func TestParseReference(t *testing.T) {
	const digest = "sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"
	tests := []struct {
		image string
		want  reference
	}{
		{"busybox", reference{"registry-1.docker.io", "library/busybox", "latest", ""}},
		{"docker.io/me/app:1", reference{"registry-1.docker.io", "me/app", "1", ""}},
		{"localhost/app", reference{"localhost", "app", "latest", ""}},
		{"127.0.0.1:8080/123456789012.dkr.ecr.eu-north-1.amazonaws.com/shop:3", reference{"127.0.0.1:8080", "123456789012.dkr.ecr.eu-north-1.amazonaws.com/shop", "3", ""}},
		{"123456789012.dkr.ecr.eu-north-1.amazonaws.com/a/b@" + digest, reference{"123456789012.dkr.ecr.eu-north-1.amazonaws.com", "a/b", "", digest}},
		{"public.ecr.aws/x/y:v1@" + digest, reference{"public.ecr.aws", "x/y", "v1", digest}},
	}
	for _, test := range tests {
		if got, err := parseReference(test.image); err != nil || got != test.want {
			t.Errorf("%s: %+v, %v", test.image, got, err)
		}
	}
	for _, bad := range []string{"", "UPPER", "a b", "x.io/", "x.io/a@sha256:12", "x.io/a:" + strings.Repeat("t", 129), "x.io/../a", "evil@host.io/a", "http://x.io/a"} {
		if got, err := parseReference(bad); err == nil {
			t.Errorf("%q was read as %+v", bad, got)
		}
	}
}

func FuzzReference(f *testing.F) {
	for _, s := range []string{"busybox", "a.b:1/c:d", "x@sha256:", "localhost:5000/a/b:tag", ".%/0", "//", ":", "a:b/c"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		r, err := parseReference(s)
		if err != nil {
			return
		}
		if r.host == "" || r.name() == "" || strings.ContainsAny(r.host+r.repository+r.name(), "?#\\ %\n") || strings.Contains("/"+r.repository+"/", "/../") {
			t.Errorf("%q gave %+v", s, r)
		}
	})
}

func TestParseSecretARN(t *testing.T) {
	const arn = "arn:aws:secretsmanager:eu-north-1:123456789012:secret:db-AbCdEf"
	tests := map[string]secretReference{
		arn:                         {arn: arn},
		arn + ":key::":              {arn: arn, jsonKey: "key"},
		arn + "::AWSPREVIOUS:":      {arn: arn, versionStage: "AWSPREVIOUS"},
		arn + ":key::version-id-12": {arn: arn, jsonKey: "key", versionID: "version-id-12"},
	}
	for from, want := range tests {
		if got, ok := parseSecretARN(from); !ok || got != want {
			t.Errorf("%s: %+v %t", from, got, ok)
		}
	}
	for _, bad := range []string{"", "db", arn + ":key", arn + ":key:", "arn:aws:ssm:r:1:secret:a", "arn:aws:secretsmanager:r:1:secret:"} {
		if got, ok := parseSecretARN(bad); ok {
			t.Errorf("%q was read as %+v", bad, got)
		}
	}
}

func FuzzSecret(f *testing.F) {
	f.Add("arn:aws:secretsmanager:r:1:secret:a:k:s:v", `{"k":"v"}`)
	f.Add("arn:aws:secretsmanager:r:1:secret:a:k::", `{"k":{"deep":1}}`)
	f.Fuzz(func(t *testing.T, from, value string) {
		ref, ok := parseSecretARN(from)
		if !ok {
			return
		}
		if strings.Count(ref.arn, ":") != 6 || !strings.HasPrefix(from, ref.arn) {
			t.Errorf("%q gave %+v", from, ref)
		}
		ref.arn, ref.jsonKey = "ARN", "KEY"
		if _, err := jsonMember(value, ref); err != nil && len(value) > 3 && strings.Contains(err.Error(), value) && !strings.Contains(reason("asmKey", "KEY")+reason("asmNotJSON", "ARN", "KEY"), value) {
			t.Error("a secret's value stands in an error")
		}
	})
}

func FuzzEnvironmentFile(f *testing.F) {
	f.Add([]byte("A=1\n#x\n\nB = 2\r\nC\n=d\nA=3"))
	f.Fuzz(func(t *testing.T, b []byte) {
		env, err := parseEnvironmentFile(b)
		if err != nil {
			return
		}
		for k, v := range env {
			if k == "" || strings.ContainsAny(k, "=\x00\n") || strings.ContainsAny(v, "\x00\n") {
				t.Errorf("%q=%q", k, v)
			}
		}
	})
}

func TestEnvironmentFile(t *testing.T) {
	env, err := parseEnvironmentFile([]byte("A=1\n# B=2\n\nC = x=y \r\nnothing\nA=2\n"))
	if err != nil || len(env) != 2 || env["A"] != "1" || env["C"] != " x=y " {
		t.Errorf("%q %v", env, err)
	}
}

func FuzzDockerConfig(f *testing.F) {
	f.Add(`{"User":"1000","Healthcheck":{"Test":["CMD","x"],"Interval":1}}`, `{"Ulimits":[{"Name":"nofile","Soft":1,"Hard":2}],"LogConfig":{"Type":"awslogs","Config":{"a":"b"}}}`, `{"command":["a"]}`)
	f.Add(`{`, `[]`, `null`)
	f.Fuzz(func(t *testing.T, config, host, overrides string) {
		d, err := parseDocker(acs.Container{Name: "a", Overrides: overrides, DockerConfig: acs.DockerConfig{Config: config, HostConfig: host}})
		if err == nil {
			d.Healthcheck.command()
			bufferSize(d.LogConfig.Config["max-buffer-size"])
			signalNumber(d.StopSignal)
		}
	})
}

func TestArguments(t *testing.T) {
	c := func(entry, command []string, override *[]string) *container {
		x := &container{payload: acs.Container{EntryPoint: entry, Command: command}}
		x.docker.override.Command = override
		return x
	}
	tests := []struct {
		c    *container
		want string
	}{
		{c(nil, nil, nil), "/entry image"},
		{c(nil, []string{"own"}, nil), "/entry own"},
		{c([]string{"/mine"}, nil, nil), "/mine"},
		{c([]string{"/mine"}, []string{"own"}, &[]string{"over", "ride"}), "/mine over ride"},
		{c([]string{}, []string{"own"}, nil), "own"},
	}
	for _, test := range tests {
		got, err := arguments(test.c, []string{"/entry"}, []string{"image"})
		if err != nil || strings.Join(got, " ") != test.want {
			t.Errorf("got %q %v, want %q", got, err, test.want)
		}
	}
	if _, err := arguments(c(nil, nil, nil), nil, nil); err == nil {
		t.Error("an image without a command was accepted")
	}
}

func TestStopSignal(t *testing.T) {
	for name, want := range map[string]int{"": 0, "SIGQUIT": 3, "quit": 3, "9": 9, "nonsense": 0, "SIGRTMIN+3": 37} {
		if got := stopSignal("", v1.Config{StopSignal: name}); int(got) != want {
			t.Errorf("%q is %d, want %d", name, got, want)
		}
	}
}

func TestReasonsAreCut(t *testing.T) {
	got := reason("startFailed", strings.Repeat("é", 2000))
	if len(got) > maxReason || len(got) < maxReason-1 || !utf8.ValidString(got) {
		t.Errorf("%d bytes, valid %t", len(got), utf8.ValidString(got))
	}
	for name, text := range texts {
		if !slices.Contains([]provenance{documented, observedAt, unseen}, text.from) {
			t.Errorf("%s has no provenance", name)
		}
	}
}

func TestBufferSize(t *testing.T) {
	for s, want := range map[string]int{"": 0, "b": 0, "12": 12, "4k": 4096, "2MB": 2 << 20, "1g": 1 << 30, "-1": 0, "x": 0} {
		if got := bufferSize(s); got != want {
			t.Errorf("%q is %d, want %d", s, got, want)
		}
	}
}
