package ssm

import (
	"strings"

	"github.com/remit-ecs/remit/internal/api"
	"github.com/remit-ecs/remit/internal/api/ssmapi"
	"github.com/remit-ecs/remit/internal/authz"
	"github.com/remit-ecs/remit/internal/gateway"
)

// keys are the condition keys of one question, by lower-case name.
type keys map[string][]string

// requestTags adds the tags that are sent.
func (k keys) requestTags(tags []ssmapi.Tag) keys {
	for _, t := range tags {
		k["aws:requesttag/"+strings.ToLower(api.Value(t.Key))] = []string{api.Value(t.Value)}
		k["aws:tagkeys"] = append(k["aws:tagkeys"], api.Value(t.Key))
	}
	return k
}

// about asks for the call's own action on the parameter that a name or ARN
// means, whether it exists or not.
// https://docs.aws.amazon.com/service-authorization/latest/reference/list_awssystemsmanager.html
func about(c *gateway.Call, name string, k keys) (authz.Ask, error) {
	r, err := parseRef(c.Account, c.Region, name)
	if err != nil {
		return authz.Ask{}, err
	}
	if k == nil {
		k = keys{}
	}
	if p, ok := r.find(c); ok {
		k.resourceTags(p.Tags)
	}
	return authz.Ask{Action: c.Op.Action(), Resource: r.arn(), Account: r.account, Keys: k}, nil
}

// resourceTags adds the tags that the parameter has now.
func (k keys) resourceTags(tags []ssmapi.Tag) keys {
	for _, t := range tags {
		key := strings.ToLower(api.Value(t.Key))
		k["aws:resourcetag/"+key] = []string{api.Value(t.Value)}
		k["ssm:resourcetag/"+key] = []string{api.Value(t.Value)}
	}
	return k
}

func one(c *gateway.Call, name *string, k keys) ([]authz.Ask, error) {
	a, err := about(c, api.Value(name), k)
	return []authz.Ask{a}, err
}

// each asks about every parameter that is named: one refusal refuses all, as
// in AWS.
func each(c *gateway.Call, names []string) ([]authz.Ask, error) {
	asks := make([]authz.Ask, len(names))
	for i, n := range names {
		var err error
		if asks[i], err = about(c, n, nil); err != nil {
			return nil, err
		}
	}
	return asks, nil
}
