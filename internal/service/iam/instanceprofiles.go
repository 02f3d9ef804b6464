package iam

import (
	"github.com/remit-ecs/remit/internal/api"
	"github.com/remit-ecs/remit/internal/api/iamapi"
	"github.com/remit-ecs/remit/internal/authz"
	"github.com/remit-ecs/remit/internal/gateway"
	"github.com/remit-ecs/remit/internal/id"
	"github.com/remit-ecs/remit/internal/store"
)

// ec2Principal is the service that roles in instance profiles are passed to.
const ec2Principal = "ec2.amazonaws.com"

// aboutProfile asks for the call's own action on an instance profile.
func aboutProfile(c *gateway.Call, name *string) ([]authz.Ask, error) {
	ask := authz.Ask{Action: c.Op.Action(), Resource: entityARN(c.Account, "instance-profile", "/", api.Value(name)), Keys: keys{}}
	if p, ok := getProfile(c.Tx, c.Home, name); ok {
		ask.Resource = p.ARN
		keys(ask.Keys).resourceTags(p.Tags, awsResourceTag)
	}
	return []authz.Ask{ask}, nil
}

func getProfile(r store.Reader, shard string, name *string) (*InstanceProfile, bool) {
	p, ok := instanceProfiles.Get(r, shard, fold(api.Value(name)))
	return p, ok && p.Name == api.Value(name)
}

func missingProfile(name *string) *api.Error {
	return iamapi.NoSuchEntityException("Instance Profile %s cannot be found.", api.Value(name))
}

func changeProfile(c *gateway.Call, name *string, f func(p *InstanceProfile) error) error {
	p, ok := instanceProfiles.Edit(c.Tx, fold(api.Value(name)))
	if !ok || p.Name != api.Value(name) {
		return missingProfile(name)
	}
	if err := f(p); err != nil {
		return err
	}
	instanceProfiles.Put(c.Tx, fold(p.Name), p)
	return nil
}

func showProfile(r store.Reader, shard string, p *InstanceProfile) *iamapi.InstanceProfile {
	out := listProfile(r, shard, p)
	out.Tags = p.Tags
	if out.Tags == nil {
		out.Tags = []iamapi.Tag{}
	}
	return &out
}

// listProfile is an instance profile in a list, which leaves out tags.
func listProfile(r store.Reader, shard string, p *InstanceProfile) iamapi.InstanceProfile {
	out := iamapi.InstanceProfile{
		Path: &p.Path, InstanceProfileName: &p.Name, InstanceProfileId: &p.ID, Arn: &p.ARN,
		CreateDate: &api.Time{Time: p.Created}, Roles: []iamapi.Role{},
	}
	if p.Role != "" {
		if d, ok := roles.Get(r, shard, p.Role); ok {
			out.Roles = append(out.Roles, listRole(r, d))
		}
	}
	return out
}

func (s *Service) mayCreateInstanceProfile(c *gateway.Call, in *iamapi.CreateInstanceProfileInput) ([]authz.Ask, error) {
	at, err := path(in.Path)
	if err != nil {
		return nil, err
	}
	resource := entityARN(c.Account, "instance-profile", at, api.Value(in.InstanceProfileName))
	return mayCreateTagged(c, resource, "iam:TagInstanceProfile", in.Tags), nil
}

// https://docs.aws.amazon.com/IAM/latest/APIReference/API_CreateInstanceProfile.html
func (s *Service) createInstanceProfile(c *gateway.Call, in *iamapi.CreateInstanceProfileInput) (*iamapi.CreateInstanceProfileOutput, error) {
	at, err := path(in.Path)
	if err != nil {
		return nil, err
	}
	name := api.Value(in.InstanceProfileName)
	if _, taken := instanceProfiles.Get(c.Tx, c.Home, fold(name)); taken {
		return nil, iamapi.EntityAlreadyExistsException("Instance Profile %s already exists.", name)
	}
	if err := quota(c, instanceProfiles, "InstanceProfilesPerAccount", maxInstanceProfiles); err != nil {
		return nil, err
	}
	p := &InstanceProfile{Name: name, Path: at, ID: id.Unique(c.IDs, "AIPA"), ARN: entityARN(c.Account, "instance-profile", at, name), Created: c.Time}
	if p.Tags, err = withTags(nil, in.Tags); err != nil {
		return nil, err
	}
	instanceProfiles.Put(c.Tx, fold(name), p)
	return &iamapi.CreateInstanceProfileOutput{InstanceProfile: showProfile(c.Tx, c.Home, p)}, nil
}

func (s *Service) mayGetInstanceProfile(c *gateway.Call, in *iamapi.GetInstanceProfileInput) ([]authz.Ask, error) {
	return aboutProfile(c, in.InstanceProfileName)
}

func (s *Service) getInstanceProfile(c *gateway.Call, in *iamapi.GetInstanceProfileInput) (*iamapi.GetInstanceProfileOutput, error) {
	p, ok := getProfile(c.Tx, c.Home, in.InstanceProfileName)
	if !ok {
		return nil, missingProfile(in.InstanceProfileName)
	}
	return &iamapi.GetInstanceProfileOutput{InstanceProfile: showProfile(c.Tx, c.Home, p)}, nil
}

func (s *Service) mayListInstanceProfiles(c *gateway.Call, _ *iamapi.ListInstanceProfilesInput) ([]authz.Ask, error) {
	return all(c)
}

func (s *Service) listInstanceProfiles(c *gateway.Call, in *iamapi.ListInstanceProfilesInput) (*iamapi.ListInstanceProfilesOutput, error) {
	found := under(instanceProfiles.Prefix(c.Tx, c.Home, ""), func(p *InstanceProfile) string { return p.Path }, in.PathPrefix,
		func(p *InstanceProfile) iamapi.InstanceProfile { return listProfile(c.Tx, c.Home, p) })
	items, truncated, next, err := pageOf(c, in.Marker, in.MaxItems, found)
	if err != nil {
		return nil, err
	}
	return &iamapi.ListInstanceProfilesOutput{InstanceProfiles: items, IsTruncated: truncated, Marker: next}, nil
}

func (s *Service) mayListInstanceProfilesForRole(c *gateway.Call, in *iamapi.ListInstanceProfilesForRoleInput) ([]authz.Ask, error) {
	return aboutRole(c, in.RoleName)
}

func (s *Service) listInstanceProfilesForRole(c *gateway.Call, in *iamapi.ListInstanceProfilesForRoleInput) (*iamapi.ListInstanceProfilesForRoleOutput, error) {
	e, err := roleNoun.read(c, in.RoleName)
	if err != nil {
		return nil, err
	}
	found := under(instanceProfiles.By(c.Tx, c.Home, "role", fold(e.Name)), func(*InstanceProfile) string { return "" }, nil,
		func(p *InstanceProfile) iamapi.InstanceProfile { return listProfile(c.Tx, c.Home, p) })
	items, truncated, next, err := pageOf(c, in.Marker, in.MaxItems, found)
	if err != nil {
		return nil, err
	}
	return &iamapi.ListInstanceProfilesForRoleOutput{InstanceProfiles: items, IsTruncated: truncated, Marker: next}, nil
}

// mayAddRoleToInstanceProfile asks to pass the role to EC2, too.
// https://docs.aws.amazon.com/IAM/latest/APIReference/API_AddRoleToInstanceProfile.html
func (s *Service) mayAddRoleToInstanceProfile(c *gateway.Call, in *iamapi.AddRoleToInstanceProfileInput) ([]authz.Ask, error) {
	asks, err := aboutProfile(c, in.InstanceProfileName)
	if err != nil {
		return nil, err
	}
	passed := roleNoun.arn(c.Account, "/", api.Value(in.RoleName))
	if d, ok := getRole(c.Tx, c.Home, api.Value(in.RoleName)); ok {
		passed = d.ARN
	}
	return append(asks, one("iam:PassRole", passed, keys{}.set("iam:passedtoservice", ec2Principal))...), nil
}

func (s *Service) addRoleToInstanceProfile(c *gateway.Call, in *iamapi.AddRoleToInstanceProfileInput) (*iamapi.AddRoleToInstanceProfileOutput, error) {
	err := changeProfile(c, in.InstanceProfileName, func(p *InstanceProfile) error {
		e, err := roleNoun.read(c, in.RoleName)
		if err != nil {
			return err
		}
		if p.Role != "" {
			return iamapi.LimitExceededException("Cannot exceed quota for InstanceSessionsPerInstanceProfile: 1")
		}
		if err := modifiable(e); err != nil {
			return err
		}
		p.Role = fold(e.Name)
		return nil
	})
	if err != nil {
		return nil, err
	}
	return &iamapi.AddRoleToInstanceProfileOutput{}, nil
}

func (s *Service) mayRemoveRoleFromInstanceProfile(c *gateway.Call, in *iamapi.RemoveRoleFromInstanceProfileInput) ([]authz.Ask, error) {
	return aboutProfile(c, in.InstanceProfileName)
}

func (s *Service) removeRoleFromInstanceProfile(c *gateway.Call, in *iamapi.RemoveRoleFromInstanceProfileInput) (*iamapi.RemoveRoleFromInstanceProfileOutput, error) {
	err := changeProfile(c, in.InstanceProfileName, func(p *InstanceProfile) error {
		e, err := roleNoun.read(c, in.RoleName)
		if err != nil {
			return err
		}
		if p.Role != fold(e.Name) {
			return iamapi.NoSuchEntityException("Role %s in instance profile %s cannot be found.", e.Name, p.Name)
		}
		p.Role = ""
		return nil
	})
	if err != nil {
		return nil, err
	}
	return &iamapi.RemoveRoleFromInstanceProfileOutput{}, nil
}

func (s *Service) mayDeleteInstanceProfile(c *gateway.Call, in *iamapi.DeleteInstanceProfileInput) ([]authz.Ask, error) {
	return aboutProfile(c, in.InstanceProfileName)
}

func (s *Service) deleteInstanceProfile(c *gateway.Call, in *iamapi.DeleteInstanceProfileInput) (*iamapi.DeleteInstanceProfileOutput, error) {
	p, ok := getProfile(c.Tx, c.Home, in.InstanceProfileName)
	if !ok {
		return nil, missingProfile(in.InstanceProfileName)
	}
	if p.Role != "" {
		return nil, iamapi.DeleteConflictException("Cannot delete entity, must remove roles from instance profile first.")
	}
	instanceProfiles.Delete(c.Tx, fold(p.Name))
	return &iamapi.DeleteInstanceProfileOutput{}, nil
}
