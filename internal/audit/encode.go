package audit

import (
	"encoding/json"
	"maps"
	"slices"
	"strconv"
)

// Encode renders a record for the stream, byte for byte as encoding/json
// would. Every request waits for its record, and encoding it by reflection
// costs more than the policy engine.
func (r *Record) Encode() ([]byte, error) {
	return r.AppendTo(make([]byte, 0, 1280))
}

// AppendTo is Encode into a buffer of the caller's.
func (r *Record) AppendTo(b []byte) ([]byte, error) {
	e := encoder{b: b}
	e.raw(`{"eventVersion":`).text(r.EventVersion)
	e.raw(`,"userIdentity":`).identity(&r.UserIdentity)
	e.raw(`,"eventTime":`).text(r.EventTime)
	e.raw(`,"eventSource":`).text(r.EventSource)
	e.raw(`,"eventName":`).text(r.EventName)
	e.raw(`,"awsRegion":`).text(r.AWSRegion)
	e.raw(`,"sourceIPAddress":`).text(r.SourceIPAddress)
	e.raw(`,"userAgent":`).text(r.UserAgent)
	e.optional(`,"errorCode":`, r.ErrorCode)
	e.optional(`,"errorMessage":`, r.ErrorMessage)
	e.raw(`,"requestParameters":`).bounded(r.RequestParameters)
	e.raw(`,"responseElements":`).bounded(r.ResponseElements)
	if a := r.AdditionalEventData; a != nil {
		e.raw(`,"additionalEventData":`).additional(a)
	}
	e.raw(`,"requestID":`).text(r.RequestID)
	e.raw(`,"eventID":`).text(r.EventID)
	e.raw(`,"readOnly":`).bool(r.ReadOnly)
	if len(r.Resources) > 0 {
		e.raw(`,"resources":[`)
		for i := range r.Resources {
			if i > 0 {
				e.raw(`,`)
			}
			e.raw(`{"ARN":`).text(r.Resources[i].ARN)
			e.optional(`,"accountId":`, r.Resources[i].AccountID)
			e.optional(`,"type":`, r.Resources[i].Type)
			e.raw(`}`)
		}
		e.raw(`]`)
	}
	e.raw(`,"eventType":`).text(r.EventType)
	e.raw(`,"managementEvent":`).bool(r.ManagementEvent)
	e.raw(`,"recipientAccountId":`).text(r.RecipientAccountID)
	e.raw(`,"eventCategory":`).text(r.EventCategory)
	e.raw(`}`)
	return e.b, e.err
}

type encoder struct {
	b   []byte
	err error
}

func (e *encoder) raw(s string) *encoder {
	e.b = append(e.b, s...)
	return e
}

// text appends s as a JSON string. What needs escaping is left to
// encoding/json.
func (e *encoder) text(s string) {
	for i := range len(s) {
		if c := s[i]; c < ' ' || c > '~' || c == '"' || c == '\\' || c == '<' || c == '>' || c == '&' {
			e.any(s)
			return
		}
	}
	e.b = append(e.b, '"')
	e.b = append(e.b, s...)
	e.b = append(e.b, '"')
}

func (e *encoder) optional(name, s string) {
	if s != "" {
		e.raw(name).text(s)
	}
}

func (e *encoder) bool(v bool) { e.b = strconv.AppendBool(e.b, v) }

func (e *encoder) any(v any) {
	if m, ok := v.(map[string]any); v == nil || ok && m == nil {
		e.raw("null")
		return
	}
	b, err := json.Marshal(v)
	if err != nil && e.err == nil {
		e.err = err
	}
	e.b = append(e.b, b...)
}

// maxField is CloudTrail's bound on parameters and on response elements.
// https://docs.aws.amazon.com/awscloudtrail/latest/userguide/cloudtrail-event-reference-record-contents.html
const maxField = 100 << 10

// bounded appends v, or where it is too large what CloudTrail has in its place.
func (e *encoder) bounded(v any) {
	start := len(e.b)
	e.any(v)
	if len(e.b)-start > maxField {
		e.b = append(e.b[:start], `{"omitted":true}`...)
	}
}

// texts appends a map in the order of its keys.
func (e *encoder) texts(m map[string]string) {
	if m == nil {
		e.raw("null")
		return
	}
	e.raw("{")
	var few [4]string
	keys := slices.AppendSeq(few[:0], maps.Keys(m))
	slices.Sort(keys)
	for i, k := range keys {
		if i > 0 {
			e.raw(",")
		}
		e.text(k)
		e.raw(":").text(m[k])
	}
	e.raw("}")
}

func (e *encoder) identity(u *UserIdentity) {
	e.raw(`{"type":`).text(u.Type)
	e.optional(`,"principalId":`, u.PrincipalID)
	e.optional(`,"arn":`, u.ARN)
	e.optional(`,"accountId":`, u.AccountID)
	e.optional(`,"accessKeyId":`, u.AccessKeyID)
	e.optional(`,"userName":`, u.UserName)
	if s := u.SessionContext; s != nil {
		e.raw(`,"sessionContext":{`)
		if i := &s.SessionIssuer; *i != (SessionIssuer{}) {
			e.raw(`"sessionIssuer":{"type":`).text(i.Type)
			e.raw(`,"principalId":`).text(i.PrincipalID)
			e.raw(`,"arn":`).text(i.ARN)
			e.raw(`,"accountId":`).text(i.AccountID)
			e.optional(`,"userName":`, i.UserName)
			e.raw(`},`)
		}
		e.raw(`"attributes":`).texts(s.Attributes)
		e.optional(`,"sourceIdentity":`, s.SourceIdentity)
		e.raw(`}`)
	}
	e.optional(`,"invokedBy":`, u.InvokedBy)
	e.raw(`}`)
}

func (e *encoder) additional(a *Additional) {
	e.raw(`{`)
	comma := ""
	if a.IAM != "" {
		e.raw(`"remitIam":`).text(a.IAM)
		comma = ","
	}
	if len(a.Asks) > 0 {
		e.raw(comma).raw(`"remitAsks":[`)
		for i := range a.Asks {
			k := &a.Asks[i]
			if i > 0 {
				e.raw(`,`)
			}
			e.raw(`{"principal":`).text(k.Principal)
			e.optional(`,"roleArn":`, k.RoleARN)
			e.raw(`,"action":`).text(k.Action)
			e.raw(`,"resource":`).text(k.Resource)
			e.raw(`,"allowed":`).bool(k.Allowed)
			e.optional(`,"why":`, k.Why)
			e.optional(`,"fix":`, k.Fix)
			if len(k.Reasons) > 0 {
				e.raw(`,"reasons":`).any(k.Reasons)
			}
			e.raw(`}`)
		}
		e.raw(`]`)
		comma = ","
	}
	if a.Omitted != 0 {
		e.raw(comma).raw(`"remitAsksOmitted":`).any(a.Omitted)
		comma = ","
	}
	if a.Unrecorded != nil {
		e.raw(comma).raw(`"remitUnrecorded":`).any(a.Unrecorded)
	}
	e.raw(`}`)
}
