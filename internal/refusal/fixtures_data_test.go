package refusal

import (
	"time"

	"github.com/aws/aws-sdk-go-v2/service/cloudwatchlogs"
	logst "github.com/aws/aws-sdk-go-v2/service/cloudwatchlogs/types"
	"github.com/aws/aws-sdk-go-v2/service/secretsmanager"
	smt "github.com/aws/aws-sdk-go-v2/service/secretsmanager/types"
	"github.com/aws/aws-sdk-go-v2/service/ssm"
	ssmt "github.com/aws/aws-sdk-go-v2/service/ssm/types"
	stst "github.com/aws/aws-sdk-go-v2/service/sts/types"

	"github.com/remit-ecs/remit/internal/testkit/whole"
)

func (f *subject) stsTags() []stst.Tag { return []stst.Tag{{Key: ptr(tagKey), Value: ptr("a")}} }

// noTask is the ARN of a task that does not exist.
func (f *subject) noTask() *string {
	return ptr("arn:aws:ecs:" + whole.Region + ":" + whole.Account + ":task/" + f.name + "/0123456789abcdef0123456789abcdef")
}

func (f *subject) group() *string {
	must(f.logs.CreateLogGroup(f.ctx, &cloudwatchlogs.CreateLogGroupInput{LogGroupName: &f.name, Tags: map[string]string{tagKey: "a"}}))
	return &f.name
}

func (f *subject) groupARN() *string {
	f.group()
	return ptr("arn:aws:logs:" + whole.Region + ":" + whole.Account + ":log-group:" + f.name)
}

// stream is a log stream with one event.
func (f *subject) stream() (group, stream *string) {
	group, stream = f.group(), ptr("stream")
	must(f.logs.CreateLogStream(f.ctx, &cloudwatchlogs.CreateLogStreamInput{LogGroupName: group, LogStreamName: stream}))
	must(f.logs.PutLogEvents(f.ctx, &cloudwatchlogs.PutLogEventsInput{LogGroupName: group, LogStreamName: stream, LogEvents: f.events()}))
	return group, stream
}

func (f *subject) events() []logst.InputLogEvent {
	return []logst.InputLogEvent{{Message: ptr("hello"), Timestamp: ptr(time.Now().UnixMilli())}}
}

var logsFixtures = map[string]fixture{
	"logs:CreateLogGroup": func(f *subject) any {
		return &cloudwatchlogs.CreateLogGroupInput{LogGroupName: &f.name, Tags: map[string]string{tagKey: "a"}}
	},
	"logs:DeleteLogGroup": func(f *subject) any { return &cloudwatchlogs.DeleteLogGroupInput{LogGroupName: f.group()} },
	"logs:DescribeLogGroups": func(f *subject) any {
		return &cloudwatchlogs.DescribeLogGroupsInput{LogGroupNamePrefix: f.group()}
	},
	"logs:PutRetentionPolicy": func(f *subject) any {
		return &cloudwatchlogs.PutRetentionPolicyInput{LogGroupName: f.group(), RetentionInDays: ptr[int32](7)}
	},
	"logs:DeleteRetentionPolicy": func(f *subject) any {
		return &cloudwatchlogs.DeleteRetentionPolicyInput{LogGroupName: f.group()}
	},
	"logs:CreateLogStream": func(f *subject) any {
		return &cloudwatchlogs.CreateLogStreamInput{LogGroupName: f.group(), LogStreamName: ptr("stream")}
	},
	"logs:DeleteLogStream": func(f *subject) any {
		group, stream := f.stream()
		return &cloudwatchlogs.DeleteLogStreamInput{LogGroupName: group, LogStreamName: stream}
	},
	"logs:DescribeLogStreams": func(f *subject) any {
		return &cloudwatchlogs.DescribeLogStreamsInput{LogGroupName: f.group()}
	},
	"logs:PutLogEvents": func(f *subject) any {
		group, stream := f.stream()
		return &cloudwatchlogs.PutLogEventsInput{LogGroupName: group, LogStreamName: stream, LogEvents: f.events()}
	},
	"logs:GetLogEvents": func(f *subject) any {
		group, stream := f.stream()
		return &cloudwatchlogs.GetLogEventsInput{LogGroupName: group, LogStreamName: stream}
	},
	"logs:FilterLogEvents": func(f *subject) any {
		group, _ := f.stream()
		return &cloudwatchlogs.FilterLogEventsInput{LogGroupName: group}
	},
	"logs:TagResource": func(f *subject) any {
		return &cloudwatchlogs.TagResourceInput{ResourceArn: f.groupARN(), Tags: map[string]string{tagKey: "b"}}
	},
	"logs:UntagResource": func(f *subject) any {
		return &cloudwatchlogs.UntagResourceInput{ResourceArn: f.groupARN(), TagKeys: []string{tagKey}}
	},
	"logs:ListTagsForResource": func(f *subject) any {
		return &cloudwatchlogs.ListTagsForResourceInput{ResourceArn: f.groupARN()}
	},
	"logs:TagLogGroup": func(f *subject) any {
		return &cloudwatchlogs.TagLogGroupInput{LogGroupName: f.group(), Tags: map[string]string{tagKey: "b"}}
	},
	"logs:UntagLogGroup": func(f *subject) any {
		return &cloudwatchlogs.UntagLogGroupInput{LogGroupName: f.group(), Tags: []string{tagKey}}
	},
	"logs:ListTagsLogGroup": func(f *subject) any { return &cloudwatchlogs.ListTagsLogGroupInput{LogGroupName: f.group()} },
}

func (f *subject) secretTags() []smt.Tag { return []smt.Tag{{Key: ptr(tagKey), Value: ptr("a")}} }

func (f *subject) secret() *string {
	return must(f.secrets.CreateSecret(f.ctx, &secretsmanager.CreateSecretInput{Name: &f.name, SecretString: ptr("one"), Tags: f.secretTags()})).ARN
}

var secretsFixtures = map[string]fixture{
	"secretsmanager:CreateSecret": func(f *subject) any {
		return &secretsmanager.CreateSecretInput{Name: &f.name, Description: ptr("d"), SecretString: ptr("one"), Tags: f.secretTags()}
	},
	"secretsmanager:DescribeSecret": func(f *subject) any { return &secretsmanager.DescribeSecretInput{SecretId: f.secret()} },
	"secretsmanager:GetSecretValue": func(f *subject) any {
		return &secretsmanager.GetSecretValueInput{SecretId: f.secret(), VersionStage: ptr("AWSCURRENT")}
	},
	"secretsmanager:BatchGetSecretValue": func(f *subject) any {
		return &secretsmanager.BatchGetSecretValueInput{SecretIdList: []string{*f.secret()}}
	},
	"secretsmanager:PutSecretValue": func(f *subject) any {
		return &secretsmanager.PutSecretValueInput{SecretId: f.secret(), SecretString: ptr("two")}
	},
	"secretsmanager:UpdateSecret": func(f *subject) any {
		return &secretsmanager.UpdateSecretInput{SecretId: f.secret(), Description: ptr("d"), SecretString: ptr("two")}
	},
	"secretsmanager:DeleteSecret": func(f *subject) any {
		return &secretsmanager.DeleteSecretInput{SecretId: f.secret(), RecoveryWindowInDays: ptr[int64](7)}
	},
	"secretsmanager:RestoreSecret": func(f *subject) any {
		id := f.secret()
		must(f.secrets.DeleteSecret(f.ctx, &secretsmanager.DeleteSecretInput{SecretId: id}))
		return &secretsmanager.RestoreSecretInput{SecretId: id}
	},
	"secretsmanager:ListSecrets":       func(f *subject) any { return &secretsmanager.ListSecretsInput{} },
	"secretsmanager:GetRandomPassword": func(f *subject) any { return &secretsmanager.GetRandomPasswordInput{} },
	"secretsmanager:ListSecretVersionIds": func(f *subject) any {
		return &secretsmanager.ListSecretVersionIdsInput{SecretId: f.secret()}
	},
	"secretsmanager:UpdateSecretVersionStage": func(f *subject) any {
		id := f.secret()
		v := must(f.secrets.PutSecretValue(f.ctx, &secretsmanager.PutSecretValueInput{SecretId: id, SecretString: ptr("two"), VersionStages: []string{"next"}})).VersionId
		return &secretsmanager.UpdateSecretVersionStageInput{SecretId: id, VersionStage: ptr("next"), RemoveFromVersionId: v}
	},
	"secretsmanager:TagResource": func(f *subject) any {
		return &secretsmanager.TagResourceInput{SecretId: f.secret(), Tags: f.secretTags()}
	},
	"secretsmanager:UntagResource": func(f *subject) any {
		return &secretsmanager.UntagResourceInput{SecretId: f.secret(), TagKeys: []string{tagKey}}
	},
}

func (f *subject) ssmTags() []ssmt.Tag { return []ssmt.Tag{{Key: ptr(tagKey), Value: ptr("a")}} }

func (f *subject) parameter() *string {
	name := ptr("/" + f.name + "/one")
	must(f.ssm.PutParameter(f.ctx, &ssm.PutParameterInput{Name: name, Value: ptr("v"), Type: ssmt.ParameterTypeString, Tags: f.ssmTags()}))
	return name
}

func (f *subject) labelled() *string {
	name := f.parameter()
	must(f.ssm.LabelParameterVersion(f.ctx, &ssm.LabelParameterVersionInput{Name: name, Labels: []string{"label"}}))
	return name
}

var ssmFixtures = map[string]fixture{
	"ssm:PutParameter": func(f *subject) any {
		return &ssm.PutParameterInput{Name: ptr("/" + f.name + "/one"), Value: ptr("v"), Type: ssmt.ParameterTypeSecureString, Tags: f.ssmTags()}
	},
	"ssm:GetParameter": func(f *subject) any {
		return &ssm.GetParameterInput{Name: f.parameter(), WithDecryption: ptr(true)}
	},
	"ssm:GetParameters": func(f *subject) any {
		two := ptr("/" + f.name + "/two")
		must(f.ssm.PutParameter(f.ctx, &ssm.PutParameterInput{Name: two, Value: ptr("v"), Type: ssmt.ParameterTypeString}))
		return &ssm.GetParametersInput{Names: []string{*f.parameter(), *two}}
	},
	"ssm:GetParametersByPath": func(f *subject) any {
		f.parameter()
		return &ssm.GetParametersByPathInput{Path: ptr("/" + f.name), Recursive: ptr(true)}
	},
	"ssm:GetParameterHistory": func(f *subject) any { return &ssm.GetParameterHistoryInput{Name: f.parameter()} },
	"ssm:DescribeParameters":  func(f *subject) any { return &ssm.DescribeParametersInput{} },
	"ssm:DeleteParameter":     func(f *subject) any { return &ssm.DeleteParameterInput{Name: f.parameter()} },
	"ssm:DeleteParameters":    func(f *subject) any { return &ssm.DeleteParametersInput{Names: []string{*f.parameter()}} },
	"ssm:LabelParameterVersion": func(f *subject) any {
		return &ssm.LabelParameterVersionInput{Name: f.parameter(), Labels: []string{"label"}}
	},
	"ssm:UnlabelParameterVersion": func(f *subject) any {
		return &ssm.UnlabelParameterVersionInput{Name: f.labelled(), Labels: []string{"label"}, ParameterVersion: ptr[int64](1)}
	},
	"ssm:AddTagsToResource": func(f *subject) any {
		return &ssm.AddTagsToResourceInput{ResourceType: ssmt.ResourceTypeForTaggingParameter, ResourceId: f.parameter(), Tags: f.ssmTags()}
	},
	"ssm:RemoveTagsFromResource": func(f *subject) any {
		return &ssm.RemoveTagsFromResourceInput{ResourceType: ssmt.ResourceTypeForTaggingParameter, ResourceId: f.parameter(), TagKeys: []string{tagKey}}
	},
	"ssm:ListTagsForResource": func(f *subject) any {
		return &ssm.ListTagsForResourceInput{ResourceType: ssmt.ResourceTypeForTaggingParameter, ResourceId: f.parameter()}
	},
}
