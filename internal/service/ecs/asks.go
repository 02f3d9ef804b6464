package ecs

import (
	"strconv"
	"strings"

	"github.com/remit-ecs/remit/internal/api"
	"github.com/remit-ecs/remit/internal/api/ecsapi"
	"github.com/remit-ecs/remit/internal/authz"
	"github.com/remit-ecs/remit/internal/gateway"
)

// keys are the condition keys of one question, by lower-case name.
type keys map[string][]string

func (k keys) set(name string, values ...string) keys {
	if len(values) > 0 {
		k[name] = values
	}
	return k
}

func (k keys) flag(name string, v bool) keys { return k.set(name, strconv.FormatBool(v)) }

// resourceTags adds aws:ResourceTag of the tags that the resource has now.
func (k keys) resourceTags(tags []ecsapi.Tag) keys {
	for _, t := range tags {
		name := strings.ToLower(api.Value(t.Key))
		k["aws:resourcetag/"+name] = []string{api.Value(t.Value)}
		k["ecs:resourcetag/"+name] = []string{api.Value(t.Value)}
	}
	return k
}

// requestTags adds aws:RequestTag and aws:TagKeys of the tags that are sent.
func (k keys) requestTags(tags []ecsapi.Tag) keys {
	var names []string
	for _, t := range tags {
		k["aws:requesttag/"+strings.ToLower(api.Value(t.Key))] = []string{api.Value(t.Value)}
		names = append(names, api.Value(t.Key))
	}
	return k.set("aws:tagkeys", names...)
}

func one(action, resource string, k keys) []authz.Ask {
	return []authz.Ask{{Action: action, Resource: resource, Keys: k}}
}

// tagOnCreate asks for ecs:TagResource where a create operation sends tags.
// https://docs.aws.amazon.com/AmazonECS/latest/developerguide/supported-iam-actions-tagging.html
func tagOnCreate(c *gateway.Call, resource string, tags []ecsapi.Tag) []authz.Ask {
	if len(tags) == 0 {
		return nil
	}
	return one("ecs:TagResource", resource, keys{}.requestTags(tags).set("ecs:createaction", c.Op.Name))
}

// role expands the name of a role and refuses what is no role at all. Whether
// the role exists is not asked here: that is the trust question's business.
func role(c *gateway.Call, s *string) (string, error) {
	v := api.Value(s)
	switch {
	case v == "":
		return "", nil
	case rolePattern.MatchString(v):
		return v, nil
	case roleName.MatchString(v):
		return "arn:aws:iam::" + c.Account + ":role/" + v, nil
	}
	return "", ecsapi.ClientException("Role is not valid")
}

// passRole asks for iam:PassRole on each role, once. Roles of other accounts
// cannot be passed whatever policies say:
// https://docs.aws.amazon.com/IAM/latest/UserGuide/id_roles_use_passrole.html
func passRole(c *gateway.Call, roles ...string) ([]authz.Ask, error) {
	var asks []authz.Ask
	seen := map[string]bool{"": true}
	for _, r := range roles {
		if seen[r] {
			continue
		}
		seen[r] = true
		if rolePattern.FindStringSubmatch(r)[1] != c.Account {
			return nil, ecsapi.AccessDeniedException("Cross-account pass role is not allowed.")
		}
		asks = append(asks, authz.Ask{
			Action: "iam:PassRole", Resource: r,
			Keys: keys{"iam:passedtoservice": {TasksPrincipal}},
		})
	}
	return asks, nil
}

// CannotAssume is ECS's text for a role that ecs-tasks.amazonaws.com may not
// assume, or that does not exist.
func CannotAssume(role string) string {
	return "ECS was unable to assume the role '" + role + "' that was provided for this task. Please verify that the role being passed has the proper trust relationship and permissions and that your IAM user has permissions to pass this role."
}

// trust asks, as ecs-tasks.amazonaws.com acting for a task, whether each role
// lets itself be assumed.
func trust(c *gateway.Call, taskARN string, roles ...string) []authz.Ask {
	var asks []authz.Ask
	seen := map[string]bool{"": true}
	for _, r := range roles {
		if seen[r] {
			continue
		}
		seen[r] = true
		asks = append(asks, authz.Ask{
			Action: "sts:AssumeRole", Resource: r,
			Principal: authz.Service(TasksPrincipal),
			Keys:      keys{"aws:sourcearn": {taskARN}, "aws:sourceaccount": {c.Account}},
			Refuse:    func(*authz.Verdict) *api.Error { return ecsapi.ClientException("%s", CannotAssume(r)) },
		})
	}
	return asks
}
