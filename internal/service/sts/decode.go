package sts

import (
	"bytes"
	"encoding/json"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/remit-ecs/remit/internal/api"
	"github.com/remit-ecs/remit/internal/api/stsapi"
	"github.com/remit-ecs/remit/internal/authz"
	"github.com/remit-ecs/remit/internal/gateway"
	"github.com/remit-ecs/remit/policy"
)

func (s *Service) mayDecodeAuthorizationMessage(*gateway.Call, *stsapi.DecodeAuthorizationMessageInput) ([]authz.Ask, error) {
	return []authz.Ask{{Action: "sts:DecodeAuthorizationMessage", Resource: "*"}}, nil
}

// decodeAuthorizationMessage opens the message of a denial, for callers of the
// account whose principal was denied.
// https://docs.aws.amazon.com/STS/latest/APIReference/API_DecodeAuthorizationMessage.html
func (s *Service) decodeAuthorizationMessage(c *gateway.Call, in *stsapi.DecodeAuthorizationMessageInput) (*stsapi.DecodeAuthorizationMessageOutput, error) {
	m, err := gateway.OpenMessage(s.sealer, c.Principal.Account, api.Value(in.EncodedMessage))
	if err != nil {
		return nil, stsapi.InvalidAuthorizationMessageException("%s", err)
	}
	text, err := decoded(m)
	if err != nil {
		return nil, err
	}
	return &stsapi.DecodeAuthorizationMessageOutput{DecodedMessage: &text}, nil
}

// decodedMessage is AWS's document, and under "remit" what AWS does not tell.
// "failures" and "principalGroups" are always empty, as in all examples of AWS.
// https://docs.aws.amazon.com/cli/latest/reference/sts/decode-authorization-message.html
type decodedMessage struct {
	Allowed           bool                   `json:"allowed"`
	ExplicitDeny      bool                   `json:"explicitDeny"`
	MatchedStatements list[matchedStatement] `json:"matchedStatements"`
	Failures          list[value]            `json:"failures"`
	Context           decodedContext         `json:"context"`
	Remit             decodedExtension       `json:"remit"`
}

// list is how the document writes lists.
type list[T any] struct {
	Items []T `json:"items"`
}

type value struct {
	Value string `json:"value"`
}

type matchedStatement struct {
	StatementID     string          `json:"statementId"`
	Effect          string          `json:"effect"`
	Principals      list[value]     `json:"principals"`
	PrincipalGroups list[value]     `json:"principalGroups"`
	Actions         list[value]     `json:"actions"`
	Resources       list[value]     `json:"resources"`
	Conditions      list[condition] `json:"conditions"`
}

type condition struct {
	Key    string      `json:"key"`
	Values list[value] `json:"values"`
}

type decodedContext struct {
	Principal  decodedPrincipal `json:"principal"`
	Action     string           `json:"action"`
	Resource   string           `json:"resource"`
	Conditions list[condition]  `json:"conditions"`
}

type decodedPrincipal struct {
	ID  string `json:"id"`
	ARN string `json:"arn"`
}

type decodedExtension struct {
	RequestID string         `json:"requestId"`
	Account   string         `json:"account"`
	Region    string         `json:"region"`
	Time      string         `json:"time"`
	RoleARN   string         `json:"roleArn,omitempty"`
	Reasons   *policy.Report `json:"reasons,omitempty"`
	LeftOut   []string       `json:"leftOut,omitempty"`
}

// decoded renders a message as the operation answers it.
func decoded(m *gateway.AuthorizationMessage) (string, error) {
	d := decodedMessage{
		ExplicitDeny:      len(m.Statements) > 0 || m.Reasons != nil && m.Reasons.Decision == policy.ExplicitDeny.String(),
		MatchedStatements: list[matchedStatement]{[]matchedStatement{}},
		Failures:          values(nil),
		Context: decodedContext{
			Principal: decodedPrincipal{m.PrincipalID, m.PrincipalARN}, Action: m.Action, Resource: m.Resource,
			Conditions: list[condition]{[]condition{}},
		},
		Remit: decodedExtension{m.RequestID, m.Account, m.Region, m.Time.Format(time.RFC3339), m.RoleARN, m.Reasons, m.LeftOut},
	}
	for i := range m.Statements {
		d.MatchedStatements.Items = append(d.MatchedStatements.Items, matched(m, &m.Statements[i]))
	}
	for _, k := range slices.Sorted(maps.Keys(m.Context)) {
		d.Context.Conditions.Items = append(d.Context.Conditions.Items, condition{k, values(m.Context[k])})
	}
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(d); err != nil {
		return "", err
	}
	return strings.TrimSuffix(b.String(), "\n"), nil
}

// matched is a statement that denied. The principal of an identity-based policy
// is whose policy it is: of a session, its role.
func matched(m *gateway.AuthorizationMessage, st *gateway.MessageStatement) matchedStatement {
	out := matchedStatement{
		StatementID: st.Sid, Effect: "DENY", Principals: values(nil), PrincipalGroups: values(nil),
		Actions: values(st.Actions), Resources: values(st.Resources), Conditions: list[condition]{[]condition{}},
	}
	if id, _, _ := strings.Cut(m.PrincipalID, ":"); id != "" && st.Layer == policy.LayerIdentity.String() {
		out.Principals = values([]string{id})
	}
	for _, c := range st.Conditions {
		out.Conditions.Items = append(out.Conditions.Items, condition{c.Key, values(c.Values)})
	}
	return out
}

func values(all []string) list[value] {
	out := list[value]{[]value{}}
	for _, s := range all {
		out.Items = append(out.Items, value{s})
	}
	return out
}
