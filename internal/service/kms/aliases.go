package kms

import (
	"strings"

	"github.com/remit-ecs/remit/internal/api"
	"github.com/remit-ecs/remit/internal/api/kmsapi"
	"github.com/remit-ecs/remit/internal/authz"
	"github.com/remit-ecs/remit/internal/gateway"
)

// reservedPrefix begins the aliases of AWS managed keys.
const reservedPrefix = "alias/aws/"

// aboutAlias asks about the alias and about each key that it names or is to
// name: AWS wants the permission on both sides.
// https://docs.aws.amazon.com/kms/latest/developerguide/alias-access.html
func (s *Service) aboutAlias(c *gateway.Call, name *string, refs ...*ref) []authz.Ask {
	asks := []authz.Ask{{Action: c.Op.Action(), Resource: kmsARN(c.Account, c.Region, api.Value(name)), Account: c.Account, Keys: called(c)}}
	for i, r := range refs {
		if r != nil && r.id != "" && (i == 0 || refs[0] == nil || r.id != refs[0].id) {
			asks = append(asks, s.ask(c, c.Op.Action(), r, called(c)))
		}
	}
	return asks
}

// target is the key that a request wants an alias to name.
func (s *Service) target(c *gateway.Call, keyID *string) (*ref, error) {
	r, err := s.resolveKey(c, keyID)
	if err == nil && r.account != c.Account {
		return nil, kmsapi.NotFoundException("Invalid keyId '%s'", api.Value(keyID))
	}
	return r, err
}

// named is the key that an alias names, nil where there is no such alias.
func (s *Service) named(c *gateway.Call, name *string) *ref {
	r := &ref{account: c.Account, region: c.Region, alias: api.Value(name)}
	if s.find(c, r); r.id == "" {
		return nil
	}
	return r
}

func validAlias(name *string) error {
	n := api.Value(name)
	switch rest, ok := strings.CutPrefix(n, aliasPrefix); {
	case !ok || rest == "":
		return api.Validation("Invalid identifier")
	case strings.Contains(n, ":"):
		return api.Validation(n + " contains invalid characters for an alias")
	case strings.HasPrefix(n, reservedPrefix):
		return kmsapi.InvalidAliasNameException("Aliases that begin with %s are reserved for AWS services.", reservedPrefix)
	}
	return nil
}

func errNoAlias(c *gateway.Call, name *string) *api.Error {
	return kmsapi.NotFoundException("Alias %s is not found.", kmsARN(c.Account, c.Region, api.Value(name)))
}

func (s *Service) mayCreateAlias(c *gateway.Call, in *kmsapi.CreateAliasInput) ([]authz.Ask, error) {
	r, err := s.target(c, in.TargetKeyId)
	if err != nil {
		return nil, err
	}
	return s.aboutAlias(c, in.AliasName, r), nil
}

// https://docs.aws.amazon.com/kms/latest/APIReference/API_CreateAlias.html
func (s *Service) createAlias(c *gateway.Call, in *kmsapi.CreateAliasInput) (*kmsapi.CreateAliasOutput, error) {
	if err := validAlias(in.AliasName); err != nil {
		return nil, err
	}
	r, err := s.target(c, in.TargetKeyId)
	if err != nil {
		return nil, err
	}
	d, err := s.key(c, r)
	if err != nil {
		return nil, err
	}
	if err := d.notPending(); err != nil {
		return nil, err
	}
	if old, ok := aliases.Get(c.Tx, c.Home, *in.AliasName); ok && s.lives(c, old.Target) {
		return nil, kmsapi.AlreadyExistsException("An alias with the name %s already exists", kmsARN(c.Account, c.Region, *in.AliasName))
	}
	now := c.Time.UTC()
	aliases.Put(c.Tx, *in.AliasName, &Alias{Target: d.ID, Created: now, Updated: now})
	return &kmsapi.CreateAliasOutput{}, nil
}

// lives says whether a key of the home shard exists.
func (s *Service) lives(c *gateway.Call, keyID string) bool {
	d, ok := keys.Get(c.Tx, c.Home, keyID)
	return ok && !d.gone(c.Time)
}

func (s *Service) mayUpdateAlias(c *gateway.Call, in *kmsapi.UpdateAliasInput) ([]authz.Ask, error) {
	r, err := s.target(c, in.TargetKeyId)
	if err != nil {
		return nil, err
	}
	return s.aboutAlias(c, in.AliasName, s.named(c, in.AliasName), r), nil
}

// https://docs.aws.amazon.com/kms/latest/APIReference/API_UpdateAlias.html
func (s *Service) updateAlias(c *gateway.Call, in *kmsapi.UpdateAliasInput) (*kmsapi.UpdateAliasOutput, error) {
	if err := validAlias(in.AliasName); err != nil {
		return nil, err
	}
	r, err := s.target(c, in.TargetKeyId)
	if err != nil {
		return nil, err
	}
	d, err := s.key(c, r)
	if err != nil {
		return nil, err
	}
	if err := d.notPending(); err != nil {
		return nil, err
	}
	a, ok := aliases.Edit(c.Tx, *in.AliasName)
	if !ok || !s.lives(c, a.Target) {
		return nil, errNoAlias(c, in.AliasName)
	}
	a.Target, a.Updated = d.ID, c.Time.UTC()
	aliases.Put(c.Tx, *in.AliasName, a)
	return &kmsapi.UpdateAliasOutput{}, nil
}

func (s *Service) mayDeleteAlias(c *gateway.Call, in *kmsapi.DeleteAliasInput) ([]authz.Ask, error) {
	return s.aboutAlias(c, in.AliasName, s.named(c, in.AliasName)), nil
}

// https://docs.aws.amazon.com/kms/latest/APIReference/API_DeleteAlias.html
func (s *Service) deleteAlias(c *gateway.Call, in *kmsapi.DeleteAliasInput) (*kmsapi.DeleteAliasOutput, error) {
	if err := validAlias(in.AliasName); err != nil {
		return nil, err
	}
	if a, ok := aliases.Get(c.Tx, c.Home, *in.AliasName); !ok || !s.lives(c, a.Target) {
		return nil, errNoAlias(c, in.AliasName)
	}
	aliases.Delete(c.Tx, *in.AliasName)
	return &kmsapi.DeleteAliasOutput{}, nil
}

func (s *Service) mayListAliases(*gateway.Call, *kmsapi.ListAliasesInput) ([]authz.Ask, error) {
	return []authz.Ask{{Action: "kms:ListAliases", Resource: "*"}}, nil
}

// https://docs.aws.amazon.com/kms/latest/APIReference/API_ListAliases.html
func (s *Service) listAliases(c *gateway.Call, in *kmsapi.ListAliasesInput) (*kmsapi.ListAliasesOutput, error) {
	p, err := page(c, in.Limit, in.Marker, 50, 100)
	if err != nil {
		return nil, err
	}
	for _, service := range managedServices {
		r := &ref{account: c.Account, region: c.Region, alias: reservedPrefix + service}
		if s.find(c, r); r.fresh {
			s.keep(c, r)
		}
	}
	only := ""
	if in.KeyId != nil {
		r, err := s.target(c, in.KeyId)
		if err != nil {
			return nil, err
		}
		if _, err := s.key(c, r); err != nil {
			return nil, err
		}
		only = r.id
	}
	out := &kmsapi.ListAliasesOutput{Aliases: []kmsapi.AliasListEntry{}}
	for name, a := range aliases.From(c.Tx, c.Home, p.after) {
		if only != "" && a.Target != only || !s.lives(c, a.Target) {
			continue
		}
		if p.full(name) {
			break
		}
		out.Aliases = append(out.Aliases, kmsapi.AliasListEntry{
			AliasName: &name, AliasArn: api.Ptr(kmsARN(c.Account, c.Region, name)), TargetKeyId: &a.Target,
			CreationDate: api.At(a.Created), LastUpdatedDate: api.At(a.Updated),
		})
	}
	out.NextMarker, out.Truncated = p.end(c)
	return out, nil
}
