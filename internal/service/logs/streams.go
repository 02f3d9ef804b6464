package logs

import (
	"cmp"
	"context"
	"math"
	"slices"
	"strings"

	"github.com/remit-ecs/remit/internal/api"
	"github.com/remit-ecs/remit/internal/api/logsapi"
	"github.com/remit-ecs/remit/internal/authz"
	"github.com/remit-ecs/remit/internal/gateway"
	"github.com/remit-ecs/remit/internal/id"
)

func (s *Service) mayCreateLogStream(c *gateway.Call, in *logsapi.CreateLogStreamInput) ([]authz.Ask, error) {
	return ask("CreateLogStream", streamARN(c, *in.LogGroupName, *in.LogStreamName), resourceTags(c, *in.LogGroupName))
}

// https://docs.aws.amazon.com/AmazonCloudWatchLogs/latest/APIReference/API_CreateLogStream.html
func (s *Service) createLogStream(c *gateway.Call, in *logsapi.CreateLogStreamInput) (*logsapi.CreateLogStreamOutput, error) {
	if _, ok := groupKind.Get(c.Tx, c.Home, *in.LogGroupName); !ok {
		return nil, logsapi.ResourceNotFoundException(noGroup)
	}
	key := streamKey(*in.LogGroupName, *in.LogStreamName)
	if _, exists := streamKind.Get(c.Tx, c.Home, key); exists {
		return nil, logsapi.ResourceAlreadyExistsException(streamExists)
	}
	streamKind.Put(c.Tx, key, &stream{ID: id.Hex(c.IDs, 16), Created: ms(c)})
	return &logsapi.CreateLogStreamOutput{}, nil
}

func (s *Service) mayDeleteLogStream(c *gateway.Call, in *logsapi.DeleteLogStreamInput) ([]authz.Ask, error) {
	return ask("DeleteLogStream", streamARN(c, *in.LogGroupName, *in.LogStreamName), resourceTags(c, *in.LogGroupName))
}

// https://docs.aws.amazon.com/AmazonCloudWatchLogs/latest/APIReference/API_DeleteLogStream.html
func (s *Service) deleteLogStream(c *gateway.Call, in *logsapi.DeleteLogStreamInput) (*logsapi.DeleteLogStreamOutput, error) {
	g, err := editGroup(c, *in.LogGroupName)
	if err != nil {
		return nil, err
	}
	key := streamKey(*in.LogGroupName, *in.LogStreamName)
	st, ok := streamKind.Get(c.Tx, c.Home, key)
	if !ok {
		return nil, logsapi.ResourceNotFoundException(noStream)
	}
	g.Bytes -= st.Bytes
	groupKind.Put(c.Tx, *in.LogGroupName, g)
	s.dropEvents(c, st)
	streamKind.Delete(c.Tx, key)
	return &logsapi.DeleteLogStreamOutput{}, nil
}

// dropEvents removes a deleted stream's events from the disk, once its document
// is gone. When that fails they only take space: nothing refers to them.
func (s *Service) dropEvents(c *gateway.Call, st *stream) {
	name := eventsOf(c, st)
	c.AfterCommit(func() { _ = s.store.TrimStream(context.WithoutCancel(c.Context), name, math.MaxInt64) })
}

func (s *Service) mayDescribeLogStreams(c *gateway.Call, in *logsapi.DescribeLogStreamsInput) ([]authz.Ask, error) {
	name, err := identifier(c, in.LogGroupName, in.LogGroupIdentifier)
	if err != nil {
		return nil, err
	}
	return ask("DescribeLogStreams", groupARN(c, name), resourceTags(c, name))
}

// https://docs.aws.amazon.com/AmazonCloudWatchLogs/latest/APIReference/API_DescribeLogStreams.html
func (s *Service) describeLogStreams(c *gateway.Call, in *logsapi.DescribeLogStreamsInput) (*logsapi.DescribeLogStreamsOutput, error) {
	name, err := identifier(c, in.LogGroupName, in.LogGroupIdentifier)
	if err != nil {
		return nil, err
	}
	if in.OrderBy == logsapi.OrderByLastEventTime && in.LogStreamNamePrefix != nil {
		return nil, logsapi.InvalidParameterException("Cannot order by LastEventTime with a logStreamNamePrefix.")
	}
	limit, err := limitOf(in.Limit, 50, 50)
	if err != nil {
		return nil, err
	}
	if _, ok := groupKind.Get(c.Tx, c.Home, name); !ok {
		return nil, logsapi.ResourceNotFoundException(noGroup)
	}
	after, ok := c.After(in.NextToken)
	if !ok {
		return nil, logsapi.InvalidParameterException("The specified nextToken is invalid.")
	}
	var all []logsapi.LogStream
	prefix := streamKey(name, "")
	for key, st := range streamKind.Prefix(c.Tx, c.Home, prefix+api.Value(in.LogStreamNamePrefix)) {
		all = append(all, describeStream(c, name, strings.TrimPrefix(key, prefix), st))
	}
	if in.OrderBy == logsapi.OrderByLastEventTime {
		slices.SortStableFunc(all, func(a, b logsapi.LogStream) int {
			return cmp.Compare(api.Value(a.LastEventTimestamp), api.Value(b.LastEventTimestamp))
		})
	}
	if api.Value(in.Descending) {
		slices.Reverse(all)
	}
	if after != "" {
		i := slices.IndexFunc(all, func(l logsapi.LogStream) bool { return *l.LogStreamName == after })
		all = all[i+1:]
	}
	out := &logsapi.DescribeLogStreamsOutput{LogStreams: all}
	if len(all) > limit {
		out.LogStreams = all[:limit]
		out.NextToken = c.NextToken(*all[limit-1].LogStreamName)
	}
	if out.LogStreams == nil {
		out.LogStreams = []logsapi.LogStream{}
	}
	return out, nil
}

func describeStream(c *gateway.Call, group, name string, st *stream) logsapi.LogStream {
	return logsapi.LogStream{
		LogStreamName: &name, CreationTime: &st.Created, Arn: api.Ptr(streamARN(c, group, name)),
		FirstEventTimestamp: ptrNonZero(st.First), LastEventTimestamp: ptrNonZero(st.Last), LastIngestionTime: ptrNonZero(st.LastIngestion),
		UploadSequenceToken: api.Ptr(sequenceToken(st)), StoredBytes: api.Ptr(int64(0)),
	}
}
