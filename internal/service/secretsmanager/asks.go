package secretsmanager

import (
	"strconv"
	"strings"

	"github.com/remit-ecs/remit/internal/api"
	sm "github.com/remit-ecs/remit/internal/api/secretsmanagerapi"
	"github.com/remit-ecs/remit/internal/authz"
	"github.com/remit-ecs/remit/internal/gateway"
)

// keys are the condition keys of one question, by lower-case name.
type keys map[string][]string

func (k keys) set(name string, p *string) keys {
	if p != nil {
		k[name] = []string{*p}
	}
	return k
}

func (k keys) flag(name string, p *bool) keys {
	if p != nil {
		k[name] = []string{strconv.FormatBool(*p)}
	}
	return k
}

// requestTags adds the tags that are sent.
func (k keys) requestTags(tags []sm.Tag) keys {
	for _, t := range tags {
		k["aws:requesttag/"+strings.ToLower(api.Value(t.Key))] = []string{api.Value(t.Value)}
		k["aws:tagkeys"] = append(k["aws:tagkeys"], api.Value(t.Key))
	}
	return k
}

// about asks for the call's own action on the secret that an id means. Of a
// secret that does not exist the ARN is asked about as it was given, or with
// the name and no suffix: "secret:NAME*" covers it, "secret:NAME-??????" does
// not.
// https://docs.aws.amazon.com/service-authorization/latest/reference/list_awssecretsmanager.html
func about(c *gateway.Call, secretID *string, k keys) ([]authz.Ask, error) {
	return ask(c, c.Op.Action(), api.Value(secretID), k)
}

func ask(c *gateway.Call, action, secretID string, k keys) ([]authz.Ask, error) {
	r, err := parseID(c.Account, c.Region, secretID)
	if err != nil {
		return nil, err
	}
	if k == nil {
		k = keys{}
	}
	resource := r.arn
	if d, ok := r.find(c); ok {
		resource = d.ARN
		for _, t := range d.Tags {
			key := strings.ToLower(api.Value(t.Key))
			k["aws:resourcetag/"+key] = []string{api.Value(t.Value)}
			k["secretsmanager:resourcetag/"+key] = []string{api.Value(t.Value)}
		}
		k["secretsmanager:secretprimaryregion"] = []string{c.Region}
	}
	k["secretsmanager:secretid"] = []string{resource}
	return []authz.Ask{{Action: action, Resource: resource, Account: r.account, Keys: k, Refuse: refuse(secretID)}}, nil
}

// refuse words a refusal with the id that the request gives, as AWS does: who is
// refused does not learn the ARN behind a name. Observed in
// https://github.com/mongodb/awscdk-resources-mongodbatlas/issues/207.
func refuse(secretID string) func(*authz.Verdict) *api.Error {
	return func(v *authz.Verdict) *api.Error {
		return api.AccessDenied(v.Decision.Message(v.Principal.ARN, v.Ask.Action, secretID))
	}
}

// find returns the secret of a request that was authorised.
func find(c *gateway.Call, secretID *string) (*Secret, error) {
	r, err := parseID(c.Account, c.Region, api.Value(secretID))
	if err != nil {
		return nil, err
	}
	d, ok := r.find(c)
	if !ok {
		return nil, errNotFound()
	}
	return d, nil
}

// findLive is find for what cannot be done to a secret that is marked for
// deletion.
func findLive(c *gateway.Call, secretID *string) (*Secret, error) {
	d, err := find(c, secretID)
	if err == nil && d.Deleted != nil {
		return nil, errDeleted()
	}
	return d, err
}

func errNotFound() *api.Error {
	return sm.ResourceNotFoundException("Secrets Manager can't find the specified secret.")
}

func errDeleted() *api.Error {
	return sm.InvalidRequestException("You can't perform this operation on the secret because it was marked for deletion.")
}
