package iam

import (
	"github.com/remit-ecs/remit/internal/api"
	"github.com/remit-ecs/remit/internal/api/iamapi"
	"github.com/remit-ecs/remit/internal/authz"
	"github.com/remit-ecs/remit/internal/gateway"
)

// Account is what IAM keeps of an account as a whole.
type Account struct {
	Alias          string                 `json:"alias,omitempty"`
	PasswordPolicy *iamapi.PasswordPolicy `json:"passwordPolicy,omitempty"`
}

// accountKey is the key of the one Account in a shard.
const accountKey = "account"

// changeAccount changes what is kept of the account.
func changeAccount(c *gateway.Call, f func(d *Account) error) error {
	d, ok := accounts.Edit(c.Tx, accountKey)
	if !ok {
		d = &Account{}
	}
	if err := f(d); err != nil {
		return err
	}
	accounts.Put(c.Tx, accountKey, d)
	return nil
}

func (s *Service) mayListAccountAliases(c *gateway.Call, _ *iamapi.ListAccountAliasesInput) ([]authz.Ask, error) {
	return all(c)
}

// listAccountAliases lists the one alias that there can be.
// https://docs.aws.amazon.com/IAM/latest/UserGuide/console_account-alias.html
func (s *Service) listAccountAliases(c *gateway.Call, _ *iamapi.ListAccountAliasesInput) (*iamapi.ListAccountAliasesOutput, error) {
	out := &iamapi.ListAccountAliasesOutput{AccountAliases: []string{}, IsTruncated: api.Ptr(false)}
	if d, ok := accounts.Get(c.Tx, c.Home, accountKey); ok && d.Alias != "" {
		out.AccountAliases = append(out.AccountAliases, d.Alias)
	}
	return out, nil
}

func (s *Service) mayCreateAccountAlias(c *gateway.Call, _ *iamapi.CreateAccountAliasInput) ([]authz.Ask, error) {
	return all(c)
}

// createAccountAlias replaces the alias that there was. No two accounts have the
// same.
// https://docs.aws.amazon.com/IAM/latest/APIReference/API_CreateAccountAlias.html
func (s *Service) createAccountAlias(c *gateway.Call, in *iamapi.CreateAccountAliasInput) (*iamapi.CreateAccountAliasOutput, error) {
	alias := api.Value(in.AccountAlias)
	for _, shard := range accounts.Shards(c.Tx) {
		if d, ok := accounts.Get(c.Tx, shard, accountKey); ok && d.Alias == alias && shard != c.Home {
			return nil, iamapi.EntityAlreadyExistsException("The account alias %s already exists.", alias)
		}
	}
	err := changeAccount(c, func(d *Account) error {
		d.Alias = alias
		return nil
	})
	if err != nil {
		return nil, err
	}
	return &iamapi.CreateAccountAliasOutput{}, nil
}

func (s *Service) mayDeleteAccountAlias(c *gateway.Call, _ *iamapi.DeleteAccountAliasInput) ([]authz.Ask, error) {
	return all(c)
}

func (s *Service) deleteAccountAlias(c *gateway.Call, in *iamapi.DeleteAccountAliasInput) (*iamapi.DeleteAccountAliasOutput, error) {
	err := changeAccount(c, func(d *Account) error {
		if d.Alias != api.Value(in.AccountAlias) {
			return iamapi.NoSuchEntityException("The account alias %s cannot be found.", api.Value(in.AccountAlias))
		}
		d.Alias = ""
		return nil
	})
	if err != nil {
		return nil, err
	}
	return &iamapi.DeleteAccountAliasOutput{}, nil
}

func (s *Service) mayGetAccountPasswordPolicy(c *gateway.Call, _ *iamapi.GetAccountPasswordPolicyInput) ([]authz.Ask, error) {
	return all(c)
}

// missingPasswordPolicy is what AWS says of an account without a password
// policy: observed,
// https://docs.aws.amazon.com/IAM/latest/APIReference/API_GetAccountPasswordPolicy.html
// names the code only.
func missingPasswordPolicy(c *gateway.Call) *api.Error {
	return iamapi.NoSuchEntityException("The Password Policy with domain name %s cannot be found.", c.Account)
}

func (s *Service) getAccountPasswordPolicy(c *gateway.Call, _ *iamapi.GetAccountPasswordPolicyInput) (*iamapi.GetAccountPasswordPolicyOutput, error) {
	d, ok := accounts.Get(c.Tx, c.Home, accountKey)
	if !ok || d.PasswordPolicy == nil {
		return nil, missingPasswordPolicy(c)
	}
	return &iamapi.GetAccountPasswordPolicyOutput{PasswordPolicy: d.PasswordPolicy}, nil
}

func (s *Service) mayUpdateAccountPasswordPolicy(c *gateway.Call, _ *iamapi.UpdateAccountPasswordPolicyInput) ([]authz.Ask, error) {
	return all(c)
}

// updateAccountPasswordPolicy keeps the policy. There are no passwords that it
// could be about: login profiles are not served. What is not given has its
// default again, as on AWS.
// https://docs.aws.amazon.com/IAM/latest/APIReference/API_UpdateAccountPasswordPolicy.html
func (s *Service) updateAccountPasswordPolicy(c *gateway.Call, in *iamapi.UpdateAccountPasswordPolicyInput) (*iamapi.UpdateAccountPasswordPolicyOutput, error) {
	given := func(b *bool) *bool { return api.Ptr(api.Value(b)) }
	p := &iamapi.PasswordPolicy{
		MinimumPasswordLength: in.MinimumPasswordLength, RequireSymbols: given(in.RequireSymbols), RequireNumbers: given(in.RequireNumbers),
		RequireUppercaseCharacters: given(in.RequireUppercaseCharacters), RequireLowercaseCharacters: given(in.RequireLowercaseCharacters),
		AllowUsersToChangePassword: given(in.AllowUsersToChangePassword), ExpirePasswords: api.Ptr(in.MaxPasswordAge != nil),
		MaxPasswordAge: in.MaxPasswordAge, PasswordReusePrevention: in.PasswordReusePrevention, HardExpiry: in.HardExpiry,
	}
	if p.MinimumPasswordLength == nil {
		p.MinimumPasswordLength = api.Ptr(int32(minPasswordLength))
	}
	err := changeAccount(c, func(d *Account) error {
		d.PasswordPolicy = p
		return nil
	})
	if err != nil {
		return nil, err
	}
	return &iamapi.UpdateAccountPasswordPolicyOutput{}, nil
}

// minPasswordLength is the default of MinimumPasswordLength.
const minPasswordLength = 6

func (s *Service) mayDeleteAccountPasswordPolicy(c *gateway.Call, _ *iamapi.DeleteAccountPasswordPolicyInput) ([]authz.Ask, error) {
	return all(c)
}

func (s *Service) deleteAccountPasswordPolicy(c *gateway.Call, _ *iamapi.DeleteAccountPasswordPolicyInput) (*iamapi.DeleteAccountPasswordPolicyOutput, error) {
	err := changeAccount(c, func(d *Account) error {
		if d.PasswordPolicy == nil {
			return missingPasswordPolicy(c)
		}
		d.PasswordPolicy = nil
		return nil
	})
	if err != nil {
		return nil, err
	}
	return &iamapi.DeleteAccountPasswordPolicyOutput{}, nil
}
