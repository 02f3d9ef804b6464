package iam

import (
	"github.com/remit-ecs/remit/internal/api"
	"github.com/remit-ecs/remit/internal/api/iamapi"
	"github.com/remit-ecs/remit/internal/authz"
	"github.com/remit-ecs/remit/internal/gateway"
)

// What users of AWS can have and users here cannot: passwords, MFA devices, SSH
// keys, signing certificates, credentials of other services. None can be made,
// so what asks for them is answered as by an account that has none: Terraform
// and the console ask before they delete a user.

// absentOf checks that the user exists who has none.
func absentOf(c *gateway.Call, name *string) error {
	_, err := namedUser(c, name)
	return err
}

func (s *Service) mayListMFADevices(c *gateway.Call, in *iamapi.ListMFADevicesInput) ([]authz.Ask, error) {
	return aboutUser(c, in.UserName)
}

func (s *Service) listMFADevices(c *gateway.Call, in *iamapi.ListMFADevicesInput) (*iamapi.ListMFADevicesOutput, error) {
	if err := absentOf(c, in.UserName); err != nil {
		return nil, err
	}
	return &iamapi.ListMFADevicesOutput{MFADevices: []iamapi.MFADevice{}, IsTruncated: api.Ptr(false)}, nil
}

func (s *Service) mayListVirtualMFADevices(c *gateway.Call, _ *iamapi.ListVirtualMFADevicesInput) ([]authz.Ask, error) {
	return all(c)
}

func (s *Service) listVirtualMFADevices(*gateway.Call, *iamapi.ListVirtualMFADevicesInput) (*iamapi.ListVirtualMFADevicesOutput, error) {
	return &iamapi.ListVirtualMFADevicesOutput{VirtualMFADevices: []iamapi.VirtualMFADevice{}, IsTruncated: api.Ptr(false)}, nil
}

func (s *Service) mayListSSHPublicKeys(c *gateway.Call, in *iamapi.ListSSHPublicKeysInput) ([]authz.Ask, error) {
	return aboutUser(c, in.UserName)
}

func (s *Service) listSSHPublicKeys(c *gateway.Call, in *iamapi.ListSSHPublicKeysInput) (*iamapi.ListSSHPublicKeysOutput, error) {
	if err := absentOf(c, in.UserName); err != nil {
		return nil, err
	}
	return &iamapi.ListSSHPublicKeysOutput{SSHPublicKeys: []iamapi.SSHPublicKeyMetadata{}, IsTruncated: api.Ptr(false)}, nil
}

func (s *Service) mayListSigningCertificates(c *gateway.Call, in *iamapi.ListSigningCertificatesInput) ([]authz.Ask, error) {
	return aboutUser(c, in.UserName)
}

func (s *Service) listSigningCertificates(c *gateway.Call, in *iamapi.ListSigningCertificatesInput) (*iamapi.ListSigningCertificatesOutput, error) {
	if err := absentOf(c, in.UserName); err != nil {
		return nil, err
	}
	return &iamapi.ListSigningCertificatesOutput{Certificates: []iamapi.SigningCertificate{}, IsTruncated: api.Ptr(false)}, nil
}

func (s *Service) mayListServiceSpecificCredentials(c *gateway.Call, in *iamapi.ListServiceSpecificCredentialsInput) ([]authz.Ask, error) {
	if api.Value(in.AllUsers) {
		return one(c.Op.Action(), userNoun.arn(c.Account, "/", "*"), nil), nil
	}
	return aboutUser(c, in.UserName)
}

func (s *Service) listServiceSpecificCredentials(c *gateway.Call, in *iamapi.ListServiceSpecificCredentialsInput) (*iamapi.ListServiceSpecificCredentialsOutput, error) {
	if !api.Value(in.AllUsers) {
		if err := absentOf(c, in.UserName); err != nil {
			return nil, err
		}
	}
	return &iamapi.ListServiceSpecificCredentialsOutput{ServiceSpecificCredentials: []iamapi.ServiceSpecificCredentialMetadata{}, IsTruncated: api.Ptr(false)}, nil
}

func missingLogin(c *gateway.Call, name *string) error {
	d, err := namedUser(c, name)
	if err != nil {
		return err
	}
	return iamapi.NoSuchEntityException("Login Profile for User %s cannot be found.", d.Name)
}

func (s *Service) mayGetLoginProfile(c *gateway.Call, in *iamapi.GetLoginProfileInput) ([]authz.Ask, error) {
	return aboutUser(c, in.UserName)
}

func (s *Service) getLoginProfile(c *gateway.Call, in *iamapi.GetLoginProfileInput) (*iamapi.GetLoginProfileOutput, error) {
	return nil, missingLogin(c, in.UserName)
}

func (s *Service) mayDeleteLoginProfile(c *gateway.Call, in *iamapi.DeleteLoginProfileInput) ([]authz.Ask, error) {
	return aboutUser(c, in.UserName)
}

func (s *Service) deleteLoginProfile(c *gateway.Call, in *iamapi.DeleteLoginProfileInput) (*iamapi.DeleteLoginProfileOutput, error) {
	return nil, missingLogin(c, in.UserName)
}
