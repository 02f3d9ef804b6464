package scenario

import (
	"encoding/json"
	"fmt"
	"strings"
)

// answers are the members that DescribeTaskDefinition adds to what was
// registered. They are dropped, so that its output can be registered again.
var answers = []string{
	"taskDefinitionArn", "revision", "status", "requiresAttributes", "compatibilities",
	"registeredAt", "registeredBy", "deregisteredAt", "deleteRequestedAt",
}

// parseTaskDefinition reads the input of register-task-definition or the output
// of describe-task-definition.
func parseTaskDefinition(name string, text []byte) (map[string]json.RawMessage, error) {
	var in map[string]json.RawMessage
	if err := json.Unmarshal(text, &in); err != nil {
		return nil, place(name, text, err)
	}
	tags := in["tags"]
	if inner, ok := in["taskDefinition"]; ok {
		in = nil
		if err := json.Unmarshal(inner, &in); err != nil {
			return nil, fmt.Errorf("%s: taskDefinition: %w", name, err)
		}
		if len(tags) > 0 && string(tags) != "[]" {
			in["tags"] = tags
		}
	}
	for _, k := range answers {
		delete(in, k)
	}
	for _, k := range [...]string{"family", "containerDefinitions"} {
		if _, ok := in[k]; !ok {
			return nil, fmt.Errorf("%s has no %q; it is the input of `aws ecs register-task-definition --cli-input-json`", name, k)
		}
	}
	return in, nil
}

// container is what the package itself needs to know of a container definition.
type container struct {
	Name             string
	Image            string
	Essential        *bool
	LogConfiguration *struct {
		LogDriver string
		Options   map[string]string
	}
}

func (s *Scenario) containers() ([]container, error) {
	var out []container
	if err := json.Unmarshal(s.TaskDefinition["containerDefinitions"], &out); err != nil {
		return nil, fmt.Errorf("task-definition.json: containerDefinitions: %w", err)
	}
	return out, nil
}

func (s *Scenario) text(member string) string {
	var v string
	_ = json.Unmarshal(s.TaskDefinition[member], &v) // absent or not a string: RegisterTaskDefinition says so
	return v
}

// logGroups are the groups that the awslogs driver writes to and does not make
// itself, by region.
func (s *Scenario) logGroups() (map[string][]string, error) {
	cs, err := s.containers()
	if err != nil {
		return nil, err
	}
	out := map[string][]string{}
	seen := map[string]bool{}
	for _, c := range cs {
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
	return out, nil
}
