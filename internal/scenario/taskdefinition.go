package scenario

import (
	"encoding/json"
	"fmt"
	"reflect"
	"regexp"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ecs"
	ecstypes "github.com/aws/aws-sdk-go-v2/service/ecs/types"
)

// definitionFile is what task-definition.json may hold at its top: the input of
// register-task-definition, which may still have what describe-task-definition
// adds to it. The SDK's types carry the API's names in upper case, and
// encoding/json does not mind case.
type definitionFile struct {
	ecstypes.TaskDefinition
	Tags []ecstypes.Tag
}

// described is the whole output of describe-task-definition.
type described struct {
	TaskDefinition *ecstypes.TaskDefinition
	Tags           []ecstypes.Tag
}

// parseTaskDefinition reads the input of register-task-definition or the output
// of describe-task-definition. What DescribeTaskDefinition adds (ARN, revision,
// status and such) is dropped, so that its output can be registered again.
func parseTaskDefinition(name string, text []byte) (*ecs.RegisterTaskDefinitionInput, error) {
	var top map[string]json.RawMessage
	if err := json.Unmarshal(text, &top); err != nil {
		return nil, place(name, text, err)
	}
	var out struct {
		TaskDefinition *ecs.RegisterTaskDefinitionInput
		Tags           []ecstypes.Tag
	}
	var err error
	shape := reflect.TypeFor[definitionFile]()
	if _, ok := top["taskDefinition"]; ok {
		shape = reflect.TypeFor[described]()
		err = json.Unmarshal(text, &out)
	} else {
		err = json.Unmarshal(text, &out.TaskDefinition)
	}
	if err != nil {
		return nil, place(name, text, err)
	}
	if err := checkMembers(name, text, shape); err != nil {
		return nil, err
	}
	in := out.TaskDefinition
	if in == nil || in.Family == nil || in.ContainerDefinitions == nil {
		return nil, fmt.Errorf("%s has no \"family\" or no \"containerDefinitions\"; it is the input of `aws ecs register-task-definition --cli-input-json`, or what `aws ecs describe-task-definition` prints", name)
	}
	if len(out.Tags) > 0 { // RegisterTaskDefinition refuses an empty list
		in.Tags = out.Tags
	}
	if len(in.Tags) == 0 {
		in.Tags = nil
	}
	return in, nil
}

var imageRegion = regexp.MustCompile(`^[0-9]{12}\.dkr\.ecr\.([a-z0-9-]+)\.amazonaws\.com/`)

// region is the one region of the registries that the images are named in, ""
// where they name none or several.
func (s *Scenario) region() string {
	found := ""
	for _, c := range s.TaskDefinition.ContainerDefinitions {
		m := imageRegion.FindStringSubmatch(aws.ToString(c.Image))
		if m == nil || m[1] == found {
			continue
		}
		if found != "" {
			return ""
		}
		found = m[1]
	}
	return found
}

// logGroups are the groups that the awslogs driver writes to and does not make
// itself, by region.
func (s *Scenario) logGroups() map[string][]string {
	out := map[string][]string{}
	seen := map[string]bool{}
	for _, c := range s.TaskDefinition.ContainerDefinitions {
		l := c.LogConfiguration
		if l == nil || l.LogDriver != "awslogs" || l.Options["awslogs-group"] == "" || strings.EqualFold(l.Options["awslogs-create-group"], "true") {
			continue
		}
		region, group := l.Options["awslogs-region"], l.Options["awslogs-group"]
		if region == "" {
			region = s.Region
		}
		if !seen[region+" "+group] {
			seen[region+" "+group] = true
			out[region] = append(out[region], group)
		}
	}
	return out
}
