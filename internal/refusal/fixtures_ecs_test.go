package refusal

import (
	"github.com/aws/aws-sdk-go-v2/service/ecs"
	"github.com/aws/aws-sdk-go-v2/service/ecs/types"
	"github.com/aws/aws-sdk-go-v2/service/iam"
)

func (f *subject) ecsTags() []types.Tag { return []types.Tag{{Key: ptr(tagKey), Value: ptr("a")}} }

func (f *subject) cluster() *string {
	must(f.ecs.CreateCluster(f.ctx, &ecs.CreateClusterInput{ClusterName: &f.name, Tags: f.ecsTags()}))
	return &f.name
}

// clusterARN is the cluster under its ARN, as operations on tags want it.
func (f *subject) clusterARN() *string {
	return must(f.ecs.CreateCluster(f.ctx, &ecs.CreateClusterInput{ClusterName: &f.name, Tags: f.ecsTags()})).Cluster.ClusterArn
}

// taskRole is a role that tasks may have.
func (f *subject) taskRole(suffix string) *string {
	return must(f.iam.CreateRole(f.ctx, &iam.CreateRoleInput{RoleName: ptr(f.name + suffix), AssumeRolePolicyDocument: trusting("ecs-tasks.amazonaws.com")})).Role.Arn
}

func (f *subject) definitionInput() *ecs.RegisterTaskDefinitionInput {
	return &ecs.RegisterTaskDefinitionInput{
		Family: &f.name, Cpu: ptr("256"), Memory: ptr("512"), NetworkMode: types.NetworkModeAwsvpc, Tags: f.ecsTags(),
		RequiresCompatibilities: []types.Compatibility{types.CompatibilityFargate, types.CompatibilityEc2},
		TaskRoleArn:             f.taskRole("-task"), ExecutionRoleArn: f.taskRole("-execution"),
		ContainerDefinitions: []types.ContainerDefinition{{Name: ptr("app"), Image: ptr("busybox"), Command: []string{"true"}}},
	}
}

func (f *subject) definition() *string {
	return must(f.ecs.RegisterTaskDefinition(f.ctx, f.definitionInput())).TaskDefinition.TaskDefinitionArn
}

func vpc() *types.NetworkConfiguration {
	return &types.NetworkConfiguration{AwsvpcConfiguration: &types.AwsVpcConfiguration{Subnets: []string{"subnet-0abc"}}}
}

func (f *subject) instanceInput(cluster *string) *ecs.RegisterContainerInstanceInput {
	return &ecs.RegisterContainerInstanceInput{
		Cluster: cluster, Tags: f.ecsTags(),
		Attributes: []types.Attribute{{Name: ptr("ecs.capability.task-eni")}, {Name: ptr("com.amazonaws.ecs.capability.task-iam-role")}},
		TotalResources: []types.Resource{
			{Name: ptr("CPU"), Type: ptr("INTEGER"), IntegerValue: 2048},
			{Name: ptr("MEMORY"), Type: ptr("INTEGER"), IntegerValue: 4096},
			{Name: ptr("PORTS"), Type: ptr("STRINGSET"), StringSetValue: []string{"22"}},
		},
	}
}

func (f *subject) instance(cluster *string) *string {
	return must(f.ecs.RegisterContainerInstance(f.ctx, f.instanceInput(cluster))).ContainerInstance.ContainerInstanceArn
}

// task is the ARN of a task in the cluster, which waits for a host that never
// comes.
func (f *subject) task(cluster *string) string {
	out := must(f.ecs.RunTask(f.ctx, &ecs.RunTaskInput{Cluster: cluster, TaskDefinition: f.definition(), LaunchType: types.LaunchTypeFargate, NetworkConfiguration: vpc(), Tags: f.ecsTags()}))
	if len(out.Tasks) == 0 {
		f.t.Fatalf("no task: %v", out.Failures)
	}
	return *out.Tasks[0].TaskArn
}

var ecsFixtures = map[string]fixture{
	"ecs:CreateCluster":    func(f *subject) any { return &ecs.CreateClusterInput{ClusterName: &f.name, Tags: f.ecsTags()} },
	"ecs:DeleteCluster":    func(f *subject) any { return &ecs.DeleteClusterInput{Cluster: f.cluster()} },
	"ecs:DescribeClusters": func(f *subject) any { return &ecs.DescribeClustersInput{Clusters: []string{*f.cluster()}} },
	"ecs:ListClusters":     func(f *subject) any { return &ecs.ListClustersInput{} },
	"ecs:UpdateCluster": func(f *subject) any {
		return &ecs.UpdateClusterInput{Cluster: f.cluster(), Settings: []types.ClusterSetting{{Name: types.ClusterSettingNameContainerInsights, Value: ptr("disabled")}}}
	},
	"ecs:UpdateClusterSettings": func(f *subject) any {
		return &ecs.UpdateClusterSettingsInput{Cluster: f.cluster(), Settings: []types.ClusterSetting{{Name: types.ClusterSettingNameContainerInsights, Value: ptr("disabled")}}}
	},

	"ecs:TagResource": func(f *subject) any { return &ecs.TagResourceInput{ResourceArn: f.clusterARN(), Tags: f.ecsTags()} },
	"ecs:UntagResource": func(f *subject) any {
		return &ecs.UntagResourceInput{ResourceArn: f.clusterARN(), TagKeys: []string{tagKey}}
	},
	"ecs:ListTagsForResource": func(f *subject) any { return &ecs.ListTagsForResourceInput{ResourceArn: f.clusterARN()} },

	"ecs:RegisterTaskDefinition": func(f *subject) any { return f.definitionInput() },
	"ecs:DescribeTaskDefinition": func(f *subject) any {
		return &ecs.DescribeTaskDefinitionInput{TaskDefinition: f.definition(), Include: []types.TaskDefinitionField{types.TaskDefinitionFieldTags}}
	},
	"ecs:ListTaskDefinitions":        func(f *subject) any { return &ecs.ListTaskDefinitionsInput{} },
	"ecs:ListTaskDefinitionFamilies": func(f *subject) any { return &ecs.ListTaskDefinitionFamiliesInput{} },
	"ecs:DeregisterTaskDefinition": func(f *subject) any {
		return &ecs.DeregisterTaskDefinitionInput{TaskDefinition: f.definition()}
	},
	"ecs:DeleteTaskDefinitions": func(f *subject) any {
		d := f.definition()
		must(f.ecs.DeregisterTaskDefinition(f.ctx, &ecs.DeregisterTaskDefinitionInput{TaskDefinition: d}))
		return &ecs.DeleteTaskDefinitionsInput{TaskDefinitions: []string{*d}}
	},

	"ecs:RunTask": func(f *subject) any {
		return &ecs.RunTaskInput{
			Cluster: f.cluster(), TaskDefinition: f.definition(), LaunchType: types.LaunchTypeFargate, NetworkConfiguration: vpc(), Tags: f.ecsTags(),
			Overrides: &types.TaskOverride{TaskRoleArn: f.taskRole("-override")},
		}
	},
	"ecs:StartTask": func(f *subject) any {
		c := f.cluster()
		return &ecs.StartTaskInput{
			Cluster: c, TaskDefinition: f.definition(), ContainerInstances: []string{*f.instance(c)}, NetworkConfiguration: vpc(), Tags: f.ecsTags(),
		}
	},
	"ecs:StopTask": func(f *subject) any {
		c := f.cluster()
		return &ecs.StopTaskInput{Cluster: c, Task: ptr(f.task(c))}
	},
	"ecs:DescribeTasks": func(f *subject) any {
		c := f.cluster()
		return &ecs.DescribeTasksInput{Cluster: c, Tasks: []string{f.task(c)}}
	},
	"ecs:ListTasks": func(f *subject) any { return &ecs.ListTasksInput{Cluster: f.cluster()} },

	// What agents call.
	"ecs:DiscoverPollEndpoint": func(f *subject) any {
		c := f.cluster()
		return &ecs.DiscoverPollEndpointInput{Cluster: c, ContainerInstance: f.instance(c)}
	},
	"ecs:RegisterContainerInstance": func(f *subject) any { return f.instanceInput(f.cluster()) },
	"ecs:DeregisterContainerInstance": func(f *subject) any {
		c := f.cluster()
		return &ecs.DeregisterContainerInstanceInput{Cluster: c, ContainerInstance: f.instance(c)}
	},
	"ecs:DescribeContainerInstances": func(f *subject) any {
		c := f.cluster()
		return &ecs.DescribeContainerInstancesInput{Cluster: c, ContainerInstances: []string{*f.instance(c)}}
	},
	"ecs:ListContainerInstances": func(f *subject) any { return &ecs.ListContainerInstancesInput{Cluster: f.cluster()} },
	"ecs:UpdateContainerInstancesState": func(f *subject) any {
		c := f.cluster()
		return &ecs.UpdateContainerInstancesStateInput{Cluster: c, ContainerInstances: []string{*f.instance(c)}, Status: types.ContainerInstanceStatusDraining}
	},
	// Nobody but the task's host may report of it, so these are of a task that
	// does not exist: the control plane acknowledges and forgets.
	"ecs:SubmitTaskStateChange": func(f *subject) any {
		return &ecs.SubmitTaskStateChangeInput{Cluster: f.cluster(), Task: f.noTask(), Status: ptr("STOPPED")}
	},
	"ecs:SubmitContainerStateChange": func(f *subject) any {
		return &ecs.SubmitContainerStateChangeInput{Cluster: f.cluster(), Task: f.noTask(), ContainerName: ptr("app"), Status: ptr("STOPPED")}
	},
	"ecs:SubmitAttachmentStateChanges": func(f *subject) any {
		return &ecs.SubmitAttachmentStateChangesInput{Cluster: f.cluster(), Attachments: []types.AttachmentStateChange{{AttachmentArn: f.noTask(), Status: ptr("ATTACHED")}}}
	},
}
