package iam_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	awsiam "github.com/aws/aws-sdk-go-v2/service/iam"
	"github.com/aws/aws-sdk-go-v2/service/iam/types"

	"github.com/remit-ecs/remit/internal/testkit"
)

func (k *kit) group(name string, members ...string) string {
	k.t.Helper()
	out, err := k.CreateGroup(ctx, &awsiam.CreateGroupInput{GroupName: &name})
	if err != nil {
		k.t.Fatal(err)
	}
	for _, m := range members {
		must(k.t)(k.AddUserToGroup(ctx, &awsiam.AddUserToGroupInput{GroupName: &name, UserName: &m}))
	}
	return *out.Group.Arn
}

func TestGroup(t *testing.T) {
	k := newKit(t)
	out, err := k.CreateGroup(ctx, &awsiam.CreateGroupInput{GroupName: aws.String("Devs"), Path: aws.String("/team/")})
	if err != nil {
		t.Fatal(err)
	}
	if g := out.Group; *g.Arn != prefix+"group/team/Devs" || !strings.HasPrefix(*g.GroupId, "AGPA") || len(*g.GroupId) != 21 || *g.Path != "/team/" {
		t.Errorf("%+v", g)
	}
	devs := aws.String("Devs")
	for i := range 5 {
		name := fmt.Sprintf("user-%d", i)
		k.user(name)
		must(t)(k.AddUserToGroup(ctx, &awsiam.AddUserToGroupInput{GroupName: devs, UserName: &name}))
		must(t)(k.AddUserToGroup(ctx, &awsiam.AddUserToGroupInput{GroupName: devs, UserName: &name}))
	}
	var members []string
	p := awsiam.NewGetGroupPaginator(k.Client, &awsiam.GetGroupInput{GroupName: devs, MaxItems: aws.Int32(2)})
	for p.HasMorePages() {
		page, err := p.NextPage(ctx)
		if err != nil {
			t.Fatal(err)
		}
		if len(page.Users) > 2 || *page.Group.GroupName != "Devs" {
			t.Errorf("%+v", page)
		}
		for _, u := range page.Users {
			members = append(members, *u.UserName)
		}
	}
	if want := []string{"user-0", "user-1", "user-2", "user-3", "user-4"}; !slices.Equal(members, want) {
		t.Errorf("members %v", members)
	}

	// Renamed, it is the same group.
	must(t)(k.UpdateGroup(ctx, &awsiam.UpdateGroupInput{GroupName: devs, NewGroupName: aws.String("Developers"), NewPath: aws.String("/")}))
	got, err := k.GetGroup(ctx, &awsiam.GetGroupInput{GroupName: aws.String("Developers")})
	if err != nil || *got.Group.GroupId != *out.Group.GroupId || *got.Group.Arn != prefix+"group/Developers" || len(got.Users) != 5 {
		t.Errorf("%+v %v", got, err)
	}
	k.group("admins", "user-3")
	of, err := k.ListGroupsForUser(ctx, &awsiam.ListGroupsForUserInput{UserName: aws.String("user-3")})
	if err != nil || len(of.Groups) != 2 || *of.Groups[0].GroupName != "admins" || *of.Groups[1].GroupName != "Developers" {
		t.Errorf("%+v %v", of, err)
	}
	of, err = k.ListGroupsForUser(ctx, &awsiam.ListGroupsForUserInput{UserName: aws.String("user-3"), MaxItems: aws.Int32(1)})
	if err != nil || len(of.Groups) != 1 || !of.IsTruncated {
		t.Errorf("%+v %v", of, err)
	}
	list, err := k.ListGroups(ctx, &awsiam.ListGroupsInput{PathPrefix: aws.String("/team/")})
	if err != nil || len(list.Groups) != 0 {
		t.Errorf("%+v %v", list, err)
	}
	if list, err = k.ListGroups(ctx, nil); err != nil || len(list.Groups) != 2 {
		t.Errorf("%+v %v", list, err)
	}
	must(t)(k.RemoveUserFromGroup(ctx, &awsiam.RemoveUserFromGroupInput{GroupName: aws.String("admins"), UserName: aws.String("user-3")}))
	must(t)(k.DeleteGroup(ctx, &awsiam.DeleteGroupInput{GroupName: aws.String("admins")}))
	sum, err := k.GetAccountSummary(ctx, nil)
	if err != nil || sum.SummaryMap["Groups"] != 1 || sum.SummaryMap["GroupsQuota"] != 300 || sum.SummaryMap["GroupsPerUserQuota"] != 10 {
		t.Errorf("%+v %v", sum, err)
	}
}

// What a group's policies say of its members changes with the next request:
// inline and managed, allow and deny, joined and left, renamed and not.
func TestGroupPoliciesBind(t *testing.T) {
	k := newKit(t)
	client, _ := k.user("bob")
	other, _ := k.user("eve")
	list := func() error { _, err := client.ListUsers(ctx, nil); return err }
	denied := func() {
		t.Helper()
		refused(t, list(), "AccessDenied: User: "+prefix+"user/bob is not authorized to perform: iam:ListUsers on resource: * ")
	}
	allowed := func() {
		t.Helper()
		if err := list(); err != nil {
			t.Error(err)
		}
	}
	devs, bob := aws.String("devs"), aws.String("bob")
	k.group("devs")
	put := func(name, doc string) {
		t.Helper()
		must(t)(k.PutGroupPolicy(ctx, &awsiam.PutGroupPolicyInput{GroupName: devs, PolicyName: &name, PolicyDocument: &doc}))
	}
	put("list", testkit.Allow("*", "iam:ListUsers"))
	denied() // not a member yet
	must(t)(k.AddUserToGroup(ctx, &awsiam.AddUserToGroupInput{GroupName: devs, UserName: bob}))
	allowed()
	_, err := other.ListUsers(ctx, nil)
	refused(t, err, "AccessDenied: User: "+prefix+"user/eve")
	put("list", testkit.Allow("*", "iam:ListRoles"))
	denied()

	got, err := k.GetGroupPolicy(ctx, &awsiam.GetGroupPolicyInput{GroupName: devs, PolicyName: aws.String("list")})
	if err != nil || decoded(t, got.PolicyDocument) != testkit.Allow("*", "iam:ListRoles") || *got.GroupName != "devs" {
		t.Errorf("%+v %v", got, err)
	}
	names, err := k.ListGroupPolicies(ctx, &awsiam.ListGroupPoliciesInput{GroupName: devs})
	if err != nil || !slices.Equal(names.PolicyNames, []string{"list"}) {
		t.Errorf("%+v %v", names, err)
	}
	must(t)(k.DeleteGroupPolicy(ctx, &awsiam.DeleteGroupPolicyInput{GroupName: devs, PolicyName: aws.String("list")}))

	arn := k.policy("mine", testkit.Allow("*", "iam:ListUsers"))
	must(t)(k.AttachGroupPolicy(ctx, &awsiam.AttachGroupPolicyInput{GroupName: devs, PolicyArn: &arn}))
	allowed()
	must(t)(k.CreatePolicyVersion(ctx, &awsiam.CreatePolicyVersionInput{PolicyArn: &arn, SetAsDefault: true, PolicyDocument: aws.String(testkit.Allow("*", "iam:GetUser"))}))
	denied()
	must(t)(k.SetDefaultPolicyVersion(ctx, &awsiam.SetDefaultPolicyVersionInput{PolicyArn: &arn, VersionId: aws.String("v1")}))
	allowed()

	// A deny of the group wins over an allow of the user's own.
	must(t)(k.PutUserPolicy(ctx, &awsiam.PutUserPolicyInput{UserName: bob, PolicyName: aws.String("all"), PolicyDocument: aws.String(testkit.Allow("*", "*"))}))
	put("no", strings.Replace(testkit.Allow("*", "iam:ListUsers"), "Allow", "Deny", 1))
	refused(t, list(), "with an explicit deny in an identity-based policy")
	must(t)(k.DeleteGroupPolicy(ctx, &awsiam.DeleteGroupPolicyInput{GroupName: devs, PolicyName: aws.String("no")}))
	must(t)(k.DeleteUserPolicy(ctx, &awsiam.DeleteUserPolicyInput{UserName: bob, PolicyName: aws.String("all")}))

	attached, err := k.ListAttachedGroupPolicies(ctx, &awsiam.ListAttachedGroupPoliciesInput{GroupName: devs})
	if err != nil || len(attached.AttachedPolicies) != 1 || *attached.AttachedPolicies[0].PolicyArn != arn {
		t.Errorf("%+v %v", attached, err)
	}
	entities, err := k.ListEntitiesForPolicy(ctx, &awsiam.ListEntitiesForPolicyInput{PolicyArn: &arn})
	if err != nil || len(entities.PolicyGroups) != 1 || *entities.PolicyGroups[0].GroupName != "devs" || len(entities.PolicyUsers) != 0 {
		t.Errorf("%+v %v", entities, err)
	}
	entities, err = k.ListEntitiesForPolicy(ctx, &awsiam.ListEntitiesForPolicyInput{PolicyArn: &arn, EntityFilter: types.EntityTypeUser})
	if err != nil || len(entities.PolicyGroups) != 0 {
		t.Errorf("%+v %v", entities, err)
	}
	pol, err := k.GetPolicy(ctx, &awsiam.GetPolicyInput{PolicyArn: &arn})
	if err != nil || *pol.Policy.AttachmentCount != 1 {
		t.Errorf("%+v %v", pol, err)
	}
	_, err = k.DeletePolicy(ctx, &awsiam.DeletePolicyInput{PolicyArn: &arn})
	refused(t, err, "DeleteConflict: Cannot delete a policy attached to entities.")

	// Names come and go; the membership is of this group.
	must(t)(k.UpdateUser(ctx, &awsiam.UpdateUserInput{UserName: bob, NewUserName: aws.String("robert")}))
	must(t)(k.UpdateGroup(ctx, &awsiam.UpdateGroupInput{GroupName: devs, NewGroupName: aws.String("engineers")}))
	allowed()
	k.group("devs") // has the name and nothing else
	must(t)(k.RemoveUserFromGroup(ctx, &awsiam.RemoveUserFromGroupInput{GroupName: aws.String("engineers"), UserName: aws.String("robert")}))
	refused(t, list(), "AccessDenied: User: "+prefix+"user/robert")
	must(t)(k.DetachGroupPolicy(ctx, &awsiam.DetachGroupPolicyInput{GroupName: aws.String("engineers"), PolicyArn: &arn}))
	must(t)(k.DeleteGroup(ctx, &awsiam.DeleteGroupInput{GroupName: aws.String("engineers")}))
}

func TestGroupErrors(t *testing.T) {
	k := newKit(t)
	name := func(s string) *string { return &s }
	doc := name(testkit.Allow("*", "s3:GetObject"))
	k.user("bob")
	k.user("eve")
	k.group("Devs", "bob")
	arn := k.policy("P", *doc)
	for i := range 9 {
		k.group(fmt.Sprint("g", i), "bob")
	}
	k.group("one-too-many")
	k.group("full")
	for i := range 10 {
		must(t)(k.AttachGroupPolicy(ctx, &awsiam.AttachGroupPolicyInput{GroupName: name("full"), PolicyArn: name(k.policy(fmt.Sprint("p", i), *doc))}))
	}
	poor, _ := k.user("poor", testkit.Allow("*", "iam:GetUser"))
	for _, c := range []struct {
		want string
		call func() (any, error)
	}{
		{"NoSuchEntity: The group with name gone cannot be found.", func() (any, error) { return k.GetGroup(ctx, &awsiam.GetGroupInput{GroupName: name("gone")}) }},
		{"NoSuchEntity: The group with name devs cannot be found.", func() (any, error) { return k.GetGroup(ctx, &awsiam.GetGroupInput{GroupName: name("devs")}) }},
		{"NoSuchEntity: The group with name gone cannot be found.", func() (any, error) {
			return k.AddUserToGroup(ctx, &awsiam.AddUserToGroupInput{GroupName: name("gone"), UserName: name("none")})
		}},
		{"NoSuchEntity: The user with name none cannot be found.", func() (any, error) {
			return k.AddUserToGroup(ctx, &awsiam.AddUserToGroupInput{GroupName: name("Devs"), UserName: name("none")})
		}},
		{"NoSuchEntity: The user with name none cannot be found.", func() (any, error) {
			return k.ListGroupsForUser(ctx, &awsiam.ListGroupsForUserInput{UserName: name("none")})
		}},
		{"NoSuchEntity: ", func() (any, error) {
			return k.RemoveUserFromGroup(ctx, &awsiam.RemoveUserFromGroupInput{GroupName: name("Devs"), UserName: name("eve")})
		}},
		{"NoSuchEntity: The group policy with name p cannot be found.", func() (any, error) {
			return k.GetGroupPolicy(ctx, &awsiam.GetGroupPolicyInput{GroupName: name("Devs"), PolicyName: name("p")})
		}},
		{"NoSuchEntity: The group policy with name p cannot be found.", func() (any, error) {
			return k.DeleteGroupPolicy(ctx, &awsiam.DeleteGroupPolicyInput{GroupName: name("Devs"), PolicyName: name("p")})
		}},
		{"NoSuchEntity: Policy " + arn + " was not found.", func() (any, error) {
			return k.DetachGroupPolicy(ctx, &awsiam.DetachGroupPolicyInput{GroupName: name("Devs"), PolicyArn: &arn})
		}},
		{"NoSuchEntity: Policy " + prefix + "policy/none does not exist or is not attachable.", func() (any, error) {
			return k.AttachGroupPolicy(ctx, &awsiam.AttachGroupPolicyInput{GroupName: name("Devs"), PolicyArn: name(prefix + "policy/none")})
		}},
		{"EntityAlreadyExists: Group with name DEVS already exists.", func() (any, error) {
			return k.CreateGroup(ctx, &awsiam.CreateGroupInput{GroupName: name("DEVS"), Path: name("/x/")})
		}},
		{"EntityAlreadyExists: Group with name G1 already exists.", func() (any, error) {
			return k.UpdateGroup(ctx, &awsiam.UpdateGroupInput{GroupName: name("g0"), NewGroupName: name("G1")})
		}},
		{"DeleteConflict: Cannot delete entity, must remove users from group first.", func() (any, error) { return k.DeleteGroup(ctx, &awsiam.DeleteGroupInput{GroupName: name("Devs")}) }},
		{"DeleteConflict: Cannot delete entity, must remove users from group first.", func() (any, error) { return k.DeleteUser(ctx, &awsiam.DeleteUserInput{UserName: name("bob")}) }},
		{"DeleteConflict: Cannot delete entity, must detach all policies first.", func() (any, error) { return k.DeleteGroup(ctx, &awsiam.DeleteGroupInput{GroupName: name("full")}) }},
		{"DeleteConflict: Cannot delete entity, must delete policies first.", func() (any, error) {
			must(t)(k.PutGroupPolicy(ctx, &awsiam.PutGroupPolicyInput{GroupName: name("one-too-many"), PolicyName: name("p"), PolicyDocument: doc}))
			return k.DeleteGroup(ctx, &awsiam.DeleteGroupInput{GroupName: name("one-too-many")})
		}},
		{"LimitExceeded: Cannot exceed quota for GroupsPerUser: 10", func() (any, error) {
			return k.AddUserToGroup(ctx, &awsiam.AddUserToGroupInput{GroupName: name("one-too-many"), UserName: name("bob")})
		}},
		{"LimitExceeded: Cannot exceed quota for PoliciesPerGroup: 10", func() (any, error) {
			return k.AttachGroupPolicy(ctx, &awsiam.AttachGroupPolicyInput{GroupName: name("full"), PolicyArn: &arn})
		}},
		{"LimitExceeded: Maximum policy size of 5120 bytes exceeded for group Devs", func() (any, error) {
			return k.PutGroupPolicy(ctx, &awsiam.PutGroupPolicyInput{GroupName: name("Devs"), PolicyName: name("p"), PolicyDocument: name(testkit.Allow("arn:aws:s3:::"+strings.Repeat("x", 5120), "s3:GetObject"))})
		}},
		{"MalformedPolicyDocument: ", func() (any, error) {
			return k.PutGroupPolicy(ctx, &awsiam.PutGroupPolicyInput{GroupName: name("Devs"), PolicyName: name("p"), PolicyDocument: name("{}")})
		}},
		{"PolicyNotAttachable: Cannot attach a Service Role Policy to a Customer Role.", func() (any, error) {
			return k.AttachGroupPolicy(ctx, &awsiam.AttachGroupPolicyInput{GroupName: name("Devs"), PolicyArn: name("arn:aws:iam::aws:policy/aws-service-role/AmazonECSServiceRolePolicy")})
		}},
		{"AccessDenied: User: " + prefix + "user/poor is not authorized to perform: iam:GetGroup on resource: group Devs because no identity-based policy allows the iam:GetGroup action", func() (any, error) {
			return poor.GetGroup(ctx, &awsiam.GetGroupInput{GroupName: name("Devs")})
		}},
	} {
		t.Run(c.want, func(t *testing.T) {
			_, err := c.call()
			refused(t, err, c.want)
		})
	}
}

func TestGroupsPerAccount(t *testing.T) {
	k := newKit(t)
	for i := range 300 {
		k.group(fmt.Sprint("g", i))
	}
	_, err := k.CreateGroup(ctx, &awsiam.CreateGroupInput{GroupName: aws.String("more")})
	refused(t, err, "LimitExceeded: Cannot exceed quota for GroupsPerAccount: 300")
}
