package logs

import (
	"maps"
	"slices"
	"strings"

	"github.com/remit-ecs/remit/internal/api"
	"github.com/remit-ecs/remit/internal/api/logsapi"
	"github.com/remit-ecs/remit/internal/authz"
	"github.com/remit-ecs/remit/internal/gateway"
)

func (s *Service) mayCreateLogGroup(c *gateway.Call, in *logsapi.CreateLogGroupInput) ([]authz.Ask, error) {
	asks, err := ask("CreateLogGroup", groupARN(c, *in.LogGroupName), tagKeys(in.Tags))
	if len(in.Tags) > 0 {
		asks = append(asks, authz.Ask{Action: "logs:TagResource", Resource: groupARN(c, *in.LogGroupName), Keys: tagKeys(in.Tags)})
	}
	return asks, err
}

// https://docs.aws.amazon.com/AmazonCloudWatchLogs/latest/APIReference/API_CreateLogGroup.html
func (s *Service) createLogGroup(c *gateway.Call, in *logsapi.CreateLogGroupInput) (*logsapi.CreateLogGroupOutput, error) {
	if in.KmsKeyId != nil {
		return nil, api.NotImplemented("Remit does not encrypt log groups under customer keys yet.")
	}
	if _, exists := groupKind.Get(c.Tx, c.Home, *in.LogGroupName); exists {
		return nil, logsapi.ResourceAlreadyExistsException(groupExists)
	}
	class := in.LogGroupClass
	if class == "" {
		class = logsapi.LogGroupClassStandard
	}
	groupKind.Put(c.Tx, *in.LogGroupName, &group{Created: ms(c), Class: class, Tags: in.Tags})
	return &logsapi.CreateLogGroupOutput{}, nil
}

func (s *Service) mayDeleteLogGroup(c *gateway.Call, in *logsapi.DeleteLogGroupInput) ([]authz.Ask, error) {
	return ask("DeleteLogGroup", groupARN(c, *in.LogGroupName), resourceTags(c, *in.LogGroupName))
}

// https://docs.aws.amazon.com/AmazonCloudWatchLogs/latest/APIReference/API_DeleteLogGroup.html
func (s *Service) deleteLogGroup(c *gateway.Call, in *logsapi.DeleteLogGroupInput) (*logsapi.DeleteLogGroupOutput, error) {
	if _, err := editGroup(c, *in.LogGroupName); err != nil {
		return nil, err
	}
	for key, st := range streamKind.Prefix(c.Tx, c.Home, streamKey(*in.LogGroupName, "")) {
		s.dropEvents(c, st)
		streamKind.Delete(c.Tx, key)
	}
	groupKind.Delete(c.Tx, *in.LogGroupName)
	return &logsapi.DeleteLogGroupOutput{}, nil
}

func (s *Service) mayDescribeLogGroups(c *gateway.Call, in *logsapi.DescribeLogGroupsInput) ([]authz.Ask, error) {
	return ask("DescribeLogGroups", groupARN(c, api.Value(in.LogGroupNamePrefix)), nil)
}

// https://docs.aws.amazon.com/AmazonCloudWatchLogs/latest/APIReference/API_DescribeLogGroups.html
func (s *Service) describeLogGroups(c *gateway.Call, in *logsapi.DescribeLogGroupsInput) (*logsapi.DescribeLogGroupsOutput, error) {
	if in.LogGroupNamePrefix != nil && in.LogGroupNamePattern != nil {
		return nil, logsapi.InvalidParameterException("LogGroup name prefix and LogGroup name pattern are mutually exclusive parameters.")
	}
	limit, err := limitOf(in.Limit, 50, 50)
	if err != nil {
		return nil, err
	}
	after, ok := c.After(in.NextToken)
	if !ok {
		return nil, logsapi.InvalidParameterException("The specified nextToken is invalid.")
	}
	out := &logsapi.DescribeLogGroupsOutput{LogGroups: []logsapi.LogGroup{}}
	last := ""
	for name, g := range groupKind.From(c.Tx, c.Home, after) {
		if !strings.HasPrefix(name, api.Value(in.LogGroupNamePrefix)) ||
			!strings.Contains(strings.ToLower(name), strings.ToLower(api.Value(in.LogGroupNamePattern))) ||
			in.LogGroupClass != "" && g.Class != in.LogGroupClass ||
			in.LogGroupIdentifiers != nil && !slices.Contains(in.LogGroupIdentifiers, name) && !slices.Contains(in.LogGroupIdentifiers, plainARN(c, name)) {
			continue
		}
		if len(out.LogGroups) == limit {
			out.NextToken = c.NextToken(last)
			break
		}
		last = name
		lg := logsapi.LogGroup{
			LogGroupName: &name, CreationTime: &g.Created, Arn: api.Ptr(plainARN(c, name) + ":*"), LogGroupArn: api.Ptr(plainARN(c, name)),
			MetricFilterCount: api.Ptr(int32(0)), StoredBytes: &g.Bytes, LogGroupClass: g.Class,
		}
		if g.Retention != 0 {
			lg.RetentionInDays = &g.Retention
		}
		out.LogGroups = append(out.LogGroups, lg)
	}
	return out, nil
}

// retentions are the days that PutRetentionPolicy takes.
var retentions = []int32{1, 3, 5, 7, 14, 30, 60, 90, 120, 150, 180, 365, 400, 545, 731, 1096, 1827, 2192, 2557, 2922, 3288, 3653}

func (s *Service) mayPutRetentionPolicy(c *gateway.Call, in *logsapi.PutRetentionPolicyInput) ([]authz.Ask, error) {
	return ask("PutRetentionPolicy", groupARN(c, *in.LogGroupName), resourceTags(c, *in.LogGroupName))
}

// https://docs.aws.amazon.com/AmazonCloudWatchLogs/latest/APIReference/API_PutRetentionPolicy.html
func (s *Service) putRetentionPolicy(c *gateway.Call, in *logsapi.PutRetentionPolicyInput) (*logsapi.PutRetentionPolicyOutput, error) {
	if !slices.Contains(retentions, *in.RetentionInDays) {
		return nil, logsapi.InvalidParameterException("1 validation error detected: Value '%d' at 'retentionInDays' failed to satisfy constraint: Member must satisfy enum value set: %v", *in.RetentionInDays, retentions)
	}
	g, err := editGroup(c, *in.LogGroupName)
	if err != nil {
		return nil, err
	}
	g.Retention = *in.RetentionInDays
	groupKind.Put(c.Tx, *in.LogGroupName, g)
	return &logsapi.PutRetentionPolicyOutput{}, nil
}

func (s *Service) mayDeleteRetentionPolicy(c *gateway.Call, in *logsapi.DeleteRetentionPolicyInput) ([]authz.Ask, error) {
	return ask("DeleteRetentionPolicy", groupARN(c, *in.LogGroupName), resourceTags(c, *in.LogGroupName))
}

// https://docs.aws.amazon.com/AmazonCloudWatchLogs/latest/APIReference/API_DeleteRetentionPolicy.html
func (s *Service) deleteRetentionPolicy(c *gateway.Call, in *logsapi.DeleteRetentionPolicyInput) (*logsapi.DeleteRetentionPolicyOutput, error) {
	g, err := editGroup(c, *in.LogGroupName)
	if err != nil {
		return nil, err
	}
	g.Retention = 0
	groupKind.Put(c.Tx, *in.LogGroupName, g)
	return &logsapi.DeleteRetentionPolicyOutput{}, nil
}

const maxTags = 50

// setTags merges tags into a group's.
func setTags(c *gateway.Call, name string, tags map[string]string) error {
	g, err := editGroup(c, name)
	if err != nil {
		return err
	}
	if g.Tags == nil {
		g.Tags = map[string]string{}
	}
	maps.Copy(g.Tags, tags)
	if len(g.Tags) > maxTags {
		return logsapi.TooManyTagsException("A resource can have no more than %d tags.", maxTags)
	}
	if err := gateway.AmbiguousTags(slices.Sorted(maps.Keys(g.Tags))); err != nil {
		return err
	}
	groupKind.Put(c.Tx, name, g)
	return nil
}

func dropTags(c *gateway.Call, name string, keys []string) error {
	g, err := editGroup(c, name)
	if err != nil {
		return err
	}
	for _, k := range keys {
		delete(g.Tags, k)
	}
	groupKind.Put(c.Tx, name, g)
	return nil
}

func tagsOf(c *gateway.Call, name string) (map[string]string, error) {
	g, ok := groupKind.Get(c.Tx, c.Home, name)
	if !ok {
		return nil, logsapi.ResourceNotFoundException(noGroup)
	}
	tags := map[string]string{}
	maps.Copy(tags, g.Tags)
	return tags, nil
}

func (s *Service) mayTagLogGroup(c *gateway.Call, in *logsapi.TagLogGroupInput) ([]authz.Ask, error) {
	return ask("TagLogGroup", groupARN(c, *in.LogGroupName), with(resourceTags(c, *in.LogGroupName), tagKeys(in.Tags)))
}

// https://docs.aws.amazon.com/AmazonCloudWatchLogs/latest/APIReference/API_TagLogGroup.html
func (s *Service) tagLogGroup(c *gateway.Call, in *logsapi.TagLogGroupInput) (*logsapi.TagLogGroupOutput, error) {
	return &logsapi.TagLogGroupOutput{}, setTags(c, *in.LogGroupName, in.Tags)
}

func (s *Service) mayUntagLogGroup(c *gateway.Call, in *logsapi.UntagLogGroupInput) ([]authz.Ask, error) {
	return ask("UntagLogGroup", groupARN(c, *in.LogGroupName), with(resourceTags(c, *in.LogGroupName), map[string][]string{"aws:tagkeys": in.Tags}))
}

// https://docs.aws.amazon.com/AmazonCloudWatchLogs/latest/APIReference/API_UntagLogGroup.html
func (s *Service) untagLogGroup(c *gateway.Call, in *logsapi.UntagLogGroupInput) (*logsapi.UntagLogGroupOutput, error) {
	return &logsapi.UntagLogGroupOutput{}, dropTags(c, *in.LogGroupName, in.Tags)
}

func (s *Service) mayListTagsLogGroup(c *gateway.Call, in *logsapi.ListTagsLogGroupInput) ([]authz.Ask, error) {
	return ask("ListTagsLogGroup", groupARN(c, *in.LogGroupName), resourceTags(c, *in.LogGroupName))
}

// https://docs.aws.amazon.com/AmazonCloudWatchLogs/latest/APIReference/API_ListTagsLogGroup.html
func (s *Service) listTagsLogGroup(c *gateway.Call, in *logsapi.ListTagsLogGroupInput) (*logsapi.ListTagsLogGroupOutput, error) {
	tags, err := tagsOf(c, *in.LogGroupName)
	if err != nil {
		return nil, err
	}
	return &logsapi.ListTagsLogGroupOutput{Tags: tags}, nil
}

func (s *Service) mayTagResource(c *gateway.Call, in *logsapi.TagResourceInput) ([]authz.Ask, error) {
	return askARN(c, "TagResource", *in.ResourceArn, tagKeys(in.Tags))
}

// https://docs.aws.amazon.com/AmazonCloudWatchLogs/latest/APIReference/API_TagResource.html
func (s *Service) tagResource(c *gateway.Call, in *logsapi.TagResourceInput) (*logsapi.TagResourceOutput, error) {
	name, err := nameFromARN(c, *in.ResourceArn)
	if err != nil {
		return nil, err
	}
	return &logsapi.TagResourceOutput{}, setTags(c, name, in.Tags)
}

func (s *Service) mayUntagResource(c *gateway.Call, in *logsapi.UntagResourceInput) ([]authz.Ask, error) {
	return askARN(c, "UntagResource", *in.ResourceArn, map[string][]string{"aws:tagkeys": in.TagKeys})
}

// https://docs.aws.amazon.com/AmazonCloudWatchLogs/latest/APIReference/API_UntagResource.html
func (s *Service) untagResource(c *gateway.Call, in *logsapi.UntagResourceInput) (*logsapi.UntagResourceOutput, error) {
	name, err := nameFromARN(c, *in.ResourceArn)
	if err != nil {
		return nil, err
	}
	return &logsapi.UntagResourceOutput{}, dropTags(c, name, in.TagKeys)
}

func (s *Service) mayListTagsForResource(c *gateway.Call, in *logsapi.ListTagsForResourceInput) ([]authz.Ask, error) {
	return askARN(c, "ListTagsForResource", *in.ResourceArn, nil)
}

// https://docs.aws.amazon.com/AmazonCloudWatchLogs/latest/APIReference/API_ListTagsForResource.html
func (s *Service) listTagsForResource(c *gateway.Call, in *logsapi.ListTagsForResourceInput) (*logsapi.ListTagsForResourceOutput, error) {
	name, err := nameFromARN(c, *in.ResourceArn)
	if err != nil {
		return nil, err
	}
	tags, err := tagsOf(c, name)
	if err != nil {
		return nil, err
	}
	return &logsapi.ListTagsForResourceOutput{Tags: tags}, nil
}
