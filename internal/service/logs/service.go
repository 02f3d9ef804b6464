// Package logs serves Amazon CloudWatch Logs: log groups, log streams, and the
// events that the awslogs driver ships.
//
//	group  NAME                      when made, retention, tags
//	stream GROUP:STREAM              when made, first and last event, its id
//	       └── store stream logs/SHARD/ID   one record for each PutLogEvents call
//
// Events are acknowledged when they are on disk, in the same commit as what the
// stream's document says of them. A stream's id is new each time it is made, so
// that a deleted stream's events never come back under its name.
package logs

import (
	"maps"
	"slices"
	"strings"

	"github.com/remit-ecs/remit/arn"
	"github.com/remit-ecs/remit/internal/api"
	"github.com/remit-ecs/remit/internal/api/logsapi"
	"github.com/remit-ecs/remit/internal/authz"
	"github.com/remit-ecs/remit/internal/gateway"
	"github.com/remit-ecs/remit/internal/store"
)

// Service serves CloudWatch Logs.
type Service struct{ store *store.Store }

// New returns the service over a store.
func New(s *store.Store) *Service { return &Service{store: s} }

// Register adds the operations that are served.
func (s *Service) Register(m *gateway.Mux) {
	gateway.Handle(m, logsapi.CreateLogGroup, s.mayCreateLogGroup, s.createLogGroup)
	gateway.Handle(m, logsapi.DeleteLogGroup, s.mayDeleteLogGroup, s.deleteLogGroup)
	gateway.Handle(m, logsapi.DescribeLogGroups, s.mayDescribeLogGroups, s.describeLogGroups)
	gateway.Handle(m, logsapi.PutRetentionPolicy, s.mayPutRetentionPolicy, s.putRetentionPolicy)
	gateway.Handle(m, logsapi.DeleteRetentionPolicy, s.mayDeleteRetentionPolicy, s.deleteRetentionPolicy)
	gateway.Handle(m, logsapi.TagLogGroup, s.mayTagLogGroup, s.tagLogGroup)
	gateway.Handle(m, logsapi.UntagLogGroup, s.mayUntagLogGroup, s.untagLogGroup)
	gateway.Handle(m, logsapi.ListTagsLogGroup, s.mayListTagsLogGroup, s.listTagsLogGroup)
	gateway.Handle(m, logsapi.TagResource, s.mayTagResource, s.tagResource)
	gateway.Handle(m, logsapi.UntagResource, s.mayUntagResource, s.untagResource)
	gateway.Handle(m, logsapi.ListTagsForResource, s.mayListTagsForResource, s.listTagsForResource)
	gateway.Handle(m, logsapi.CreateLogStream, s.mayCreateLogStream, s.createLogStream)
	gateway.Handle(m, logsapi.DeleteLogStream, s.mayDeleteLogStream, s.deleteLogStream)
	gateway.Handle(m, logsapi.DescribeLogStreams, s.mayDescribeLogStreams, s.describeLogStreams)
	gateway.Handle(m, logsapi.PutLogEvents, s.mayPutLogEvents, s.putLogEvents)
	gateway.Handle(m, logsapi.GetLogEvents, s.mayGetLogEvents, s.getLogEvents)
	gateway.Handle(m, logsapi.FilterLogEvents, s.mayFilterLogEvents, s.filterLogEvents)
}

// group is the document of a log group; its key is its name.
type group struct {
	Created   int64 // ms since the epoch
	Retention int32 // days; 0 is for ever
	Class     logsapi.LogGroupClass
	Tags      map[string]string `json:",omitempty"`
	Bytes     int64
}

// stream is the document of a log stream; its key is GROUP:STREAM. Neither
// part can hold a colon.
type stream struct {
	ID                         string
	Created                    int64
	First, Last, LastIngestion int64 // ms; zero without events
	Events                     int64
	Bytes                      int64
}

var (
	groupKind  = store.NewKind[group]("logs-group", 1)
	streamKind = store.NewKind[stream]("logs-stream", 1)
)

func streamKey(group, stream string) string { return group + ":" + stream }

// eventsOf names the store stream that holds a log stream's events.
func eventsOf(c *gateway.Call, st *stream) string { return "logs/" + c.Home + "/" + st.ID }

// groupARN is the resource of an action on a group. AWS names it with an empty
// log stream, which is why policies end in ":*".
// https://docs.aws.amazon.com/AmazonCloudWatch/latest/logs/iam-access-control-overview-cwl.html
func groupARN(c *gateway.Call, name string) string { return streamARN(c, name, "") }

func streamARN(c *gateway.Call, group, stream string) string {
	return "arn:aws:logs:" + c.Region + ":" + c.Account + ":log-group:" + group + ":log-stream:" + stream
}

// plainARN is the ARN that answers show as logGroupArn.
func plainARN(c *gateway.Call, name string) string {
	return "arn:aws:logs:" + c.Region + ":" + c.Account + ":log-group:" + name
}

func ask(action, resource string, keys map[string][]string) ([]authz.Ask, error) {
	return []authz.Ask{{Action: "logs:" + action, Resource: resource, Keys: keys}}, nil
}

// askARN asks about the group that an ARN of the request means. The question
// names it as policies do, however the request spells it: a statement that
// denies must not be got round by another spelling.
func askARN(c *gateway.Call, action, resource string, keys map[string][]string) ([]authz.Ask, error) {
	name, err := nameFromARN(c, resource)
	if err != nil {
		return ask(action, resource, keys) // no group of the caller's: refused, or not found
	}
	return ask(action, strings.TrimSuffix(groupARN(c, name), ":log-stream:"), with(resourceTags(c, name), keys))
}

// identifier resolves the two ways to name a group: by name, or by an
// identifier that is a name or an ARN.
func identifier(c *gateway.Call, name, ident *string) (string, error) {
	switch {
	case name != nil && ident != nil:
		return "", logsapi.InvalidParameterException("LogGroupName and LogGroupIdentifier cannot be specified together.")
	case name != nil:
		return *name, nil
	case ident == nil:
		return "", logsapi.InvalidParameterException("Either logGroupName or logGroupIdentifier must be specified.")
	case !strings.HasPrefix(*ident, "arn:"):
		return *ident, nil
	}
	return nameFromARN(c, *ident)
}

func nameFromARN(c *gateway.Call, s string) (string, error) {
	a, err := arn.Parse(s)
	name, ok := strings.CutPrefix(a.Resource, "log-group:")
	if err != nil || !ok || a.Service != "logs" {
		return "", logsapi.InvalidParameterException("Invalid resource ARN: %s", s)
	}
	if a.Account != c.Account || a.Region != c.Region {
		return "", logsapi.ResourceNotFoundException(noGroup)
	}
	return strings.TrimSuffix(name, ":*"), nil
}

// AWS's texts.
const (
	noGroup      = "The specified log group does not exist."
	noStream     = "The specified log stream does not exist."
	groupExists  = "The specified log group already exists"
	streamExists = "The specified log stream already exists"
)

func editGroup(c *gateway.Call, name string) (*group, error) {
	g, ok := groupKind.Edit(c.Tx, name)
	if !ok {
		return nil, logsapi.ResourceNotFoundException(noGroup)
	}
	return g, nil
}

func tagKeys(tags map[string]string) map[string][]string {
	keys := map[string][]string{}
	for _, k := range slices.Sorted(maps.Keys(tags)) {
		keys["aws:requesttag/"+strings.ToLower(k)] = []string{tags[k]}
		keys["aws:tagkeys"] = append(keys["aws:tagkeys"], k)
	}
	return keys
}

// resourceTags are the condition keys of a group's tags.
func resourceTags(c *gateway.Call, name string) map[string][]string {
	g, ok := groupKind.Get(c.Tx, c.Home, name)
	if !ok {
		return nil
	}
	keys := map[string][]string{}
	for _, k := range slices.Sorted(maps.Keys(g.Tags)) {
		keys["aws:resourcetag/"+strings.ToLower(k)] = []string{g.Tags[k]}
	}
	return keys
}

// with puts the condition keys of a question together.
func with(a, b map[string][]string) map[string][]string {
	keys := map[string][]string{}
	maps.Copy(keys, a)
	maps.Copy(keys, b)
	return keys
}

func limitOf(p *int32, def, most int32) (int, error) {
	n := def
	if p != nil {
		n = *p
	}
	if n < 1 || n > most {
		return 0, logsapi.InvalidParameterException("1 validation error detected: Value '%d' at 'limit' failed to satisfy constraint: Member must have value between 1 and %d", n, most)
	}
	return int(n), nil
}

func ms(c *gateway.Call) int64 { return c.Time.UnixMilli() }

func ptrNonZero(n int64) *int64 {
	if n == 0 {
		return nil
	}
	return api.Ptr(n)
}
