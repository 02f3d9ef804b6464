// Package audit is the trail: one CloudTrail-shaped record for each request,
// with what was asked of the policy engine beside it.
//
// The gateway builds a Record and appends it in the same commit as the change
// that it tells of; service/cloudtrail reads it back. Nothing here decides
// anything, and no secret enters a Record: parameters arrive redacted.
package audit

import (
	"bytes"
	"encoding/json"
	"errors"
	"strconv"
	"strings"
	"time"

	"github.com/remit-ecs/remit/internal/session"
)

// Record is one event in CloudTrail's JSON shape.
// https://docs.aws.amazon.com/awscloudtrail/latest/userguide/cloudtrail-event-reference-record-contents.html
type Record struct {
	EventVersion        string       `json:"eventVersion"`
	UserIdentity        UserIdentity `json:"userIdentity"`
	EventTime           string       `json:"eventTime"` // RFC 3339, seconds, UTC
	EventSource         string       `json:"eventSource"`
	EventName           string       `json:"eventName"`
	AWSRegion           string       `json:"awsRegion"`
	SourceIPAddress     string       `json:"sourceIPAddress"`
	UserAgent           string       `json:"userAgent"`
	ErrorCode           string       `json:"errorCode,omitempty"`
	ErrorMessage        string       `json:"errorMessage,omitempty"`
	RequestParameters   any          `json:"requestParameters"`
	ResponseElements    any          `json:"responseElements"`
	AdditionalEventData *Additional  `json:"additionalEventData,omitempty"`
	RequestID           string       `json:"requestID"`
	EventID             string       `json:"eventID"`
	ReadOnly            bool         `json:"readOnly"`
	Resources           []Resource   `json:"resources,omitempty"`
	EventType           string       `json:"eventType"`
	ManagementEvent     bool         `json:"managementEvent"`
	RecipientAccountID  string       `json:"recipientAccountId"`
	EventCategory       string       `json:"eventCategory"`
}

// Additional carries what CloudTrail has no field for.
type Additional struct {
	IAM        string      `json:"remitIam,omitempty"`         // the mode when it was not strict
	Asks       []Ask       `json:"remitAsks,omitempty"`        // what was asked of the policy engine, in order
	Omitted    int         `json:"remitAsksOmitted,omitempty"` // questions between the first ones and the last, where a record has no room for all
	Unrecorded *Unrecorded `json:"remitUnrecorded,omitempty"`  // refusals of unknown callers that this record stands for
}

// Unrecorded counts refusals of callers whose signature was not right, where
// there were too many to record each. The record that carries it is otherwise
// that of the last one.
type Unrecorded struct {
	Count   int            `json:"count"`
	Since   string         `json:"since"` // when the first was refused
	Until   string         `json:"until"`
	Codes   map[string]int `json:"errorCodes"`
	Sources map[string]int `json:"sources"` // by address, IPv6 by its /64; those beyond the most that are named count as "others"
}

// Add counts one refusal; at most most sources are named.
func (u *Unrecorded) Add(source, code, at string, most int) {
	if u.Count == 0 {
		u.Since, u.Codes, u.Sources = at, map[string]int{}, map[string]int{}
	}
	u.Count++
	u.Until = at
	if u.Sources[source] == 0 && len(u.Sources) >= most {
		source = "others"
	}
	u.Sources[source]++
	u.Codes[code]++
}

// Ask is one question and its answer as the trail keeps it.
type Ask struct {
	Principal string `json:"principal"`
	RoleARN   string `json:"roleArn,omitempty"`
	Action    string `json:"action"`
	Resource  string `json:"resource"`
	Allowed   bool   `json:"allowed"`
	Why       string `json:"why,omitempty"` // the statement that decided, or AWS's refusal text
	Fix       string `json:"fix,omitempty"` // for a refusal: the statement that would allow it

	// Reasons are, for a refusal, a policy.Report: what each layer said and the
	// smallest change that would allow it, as of then. It stands by itself, so
	// that the decision can be explained when the policies have changed.
	Reasons json.RawMessage `json:"reasons,omitempty"`
}

// Resource is an entry of a record's resources.
type Resource struct {
	ARN       string `json:"ARN"`
	AccountID string `json:"accountId,omitempty"`
	Type      string `json:"type,omitempty"`
}

// UserIdentity says who called.
// https://docs.aws.amazon.com/awscloudtrail/latest/userguide/cloudtrail-event-reference-user-identity.html
type UserIdentity struct {
	Type           string          `json:"type"`
	PrincipalID    string          `json:"principalId,omitempty"`
	ARN            string          `json:"arn,omitempty"`
	AccountID      string          `json:"accountId,omitempty"`
	AccessKeyID    string          `json:"accessKeyId,omitempty"`
	UserName       string          `json:"userName,omitempty"`
	SessionContext *SessionContext `json:"sessionContext,omitempty"`
	InvokedBy      string          `json:"invokedBy,omitempty"`
}

// SessionContext tells of temporary credentials.
type SessionContext struct {
	SessionIssuer  SessionIssuer     `json:"sessionIssuer,omitzero"` // none for GetSessionToken: the session is the user
	Attributes     map[string]string `json:"attributes"`
	SourceIdentity string            `json:"sourceIdentity,omitempty"`
}

// SessionIssuer is the role behind a session, or the user behind a federated
// one. A role's ARN keeps its path, which the session's ARN drops.
type SessionIssuer struct {
	Type        string `json:"type"`
	PrincipalID string `json:"principalId"`
	ARN         string `json:"arn"`
	AccountID   string `json:"accountId"`
	UserName    string `json:"userName,omitempty"` // the root user has none
}

// ResourceType is CloudTrail's type of the resource that an ARN names, "" where
// it is not one of those that are served.
func ResourceType(name string) string {
	rest, ok := strings.CutPrefix(name, "arn:")
	if !ok {
		return ""
	}
	_, rest, _ = strings.Cut(rest, ":") // partition
	service, rest, _ := strings.Cut(rest, ":")
	_, rest, _ = strings.Cut(rest, ":")      // region
	_, resource, _ := strings.Cut(rest, ":") // account
	if i := strings.IndexAny(resource, ":/"); i >= 0 && service != "s3" {
		resource = resource[:i]
	}
	switch service {
	case "s3":
		if strings.Contains(resource, "/") {
			return "AWS::S3::Object"
		}
		return "AWS::S3::Bucket"
	case "iam", "ecs", "ecr", "logs", "secretsmanager", "ssm", "kms":
		return resourceTypes[service+" "+resource]
	}
	return ""
}

var resourceTypes = map[string]string{
	"iam role": "AWS::IAM::Role", "iam user": "AWS::IAM::User", "iam group": "AWS::IAM::Group",
	"iam policy": "AWS::IAM::Policy", "iam instance-profile": "AWS::IAM::InstanceProfile",
	"ecs cluster": "AWS::ECS::Cluster", "ecs task-definition": "AWS::ECS::TaskDefinition", "ecs task": "AWS::ECS::Task",
	"ecs service": "AWS::ECS::Service", "ecs container-instance": "AWS::ECS::ContainerInstance",
	"ecr repository": "AWS::ECR::Repository", "logs log-group": "AWS::Logs::LogGroup",
	"secretsmanager secret": "AWS::SecretsManager::Secret", "ssm parameter": "AWS::SSM::Parameter",
	"kms key": "AWS::KMS::Key", "kms alias": "AWS::KMS::Alias",
}

// Identity renders a principal as CloudTrail does.
func Identity(p *session.Principal) UserIdentity {
	switch p.Type {
	case session.Root:
		return UserIdentity{Type: "Root", PrincipalID: p.Account, ARN: p.ARN, AccountID: p.Account, AccessKeyID: p.AccessKeyID, InvokedBy: p.InvokedBy, SessionContext: sessionOf(p, SessionIssuer{})}
	case session.User:
		return UserIdentity{Type: "IAMUser", PrincipalID: p.UserID, ARN: p.ARN, AccountID: p.Account, AccessKeyID: p.AccessKeyID, UserName: p.UserName, InvokedBy: p.InvokedBy, SessionContext: sessionOf(p, SessionIssuer{})}
	case session.AssumedRole:
		id, _, _ := strings.Cut(p.UserID, ":")
		return UserIdentity{
			Type: "AssumedRole", PrincipalID: p.UserID, ARN: p.ARN, AccountID: p.Account, AccessKeyID: p.AccessKeyID, InvokedBy: p.InvokedBy,
			SessionContext: sessionOf(p, SessionIssuer{Type: "Role", PrincipalID: id, ARN: p.RoleARN, AccountID: p.Account, UserName: p.RoleName}),
		}
	case session.FederatedUser:
		issuer := SessionIssuer{Type: "IAMUser", PrincipalID: p.IssuerID, ARN: p.IssuerARN, AccountID: p.Account, UserName: p.UserName}
		if p.FromRoot() {
			issuer.Type = "Root"
		}
		return UserIdentity{
			Type: "FederatedUser", PrincipalID: p.UserID, ARN: p.ARN, AccountID: p.Account, AccessKeyID: p.AccessKeyID, InvokedBy: p.InvokedBy,
			SessionContext: sessionOf(p, issuer),
		}
	case session.Service:
		return UserIdentity{Type: "AWSService", InvokedBy: p.Service}
	case session.Anonymous:
		return UserIdentity{Type: "AWSAccount", AccountID: "ANONYMOUS_PRINCIPAL"}
	}
	return UserIdentity{Type: "Unknown"}
}

// sessionOf is what a record tells of temporary credentials; nil for those
// that are not.
func sessionOf(p *session.Principal, issuer SessionIssuer) *SessionContext {
	if !p.Temporary() && issuer == (SessionIssuer{}) {
		return nil
	}
	return &SessionContext{
		SessionIssuer:  issuer,
		Attributes:     map[string]string{"creationDate": Time(p.IssuedAt), "mfaAuthenticated": strconv.FormatBool(p.MFA)},
		SourceIdentity: p.SourceIdentity,
	}
}

// Time renders an instant as records print it.
func Time(t time.Time) string { return t.UTC().Format("2006-01-02T15:04:05Z") }

// Stream is the name of the stream that holds an account's records of a region.
func Stream(account, region string) string { return Streams + account + "/" + region }

// Streams is the prefix of the names of all accounts' streams.
const Streams = "trail/"

// OfStream undoes Stream.
func OfStream(name string) (account, region string) {
	account, region, _ = strings.Cut(strings.TrimPrefix(name, Streams), "/")
	return account, region
}

// TimeOf reads no more of an encoded record than when it happened. A quote
// within a string is escaped, so that the name is found only as a name.
func TimeOf(record []byte) (time.Time, error) {
	const name = `"eventTime":"`
	i := bytes.Index(record, []byte(name))
	if i < 0 {
		return time.Time{}, errors.New("audit: a record without eventTime")
	}
	text := record[i+len(name):]
	if i = bytes.IndexByte(text, '"'); i < 0 {
		return time.Time{}, errors.New("audit: a record that ends in its eventTime")
	}
	return time.Parse(time.RFC3339, string(text[:i]))
}

// Decode reads a record back.
func Decode(b []byte) (*Record, error) {
	var r Record
	if err := json.Unmarshal(b, &r); err != nil {
		return nil, err
	}
	return &r, nil
}

// ReadOnly says whether an operation changes nothing, judged as CloudTrail
// does, by its name. Assuming a role changes nothing either.
func ReadOnly(op string) bool {
	switch op {
	case "Encrypt", "Decrypt", "ReEncrypt", "GenerateDataKey", "GenerateDataKeyWithoutPlaintext", "GenerateRandom": // of KMS
		return true
	}
	for _, p := range [...]string{"Get", "List", "Describe", "Head", "BatchGet", "BatchCheck", "Lookup", "Filter", "AssumeRole", "Discover", "Poll", "StartTelemetrySession", "Simulate", "Decode"} {
		if strings.HasPrefix(op, p) {
			return true
		}
	}
	return false
}

// HandsOut says whether an operation answers with credentials or with a secret:
// nothing is changed, and yet something has left.
func HandsOut(op string) bool {
	switch op {
	case "GetSessionToken", "GetFederationToken", "GetAuthorizationToken", "GetSecretValue", "BatchGetSecretValue",
		"GetParameter", "GetParameters", "GetParametersByPath", "GetParameterHistory",
		"Decrypt", "GenerateDataKey", "GenerateRandom":
		return true
	}
	return strings.HasPrefix(op, "AssumeRole")
}

// dataEvents are the operations that CloudTrail counts as data events.
var dataEvents = map[string]bool{
	"GetObject": true, "HeadObject": true, "PutObject": true, "DeleteObject": true, "DeleteObjects": true, "CopyObject": true,
	"UploadPart": true, "UploadPartCopy": true, "CreateMultipartUpload": true, "CompleteMultipartUpload": true, "AbortMultipartUpload": true,
	"ListObjects": true, "ListObjectsV2": true, "ListParts": true, "PutLogEvents": true, "GetLogEvents": true, "FilterLogEvents": true,
}

// Management says whether an operation is a management event.
func Management(op string) bool { return !dataEvents[op] }
