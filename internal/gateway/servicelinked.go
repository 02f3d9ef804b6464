package gateway

import (
	"github.com/remit-ecs/remit/internal/api/iamapi"
	"github.com/remit-ecs/remit/internal/store"
)

// EnsureServiceLinkedRole has the service-linked role of a service made for the
// account of the call, if it is not there yet, as AWS services do when somebody
// first uses them: by IAM's CreateServiceLinkedRole on the caller's behalf, who
// needs iam:CreateServiceLinkedRole for it. That call is recorded like any other.
//
// service is the service principal, as ecs.amazonaws.com, role the name that IAM
// gives the role, description what the service says of it ("" for nothing). An
// error is IAM's refusal; whether it matters is the service's to say: ECS
// creates the cluster all the same.
//
// https://docs.aws.amazon.com/IAM/latest/UserGuide/using-service-linked-roles.html
func (c *Call) EnsureServiceLinkedRole(service, role, description string) error {
	if c.ServiceLinkedRole(service, role) {
		return nil
	}
	in := &iamapi.CreateServiceLinkedRoleInput{AWSServiceName: &service}
	if description != "" {
		in.Description = &description
	}
	_, err := Invoke(c.Context, c.Via(service), Target{Account: c.Account, Region: defaultRegion}, iamapi.CreateServiceLinkedRole, in)
	if err != nil && c.serviceLinkedRole(c.g.Store.View(c.Context), service, role) {
		return nil // another call was faster
	}
	return err
}

// ServiceLinkedRole reports whether a service-linked role exists in the account
// of the call. The call does not conflict with its creation.
func (c *Call) ServiceLinkedRole(service, role string) bool {
	return c.serviceLinkedRole(c.Tx.View(), service, role)
}

func (c *Call) serviceLinkedRole(r store.Reader, service, role string) bool {
	_, ok := c.g.Authz.Sources.Trust(r, "arn:aws:iam::"+c.Account+":role/aws-service-role/"+service+"/"+role)
	return ok
}
