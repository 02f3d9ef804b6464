package scenario

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/cloudtrail"
	cttypes "github.com/aws/aws-sdk-go-v2/service/cloudtrail/types"

	"github.com/remit-ecs/remit/arn"
)

// Row is one question that was asked of the policy engine.
type Row struct {
	Role      string // which of the roles asked, in the user's words
	Principal string
	Action    string
	Resource  string
	Allowed   bool
	Why       string
	Fix       string
	Count     int
}

// event is what the table needs of a CloudTrail event.
type event struct {
	EventTime           time.Time
	EventName           string
	UserIdentity        struct{ Type, Arn, InvokedBy string }
	AdditionalEventData struct {
		RemitAsks []struct {
			Principal, RoleArn, Action, Resource, Why, Fix string
			Allowed                                        bool
		} `json:"remitAsks"`
	} `json:"additionalEventData"`
}

// Trail reads from CloudTrail, as the account's root, what was asked since a
// moment: by the scenario's caller, by ECS about the trust of the roles, and by
// the roles themselves. Repetitions are counted, not repeated.
func (s *Scenario) Trail(ctx context.Context, root aws.Config, since time.Time) ([]Row, error) {
	c := cloudtrail.NewFromConfig(root)
	var events []event
	pages := cloudtrail.NewLookupEventsPaginator(c, &cloudtrail.LookupEventsInput{StartTime: aws.Time(since.Truncate(time.Second))})
	for pages.HasMorePages() {
		page, err := pages.NextPage(ctx)
		if err != nil {
			return nil, err
		}
		for _, e := range page.Events {
			ev, err := decodeEvent(e)
			if err != nil {
				return nil, err
			}
			events = append(events, ev)
		}
	}
	slices.Reverse(events) // newest first, as LookupEvents answers
	return s.rows(events), nil
}

func decodeEvent(e cttypes.Event) (event, error) {
	var ev event
	if err := json.Unmarshal([]byte(aws.ToString(e.CloudTrailEvent)), &ev); err != nil {
		return ev, fmt.Errorf("event %s: %w", aws.ToString(e.EventId), err)
	}
	return ev, nil
}

func (s *Scenario) rows(events []event) []Row {
	var rows []Row
	at := map[Row]int{}
	for _, e := range events {
		for _, a := range e.AdditionalEventData.RemitAsks {
			role := s.roleOf(a.Principal, a.RoleArn, e.EventName)
			if role == "" {
				continue
			}
			row := Row{Role: role, Principal: a.Principal, Action: a.Action, Resource: a.Resource, Allowed: a.Allowed, Why: a.Why, Fix: a.Fix}
			if i, seen := at[row]; seen {
				rows[i].Count++
				continue
			}
			at[row] = len(rows)
			row.Count = 1
			rows = append(rows, row)
		}
	}
	return rows
}

// callerEvents are the calls of the scenario's caller that belong to the table;
// the others only look.
var callerEvents = map[string]bool{"RegisterTaskDefinition": true, "RunTask": true}

func (s *Scenario) roleOf(principal, roleARN, event string) string {
	switch {
	case principal == "ecs-tasks.amazonaws.com":
		return "ECS"
	case roleARN != "" && roleARN == s.roleARN("executionRoleArn"):
		if roleARN == s.roleARN("taskRoleArn") {
			return "task and execution"
		}
		return "execution"
	case roleARN != "" && roleARN == s.roleARN("taskRoleArn"):
		return "task"
	case principal == s.Caller && callerEvents[event]:
		return "caller"
	}
	return ""
}

func (s *Scenario) roleARN(member string) string {
	v := s.text(member)
	if v == "" {
		return ""
	}
	if _, err := arn.Parse(v); err == nil {
		return v
	}
	return "arn:aws:iam::" + s.Account + ":role/" + v
}

// WriteTable prints rows for people: one line a question, and under a denial
// why, and the statement that would allow it.
func WriteTable(w io.Writer, rows []Row, colour bool) {
	head := Row{Role: "ROLE", Principal: "CALLER", Action: "ACTION", Resource: "RESOURCE"}
	width := [4]int{}
	for _, r := range append([]Row{head}, rows...) {
		for i, cell := range r.cells() {
			width[i] = max(width[i], len(cell))
		}
	}
	line := func(r Row, verdict string) {
		c := r.cells()
		fmt.Fprintf(w, "%-*s  %-*s  %-*s  %-*s  %s\n", width[0], c[0], width[1], c[1], width[2], c[2], width[3], c[3], verdict)
	}
	line(head, "DECISION  WHY")
	red, off := "", ""
	if colour {
		red, off = "\x1b[31m", "\x1b[0m"
	}
	for _, r := range rows {
		times := ""
		if r.Count > 1 {
			times = fmt.Sprintf(" (%d times)", r.Count)
		}
		if r.Allowed {
			line(r, "allowed   "+r.Why+times)
			continue
		}
		line(r, red+"DENIED"+off+"    "+reason(r.Why)+times)
		if r.Fix != "" {
			fmt.Fprintf(w, "    would be allowed by: %s\n", r.Fix)
		}
	}
}

// cells shortens what every line repeats: the partition, the account, the
// greater part of the task's id.
func (r Row) cells() [4]string {
	return [4]string{r.Role, short(r.Principal), r.Action, short(r.Resource)}
}

var taskID = regexp.MustCompile(`\b([0-9a-f]{8})[0-9a-f]{24}\b`)

func short(s string) string {
	s = taskID.ReplaceAllString(s, "$1...")
	a, err := arn.Parse(s)
	if err != nil {
		return s
	}
	if a.Service == "s3" {
		return "s3://" + a.Resource
	}
	return a.Resource
}

// reason drops from AWS's text what the line already says.
func reason(why string) string {
	for _, sep := range [...]string{" because ", " with an explicit deny"} {
		if i := strings.Index(why, sep); i >= 0 {
			return strings.TrimSpace(strings.TrimPrefix(why[i:], " because"))
		}
	}
	return why
}
