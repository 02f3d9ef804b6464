package iam_test

import (
	"context"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	awsiam "github.com/aws/aws-sdk-go-v2/service/iam"
	"github.com/aws/aws-sdk-go-v2/service/iam/types"

	"github.com/remit-ecs/remit/internal/api"
	"github.com/remit-ecs/remit/internal/api/iamapi"
	"github.com/remit-ecs/remit/internal/api/stsapi"
	"github.com/remit-ecs/remit/internal/audit"
	"github.com/remit-ecs/remit/internal/authz"
	"github.com/remit-ecs/remit/internal/gateway"
	"github.com/remit-ecs/remit/internal/service/iam"
	"github.com/remit-ecs/remit/internal/service/sts"
	"github.com/remit-ecs/remit/internal/store"
	"github.com/remit-ecs/remit/internal/testkit"
)

const ecsLinked = prefix + "role/aws-service-role/ecs.amazonaws.com/AWSServiceRoleForECS"

// newLinkedKit is newKit, with services that use their service-linked roles as
// the test says.
func newLinkedKit(t *testing.T, usage map[string]func(store.Reader, string) map[string][]string, more ...testkit.Registrar) *kit {
	k := testkit.New(t, func(k *testkit.Kit) []testkit.Registrar {
		s := iam.New(iam.Deps{Seal: k.Seal, LinkedRoleUsage: usage})
		k.Authz.Sources, k.Gateway.Keys = s, s
		k.Authz.Resources["iam"] = iam.ResourcePolicy
		return append([]testkit.Registrar{s, sts.New(k.Sealer, s)}, more...)
	})
	return &kit{k, awsiam.NewFromConfig(k.Root()), t}
}

func TestServiceLinkedRole(t *testing.T) {
	var inUse map[string][]string
	k := newLinkedKit(t, map[string]func(store.Reader, string) map[string][]string{
		"ecs.amazonaws.com": func(_ store.Reader, of string) map[string][]string {
			if of != account {
				t.Errorf("asked about account %s", of)
			}
			return inUse
		},
	})
	name := func(s string) *string { return &s }
	ecs := name("AWSServiceRoleForECS")
	out, err := k.CreateServiceLinkedRole(ctx, &awsiam.CreateServiceLinkedRoleInput{AWSServiceName: name("ecs.amazonaws.com")})
	if err != nil {
		t.Fatal(err)
	}
	if r := out.Role; *r.Arn != ecsLinked || *r.Path != "/aws-service-role/ecs.amazonaws.com/" || *r.MaxSessionDuration != 3600 || r.Description != nil ||
		decoded(t, r.AssumeRolePolicyDocument) != testkit.TrustService("ecs.amazonaws.com") {
		t.Errorf("%+v", r)
	}
	attached, err := k.ListAttachedRolePolicies(ctx, &awsiam.ListAttachedRolePoliciesInput{RoleName: ecs})
	if err != nil || len(attached.AttachedPolicies) != 1 || *attached.AttachedPolicies[0].PolicyArn != "arn:aws:iam::aws:policy/aws-service-role/AmazonECSServiceRolePolicy" {
		t.Errorf("%+v %v", attached, err)
	}
	details, err := k.GetAccountAuthorizationDetails(ctx, nil)
	if err != nil || len(details.RoleDetailList) != 1 || *details.RoleDetailList[0].Arn != ecsLinked || len(details.Policies) != 1 {
		t.Errorf("%+v %v", details, err)
	}

	// Its service assumes it, by the trust policy, and nobody else does.
	assume := func(service string) error {
		_, err := gateway.Invoke(ctx, k.Gateway.As(service), gateway.Target{Account: account, Region: testkit.Region}, stsapi.AssumeRole,
			&stsapi.AssumeRoleInput{RoleArn: name(ecsLinked), RoleSessionName: name("ecs-service-scheduler")})
		return err
	}
	if err := assume("ecs.amazonaws.com"); err != nil {
		t.Error(err)
	}
	if err := assume("ec2.amazonaws.com"); err == nil {
		t.Error("another service assumes it")
	}

	// What may be changed of it: the description and tags.
	must(t)(k.UpdateRoleDescription(ctx, &awsiam.UpdateRoleDescriptionInput{RoleName: ecs, Description: name("mine")}))
	must(t)(k.UpdateRole(ctx, &awsiam.UpdateRoleInput{RoleName: ecs, Description: name("again")}))
	must(t)(k.TagRole(ctx, &awsiam.TagRoleInput{RoleName: ecs, Tags: []types.Tag{{Key: name("a"), Value: name("b")}}}))
	must(t)(k.UntagRole(ctx, &awsiam.UntagRoleInput{RoleName: ecs, TagKeys: []string{"a"}}))
	got, err := k.GetRole(ctx, &awsiam.GetRoleInput{RoleName: ecs})
	if err != nil || *got.Role.Description != "again" || len(got.Role.Tags) != 0 {
		t.Errorf("%+v %v", got, err)
	}
	// And everything else.
	trust, doc := name(testkit.TrustService("ec2.amazonaws.com")), name(testkit.Allow("*", "*"))
	arn := k.policy("mine", *doc)
	must(t)(k.CreateInstanceProfile(ctx, &awsiam.CreateInstanceProfileInput{InstanceProfileName: name("host")}))
	for op, call := range map[string]func() (any, error){
		"DeleteRole": func() (any, error) { return k.DeleteRole(ctx, &awsiam.DeleteRoleInput{RoleName: ecs}) },
		"UpdateRole": func() (any, error) {
			return k.UpdateRole(ctx, &awsiam.UpdateRoleInput{RoleName: ecs, MaxSessionDuration: aws.Int32(7200)})
		},
		"UpdateAssumeRolePolicy": func() (any, error) {
			return k.UpdateAssumeRolePolicy(ctx, &awsiam.UpdateAssumeRolePolicyInput{RoleName: ecs, PolicyDocument: trust})
		},
		"PutRolePolicy": func() (any, error) {
			return k.PutRolePolicy(ctx, &awsiam.PutRolePolicyInput{RoleName: ecs, PolicyName: name("p"), PolicyDocument: doc})
		},
		"DeleteRolePolicy": func() (any, error) {
			return k.DeleteRolePolicy(ctx, &awsiam.DeleteRolePolicyInput{RoleName: ecs, PolicyName: name("p")})
		},
		"AttachRolePolicy": func() (any, error) {
			return k.AttachRolePolicy(ctx, &awsiam.AttachRolePolicyInput{RoleName: ecs, PolicyArn: &arn})
		},
		"DetachRolePolicy": func() (any, error) {
			return k.DetachRolePolicy(ctx, &awsiam.DetachRolePolicyInput{RoleName: ecs, PolicyArn: attached.AttachedPolicies[0].PolicyArn})
		},
		"PutRolePermissionsBoundary": func() (any, error) {
			return k.PutRolePermissionsBoundary(ctx, &awsiam.PutRolePermissionsBoundaryInput{RoleName: ecs, PermissionsBoundary: &arn})
		},
		"DeleteRolePermissionsBoundary": func() (any, error) {
			return k.DeleteRolePermissionsBoundary(ctx, &awsiam.DeleteRolePermissionsBoundaryInput{RoleName: ecs})
		},
		"AddRoleToInstanceProfile": func() (any, error) {
			return k.AddRoleToInstanceProfile(ctx, &awsiam.AddRoleToInstanceProfileInput{RoleName: ecs, InstanceProfileName: name("host")})
		},
	} {
		t.Run(op, func(t *testing.T) {
			_, err := call()
			refused(t, err, "UnmodifiableEntity: Cannot perform the operation on the protected role 'AWSServiceRoleForECS' - this role is only modifiable by AWS")
		})
	}

	// In use it is not deleted; what uses it is told.
	cluster := "arn:aws:ecs:eu-west-1:" + account + ":cluster/prod"
	inUse = map[string][]string{"eu-west-1": {cluster}}
	task := k.deleteLinked("AWSServiceRoleForECS")
	if p, rest, _ := strings.Cut(task, "AWSServiceRoleForECS/"); p != "task/aws-service-role/ecs.amazonaws.com/" || len(rest) != 36 {
		t.Errorf("task %s", task)
	}
	status, err := k.GetServiceLinkedRoleDeletionStatus(ctx, &awsiam.GetServiceLinkedRoleDeletionStatusInput{DeletionTaskId: &task})
	if err != nil || status.Status != types.DeletionTaskStatusTypeFailed || len(status.Reason.RoleUsageList) != 1 || status.Reason.RoleUsageList[0].Resources[0] != cluster {
		t.Errorf("%+v %v", status, err)
	}
	must(t)(k.GetRole(ctx, &awsiam.GetRoleInput{RoleName: ecs}))
	inUse = nil
	task = k.deleteLinked("AWSServiceRoleForECS")
	status, err = k.GetServiceLinkedRoleDeletionStatus(ctx, &awsiam.GetServiceLinkedRoleDeletionStatusInput{DeletionTaskId: &task})
	if err != nil || status.Status != types.DeletionTaskStatusTypeSucceeded || status.Reason != nil {
		t.Errorf("%+v %v", status, err)
	}
	_, err = k.GetRole(ctx, &awsiam.GetRoleInput{RoleName: ecs})
	refused(t, err, "NoSuchEntity: The role with name AWSServiceRoleForECS cannot be found.")
	if err := assume("ecs.amazonaws.com"); err == nil {
		t.Error("it is assumed after its deletion")
	}
}

func (k *kit) deleteLinked(role string) (task string) {
	k.t.Helper()
	out, err := k.DeleteServiceLinkedRole(ctx, &awsiam.DeleteServiceLinkedRoleInput{RoleName: &role})
	if err != nil {
		k.t.Fatal(err)
	}
	return *out.DeletionTaskId
}

func TestServiceLinkedRoleErrors(t *testing.T) {
	k := newLinkedKit(t, nil)
	name := func(s string) *string { return &s }
	create := func(c *awsiam.Client, service string, suffix *string) (any, error) {
		return c.CreateServiceLinkedRole(ctx, &awsiam.CreateServiceLinkedRoleInput{AWSServiceName: &service, CustomSuffix: suffix})
	}
	for _, s := range []string{"ecs.amazonaws.com", "ecs-compute.amazonaws.com", "ecs.application-autoscaling.amazonaws.com", "elasticloadbalancing.amazonaws.com", "autoscaling.amazonaws.com"} {
		must(t)(create(k.Client, s, nil))
	}
	must(t)(create(k.Client, "autoscaling.amazonaws.com", name("blue")))
	got, err := k.GetRole(ctx, &awsiam.GetRoleInput{RoleName: name("AWSServiceRoleForAutoScaling_blue")})
	if err != nil || *got.Role.Arn != prefix+"role/aws-service-role/autoscaling.amazonaws.com/AWSServiceRoleForAutoScaling_blue" {
		t.Errorf("%+v %v", got, err)
	}
	k.role("customer", testkit.TrustService("ecs.amazonaws.com"))
	only := `{"Version":"2012-10-17","Statement":{"Effect":"Allow","Action":"iam:CreateServiceLinkedRole","Resource":"*","Condition":{"StringEquals":{"iam:AWSServiceName":"spot.amazonaws.com"}}}}`
	poor, _ := k.user("poor", only)
	must(t)(create(poor, "spot.amazonaws.com", nil))
	for _, c := range []struct {
		want string
		call func() (any, error)
	}{
		{"InvalidInput: Service role name AWSServiceRoleForECS has been taken in this account, please try a different suffix.", func() (any, error) { return create(k.Client, "ecs.amazonaws.com", nil) }},
		{"InvalidInput: Service role name AWSServiceRoleForAutoScaling_blue has been taken", func() (any, error) { return create(k.Client, "autoscaling.amazonaws.com", name("blue")) }},
		{"InvalidInput: Custom suffix is not allowed for ecs.amazonaws.com", func() (any, error) { return create(k.Client, "ecs.amazonaws.com", name("x")) }},
		{"InvalidInput: Cannot find Service Linked Role template for ec2.amazonaws.com", func() (any, error) { return create(k.Client, "ec2.amazonaws.com", nil) }},
		{"InvalidInput: Cannot find Service Linked Role template for ECS.amazonaws.com", func() (any, error) { return create(k.Client, "ECS.amazonaws.com", nil) }},
		{"InvalidInput: ", func() (any, error) {
			return create(k.Client, "autoscaling.amazonaws.com", name(strings.Repeat("x", 64)))
		}},
		{"AccessDenied: User: " + prefix + "user/poor is not authorized to perform: iam:CreateServiceLinkedRole on resource: " + prefix + "role/aws-service-role/spotfleet.amazonaws.com/AWSServiceRoleForEC2SpotFleet because no identity-based policy allows", func() (any, error) {
			return create(poor, "spotfleet.amazonaws.com", nil)
		}},
		{"NoSuchEntity: The role with name none cannot be found.", func() (any, error) {
			return k.DeleteServiceLinkedRole(ctx, &awsiam.DeleteServiceLinkedRoleInput{RoleName: name("none")})
		}},
		{"NoSuchEntity: ", func() (any, error) {
			return k.DeleteServiceLinkedRole(ctx, &awsiam.DeleteServiceLinkedRoleInput{RoleName: name("customer")})
		}},
		{"NoSuchEntity: ", func() (any, error) {
			return k.GetServiceLinkedRoleDeletionStatus(ctx, &awsiam.GetServiceLinkedRoleDeletionStatusInput{DeletionTaskId: name("task/aws-service-role/ecs.amazonaws.com/AWSServiceRoleForECS/1")})
		}},
		{"InvalidInput: ", func() (any, error) {
			return k.GetServiceLinkedRoleDeletionStatus(ctx, &awsiam.GetServiceLinkedRoleDeletionStatusInput{DeletionTaskId: name("task/nonsense")})
		}},
		{"PolicyNotAttachable: Cannot attach a Service Role Policy to a Customer Role.", func() (any, error) {
			return k.AttachRolePolicy(ctx, &awsiam.AttachRolePolicyInput{RoleName: name("customer"), PolicyArn: name("arn:aws:iam::aws:policy/aws-service-role/AmazonECSServiceRolePolicy")})
		}},
	} {
		t.Run(c.want, func(t *testing.T) {
			_, err := c.call()
			refused(t, err, c.want)
		})
	}
}

// A service makes its own service-linked role, and nobody else's.
func TestServiceMakesItsLinkedRole(t *testing.T) {
	k := newLinkedKit(t, nil)
	as := func(service, of string) error {
		_, err := gateway.Invoke(ctx, k.Gateway.As(service), gateway.Target{Account: account, Region: testkit.Region}, iamapi.CreateServiceLinkedRole, &iamapi.CreateServiceLinkedRoleInput{AWSServiceName: &of})
		return err
	}
	if err := as("ec2.amazonaws.com", "ecs.amazonaws.com"); err == nil || !strings.Contains(err.Error(), "is not authorized to perform: iam:CreateServiceLinkedRole") {
		t.Error(err)
	}
	if err := as("ecs.amazonaws.com", "ecs.amazonaws.com"); err != nil {
		t.Error(err)
	}
	must(t)(k.GetRole(ctx, &awsiam.GetRoleInput{RoleName: aws.String("AWSServiceRoleForECS")}))
}

// firstUse is a service that has its service-linked role made when it is first
// used. Any operation that nobody serves will do: ListSAMLProviders.
type firstUse struct{ err error }

func (f *firstUse) Register(m *gateway.Mux) {
	gateway.Handle(m, iamapi.ListSAMLProviders,
		func(c *gateway.Call, _ *iamapi.ListSAMLProvidersInput) ([]authz.Ask, error) {
			return []authz.Ask{{Action: c.Op.Action(), Resource: "*"}}, nil
		},
		func(c *gateway.Call, _ *iamapi.ListSAMLProvidersInput) (*iamapi.ListSAMLProvidersOutput, error) {
			f.err = c.EnsureServiceLinkedRole("ecs.amazonaws.com", "AWSServiceRoleForECS", "first used")
			return &iamapi.ListSAMLProvidersOutput{SAMLProviderList: []iamapi.SAMLProviderListEntry{}}, nil
		})
}

// A service makes it on behalf of the caller, whose permission decides.
func TestEnsureServiceLinkedRole(t *testing.T) {
	var f firstUse
	k := newLinkedKit(t, nil, &f)
	use := testkit.Allow("*", "iam:ListSAMLProviders")
	poor, _ := k.user("poor", use)
	must(t)(poor.ListSAMLProviders(ctx, nil))
	if e, ok := f.err.(*api.Error); !ok || !strings.Contains(e.Message, "user/poor is not authorized to perform: iam:CreateServiceLinkedRole") {
		t.Errorf("%v", f.err)
	}
	rich, _ := k.user("rich", use, `{"Version":"2012-10-17","Statement":{"Effect":"Allow","Action":"iam:CreateServiceLinkedRole","Resource":"`+ecsLinked+`","Condition":{"StringEquals":{"iam:AWSServiceName":"ecs.amazonaws.com","aws:CalledViaFirst":"ecs.amazonaws.com"}}}}`)
	for range 2 { // the second time it is there
		must(t)(rich.ListSAMLProviders(ctx, nil))
		if f.err != nil {
			t.Fatal(f.err)
		}
	}
	must(t)(poor.ListSAMLProviders(ctx, nil))
	if f.err != nil {
		t.Error("who may not make it is refused although it is there")
	}
	got, err := k.GetRole(ctx, &awsiam.GetRoleInput{RoleName: aws.String("AWSServiceRoleForECS")})
	if err != nil || *got.Role.Description != "first used" {
		t.Errorf("%+v %v", got, err)
	}
	made := 0
	recs, err := k.Store.ReadStream(context.Background(), audit.Stream(account, "us-east-1"), 0, 1000)
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range recs {
		if strings.Contains(string(r.Data), `"eventName":"CreateServiceLinkedRole"`) {
			made++
		}
	}
	if made != 2 {
		t.Errorf("%d records of CreateServiceLinkedRole, want that of the refusal and that of the creation", made)
	}
}
