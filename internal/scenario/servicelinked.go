package scenario

import (
	"context"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/iam"
)

// suffixed are the names of service-linked roles that can go on with a suffix.
const suffixed = "AWSServiceRoleForAutoScaling_"

// loadServiceLinked has a service-linked role made: trust and policies are its
// service's, whatever version of them the export was made with.
func (l *loader) loadServiceLinked(ctx context.Context, r *Role) error {
	service := strings.TrimSuffix(strings.TrimPrefix(r.Path, serviceLinkedPath), "/")
	in := &iam.CreateServiceLinkedRoleInput{AWSServiceName: &service, Description: set(r.Description)}
	if suffix, ok := strings.CutPrefix(r.RoleName, suffixed); ok {
		in.CustomSuffix = &suffix
	}
	tags, err := l.tags(r.Arn, r.Tags)
	if err != nil {
		return err
	}
	out, err := l.c.CreateServiceLinkedRole(ctx, in)
	if err != nil {
		return err
	}
	name := aws.ToString(out.Role.RoleName)
	remove := func() error {
		_, err := l.c.DeleteServiceLinkedRole(ctx, &iam.DeleteServiceLinkedRoleInput{RoleName: &name})
		return err
	}
	if aws.ToString(out.Role.Arn) != r.Arn {
		return l.undo(unloadable("the service-linked role of "+service+" is called "+name), remove)
	}
	if len(tags) == 0 {
		return nil
	}
	_, err = l.c.TagRole(ctx, &iam.TagRoleInput{RoleName: &name, Tags: tags})
	return l.undo(err, remove)
}
