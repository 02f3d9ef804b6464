package cloudtrail_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/cloudtrail"
	"github.com/aws/aws-sdk-go-v2/service/cloudtrail/types"
	"github.com/aws/smithy-go"

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
