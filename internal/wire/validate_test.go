// SPDX-License-Identifier: Apache-2.0

package wire_test

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/remit-ecs/remit/internal/api"
	"github.com/remit-ecs/remit/internal/api/ecrapi"
	"github.com/remit-ecs/remit/internal/api/ecsapi"
	"github.com/remit-ecs/remit/internal/api/iamapi"
	"github.com/remit-ecs/remit/internal/api/logsapi"
	"github.com/remit-ecs/remit/internal/api/s3api"
	"github.com/remit-ecs/remit/internal/api/secretsmanagerapi"
	"github.com/remit-ecs/remit/internal/api/ssmapi"
	"github.com/remit-ecs/remit/internal/api/stsapi"
	"github.com/remit-ecs/remit/internal/wire"
)

func TestValidate(t *testing.T) {
	str := func(s string) *string { return &s }
	long := strings.Repeat("x", 129)
	for _, c := range []struct {
		op   *api.OpInfo
		in   any
		want string // after "N validation error(s) detected: "
	}{
		{stsapi.GetCallerIdentity.Info, &stsapi.GetCallerIdentityInput{}, ""},
		{iamapi.CreateRole.Info, &iamapi.CreateRoleInput{RoleName: str("a"), AssumeRolePolicyDocument: str("{}"), Path: str("/"), MaxSessionDuration: api.Ptr[int32](3600)}, ""},
		{iamapi.CreateRole.Info, &iamapi.CreateRoleInput{},
			"2 validation errors detected: Value null at 'roleName' failed to satisfy constraint: Member must not be null; Value null at 'assumeRolePolicyDocument' failed to satisfy constraint: Member must not be null"},
		{iamapi.CreateRole.Info, &iamapi.CreateRoleInput{RoleName: str("a b"), AssumeRolePolicyDocument: str("{}")},
			`1 validation error detected: Value 'a b' at 'roleName' failed to satisfy constraint: Member must satisfy regular expression pattern: [\w+=,.@-]+`},
		{iamapi.CreateRole.Info, &iamapi.CreateRoleInput{RoleName: str("a"), AssumeRolePolicyDocument: str("{}"), MaxSessionDuration: api.Ptr[int32](1)},
			"1 validation error detected: Value '1' at 'maxSessionDuration' failed to satisfy constraint: Member must have value greater than or equal to 3600"},
		{iamapi.CreateRole.Info, &iamapi.CreateRoleInput{RoleName: str("a"), AssumeRolePolicyDocument: str("{}"), Tags: []iamapi.Tag{{Key: str(long), Value: str("")}, {Value: str("")}}},
			"2 validation errors detected: Value '" + long + "' at 'tags.1.member.key' failed to satisfy constraint: Member must have length less than or equal to 128; Value null at 'tags.2.member.key' failed to satisfy constraint: Member must not be null"},
		{iamapi.ChangePassword.Info, &iamapi.ChangePasswordInput{OldPassword: str("secret"), NewPassword: str(strings.Repeat("s", 129))},
			"1 validation error detected: Value '***' at 'newPassword' failed to satisfy constraint: Member must have length less than or equal to 128"},
		{stsapi.AssumeRole.Info, &stsapi.AssumeRoleInput{RoleArn: str("arn:aws:iam::111122223333:role/app"), RoleSessionName: str("\u00e9\u00e9")},
			`1 validation error detected: Value 'éé' at 'roleSessionName' failed to satisfy constraint: Member must satisfy regular expression pattern: [\w+=,.@-]*`},
		{ecsapi.RunTask.Info, &ecsapi.RunTaskInput{TaskDefinition: str("x"), Overrides: &ecsapi.TaskOverride{ContainerOverrides: []ecsapi.ContainerOverride{{ResourceRequirements: []ecsapi.ResourceRequirement{{Value: str("1"), Type: "TPU"}}}}}},
			"1 validation error detected: Value 'TPU' at 'overrides.containerOverrides.1.member.resourceRequirements.1.member.type' failed to satisfy constraint: Member must satisfy enum value set: [GPU, InferenceAccelerator]"},
		{ecsapi.DescribeClusters.Info, &ecsapi.DescribeClustersInput{Include: []ecsapi.ClusterField{"TAGS", "MOONS"}},
			"1 validation error detected: Value '[TAGS, MOONS]' at 'include' failed to satisfy constraint: Member must satisfy constraint: [Member must satisfy enum value set: [ATTACHMENTS, CONFIGURATIONS, SETTINGS, STATISTICS, TAGS]]"},
		{logsapi.TagLogGroup.Info, &logsapi.TagLogGroupInput{LogGroupName: str("g"), Tags: map[string]string{"": "v"}},
			`1 validation error detected: Value '{=v}' at 'tags' failed to satisfy constraint: Map keys must satisfy constraint: [Member must have length less than or equal to 128, Member must have length greater than or equal to 1, Member must satisfy regular expression pattern: ^([\p{L}\p{Z}\p{N}_.:/=+\-@]+)$]`},
	} {
		err := wire.Validate(c.op, c.in)
		switch {
		case err == nil && c.want != "":
			t.Errorf("%s: accepted, want %s", c.op.Action(), c.want)
		case err != nil && err.Message != c.want:
			t.Errorf("%s: %s\nwant %s", c.op.Action(), err.Message, c.want)
		}
	}
	if err := wire.Validate(iamapi.CreateRole.Info, &iamapi.GetRoleInput{}); err == nil || err.Idea != api.IdeaInternal {
		t.Errorf("an input of another operation: %v", err)
	}
}

func TestRedacted(t *testing.T) {
	str := func(s string) *string { return &s }
	const secret = "hunter2"
	env := []ecsapi.KeyValuePair{{Name: str("PASSWORD"), Value: str(secret)}}
	for _, c := range []struct {
		op   *api.OpInfo
		p    any
		want string
	}{
		{ecsapi.RegisterTaskDefinition.Info, &ecsapi.RegisterTaskDefinitionInput{Family: str("web"), ContainerDefinitions: []ecsapi.ContainerDefinition{{Name: str("app"), Environment: env, Cpu: api.Ptr[int32](1)}}},
			`{"containerDefinitions":[{"cpu":1,"environment":[{"name":"PASSWORD","value":"HIDDEN_DUE_TO_SECURITY_REASONS"}],"name":"app"}],"family":"web"}`},
		{ecsapi.RunTask.Info, &ecsapi.RunTaskInput{Overrides: &ecsapi.TaskOverride{ContainerOverrides: []ecsapi.ContainerOverride{{Environment: env}}}},
			`{"overrides":{"containerOverrides":[{"environment":[{"name":"PASSWORD","value":"HIDDEN_DUE_TO_SECURITY_REASONS"}]}]}}`},
		{iamapi.CreateLoginProfile.Info, &iamapi.CreateLoginProfileInput{UserName: str("a"), Password: str(secret)}, `{"password":"HIDDEN_DUE_TO_SECURITY_REASONS","userName":"a"}`},
		{secretsmanagerapi.CreateSecret.Info, &secretsmanagerapi.CreateSecretInput{Name: str("s"), SecretString: str(secret), SecretBinary: []byte(secret)},
			`{"name":"s","secretBinary":"HIDDEN_DUE_TO_SECURITY_REASONS","secretString":"HIDDEN_DUE_TO_SECURITY_REASONS"}`},
		{ssmapi.PutParameter.Info, &ssmapi.PutParameterInput{Name: str("p"), Value: str(secret)}, `{"name":"p","value":"HIDDEN_DUE_TO_SECURITY_REASONS"}`},
		{ecrapi.UploadLayerPart.Info, &ecrapi.UploadLayerPartInput{RepositoryName: str("r"), LayerPartBlob: []byte(secret)}, `{"repositoryName":"r"}`},
		{s3api.PutObject.Info, &s3api.PutObjectInput{Bucket: str("b"), Key: str("k"), SSECustomerKey: str(secret), Metadata: map[string]string{"A": "b"}}, `{"bucket":"b","key":"k","metadata":{"A":"b"},"sSECustomerKey":"HIDDEN_DUE_TO_SECURITY_REASONS"}`},
		{stsapi.GetCallerIdentity.Info, &stsapi.GetCallerIdentityInput{}, `null`},
	} {
		b, err := json.Marshal(wire.RedactedInput(c.op, c.p))
		if err != nil || string(b) != c.want || strings.Contains(string(b), secret) {
			t.Errorf("%s: %s (%v)\nwant %s", c.op.Action(), b, err, c.want)
		}
	}
	out, err := json.Marshal(wire.RedactedOutput(stsapi.AssumeRole.Info, &stsapi.AssumeRoleOutput{Credentials: &stsapi.Credentials{AccessKeyId: str("ASIA"), SecretAccessKey: str(secret), SessionToken: str(secret)}}))
	if want := `{"credentials":{"accessKeyId":"ASIA","secretAccessKey":"HIDDEN_DUE_TO_SECURITY_REASONS","sessionToken":"HIDDEN_DUE_TO_SECURITY_REASONS"}}`; err != nil || string(out) != want {
		t.Errorf("AssumeRole: %s", out)
	}
	token, _ := json.Marshal(wire.RedactedOutput(ecrapi.GetAuthorizationToken.Info, &ecrapi.GetAuthorizationTokenOutput{AuthorizationData: []ecrapi.AuthorizationData{{AuthorizationToken: str(secret)}}}))
	if strings.Contains(string(token), secret) {
		t.Errorf("GetAuthorizationToken: %s", token)
	}
}

// Every entry of the overlay names a member that exists, or it protects
// nothing.
func TestOverlayNamesMembers(t *testing.T) {
	known := map[string]bool{}
	for _, svc := range services {
		for _, s := range svc.Model.Shapes {
			for _, m := range s.Members {
				known[svc.Name+"/"+s.Name+"."+m.Name] = true
			}
		}
	}
	for _, name := range wire.Overlay() {
		if !known[name] {
			t.Errorf("%s does not exist", name)
		}
	}
}
