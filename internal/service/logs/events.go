package logs

import (
	"cmp"
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/remit-ecs/remit/internal/api"
	"github.com/remit-ecs/remit/internal/api/logsapi"
	"github.com/remit-ecs/remit/internal/authz"
	"github.com/remit-ecs/remit/internal/gateway"
)

// Quotas of PutLogEvents.
// https://docs.aws.amazon.com/AmazonCloudWatchLogs/latest/APIReference/API_PutLogEvents.html
const (
	maxBatchEvents = 10_000
	maxBatchBytes  = 1_048_576
	eventOverhead  = 26
	maxEventBytes  = 262_144
	tooOld         = 14 * 24 * time.Hour
	tooNew         = 2 * time.Hour
	maxSpan        = 24 * time.Hour
)

// batch is a record of a stream: the events of one PutLogEvents call.
type batch struct {
	Ingested int64   `json:"i"`
	Events   []event `json:"e"`
}

type event struct {
	Time     int64  `json:"t"`
	Message  string `json:"m"`
	ingested int64
	n        int64 // place in the stream as it was written, from 1
}

// sequenceToken is what AWS still returns though nobody has to send it.
func sequenceToken(st *stream) string { return fmt.Sprintf("%056d", st.Events) }

func (s *Service) mayPutLogEvents(c *gateway.Call, in *logsapi.PutLogEventsInput) ([]authz.Ask, error) {
	return ask("PutLogEvents", streamARN(c, *in.LogGroupName, *in.LogStreamName), resourceTags(c, *in.LogGroupName))
}

func (s *Service) putLogEvents(c *gateway.Call, in *logsapi.PutLogEventsInput) (*logsapi.PutLogEventsOutput, error) {
	g, err := editGroup(c, *in.LogGroupName)
	if err != nil {
		return nil, err
	}
	key := streamKey(*in.LogGroupName, *in.LogStreamName)
	st, ok := streamKind.Edit(c.Tx, key)
	if !ok {
		return nil, logsapi.ResourceNotFoundException(noStream)
	}
	if err := checkBatch(in.LogEvents); err != nil {
		return nil, err
	}
	events, rejected := acceptable(c.Time, g.Retention, in.LogEvents)
	out := &logsapi.PutLogEventsOutput{RejectedLogEventsInfo: rejected}
	if len(events) > 0 {
		size := int64(0)
		b := batch{Ingested: ms(c)}
		for _, e := range events {
			b.Events = append(b.Events, event{Time: *e.Timestamp, Message: *e.Message})
			size += int64(len(*e.Message) + eventOverhead)
			if st.First == 0 || *e.Timestamp < st.First {
				st.First = *e.Timestamp
			}
			st.Last = max(st.Last, *e.Timestamp)
		}
		rec, err := json.Marshal(b)
		if err != nil {
			return nil, err
		}
		c.Tx.Append(eventsOf(c, st), rec)
		st.LastIngestion, st.Events, st.Bytes = ms(c), st.Events+int64(len(events)), st.Bytes+size
		streamKind.Put(c.Tx, key, st)
	}
	out.NextSequenceToken = api.Ptr(sequenceToken(st))
	return out, nil
}

func checkBatch(events []logsapi.InputLogEvent) error {
	if len(events) > maxBatchEvents {
		return logsapi.InvalidParameterException("1 validation error detected: Value at 'logEvents' failed to satisfy constraint: Member must have length less than or equal to %d", maxBatchEvents)
	}
	size := 0
	for i, e := range events {
		if len(*e.Message) > maxEventBytes {
			return logsapi.InvalidParameterException("Log event too large: %d bytes exceeds limit of %d", len(*e.Message)+eventOverhead, maxEventBytes)
		}
		size += len(*e.Message) + eventOverhead
		if i > 0 && *e.Timestamp < *events[i-1].Timestamp {
			return logsapi.InvalidParameterException("Log events in a single PutLogEvents request must be in chronological order.")
		}
	}
	if size > maxBatchBytes {
		return logsapi.InvalidParameterException("Upload too large: %d bytes exceeds limit of %d", size, maxBatchBytes)
	}
	if n := len(events); n > 0 && *events[n-1].Timestamp-*events[0].Timestamp > maxSpan.Milliseconds() {
		return logsapi.InvalidParameterException("The batch of log events in a single PutLogEvents request cannot span more than 24 hours.")
	}
	return nil
}

// acceptable drops the events that are too old, expired or too new, and says
// where they ended and began. Events come in order of time.
func acceptable(now time.Time, retention int32, events []logsapi.InputLogEvent) ([]logsapi.InputLogEvent, *logsapi.RejectedLogEventsInfo) {
	at := func(d time.Duration) int64 { return now.Add(d).UnixMilli() }
	before := func(t int64) int {
		i, _ := slices.BinarySearchFunc(events, t, func(e logsapi.InputLogEvent, t int64) int { return cmp.Compare(*e.Timestamp, t) })
		return i
	}
	var info logsapi.RejectedLogEventsInfo
	from, to, any := 0, len(events), false
	if i := before(at(-tooOld)); i > 0 {
		info.TooOldLogEventEndIndex, from, any = api.Ptr(int32(i)), i, true
	}
	if retention > 0 {
		if i := before(at(-time.Duration(retention) * 24 * time.Hour)); i > from {
			info.ExpiredLogEventEndIndex, from, any = api.Ptr(int32(i)), i, true
		}
	}
	if i := before(at(tooNew) + 1); i < len(events) {
		info.TooNewLogEventStartIndex, to, any = api.Ptr(int32(i)), max(i, from), true
	}
	if !any {
		return events, nil
	}
	return events[from:to], &info
}

// read returns a stream's events in order of time, those of one time in the
// order they came, without those that are past retention.
func (s *Service) read(c *gateway.Call, g *group, st *stream, start, end *int64) ([]event, error) {
	var out []event
	oldest := int64(0)
	if g.Retention > 0 {
		oldest = c.Time.Add(-time.Duration(g.Retention) * 24 * time.Hour).UnixMilli()
	}
	n := int64(0)
	for after := int64(0); ; {
		recs, err := s.store.ReadStream(c.Context, eventsOf(c, st), after, 500)
		if err != nil {
			return nil, err
		}
		for _, r := range recs {
			after = r.Seq
			var b batch
			if err := json.Unmarshal(r.Data, &b); err != nil {
				return nil, fmt.Errorf("log stream %s, record %d: %w", st.ID, r.Seq, err)
			}
			for _, e := range b.Events {
				n++
				if e.Time < oldest || start != nil && e.Time < *start || end != nil && e.Time >= *end {
					continue
				}
				e.ingested, e.n = b.Ingested, n
				out = append(out, e)
			}
		}
		if len(recs) < 500 {
			break
		}
	}
	slices.SortStableFunc(out, func(a, b event) int { return cmp.Compare(a.Time, b.Time) })
	return out, nil
}

func (s *Service) mayGetLogEvents(c *gateway.Call, in *logsapi.GetLogEventsInput) ([]authz.Ask, error) {
	name, err := identifier(c, in.LogGroupName, in.LogGroupIdentifier)
	if err != nil {
		return nil, err
	}
	return ask("GetLogEvents", streamARN(c, name, *in.LogStreamName), resourceTags(c, name))
}

// getLogEvents pages by position in the order of time: a token names the
// position that follows, or precedes, the page. At either end the same token
// comes back.
// https://docs.aws.amazon.com/AmazonCloudWatchLogs/latest/APIReference/API_GetLogEvents.html
func (s *Service) getLogEvents(c *gateway.Call, in *logsapi.GetLogEventsInput) (*logsapi.GetLogEventsOutput, error) {
	name, err := identifier(c, in.LogGroupName, in.LogGroupIdentifier)
	if err != nil {
		return nil, err
	}
	limit, err := limitOf(in.Limit, 10_000, 10_000)
	if err != nil {
		return nil, err
	}
	g, ok := groupKind.Get(c.Tx, c.Home, name)
	if !ok {
		return nil, logsapi.ResourceNotFoundException(noGroup)
	}
	st, ok := streamKind.Get(c.Tx, c.Home, streamKey(name, *in.LogStreamName))
	if !ok {
		return nil, logsapi.ResourceNotFoundException(noStream)
	}
	events, err := s.read(c, g, st, in.StartTime, in.EndTime)
	if err != nil {
		return nil, err
	}
	from := max(0, len(events)-limit)
	if api.Value(in.StartFromHead) {
		from = 0
	}
	to := min(len(events), from+limit)
	if in.NextToken != nil {
		direction, position, ok := parsePosition(*in.NextToken)
		if !ok {
			return nil, logsapi.InvalidParameterException("The specified nextToken is invalid.")
		}
		position = min(position, len(events))
		if direction == 'f' {
			from, to = position, min(len(events), position+limit)
		} else {
			from, to = max(0, position-limit), position
		}
	}
	out := &logsapi.GetLogEventsOutput{
		Events:            []logsapi.OutputLogEvent{},
		NextForwardToken:  api.Ptr(positionToken('f', to)),
		NextBackwardToken: api.Ptr(positionToken('b', from)),
	}
	for _, e := range events[from:to] {
		out.Events = append(out.Events, logsapi.OutputLogEvent{Timestamp: &e.Time, Message: &e.Message, IngestionTime: &e.ingested})
	}
	return out, nil
}

func positionToken(direction byte, position int) string {
	return fmt.Sprintf("%c/%056d/s", direction, position)
}

func parsePosition(token string) (direction byte, position int, ok bool) {
	digits, tail := strings.CutSuffix(token, "/s")
	if !tail || len(digits) < 3 || digits[1] != '/' || digits[0] != 'f' && digits[0] != 'b' {
		return 0, 0, false
	}
	n, err := strconv.ParseUint(digits[2:], 10, 31)
	return digits[0], int(n), err == nil
}

func (s *Service) mayFilterLogEvents(c *gateway.Call, in *logsapi.FilterLogEventsInput) ([]authz.Ask, error) {
	name, err := identifier(c, in.LogGroupName, in.LogGroupIdentifier)
	if err != nil {
		return nil, err
	}
	return ask("FilterLogEvents", groupARN(c, name), resourceTags(c, name))
}

// filterLogEvents searches all streams of a group, or those named. Filter
// patterns of plain terms are served; JSON and bracketed patterns are refused.
// https://docs.aws.amazon.com/AmazonCloudWatchLogs/latest/APIReference/API_FilterLogEvents.html
func (s *Service) filterLogEvents(c *gateway.Call, in *logsapi.FilterLogEventsInput) (*logsapi.FilterLogEventsOutput, error) {
	name, err := identifier(c, in.LogGroupName, in.LogGroupIdentifier)
	if err != nil {
		return nil, err
	}
	limit, err := limitOf(in.Limit, 10_000, 10_000)
	if err != nil {
		return nil, err
	}
	if in.LogStreamNames != nil && in.LogStreamNamePrefix != nil {
		return nil, logsapi.InvalidParameterException("logStreamNamePrefix and logStreamNames are mutually exclusive parameters.")
	}
	match, err := parsePattern(api.Value(in.FilterPattern))
	if err != nil {
		return nil, err
	}
	g, ok := groupKind.Get(c.Tx, c.Home, name)
	if !ok {
		return nil, logsapi.ResourceNotFoundException(noGroup)
	}
	after, ok := c.After(in.NextToken)
	skip, _ := strconv.Atoi(after)
	if !ok {
		return nil, logsapi.InvalidParameterException("The specified nextToken is invalid.")
	}
	type found struct {
		stream, id string
		event
	}
	var all []found
	prefix := streamKey(name, "")
	for key, st := range streamKind.Prefix(c.Tx, c.Home, prefix+api.Value(in.LogStreamNamePrefix)) {
		streamName := strings.TrimPrefix(key, prefix)
		if in.LogStreamNames != nil && !slices.Contains(in.LogStreamNames, streamName) {
			continue
		}
		end := in.EndTime
		if end != nil {
			end = api.Ptr(*end + 1) // here the end is included
		}
		events, err := s.read(c, g, st, in.StartTime, end)
		if err != nil {
			return nil, err
		}
		for _, e := range events {
			if match(e.Message) {
				all = append(all, found{streamName, st.ID, e})
			}
		}
	}
	slices.SortStableFunc(all, func(a, b found) int { return cmp.Compare(a.Time, b.Time) })
	skip = min(skip, len(all))
	page := all[skip:]
	out := &logsapi.FilterLogEventsOutput{Events: []logsapi.FilteredLogEvent{}, SearchedLogStreams: []logsapi.SearchedLogStream{}}
	if len(page) > limit {
		page = page[:limit]
		out.NextToken = c.NextToken(strconv.Itoa(skip + limit))
	}
	for _, e := range page {
		out.Events = append(out.Events, logsapi.FilteredLogEvent{
			LogStreamName: &e.stream, Timestamp: &e.Time, Message: &e.Message, IngestionTime: &e.ingested,
			EventId: api.Ptr(e.id[:16] + fmt.Sprintf("%020d", e.n)),
		})
	}
	return out, nil
}

// parsePattern reads a filter pattern of unstructured terms: every term must
// occur, a term behind a minus must not, and of those behind a question mark
// one must. Terms are case-sensitive; quotes keep blanks in a term.
// https://docs.aws.amazon.com/AmazonCloudWatch/latest/logs/FilterAndPatternSyntax.html
func parsePattern(p string) (func(string) bool, error) {
	var must, mustNot, any []string
	for rest := strings.TrimSpace(p); rest != ""; rest = strings.TrimLeft(rest, " ") {
		to := &must
		switch rest[0] {
		case '-':
			to, rest = &mustNot, rest[1:]
		case '?':
			to, rest = &any, rest[1:]
		case '{', '[', '%':
			return nil, api.NotImplemented("Remit serves filter patterns of plain terms; JSON, space-delimited and regular expression patterns are not served yet.")
		}
		var term string
		if strings.HasPrefix(rest, `"`) {
			var closed bool
			if term, rest, closed = strings.Cut(rest[1:], `"`); !closed {
				return nil, logsapi.InvalidParameterException("Invalid filter pattern")
			}
		} else {
			term, rest, _ = strings.Cut(rest, " ")
		}
		if term == "" {
			return nil, logsapi.InvalidParameterException("Invalid filter pattern")
		}
		*to = append(*to, term)
	}
	return func(m string) bool {
		in := func(t string) bool { return strings.Contains(m, t) }
		for _, t := range must {
			if !in(t) {
				return false
			}
		}
		return !slices.ContainsFunc(mustNot, in) && (len(any) == 0 || len(must) > 0 || slices.ContainsFunc(any, in))
	}, nil
}
