package logs_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatchlogs"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatchlogs/types"
	"github.com/aws/smithy-go"

	"github.com/remit-ecs/remit/internal/service/logs"
	"github.com/remit-ecs/remit/internal/testkit"
)

func start(t *testing.T) *testkit.Kit {
	return testkit.New(t, func(k *testkit.Kit) []testkit.Registrar { return []testkit.Registrar{logs.New(k.Store)} })
}

func errorCode(err error) string {
	var e smithy.APIError
	if errors.As(err, &e) {
		return e.ErrorCode() + ": " + e.ErrorMessage()
	}
	return fmt.Sprint(err)
}

func put(t *testing.T, c *cloudwatchlogs.Client, stream string, at time.Time, messages ...string) *cloudwatchlogs.PutLogEventsOutput {
	t.Helper()
	in := &cloudwatchlogs.PutLogEventsInput{LogGroupName: aws.String("/ecs/orders"), LogStreamName: &stream}
	for i, m := range messages {
		in.LogEvents = append(in.LogEvents, types.InputLogEvent{Timestamp: aws.Int64(at.UnixMilli() + int64(i)), Message: &m})
	}
	out, err := c.PutLogEvents(context.Background(), in)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func group(t *testing.T, c *cloudwatchlogs.Client, streams ...string) {
	t.Helper()
	ctx := context.Background()
	if _, err := c.CreateLogGroup(ctx, &cloudwatchlogs.CreateLogGroupInput{LogGroupName: aws.String("/ecs/orders"), Tags: map[string]string{"team": "shop"}}); err != nil {
		t.Fatal(err)
	}
	for _, s := range streams {
		if _, err := c.CreateLogStream(ctx, &cloudwatchlogs.CreateLogStreamInput{LogGroupName: aws.String("/ecs/orders"), LogStreamName: &s}); err != nil {
			t.Fatal(err)
		}
	}
}

func TestEvents(t *testing.T) {
	k := start(t)
	ctx := context.Background()
	c := cloudwatchlogs.NewFromConfig(k.Root())
	group(t, c, "ecs/a/1", "ecs/b/1")
	now := time.Now()
	put(t, c, "ecs/a/1", now, "one", "two", "three")
	put(t, c, "ecs/a/1", now.Add(-time.Minute), "zero") // late, but earlier in time
	put(t, c, "ecs/b/1", now, "ERROR one")

	in := &cloudwatchlogs.GetLogEventsInput{LogGroupName: aws.String("/ecs/orders"), LogStreamName: aws.String("ecs/a/1"), StartFromHead: aws.Bool(true), Limit: aws.Int32(3)}
	var got []string
	for {
		out, err := c.GetLogEvents(ctx, in)
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range out.Events {
			got = append(got, *e.Message)
		}
		if in.NextToken != nil && *in.NextToken == *out.NextForwardToken {
			break
		}
		in.NextToken = out.NextForwardToken
	}
	if want := "[zero one two three]"; fmt.Sprint(got) != want {
		t.Errorf("forward: %v, want %s", got, want)
	}
	tail, err := c.GetLogEvents(ctx, &cloudwatchlogs.GetLogEventsInput{LogGroupName: aws.String("/ecs/orders"), LogStreamName: aws.String("ecs/a/1"), Limit: aws.Int32(1)})
	if err != nil || len(tail.Events) != 1 || *tail.Events[0].Message != "three" {
		t.Errorf("tail: %+v %v", tail, err)
	}

	for _, tc := range []struct{ pattern, want string }{
		{"", "[zero one ERROR one two three]"},
		{"one", "[one ERROR one]"},
		{"one -ERROR", "[one]"},
		{`"ERROR one"`, "[ERROR one]"},
		{"?zero ?three", "[zero three]"},
	} {
		var got []string
		pages := cloudwatchlogs.NewFilterLogEventsPaginator(c, &cloudwatchlogs.FilterLogEventsInput{LogGroupName: aws.String("/ecs/orders"), FilterPattern: &tc.pattern, Limit: aws.Int32(2)})
		for pages.HasMorePages() {
			p, err := pages.NextPage(ctx)
			if err != nil {
				t.Fatal(err)
			}
			for _, e := range p.Events {
				got = append(got, *e.Message)
			}
		}
		if fmt.Sprint(got) != tc.want {
			t.Errorf("pattern %q: %v, want %s", tc.pattern, got, tc.want)
		}
	}

	desc, err := c.DescribeLogStreams(ctx, &cloudwatchlogs.DescribeLogStreamsInput{LogGroupName: aws.String("/ecs/orders"), OrderBy: types.OrderByLastEventTime, Descending: aws.Bool(true)})
	if err != nil || len(desc.LogStreams) != 2 || *desc.LogStreams[0].FirstEventTimestamp != now.Add(-time.Minute).UnixMilli() {
		t.Errorf("streams: %+v %v", desc, err)
	}

	// A stream made again under its name is empty.
	if _, err := c.DeleteLogStream(ctx, &cloudwatchlogs.DeleteLogStreamInput{LogGroupName: aws.String("/ecs/orders"), LogStreamName: aws.String("ecs/a/1")}); err != nil {
		t.Fatal(err)
	}
	if _, err := c.CreateLogStream(ctx, &cloudwatchlogs.CreateLogStreamInput{LogGroupName: aws.String("/ecs/orders"), LogStreamName: aws.String("ecs/a/1")}); err != nil {
		t.Fatal(err)
	}
	again, err := c.GetLogEvents(ctx, &cloudwatchlogs.GetLogEventsInput{LogGroupName: aws.String("/ecs/orders"), LogStreamName: aws.String("ecs/a/1")})
	if err != nil || len(again.Events) != 0 {
		t.Errorf("a new stream has old events: %+v %v", again, err)
	}
}

func TestRejected(t *testing.T) {
	k := start(t)
	c := cloudwatchlogs.NewFromConfig(k.Root())
	group(t, c, "s")
	out := put(t, c, "s", time.Now().Add(-15*24*time.Hour), "ancient")
	if out.RejectedLogEventsInfo == nil || aws.ToInt32(out.RejectedLogEventsInfo.TooOldLogEventEndIndex) != 1 {
		t.Errorf("too old: %+v", out.RejectedLogEventsInfo)
	}
	out = put(t, c, "s", time.Now().Add(3*time.Hour), "from the future")
	if out.RejectedLogEventsInfo == nil || out.RejectedLogEventsInfo.TooNewLogEventStartIndex == nil {
		t.Errorf("too new: %+v", out.RejectedLogEventsInfo)
	}
}

func TestErrors(t *testing.T) {
	k := start(t)
	ctx := context.Background()
	c := cloudwatchlogs.NewFromConfig(k.Root())
	group(t, c, "s")
	now := time.Now().UnixMilli()
	for name, tc := range map[string]struct {
		call func() error
		want string
	}{
		"group exists": {func() error {
			_, err := c.CreateLogGroup(ctx, &cloudwatchlogs.CreateLogGroupInput{LogGroupName: aws.String("/ecs/orders")})
			return err
		}, "ResourceAlreadyExistsException: The specified log group already exists"},
		"stream exists": {func() error {
			_, err := c.CreateLogStream(ctx, &cloudwatchlogs.CreateLogStreamInput{LogGroupName: aws.String("/ecs/orders"), LogStreamName: aws.String("s")})
			return err
		}, "ResourceAlreadyExistsException: The specified log stream already exists"},
		"no group": {func() error {
			_, err := c.CreateLogStream(ctx, &cloudwatchlogs.CreateLogStreamInput{LogGroupName: aws.String("none"), LogStreamName: aws.String("s")})
			return err
		}, "ResourceNotFoundException: The specified log group does not exist."},
		"no stream": {func() error {
			_, err := c.PutLogEvents(ctx, &cloudwatchlogs.PutLogEventsInput{LogGroupName: aws.String("/ecs/orders"), LogStreamName: aws.String("none"), LogEvents: []types.InputLogEvent{{Timestamp: &now, Message: aws.String("m")}}})
			return err
		}, "ResourceNotFoundException: The specified log stream does not exist."},
		"order": {func() error {
			_, err := c.PutLogEvents(ctx, &cloudwatchlogs.PutLogEventsInput{LogGroupName: aws.String("/ecs/orders"), LogStreamName: aws.String("s"), LogEvents: []types.InputLogEvent{{Timestamp: &now, Message: aws.String("m")}, {Timestamp: aws.Int64(now - 1), Message: aws.String("m")}}})
			return err
		}, "InvalidParameterException: Log events in a single PutLogEvents request must be in chronological order."},
		"token": {func() error {
			_, err := c.GetLogEvents(ctx, &cloudwatchlogs.GetLogEventsInput{LogGroupName: aws.String("/ecs/orders"), LogStreamName: aws.String("s"), NextToken: aws.String("f/x/s")})
			return err
		}, "InvalidParameterException: The specified nextToken is invalid."},
	} {
		if got := errorCode(tc.call()); got != tc.want {
			t.Errorf("%s:\n got %s\nwant %s", name, got, tc.want)
		}
	}
}

// TestLeastPrivilege ships a line with exactly what an execution role needs.
func TestLeastPrivilege(t *testing.T) {
	k := start(t)
	ctx := context.Background()
	group(t, cloudwatchlogs.NewFromConfig(k.Root()))
	const all = "arn:aws:logs:" + testkit.Region + ":" + testkit.Account + ":log-group:/ecs/orders:*"
	c := cloudwatchlogs.NewFromConfig(k.With(testkit.Allow(all, "logs:CreateLogStream", "logs:PutLogEvents")))
	if _, err := c.CreateLogStream(ctx, &cloudwatchlogs.CreateLogStreamInput{LogGroupName: aws.String("/ecs/orders"), LogStreamName: aws.String("ecs/app/1")}); err != nil {
		t.Fatal(err)
	}
	put(t, c, "ecs/app/1", time.Now(), "hello")
	_, err := c.GetLogEvents(ctx, &cloudwatchlogs.GetLogEventsInput{LogGroupName: aws.String("/ecs/orders"), LogStreamName: aws.String("ecs/app/1")})
	if got := errorCode(err); len(got) < 21 || got[:21] != "AccessDeniedException" {
		t.Errorf("reading: %s", got)
	}
}

func FuzzPatterns(f *testing.F) {
	for _, s := range []string{"", "a b", `"a b" -c ?d`, `-"`, "?", "{ $.x = 1 }"} {
		f.Add(s, "a b c")
	}
	f.Fuzz(func(t *testing.T, pattern, message string) {
		match, err := logs.ParsePattern(pattern)
		if err != nil {
			return
		}
		match(message)
	})
}
