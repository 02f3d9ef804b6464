package cloudtrail_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
	"github.com/aws/aws-sdk-go-v2/service/cloudtrail"
	"github.com/aws/aws-sdk-go-v2/service/cloudtrail/types"
	"github.com/aws/smithy-go"

	"github.com/remit-ecs/remit/internal/audit"
	trail "github.com/remit-ecs/remit/internal/service/cloudtrail"
	"github.com/remit-ecs/remit/internal/testkit"
)

func start(t *testing.T) *testkit.Kit {
	return testkit.New(t, func(k *testkit.Kit) []testkit.Registrar { return []testkit.Registrar{trail.New(k.Store)} })
}

// TestLookupEvents reads the trail of its own calls: each call is an event of
// the next.
func TestLookupEvents(t *testing.T) {
	k := start(t)
	ctx := context.Background()
	c := cloudtrail.NewFromConfig(k.Root())
	for range 3 {
		if _, err := c.LookupEvents(ctx, nil); err != nil {
			t.Fatal(err)
		}
	}
	_, err := cloudtrail.NewFromConfig(k.With()).LookupEvents(ctx, nil)
	var denied smithy.APIError
	if !errors.As(err, &denied) || denied.ErrorCode() != "AccessDeniedException" {
		t.Fatalf("without a policy: %v", err)
	}
	var answered *awshttp.ResponseError
	if !errors.As(err, &answered) || answered.ServiceRequestID() == "" {
		t.Fatalf("a refusal without a request id: %v", err)
	}

	all, err := c.LookupEvents(ctx, &cloudtrail.LookupEventsInput{StartTime: aws.Time(time.Now().Add(-time.Hour))})
	if err != nil {
		t.Fatal(err)
	}
	if len(all.Events) != 4 {
		t.Fatalf("%d events, want 4", len(all.Events))
	}
	newest := all.Events[0]
	if !strings.Contains(*newest.CloudTrailEvent, `"errorCode":"AccessDenied"`) || !strings.Contains(*newest.CloudTrailEvent, `cloudtrail:LookupEvents`) {
		t.Errorf("the refusal is not the newest event: %s", *newest.CloudTrailEvent)
	}

	var paged []types.Event
	pages := cloudtrail.NewLookupEventsPaginator(c, &cloudtrail.LookupEventsInput{MaxResults: aws.Int32(1), LookupAttributes: []types.LookupAttribute{{AttributeKey: types.LookupAttributeKeyUsername, AttributeValue: aws.String("session")}}})
	for pages.HasMorePages() {
		p, err := pages.NextPage(ctx)
		if err != nil {
			t.Fatal(err)
		}
		paged = append(paged, p.Events...)
	}
	if len(paged) != 1 || *paged[0].EventId != *newest.EventId {
		t.Errorf("by user name: %d events", len(paged))
	}

	// What a caller was told is the request id.
	for _, id := range []string{answered.ServiceRequestID(), *newest.EventId} {
		one, err := c.LookupEvents(ctx, &cloudtrail.LookupEventsInput{LookupAttributes: []types.LookupAttribute{{AttributeKey: types.LookupAttributeKeyEventId, AttributeValue: &id}}})
		if err != nil || len(one.Events) != 1 || !strings.Contains(*one.Events[0].CloudTrailEvent, id) {
			t.Errorf("by id %s: %+v %v", id, one, err)
		}
	}

	future, err := c.LookupEvents(ctx, &cloudtrail.LookupEventsInput{StartTime: aws.Time(time.Now().Add(time.Hour))})
	if err != nil || len(future.Events) != 0 {
		t.Errorf("the future has %d events, %v", len(future.Events), err)
	}
	_, err = c.LookupEvents(ctx, &cloudtrail.LookupEventsInput{NextToken: aws.String("forged")})
	var bad *types.InvalidNextTokenException
	if !errors.As(err, &bad) {
		t.Errorf("a forged token: %v", err)
	}
}

// TestLookupAttributes finds one call by each attribute that AWS has, and
// nothing by the same attribute with another value.
func TestLookupAttributes(t *testing.T) {
	k := start(t)
	ctx := context.Background()
	c := cloudtrail.NewFromConfig(k.Root())
	k.Role("reader", "", testkit.Allow("*", "cloudtrail:LookupEvents"))
	reader := k.Session("reader", "friday", time.Hour)
	keys, err := reader.Credentials.Retrieve(ctx)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := cloudtrail.NewFromConfig(reader).LookupEvents(ctx, nil); err != nil {
		t.Fatal(err)
	}
	role := "arn:aws:iam::" + testkit.Account + ":role/shop/orders"
	if err := k.Store.Append(ctx, audit.Stream(testkit.Account, testkit.Region), record(t, role)); err != nil {
		t.Fatal(err)
	}
	for key, v := range map[types.LookupAttributeKey][2]string{
		types.LookupAttributeKeyUsername:     {"friday", "reader"},
		types.LookupAttributeKeyAccessKeyId:  {keys.AccessKeyID, "AKIAIOSFODNN7EXAMPLE"},
		types.LookupAttributeKeyEventName:    {"PutRolePolicy", "PutRole"},
		types.LookupAttributeKeyEventSource:  {"iam.amazonaws.com", "iam"},
		types.LookupAttributeKeyReadOnly:     {"false", "FALSE"},
		types.LookupAttributeKeyResourceName: {role, "arn:aws:iam::" + testkit.Account + ":role/shop"},
		types.LookupAttributeKeyResourceType: {"AWS::IAM::Role", "AWS::IAM"},
		types.LookupAttributeKeyEventId:      {"5ce0a8c6-0001-4000-8000-000000000001", "5ce0a8c6-0001-4000-8000"},
	} {
		for i, value := range v {
			out, err := c.LookupEvents(ctx, &cloudtrail.LookupEventsInput{LookupAttributes: []types.LookupAttribute{{AttributeKey: key, AttributeValue: &value}}})
			if err != nil {
				t.Fatal(err)
			}
			if want := 1 - i; len(out.Events) != want {
				t.Errorf("%s=%s: %d events, want %d", key, value, len(out.Events), want)
			}
		}
	}
	insights, err := c.LookupEvents(ctx, &cloudtrail.LookupEventsInput{EventCategory: types.EventCategoryInsight})
	if err != nil || len(insights.Events) != 0 {
		t.Errorf("Insights events: %+v %v", insights, err)
	}
}

func record(t *testing.T, role string) []byte {
	t.Helper()
	b, err := (&audit.Record{
		EventTime: audit.Time(time.Now()), EventName: "PutRolePolicy", EventSource: "iam.amazonaws.com", EventID: "5ce0a8c6-0001-4000-8000-000000000001",
		Resources: []audit.Resource{{ARN: role, AccountID: testkit.Account, Type: audit.ResourceType(role)}},
	}).Encode()
	if err != nil {
		t.Fatal(err)
	}
	return b
}
