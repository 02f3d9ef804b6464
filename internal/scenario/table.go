package scenario

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

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
	case roleARN != "" && roleARN == s.executionRole():
		if roleARN == s.taskRole() {
			return "task and execution"
		}
		return "execution"
	case roleARN != "" && roleARN == s.taskRole():
		return "task"
	case principal == s.Caller && callerEvents[event]:
		return "caller"
	}
	return ""
}

// fullARN is a role as a task definition names it, by ARN or by name, as an ARN.
func (s *Scenario) fullARN(role *string) string {
	v := aws.ToString(role)
	if _, err := arn.Parse(v); v == "" || err == nil {
		return v
	}
	return entityARN(s.Account, "role", "/", strings.TrimPrefix(v, "/"))
}

// taskRole is the ARN of the role that the containers get, "" for none.
func (s *Scenario) taskRole() string { return s.fullARN(s.TaskDefinition.TaskRoleArn) }

// executionRole is the ARN of the role that starts the task, "" for none.
func (s *Scenario) executionRole() string { return s.fullARN(s.TaskDefinition.ExecutionRoleArn) }

// Layout says where a table is printed.
type Layout struct {
	Colour bool
	Width  int // columns of the terminal; 0: lines may have any length
}

const (
	between  = 2 // spaces between columns
	decision = len("allowed ")
	leastWhy = 24 // columns that a reason needs to be worth a place on the line
)

// WriteTable prints rows for people: one line a question, and under a denial
// the statement that would allow it. Where the lines do not fit the width, the
// callers are told once above, resources are shortened in their middle, and a
// denial's reason gets lines of its own. Nothing is shortened without a width.
func WriteTable(w io.Writer, rows []Row, l Layout) {
	head := Row{Role: "ROLE", Principal: "CALLER", Action: "ACTION", Resource: "RESOURCE"}
	cells := [][]string{head.cells()}
	whys := []string{"WHY"}
	for _, r := range rows {
		cells = append(cells, r.cells())
		whys = append(whys, r.why())
	}
	narrow := l.Width > 0 && total(cells)+longest(whys) > l.Width
	if narrow {
		callers(w, rows)
		resource := 0
		for i, c := range cells {
			cells[i] = slices.Delete(c, 1, 2)
			resource = max(resource, utf8.RuneCountInString(cells[i][2]))
		}
		over := total(cells) + leastWhy - l.Width
		for i := range cells {
			cells[i][2] = middle(cells[i][2], max(resource-max(over, 0), leastWhy))
		}
	}
	room := 0
	if narrow {
		room = max(l.Width-total(cells), leastWhy)
	}
	width := widths(cells)
	line := func(i int, verdict, why string) {
		for j, c := range cells[i] {
			fmt.Fprintf(w, "%-*s", width[j]+between, c)
		}
		fmt.Fprintln(w, strings.TrimRight(verdict+"  "+why, " "))
	}
	line(0, "DECISION", "WHY")
	red, off := "", ""
	if l.Colour {
		red, off = "\x1b[31m", "\x1b[0m"
	}
	for i, r := range rows {
		why := whys[i+1]
		if r.Allowed {
			line(i+1, "allowed ", middle(why, room))
			continue
		}
		if room == 0 || utf8.RuneCountInString(why) <= room {
			line(i+1, red+"DENIED"+off+"  ", why)
		} else {
			line(i+1, red+"DENIED"+off, "")
			wrap(w, why, l.Width)
		}
		if r.Fix != "" {
			wrap(w, "would be allowed by: "+clean(r.Fix), 0) // whole, to be copied
		}
	}
}

// callers tells who each role was.
func callers(w io.Writer, rows []Row) {
	seen := map[[2]string]bool{}
	width := 0
	for _, r := range rows {
		width = max(width, utf8.RuneCountInString(r.Role))
	}
	for _, r := range rows {
		who := [2]string{r.Role, short(r.Principal)}
		if !seen[who] {
			fmt.Fprintf(w, "%-*s  is %s\n", width, who[0], who[1])
		}
		seen[who] = true
	}
	fmt.Fprintln(w)
}

func widths(cells [][]string) []int {
	out := make([]int, len(cells[0]))
	for _, c := range cells {
		for i, s := range c {
			out[i] = max(out[i], utf8.RuneCountInString(s))
		}
	}
	return out
}

// total is the width of everything before the reasons.
func total(cells [][]string) int {
	n := decision + between
	for _, w := range widths(cells) {
		n += w + between
	}
	return n
}

func longest(list []string) int {
	n := 0
	for _, s := range list {
		n = max(n, utf8.RuneCountInString(s))
	}
	return n
}

// middle shortens a string to n characters by leaving out its middle; 0 is no
// limit.
func middle(s string, n int) string {
	runes := []rune(s)
	if n <= 0 || len(runes) <= n {
		return s
	}
	tail := (n - 1) / 2
	return string(runes[:n-1-tail]) + "…" + string(runes[len(runes)-tail:])
}

const indent = "    "

// wrap prints text under a line, broken at spaces; 0 is no limit.
func wrap(w io.Writer, text string, width int) {
	if width <= 0 {
		fmt.Fprintln(w, indent+text)
		return
	}
	line := ""
	for word := range strings.FieldsSeq(text) {
		if line != "" && len(indent)+utf8.RuneCountInString(line)+1+utf8.RuneCountInString(word) > width {
			fmt.Fprintln(w, indent+line)
			line = ""
		}
		if line != "" {
			line += " "
		}
		line += word
	}
	fmt.Fprintln(w, indent+line)
}

// cells shortens what every line repeats: the partition, the account, the
// greater part of the task's id.
func (r Row) cells() []string {
	return []string{r.Role, short(r.Principal), clean(r.Action), short(r.Resource)}
}

func (r Row) why() string {
	text := r.Why
	if !r.Allowed {
		text = reason(text)
	}
	if r.Count > 1 {
		text += fmt.Sprintf(" (%d times)", r.Count)
	}
	return clean(text)
}

// clean makes a name that a container chose harmless for a terminal.
func clean(s string) string {
	if !strings.ContainsFunc(s, func(r rune) bool { return !unicode.IsPrint(r) }) {
		return s
	}
	quoted := strconv.Quote(s)
	return quoted[1 : len(quoted)-1]
}

var taskID = regexp.MustCompile(`\b([0-9a-f]{8})[0-9a-f]{24}\b`)

func short(s string) string {
	s = clean(taskID.ReplaceAllString(s, "$1..."))
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
