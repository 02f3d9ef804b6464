package audit

import (
	"encoding/json"
	"strings"
	"testing"
	"time"
)

// TestEncode holds the encoder to what encoding/json makes of the same record,
// so that a field added to one and forgotten in the other shows.
func TestEncode(t *testing.T) {
	odd := "\"quoted\" <tag> & \\ \n \u2028 é \xff"
	full := &Record{
		EventVersion: "1.11", EventTime: "2026-01-02T03:04:05Z", EventSource: "ecs.amazonaws.com", EventName: "RunTask", AWSRegion: "eu-west-1",
		SourceIPAddress: "192.0.2.1", UserAgent: odd, ErrorCode: "AccessDenied", ErrorMessage: odd,
		RequestParameters: map[string]any{"b": []any{1, odd, nil}, "a": true}, ResponseElements: map[string]any{},
		AdditionalEventData: &Additional{IAM: "soft", Asks: []Ask{
			{Principal: "p", RoleARN: "r", Action: "ecs:RunTask", Resource: "*", Allowed: true, Why: odd, Fix: "f"},
			{Principal: "q", Action: "a", Resource: odd, Reasons: json.RawMessage(`{"decision": "implicitDeny", "text": "<é>"}`)},
		}},
		RequestID: "id", EventID: "event", ReadOnly: true,
		Resources: []Resource{{ARN: "arn", AccountID: "1", Type: "t"}, {ARN: "other"}},
		EventType: "AwsApiCall", ManagementEvent: true, RecipientAccountID: "1", EventCategory: "Management",
		UserIdentity: UserIdentity{
			Type: "AssumedRole", PrincipalID: "p", ARN: "a", AccountID: "1", AccessKeyID: "k", UserName: "u", InvokedBy: "i",
			SessionContext: &SessionContext{SessionIssuer: SessionIssuer{"Role", "p", "a", "1", "n"}, Attributes: map[string]string{"creationDate": "d", "a": odd}, SourceIdentity: odd},
		},
	}
	var nilMap map[string]any
	for name, r := range map[string]*Record{
		"full": full, "empty": {}, "nil maps": {RequestParameters: nilMap, ResponseElements: nilMap},
		"no asks": {AdditionalEventData: &Additional{}}, "mode alone": {AdditionalEventData: &Additional{IAM: "off"}},
		"asks alone":    {AdditionalEventData: &Additional{Asks: []Ask{{}}}},
		"unrecorded":    {AdditionalEventData: &Additional{Unrecorded: &Unrecorded{Count: 2, Codes: map[string]int{odd: 2}}}},
		"all of it":     {AdditionalEventData: &Additional{IAM: "soft", Asks: []Ask{{}}, Omitted: 3, Unrecorded: &Unrecorded{}}},
		"no attributes": {UserIdentity: UserIdentity{SessionContext: &SessionContext{}}},
	} {
		want, err := json.Marshal(r)
		if err != nil {
			t.Fatal(err)
		}
		got, err := r.Encode()
		if err != nil || string(got) != string(want) {
			t.Errorf("%s: %v\n got %s\nwant %s", name, err, got, want)
		}
	}
	if _, err := (&Record{RequestParameters: func() {}}).Encode(); err == nil {
		t.Error("what JSON cannot hold was encoded")
	}
}

// TestEncodeIsBounded: a parameter of megabytes is not in the trail.
func TestEncodeIsBounded(t *testing.T) {
	b, err := (&Record{RequestParameters: map[string]any{"description": strings.Repeat("x", maxField)}, ResponseElements: map[string]any{"a": "b"}}).Encode()
	if err != nil || !strings.Contains(string(b), `"requestParameters":{"omitted":true},"responseElements":{"a":"b"}`) {
		t.Errorf("%d bytes, %v", len(b), err)
	}
}

// TestTimeOf reads the time of a record whose texts try to pass for it.
func TestTimeOf(t *testing.T) {
	odd := `"eventTime":"2001-01-01T00:00:00Z"`
	b, err := (&Record{EventVersion: odd, EventTime: "2026-01-02T03:04:05Z", UserIdentity: UserIdentity{UserName: odd}, UserAgent: odd}).Encode()
	if err != nil {
		t.Fatal(err)
	}
	if at, err := TimeOf(b); err != nil || Time(at) != "2026-01-02T03:04:05Z" {
		t.Errorf("%v %v", at, err)
	}
	for _, bad := range []string{"{}", `{"eventTime":"2026`, `{"eventTime":"soon"}`} {
		if _, err := TimeOf([]byte(bad)); err == nil {
			t.Errorf("%s has a time", bad)
		}
	}
}

// FuzzTimeOf: whatever callers name themselves, the time is the record's.
func FuzzTimeOf(f *testing.F) {
	f.Add("2026-01-02T03:04:05Z", "\"eventTime\":\"2001-01-01T00:00:00Z\"")
	f.Add("2026-01-02T03:04:05Z", "\\\",\"eventTime\":\"2001-01-01T00:00:00Z")
	f.Fuzz(func(t *testing.T, at, name string) {
		if _, err := time.Parse(time.RFC3339, at); err != nil {
			return
		}
		b, err := (&Record{EventVersion: name, EventTime: at, UserIdentity: UserIdentity{
			Type: name, PrincipalID: name, ARN: name, UserName: name, InvokedBy: name,
			SessionContext: &SessionContext{SessionIssuer: SessionIssuer{UserName: name, ARN: name}, Attributes: map[string]string{"creationDate": name}},
		}, UserAgent: name, ErrorMessage: name, RequestParameters: map[string]any{name: name}}).Encode()
		if err != nil {
			t.Fatal(err)
		}
		got, err := TimeOf(b)
		want, _ := time.Parse(time.RFC3339, at)
		if err != nil || !got.Equal(want) {
			t.Errorf("%v %v, want %v, of %s", got, err, want, b)
		}
	})
}

func TestResourceType(t *testing.T) {
	for arn, want := range map[string]string{
		"arn:aws:iam::111122223333:role/shop/app":                           "AWS::IAM::Role",
		"arn:aws:s3:::bucket":                                               "AWS::S3::Bucket",
		"arn:aws:s3:::bucket/key:with/all":                                  "AWS::S3::Object",
		"arn:aws:ecs:eu-west-1:111122223333:task/default/0123":              "AWS::ECS::Task",
		"arn:aws:secretsmanager:eu-west-1:111122223333:secret:orders/db-aB": "AWS::SecretsManager::Secret",
		"arn:aws:logs:eu-west-1:111122223333:log-group:/ecs:log-stream:x":   "AWS::Logs::LogGroup",
		"arn:aws:lambda:eu-west-1:111122223333:function:f":                  "",
		"arn:aws": "", "*": "", "": "",
	} {
		if got := ResourceType(arn); got != want {
			t.Errorf("%s: %q, want %q", arn, got, want)
		}
	}
}
