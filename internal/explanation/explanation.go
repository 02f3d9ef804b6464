// Package explanation says why a call was allowed or refused: one of the past,
// told by its request id or by an encoded authorization message, all those of a
// task's roles, or one that has not been made yet. It is what remit explain
// prints.
//
// It asks a running server through the public APIs, as one principal: CloudTrail's
// LookupEvents for the past, ECS for a task, IAM for a question. What that
// principal may not read it cannot explain. It changes nothing, keeps nothing
// and decides nothing about a request.
//
//	request id ──> LookupEvents ─────────────────────────┐
//	task ──> DescribeTasks, LookupEvents of its sessions ┼─> Explanation ──> text, JSON
//	message ──> DecodeAuthorizationMessage ──────────────┤
//	question ──> the policies of IAM, SimulatePrincipalPolicy
//
// A past decision is explained as it was made: the reasons stand in the trail.
package explanation

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/cloudtrail"
	"github.com/aws/smithy-go"

	"github.com/remit-ecs/remit/policy"
)

// ErrNotFound says that there is nothing of the kind to explain, or nothing
// that the caller can see.
var ErrNotFound = errors.New("not found")

// ErrUnusable says that what was asked cannot be understood.
var ErrUnusable = errors.New("unusable")

// Explainer asks one server as one principal.
type Explainer struct{ cfg aws.Config }

// New returns an Explainer with the endpoint, credentials and region of cfg.
func New(cfg aws.Config) *Explainer { return &Explainer{cfg} }

// globalRegion has the events of global services, IAM among them.
// https://docs.aws.amazon.com/awscloudtrail/latest/userguide/cloudtrail-concepts.html#cloudtrail-concepts-global-service-events
const globalRegion = "us-east-1"

// Explanation is why something was allowed or denied. Its JSON is for tools:
// the names of its fields do not change.
type Explanation struct {
	Allowed bool     `json:"allowed"`
	Task    *Task    `json:"task,omitempty"`
	Calls   []Call   `json:"calls"`
	Notes   []string `json:"notes,omitempty"` // what could not be found out, and what else to know
}

// Call is one call of an API with the decisions that it needed.
type Call struct {
	RequestID    string     `json:"requestId,omitempty"`
	EventID      string     `json:"eventId,omitempty"`
	Time         *time.Time `json:"time,omitempty"`
	Operation    string     `json:"operation,omitempty"` // "ecs:RunTask"
	Caller       string     `json:"caller"`              // an ARN, a service, or "" for who could not say
	Source       string     `json:"sourceIPAddress,omitempty"`
	Role         string     `json:"role,omitempty"` // of a task's calls: whose they are
	Allowed      bool       `json:"allowed"`
	Mode         string     `json:"iam,omitempty"` // how far IAM binds, where not strict
	ErrorCode    string     `json:"errorCode,omitempty"`
	ErrorMessage string     `json:"errorMessage,omitempty"`
	Hint         string     `json:"hint,omitempty"`  // what to do where no policy had a say
	Count        int        `json:"count,omitempty"` // calls that were decided alike
	Decisions    []Decision `json:"decisions"`
}

// Decision is one question to the policy engine and its answer.
type Decision struct {
	Principal string `json:"principal"`
	RoleARN   string `json:"roleArn,omitempty"`
	Action    string `json:"action"`
	Resource  string `json:"resource"`
	Allowed   bool   `json:"allowed"`
	Why       string `json:"why,omitempty"` // the statement that allowed, or AWS's refusal
	Fix       string `json:"fix,omitempty"` // what would allow it, in one text

	// Reasons are what each layer said. Past decisions have them if they were
	// denials.
	Reasons *policy.Report `json:"reasons,omitempty"`
}

// denied are the decisions that were not what the caller hoped for.
func (c *Call) denied() []Decision {
	return slices.DeleteFunc(slices.Clone(c.Decisions), func(d Decision) bool { return d.Allowed })
}

// refusedAs says what a service answered, for errors: why nothing was found.
func refusedAs(doing string, err error) error {
	var api smithy.APIError
	if errors.As(err, &api) {
		return fmt.Errorf("%s: %s: %s", doing, api.ErrorCode(), api.ErrorMessage())
	}
	return fmt.Errorf("%s: %w", doing, err)
}

// code is the error code that a service answered with, "" for none.
func code(err error) string {
	var api smithy.APIError
	if errors.As(err, &api) {
		return api.ErrorCode()
	}
	return ""
}

// in is the configuration for another region.
func (e *Explainer) in(region string) aws.Config {
	cfg := e.cfg.Copy()
	if region != "" {
		cfg.Region = region
	}
	return cfg
}

// regions are where events of a region's callers can be.
func (e *Explainer) regions(region string) []string {
	if region == "" {
		region = e.cfg.Region
	}
	if region == globalRegion {
		return []string{region}
	}
	return []string{region, globalRegion}
}

// Request explains the call that had a request id, as it was decided then.
// An event id does too.
func (e *Explainer) Request(ctx context.Context, id string) (*Explanation, error) {
	for _, region := range e.regions("") {
		events, err := e.lookup(ctx, region, attribute("EventId", id), nil)
		if err != nil {
			return nil, err
		}
		if len(events) == 0 {
			continue
		}
		x := &Explanation{Allowed: true}
		for i := range events {
			c := events[i].call()
			x.Allowed = x.Allowed && c.Allowed
			x.Calls = append(x.Calls, c)
			if u := events[i].AdditionalEventData.RemitUnrecorded; u != nil {
				x.Notes = append(x.Notes, fmt.Sprintf("this record stands for %d refusals between %s and %s", u.Count, u.Since, u.Until))
			}
		}
		return x, nil
	}
	return nil, fmt.Errorf("request %s: %w in the trail of %s; another account or region may have it", id, ErrNotFound, either(e.regions("")))
}

// searched is how many of a trail's newest events Last looks at.
const searched = 5000

// Last explains the newest denial in the trail, whoever's it was. What would
// have been denied, where IAM does not bind, counts too.
func (e *Explainer) Last(ctx context.Context) (*Explanation, error) {
	var newest *Call
	for _, region := range e.regions("") {
		seen := 0
		err := e.each(ctx, region, &cloudtrail.LookupEventsInput{}, func(page []event) bool {
			for i := range page {
				c := page[i].call()
				if c.Allowed && len(c.denied()) == 0 {
					continue
				}
				if newest == nil || c.Time.After(*newest.Time) {
					newest = &c
				}
				return false
			}
			seen += len(page)
			return seen < searched
		})
		if err != nil {
			return nil, err
		}
	}
	if newest == nil {
		return nil, fmt.Errorf("a denial: %w among the %d newest events of %s", ErrNotFound, searched, either(e.regions("")))
	}
	return &Explanation{Allowed: newest.Allowed, Calls: []Call{*newest}}, nil
}

func either(regions []string) string {
	if len(regions) == 1 {
		return regions[0]
	}
	return regions[0] + " or " + regions[1]
}
