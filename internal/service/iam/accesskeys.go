package iam

import (
	"github.com/remit-ecs/remit/internal/api"
	"github.com/remit-ecs/remit/internal/api/iamapi"
	"github.com/remit-ecs/remit/internal/authz"
	"github.com/remit-ecs/remit/internal/gateway"
	"github.com/remit-ecs/remit/internal/id"
	"github.com/remit-ecs/remit/internal/store"
)

// namedUser finds the user of an access key operation.
func namedUser(c *gateway.Call, name *string) (*User, error) {
	name, err := callersName(c, name)
	if err != nil {
		return nil, err
	}
	d, ok := getUser(c.Tx, c.Home, *name)
	if !ok {
		return nil, userNoun.missing(*name)
	}
	return d, nil
}

func (s *Service) mayCreateAccessKey(c *gateway.Call, in *iamapi.CreateAccessKeyInput) ([]authz.Ask, error) {
	return aboutUser(c, in.UserName)
}

// createAccessKey answers the secret, this once. What is kept is sealed.
// https://docs.aws.amazon.com/IAM/latest/APIReference/API_CreateAccessKey.html
func (s *Service) createAccessKey(c *gateway.Call, in *iamapi.CreateAccessKeyInput) (*iamapi.CreateAccessKeyOutput, error) {
	d, err := namedUser(c, in.UserName)
	if err != nil {
		return nil, err
	}
	n := 0
	for range accessKeys.By(c.Tx, c.Home, "user", d.ID) {
		n++
	}
	if n >= maxAccessKeys {
		return nil, iamapi.LimitExceededException("Cannot exceed quota for AccessKeysPerUser: %d", maxAccessKeys)
	}
	secret := id.SecretKey(c.IDs)
	k := &AccessKey{ID: id.AccessKeyID(c.IDs, id.LongTerm, c.Account), UserID: d.ID, Status: iamapi.StatusTypeActive, Created: c.Time}
	k.Sealed = s.Seal.Seal(sealPurpose(c.Account, k.ID), []byte(secret))
	accessKeys.Put(c.Tx, k.ID, k)
	return &iamapi.CreateAccessKeyOutput{AccessKey: &iamapi.AccessKey{
		UserName: &d.Name, AccessKeyId: &k.ID, Status: k.Status, SecretAccessKey: &secret, CreateDate: c.Now(),
	}}, nil
}

func (s *Service) mayListAccessKeys(c *gateway.Call, in *iamapi.ListAccessKeysInput) ([]authz.Ask, error) {
	return aboutUser(c, in.UserName)
}

func (s *Service) listAccessKeys(c *gateway.Call, in *iamapi.ListAccessKeysInput) (*iamapi.ListAccessKeysOutput, error) {
	d, err := namedUser(c, in.UserName)
	if err != nil {
		return nil, err
	}
	found := func(yield func(string, iamapi.AccessKeyMetadata) bool) {
		for key, k := range accessKeys.By(c.Tx, c.Home, "user", d.ID) {
			if !yield(key, iamapi.AccessKeyMetadata{UserName: &d.Name, AccessKeyId: &k.ID, Status: k.Status, CreateDate: &api.Time{Time: k.Created}}) {
				return
			}
		}
	}
	items, truncated, next, err := pageOf(c, in.Marker, in.MaxItems, found)
	if err != nil {
		return nil, err
	}
	return &iamapi.ListAccessKeysOutput{AccessKeyMetadata: items, IsTruncated: truncated, Marker: next}, nil
}

// keyOf finds an access key that must be a user's.
func keyOf(c *gateway.Call, userName, keyID *string) (*AccessKey, error) {
	d, err := namedUser(c, userName)
	if err != nil {
		return nil, err
	}
	k, ok := accessKeys.Edit(c.Tx, api.Value(keyID))
	if !ok || k.UserID != d.ID {
		return nil, missingKey(keyID)
	}
	return k, nil
}

func missingKey(keyID *string) *api.Error {
	return iamapi.NoSuchEntityException("The Access Key with id %s cannot be found.", api.Value(keyID))
}

func (s *Service) mayUpdateAccessKey(c *gateway.Call, in *iamapi.UpdateAccessKeyInput) ([]authz.Ask, error) {
	return aboutUser(c, in.UserName)
}

func (s *Service) updateAccessKey(c *gateway.Call, in *iamapi.UpdateAccessKeyInput) (*iamapi.UpdateAccessKeyOutput, error) {
	if in.Status == iamapi.StatusTypeExpired {
		return nil, api.Validation("Status Expired is not one that can be set.")
	}
	k, err := keyOf(c, in.UserName, in.AccessKeyId)
	if err != nil {
		return nil, err
	}
	k.Status = in.Status
	accessKeys.Put(c.Tx, k.ID, k)
	return &iamapi.UpdateAccessKeyOutput{}, nil
}

func (s *Service) mayDeleteAccessKey(c *gateway.Call, in *iamapi.DeleteAccessKeyInput) ([]authz.Ask, error) {
	return aboutUser(c, in.UserName)
}

func (s *Service) deleteAccessKey(c *gateway.Call, in *iamapi.DeleteAccessKeyInput) (*iamapi.DeleteAccessKeyOutput, error) {
	k, err := keyOf(c, in.UserName, in.AccessKeyId)
	if err != nil {
		return nil, err
	}
	accessKeys.Delete(c.Tx, k.ID)
	lastUses.Delete(c.Tx, k.ID)
	return &iamapi.DeleteAccessKeyOutput{}, nil
}

// ownerOf finds the user of an access key of the caller's account.
func ownerOf(r store.Reader, shard, keyID string) (*User, bool) {
	k, ok := accessKeys.Get(r, shard, keyID)
	if !ok {
		return nil, false
	}
	return userByID(r, shard, k.UserID)
}

func (s *Service) mayGetAccessKeyLastUsed(c *gateway.Call, in *iamapi.GetAccessKeyLastUsedInput) ([]authz.Ask, error) {
	if d, ok := ownerOf(c.Tx, c.Home, api.Value(in.AccessKeyId)); ok {
		return []authz.Ask{about(c, userNoun, d.Name)}, nil
	}
	return one(c.Op.Action(), userNoun.arn(c.Account, "/", "*"), nil), nil
}

// getAccessKeyLastUsed says N/A of a key that was never used, as AWS does.
// https://docs.aws.amazon.com/IAM/latest/APIReference/API_GetAccessKeyLastUsed.html
func (s *Service) getAccessKeyLastUsed(c *gateway.Call, in *iamapi.GetAccessKeyLastUsedInput) (*iamapi.GetAccessKeyLastUsedOutput, error) {
	d, ok := ownerOf(c.Tx, c.Home, api.Value(in.AccessKeyId))
	if !ok {
		return nil, missingKey(in.AccessKeyId)
	}
	out := &iamapi.AccessKeyLastUsed{ServiceName: api.Ptr("N/A"), Region: api.Ptr("N/A")}
	if u, ok := s.lastUseOf(c.Tx, c.Account, api.Value(in.AccessKeyId)); ok {
		out = &iamapi.AccessKeyLastUsed{LastUsedDate: &api.Time{Time: u.At}, ServiceName: &u.Service, Region: &u.Region}
	}
	return &iamapi.GetAccessKeyLastUsedOutput{UserName: &d.Name, AccessKeyLastUsed: out}, nil
}
