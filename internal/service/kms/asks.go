package kms

import (
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/remit-ecs/remit/internal/api"
	"github.com/remit-ecs/remit/internal/api/kmsapi"
	"github.com/remit-ecs/remit/internal/authz"
	"github.com/remit-ecs/remit/internal/gateway"
	"github.com/remit-ecs/remit/policy"
)

// conditions are the condition keys of one question, by lower-case name.
// https://docs.aws.amazon.com/kms/latest/developerguide/conditions-kms.html
type conditions map[string][]string

// called tells who calls, and on whose way: a service that goes on to KMS for
// its caller is "secretsmanager.REGION.amazonaws.com" here.
func called(c *gateway.Call) conditions {
	k := conditions{}
	if c.Principal.Account != "" {
		k["kms:calleraccount"] = []string{c.Principal.Account}
	}
	if via := c.CalledVia(); len(via) > 0 {
		service, _, _ := strings.Cut(via[len(via)-1], ".")
		k["kms:viaservice"] = []string{service + "." + c.Region + ".amazonaws.com"}
	}
	return k
}

func (k conditions) flag(name string, v bool) conditions {
	k[name] = []string{strconv.FormatBool(v)}
	return k
}

func (k conditions) number(name string, v *int32) conditions {
	if v != nil {
		k[name] = []string{strconv.Itoa(int(*v))}
	}
	return k
}

func (k conditions) text(name string, v string) conditions {
	if v != "" {
		k[name] = []string{v}
	}
	return k
}

// spec are the properties of a key.
func (k conditions) spec() conditions {
	k["kms:keyorigin"] = []string{string(kmsapi.OriginTypeAwsKms)}
	k["kms:keyspec"] = []string{string(kmsapi.KeySpecSymmetricDefault)}
	k["kms:keyusage"] = []string{string(kmsapi.KeyUsageTypeEncryptDecrypt)}
	return k.flag("kms:multiregion", false)
}

// context adds an encryption context.
func (k conditions) context(context map[string]string) conditions {
	for _, name := range slices.Sorted(maps.Keys(context)) {
		k["kms:encryptioncontext:"+strings.ToLower(name)] = []string{context[name]}
		k["kms:encryptioncontextkeys"] = append(k["kms:encryptioncontextkeys"], name)
	}
	return k
}

// ambiguous refuses an encryption context that names one thing twice, in
// letters that differ only in case: condition keys know no case, so a policy on
// kms:EncryptionContext:team could not tell which of "team" and "Team" it is
// about.
func ambiguous(context map[string]string) error {
	seen := make(map[string]bool, len(context))
	for k := range context {
		if l := strings.ToLower(k); seen[l] {
			return api.Validation("Encryption context keys must not differ only in case.")
		} else {
			seen[l] = true
		}
	}
	return nil
}

func (k conditions) requestTags(tags []kmsapi.Tag) conditions {
	for _, t := range tags {
		k["aws:requesttag/"+strings.ToLower(api.Value(t.TagKey))] = []string{api.Value(t.TagValue)}
		k["aws:tagkeys"] = append(k["aws:tagkeys"], api.Value(t.TagKey))
	}
	return k
}

// about asks for the call's own action on a key.
func (s *Service) about(c *gateway.Call, keyID *string) ([]authz.Ask, error) {
	return s.aboutWith(c, keyID, called(c))
}

func (s *Service) aboutWith(c *gateway.Call, keyID *string, k conditions) ([]authz.Ask, error) {
	r, err := s.resolveKey(c, keyID)
	if err != nil {
		return nil, err
	}
	return []authz.Ask{s.ask(c, c.Op.Action(), r, k)}, nil
}

// ask asks for an action on a key.
func (s *Service) ask(c *gateway.Call, action string, r *ref, k conditions) authz.Ask {
	if d := r.doc; d != nil {
		k.spec()
		for _, t := range d.Tags {
			k["aws:resourcetag/"+strings.ToLower(api.Value(t.TagKey))] = []string{api.Value(t.TagValue)}
		}
		for name := range aliases.By(c.Tx, r.shard(), "key", d.ID) {
			k["kms:resourcealiases"] = append(k["kms:resourcealiases"], name)
		}
	}
	return authz.Ask{Action: action, Resource: r.arn(), Account: r.account, Keys: k, Refuse: refuse}
}

// refuse says no more to another account than AWS does: neither whether the key
// exists nor what its policy says.
func refuse(v *authz.Verdict) *api.Error {
	if v.Decision.CrossAccount && v.Decision.Layer == policy.LayerResource {
		return api.AccessDenied("User: " + v.Principal.ARN + " is not authorized to perform: " + v.Ask.Action +
			" on this resource because the resource does not exist in this Region, no resource-based policies allow access, or a resource-based policy explicitly denies access")
	}
	return api.AccessDenied(v.Message())
}
