package audit

import (
	"encoding/json"
	"testing"
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
			{Principal: "q", Action: "a", Resource: odd},
		}},
		RequestID: "id", EventID: "event", ReadOnly: true,
		Resources: []Resource{{ARN: "arn", AccountID: "1", Type: "t"}, {ARN: "other"}},
		EventType: "AwsApiCall", ManagementEvent: true, RecipientAccountID: "1", EventCategory: "Management",
		UserIdentity: UserIdentity{
			Type: "AssumedRole", PrincipalID: "p", ARN: "a", AccountID: "1", AccessKeyID: "k", UserName: "u", InvokedBy: "i",
			SessionContext: &SessionContext{SessionIssuer: SessionIssuer{"Role", "p", "a", "1", "n"}, Attributes: map[string]string{"creationDate": "d", "a": odd}},
		},
	}
	var nilMap map[string]any
	for name, r := range map[string]*Record{
		"full": full, "empty": {}, "nil maps": {RequestParameters: nilMap, ResponseElements: nilMap},
		"no asks": {AdditionalEventData: &Additional{}}, "mode alone": {AdditionalEventData: &Additional{IAM: "off"}},
		"asks alone":    {AdditionalEventData: &Additional{Asks: []Ask{{}}}},
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
