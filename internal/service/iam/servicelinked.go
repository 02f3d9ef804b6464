package iam

import (
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/remit-ecs/remit/internal/api"
	"github.com/remit-ecs/remit/internal/api/iamapi"
	"github.com/remit-ecs/remit/internal/authz"
	"github.com/remit-ecs/remit/internal/gateway"
	"github.com/remit-ecs/remit/internal/id"
	"github.com/remit-ecs/remit/internal/store"
	"github.com/remit-ecs/remit/policy"
)

// linkedService is what AWS fixes about the service-linked roles of a service.
type linkedService struct {
	role    string // name of the role, without suffix
	policy  string // the AWS managed policy under aws-service-role/
	suffix  bool   // a custom suffix is allowed
	service string // the service principal, which alone may assume the role
}

// linkedServices are the services that have service-linked roles here: those
// that users of ECS meet. The policies of Elastic Load Balancing, Auto Scaling
// and Spot are attached by name; their text is not known here, so they allow
// nothing.
//
// https://docs.aws.amazon.com/AmazonECS/latest/developerguide/using-service-linked-roles.html
var linkedServices = func() map[string]linkedService {
	all := map[string]linkedService{}
	for _, l := range []linkedService{
		{service: "ecs.amazonaws.com", role: "AWSServiceRoleForECS", policy: "AmazonECSServiceRolePolicy"},
		{service: "ecs-compute.amazonaws.com", role: "AWSServiceRoleForECSCompute", policy: "AmazonECSComputeServiceRolePolicy"},
		{service: "ecs.application-autoscaling.amazonaws.com", role: "AWSServiceRoleForApplicationAutoScaling_ECSService", policy: "AWSApplicationAutoscalingECSServicePolicy"},
		{service: "custom-resource.application-autoscaling.amazonaws.com", role: "AWSServiceRoleForApplicationAutoScaling_CustomResource", policy: "AWSApplicationAutoScalingCustomResourcePolicy"},
		{service: "elasticloadbalancing.amazonaws.com", role: "AWSServiceRoleForElasticLoadBalancing", policy: "AWSElasticLoadBalancingServiceRolePolicy"},
		{service: "autoscaling.amazonaws.com", role: "AWSServiceRoleForAutoScaling", policy: "AutoScalingServiceRolePolicy", suffix: true},
		{service: "spot.amazonaws.com", role: "AWSServiceRoleForEC2Spot", policy: "AWSEC2SpotServiceRolePolicy"},
		{service: "spotfleet.amazonaws.com", role: "AWSServiceRoleForEC2SpotFleet", policy: "AWSEC2SpotFleetServiceRolePolicy"},
	} {
		all[l.service] = l
	}
	return all
}()

// name is the name of the role with a suffix.
func (l *linkedService) name(suffix *string) string {
	if suffix == nil {
		return l.role
	}
	return l.role + "_" + *suffix
}

func linkedPath(service string) string { return serviceLinkedPath + service + "/" }

// mayCreateServiceLinkedRole asks about the role by the name that it will get.
// https://docs.aws.amazon.com/IAM/latest/UserGuide/using-service-linked-roles.html
func (s *Service) mayCreateServiceLinkedRole(c *gateway.Call, in *iamapi.CreateServiceLinkedRoleInput) ([]authz.Ask, error) {
	service := api.Value(in.AWSServiceName)
	name := "AWSServiceRoleFor" // of a service that is not known here: it is refused afterwards
	if l, ok := linkedServices[service]; ok {
		name = l.name(in.CustomSuffix)
	}
	return one(c.Op.Action(), roleNoun.arn(c.Account, linkedPath(service), name), keys{}.set("iam:awsservicename", service)), nil
}

// createServiceLinkedRole makes the role as its service wants it: only the
// description and, for some services, a suffix of the name are the caller's.
//
// The texts are observed: https://github.com/clouddrove/terraform-aws-elasticsearch/pull/21,
// https://github.com/terraform-community-modules/tf_aws_elasticsearch/issues/23,
// https://github.com/Rayraegah/terraform-aws-hasura/issues/17.
func (s *Service) createServiceLinkedRole(c *gateway.Call, in *iamapi.CreateServiceLinkedRoleInput) (*iamapi.CreateServiceLinkedRoleOutput, error) {
	service := api.Value(in.AWSServiceName)
	l, ok := linkedServices[service]
	switch {
	case !ok:
		return nil, iamapi.InvalidInputException("Cannot find Service Linked Role template for %s", service)
	case in.CustomSuffix != nil && !l.suffix:
		return nil, iamapi.InvalidInputException("Custom suffix is not allowed for %s", service)
	}
	name := l.name(in.CustomSuffix)
	if len(name) > maxRoleName {
		return nil, iamapi.InvalidInputException("The role name %s is longer than %d characters.", name, maxRoleName)
	}
	if _, taken := roles.Get(c.Tx, c.Home, fold(name)); taken {
		return nil, iamapi.InvalidInputException("Service role name %s has been taken in this account, please try a different suffix.", name)
	}
	if err := quota(c, roles, "RolesPerAccount", maxRoles); err != nil {
		return nil, err
	}
	d := &Role{MaxSession: defaultMaxSession, Description: in.Description}
	d.Trust = `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"Service":"` + service + `"},"Action":"sts:AssumeRole"}]}`
	d.Name, d.Path = name, linkedPath(service)
	d.ARN = roleNoun.arn(c.Account, d.Path, name)
	d.ID, d.Created = id.Unique(c.IDs, "AROA"), c.Time
	d.Attached = []string{"arn:aws:iam::aws:policy" + serviceLinkedPath + l.policy}
	roles.Put(c.Tx, fold(name), d)
	return &iamapi.CreateServiceLinkedRoleOutput{Role: showRole(c.Tx, d)}, nil
}

// serviceOf is the service that a role is linked to, "" for every other role.
func serviceOf(e *Entity) string {
	service, ok := strings.CutPrefix(e.Path, serviceLinkedPath)
	if !ok {
		return ""
	}
	return strings.TrimSuffix(service, "/")
}

// A DeletionTask is a request to delete a service-linked role. Here it is
// carried out at once: the document is what became of it.
type DeletionTask struct {
	Created time.Time           `json:"created"`
	Usage   map[string][]string `json:"usage,omitempty"` // why it failed, ARNs by region; none is success
}

// deletionTaskAge is how long the outcome of a deletion can be asked for.
const deletionTaskAge = 24 * time.Hour

func (s *Service) mayDeleteServiceLinkedRole(c *gateway.Call, in *iamapi.DeleteServiceLinkedRoleInput) ([]authz.Ask, error) {
	return aboutRole(c, in.RoleName)
}

// deleteServiceLinkedRole deletes the role unless its service says that it is in
// use, and keeps what became of it for getServiceLinkedRoleDeletionStatus.
// https://docs.aws.amazon.com/IAM/latest/APIReference/API_DeleteServiceLinkedRole.html
func (s *Service) deleteServiceLinkedRole(c *gateway.Call, in *iamapi.DeleteServiceLinkedRoleInput) (*iamapi.DeleteServiceLinkedRoleOutput, error) {
	e, err := roleNoun.read(c, in.RoleName)
	if err != nil {
		return nil, err
	}
	service := serviceOf(e)
	if service == "" {
		return nil, iamapi.NoSuchEntityException("The role with name %s is not a service-linked role.", e.Name)
	}
	for key, t := range deletionTasks.Prefix(c.Tx, c.Home, "") {
		if c.Time.Sub(t.Created) > deletionTaskAge {
			deletionTasks.Delete(c.Tx, key)
		}
	}
	t := &DeletionTask{Created: c.Time}
	if used := s.LinkedRoleUsage[service]; used != nil {
		t.Usage = used(c.Tx, c.Account)
	}
	if len(t.Usage) == 0 {
		roles.Delete(c.Tx, fold(e.Name))
		lastUses.Delete(c.Tx, e.ID)
	}
	task := "task" + e.Path + e.Name + "/" + id.UUID(c.IDs)
	deletionTasks.Put(c.Tx, task, t)
	return &iamapi.DeleteServiceLinkedRoleOutput{DeletionTaskId: &task}, nil
}

// linkedRoleOf reads the path and name of the role out of the id of a task:
// task/aws-service-role/SERVICE/ROLE/UUID.
func linkedRoleOf(task string) (at, name string, ok bool) {
	rest, isTask := strings.CutPrefix(task, "task"+serviceLinkedPath)
	parts := strings.Split(rest, "/")
	if !isTask || len(parts) != 3 || parts[0] == "" || parts[1] == "" || parts[2] == "" {
		return "", "", false
	}
	return linkedPath(parts[0]), parts[1], true
}

func (s *Service) mayGetServiceLinkedRoleDeletionStatus(c *gateway.Call, in *iamapi.GetServiceLinkedRoleDeletionStatusInput) ([]authz.Ask, error) {
	at, name, ok := linkedRoleOf(api.Value(in.DeletionTaskId))
	if !ok {
		return nil, iamapi.InvalidInputException("Deletion task id %s is not valid.", api.Value(in.DeletionTaskId))
	}
	return one(c.Op.Action(), roleNoun.arn(c.Account, at, name), nil), nil
}

// https://docs.aws.amazon.com/IAM/latest/APIReference/API_GetServiceLinkedRoleDeletionStatus.html
func (s *Service) getServiceLinkedRoleDeletionStatus(c *gateway.Call, in *iamapi.GetServiceLinkedRoleDeletionStatusInput) (*iamapi.GetServiceLinkedRoleDeletionStatusOutput, error) {
	t, ok := deletionTasks.Get(c.Tx, c.Home, api.Value(in.DeletionTaskId))
	if !ok || c.Time.Sub(t.Created) > deletionTaskAge {
		return nil, iamapi.NoSuchEntityException("Deletion task %s cannot be found.", api.Value(in.DeletionTaskId))
	}
	if len(t.Usage) == 0 {
		return &iamapi.GetServiceLinkedRoleDeletionStatusOutput{Status: iamapi.DeletionTaskStatusTypeSucceeded}, nil
	}
	reason := &iamapi.DeletionTaskFailureReasonType{Reason: api.Ptr("One or more resources in the service are still using the role.")}
	for _, region := range slices.Sorted(maps.Keys(t.Usage)) {
		reason.RoleUsageList = append(reason.RoleUsageList, iamapi.RoleUsageType{Region: &region, Resources: t.Usage[region]})
	}
	return &iamapi.GetServiceLinkedRoleDeletionStatusOutput{Status: iamapi.DeletionTaskStatusTypeFailed, Reason: reason}, nil
}

// ResourcePolicy is what IAM itself grants on a service-linked role: the service
// that it is linked to may make it. To principals of an account it grants
// nothing, they need a permission of their own.
func ResourcePolicy(_ store.Reader, resource string) *policy.Attached {
	_, rest, ok := strings.Cut(resource, ":role"+serviceLinkedPath)
	if !ok {
		return nil
	}
	service, _, _ := strings.Cut(rest, "/")
	return linkedPolicies[service]
}

var linkedPolicies = func() map[string]*policy.Attached {
	all := map[string]*policy.Attached{}
	for service := range linkedServices {
		doc, err := policy.Parse(policy.KindResource, []byte(`{"Version":"2012-10-17","Statement":{"Effect":"Allow","Principal":{"Service":"`+
			service+`"},"Action":"iam:CreateServiceLinkedRole","Resource":"*"}}`))
		if err != nil {
			panic(err) // it is written above
		}
		all[service] = &policy.Attached{Layer: policy.LayerResource, Name: "service-linked roles of " + service, Document: doc}
	}
	return all
}()
