package ecs

import (
	"reflect"
	"strings"
	"testing"

	"github.com/remit-ecs/remit/internal/api"
	"github.com/remit-ecs/remit/internal/api/ecsapi"
)

// TestEveryFieldHasAFate walks the types: a new member of the model must be put
// into the table, and the table names nothing that is not there.
func TestEveryFieldHasAFate(t *testing.T) {
	seen := map[string]bool{}
	var walk func(typ reflect.Type, path string)
	walk = func(typ reflect.Type, path string) {
		for i := range typ.NumField() {
			f := typ.Field(i)
			name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
			name = path + name
			seen[name] = true
			switch fields[name] {
			case 0:
				t.Errorf("%s has no fate", name)
			case inside:
				ft := f.Type
				for ft.Kind() == reflect.Pointer || ft.Kind() == reflect.Slice {
					ft = ft.Elem()
				}
				walk(ft, name+".")
			}
		}
	}
	walk(reflect.TypeFor[ecsapi.TaskDefinition](), "")
	for name := range fields {
		if !seen[name] {
			t.Errorf("%s is not a member of a task definition", name)
		}
	}
}

func TestCheckHonoured(t *testing.T) {
	logs := func(driver ecsapi.LogDriver, options map[string]string) *ecsapi.LogConfiguration {
		return &ecsapi.LogConfiguration{LogDriver: driver, Options: options}
	}
	tests := []struct {
		name  string
		c     ecsapi.ContainerDefinition
		field string
	}{
		{"plain", ecsapi.ContainerDefinition{Command: []string{"x"}, Privileged: api.Ptr(false), Links: []string{}, Hostname: api.Ptr("")}, ""},
		{"privileged", ecsapi.ContainerDefinition{Privileged: api.Ptr(true)}, "containerDefinitions.privileged"},
		{"swap", ecsapi.ContainerDefinition{LinuxParameters: &ecsapi.LinuxParameters{MaxSwap: api.Ptr[int32](0)}}, "containerDefinitions.linuxParameters.maxSwap"},
		{"capabilities", ecsapi.ContainerDefinition{LinuxParameters: &ecsapi.LinuxParameters{Capabilities: &ecsapi.KernelCapabilities{Add: []string{"SYS_PTRACE"}}}}, "containerDefinitions.linuxParameters.capabilities.add"},
		{"empty capabilities", ecsapi.ContainerDefinition{LinuxParameters: &ecsapi.LinuxParameters{Capabilities: &ecsapi.KernelCapabilities{}}}, ""},
		{"awslogs", ecsapi.ContainerDefinition{LogConfiguration: logs("awslogs", map[string]string{"awslogs-group": "g"})}, ""},
		{"splunk", ecsapi.ContainerDefinition{LogConfiguration: logs("splunk", nil)}, "containerDefinitions.logConfiguration.logDriver"},
		{"multiline", ecsapi.ContainerDefinition{LogConfiguration: logs("awslogs", map[string]string{"awslogs-multiline-pattern": "x"})}, "options.awslogs-multiline-pattern"},
		{"port range", ecsapi.ContainerDefinition{PortMappings: []ecsapi.PortMapping{{ContainerPortRange: api.Ptr("1-2")}}}, "containerDefinitions.portMappings.containerPortRange"},
	}
	for _, tt := range tests {
		err := checkHonoured(&ecsapi.TaskDefinition{ContainerDefinitions: []ecsapi.ContainerDefinition{tt.c}})
		if tt.field == "" && err != nil || tt.field != "" && (err == nil || !strings.Contains(err.Error(), tt.field+"'")) {
			t.Errorf("%s: %v, want a refusal of %q", tt.name, err, tt.field)
		}
	}
}

func TestNormal(t *testing.T) {
	for in, want := range map[string]string{"256": "256", "1 vCPU": "1024", ".25 vcpu": "256", "0.5VCPU": "512", "x": "", "-1": "", "1e3": "", "vCPU": ""} {
		if got := normalCPU(in); got != want {
			t.Errorf("cpu %q is %q, want %q", in, got, want)
		}
	}
	if got := normalMemory("2 GB"); got != "2048" {
		t.Errorf("2 GB is %q", got)
	}
}

func TestParseECRImage(t *testing.T) {
	for image, want := range map[string]ECRImage{
		"111122223333.dkr.ecr.eu-west-1.amazonaws.com/web:1":              {"111122223333", "eu-west-1"},
		"127.0.0.1:4566/111122223333.dkr.ecr.eu-west-1.amazonaws.com/a/b": {"111122223333", "eu-west-1"},
		"busybox":            {},
		"public.ecr.aws/x/y": {},
		"evil.example/111122223333.dkr.ecr.eu-west-1.amazonaws.com/web": {},
	} {
		got, ok := ParseECRImage(image)
		if got != want || ok != (want != ECRImage{}) {
			t.Errorf("%s: %v %v", image, got, ok)
		}
	}
}
