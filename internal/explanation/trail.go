package explanation

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/cloudtrail"
	"github.com/aws/aws-sdk-go-v2/service/cloudtrail/types"

	"github.com/remit-ecs/remit/policy"
)

// event is what an explanation needs of a CloudTrail event.
type event struct {
	EventTime         time.Time
	EventSource       string
	EventName         string
	RequestID         string
	EventID           string
	SourceIPAddress   string
	ErrorCode         string
	ErrorMessage      string
	UserIdentity      struct{ Type, Arn, InvokedBy string }
	RequestParameters struct{ RoleSessionName, RoleArn string }

	AdditionalEventData struct {
		RemitIam  string
		RemitAsks []struct {
			Principal, RoleArn, Action, Resource, Why, Fix string
			Allowed                                        bool
			Reasons                                        *policy.Report
		}
		RemitUnrecorded *struct {
			Count        int
			Since, Until string
		}
	}
}

func attribute(key types.LookupAttributeKey, value string) types.LookupAttribute {
	return types.LookupAttribute{AttributeKey: key, AttributeValue: &value}
}

// lookup reads events of a region with one attribute, oldest first.
func (e *Explainer) lookup(ctx context.Context, region string, a types.LookupAttribute, since *time.Time) ([]event, error) {
	var out []event
	err := e.each(ctx, region, &cloudtrail.LookupEventsInput{LookupAttributes: []types.LookupAttribute{a}, StartTime: since}, func(page []event) bool {
		out = append(out, page...)
		// An id is one event's or, of an agent that was asked again, a few of the
		// same time: what is older has other ids.
		return a.AttributeKey != types.LookupAttributeKeyEventId || len(out) == 0
	})
	slices.Reverse(out)
	return out, err
}

// each reads events page by page, newest first, as long as more says so.
func (e *Explainer) each(ctx context.Context, region string, in *cloudtrail.LookupEventsInput, more func([]event) bool) error {
	pages := cloudtrail.NewLookupEventsPaginator(cloudtrail.NewFromConfig(e.in(region)), in)
	for pages.HasMorePages() {
		page, err := pages.NextPage(ctx)
		if err != nil {
			return refusedAs("read the trail", err)
		}
		events := make([]event, len(page.Events))
		for i, ev := range page.Events {
			if err := json.Unmarshal([]byte(aws.ToString(ev.CloudTrailEvent)), &events[i]); err != nil {
				return fmt.Errorf("event %s: %w", aws.ToString(ev.EventId), err)
			}
		}
		if !more(events) {
			return nil
		}
	}
	return nil
}

// beforePolicies are refusals of callers who could not say who they are: code,
// and what helps.
var beforePolicies = map[string]string{
	"MissingAuthenticationToken":   "sign the request: no credentials were found by the client",
	"InvalidClientTokenId":         "the access key or the session is not known here, is inactive, or has ended: get new credentials (remit env, sts:AssumeRole)",
	"UnrecognizedClient":           "the access key or the session is not known here, is inactive, or has ended: get new credentials (remit env, sts:AssumeRole)",
	"InvalidAccessKeyId":           "the access key is not known here or is inactive",
	"InvalidToken":                 "the session token is not one of this server",
	"ExpiredToken":                 "the session is over: get new credentials",
	"SignatureDoesNotMatch":        "the secret access key is not that of the access key, or something changed the request on its way",
	"InvalidSignature":             "the secret access key is not that of the access key, or something changed the request on its way",
	"RequestTimeTooSkewed":         "the clock of the client is wrong",
	"SignatureExpired":             "the clock of the client is wrong, or the request was held up",
	"IncompleteSignature":          "the authorization header cannot be read: use an AWS SDK to sign",
	"AccessDenied":                 "sign the request: unsigned ones are nobody's",
	"AuthorizationHeaderMalformed": "the credential scope names another region or service: set the client's region",
}

func (ev *event) call() Call {
	at := ev.EventTime
	c := Call{
		RequestID: ev.RequestID, EventID: ev.EventID, Time: &at, Source: ev.SourceIPAddress,
		Operation: strings.TrimSuffix(ev.EventSource, ".amazonaws.com") + ":" + ev.EventName,
		Caller:    ev.UserIdentity.Arn, Mode: ev.AdditionalEventData.RemitIam,
		ErrorCode: ev.ErrorCode, ErrorMessage: ev.ErrorMessage, Allowed: true,
	}
	if c.Caller == "" {
		c.Caller = ev.UserIdentity.InvokedBy
	}
	for _, a := range ev.AdditionalEventData.RemitAsks {
		c.Decisions = append(c.Decisions, Decision{Principal: a.Principal, RoleARN: a.RoleArn, Action: a.Action, Resource: a.Resource,
			Allowed: a.Allowed, Why: a.Why, Fix: a.Fix, Reasons: a.Reasons})
		if !a.Allowed && ev.AdditionalEventData.RemitIam == "" {
			c.Allowed = false
		}
	}
	if ev.ErrorCode != "" && len(c.Decisions) == 0 {
		if ev.UserIdentity.Type == "Unknown" {
			c.Allowed = false
			c.Hint = beforePolicies[strings.TrimSuffix(ev.ErrorCode, "Exception")]
		} else {
			c.Hint = "no policy was asked: the call failed before"
		}
	}
	return c
}
