package explanation

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sts"

	"github.com/remit-ecs/remit/policy"
)

// decodedMessage is what DecodeAuthorizationMessage answers, as far as it is
// needed. Its layout is AWS's.
// https://docs.aws.amazon.com/STS/latest/APIReference/API_DecodeAuthorizationMessage.html
type decodedMessage struct {
	Allowed           bool
	ExplicitDeny      bool
	MatchedStatements struct {
		Items []struct {
			StatementID string `json:"statementId"`
			Effect      string
		}
	}
	Context struct {
		Principal struct{ ID, ARN string }
		Action    string
		Resource  string
	}

	// Remit has what AWS does not tell.
	Remit struct {
		RequestID string
		Time      *time.Time
		RoleARN   string
		Reasons   *policy.Report
		LeftOut   []string
	}
}

// Message explains an encoded authorization message.
func (e *Explainer) Message(ctx context.Context, encoded string) (*Explanation, error) {
	out, err := sts.NewFromConfig(e.cfg).DecodeAuthorizationMessage(ctx, &sts.DecodeAuthorizationMessageInput{EncodedMessage: &encoded})
	switch code(err) {
	case "":
	case "InvalidAuthorizationMessageException", "ValidationError":
		return nil, fmt.Errorf("%w: %.40q is no request id, no task, and no authorization message of this server", ErrUnusable, encoded)
	}
	if err != nil {
		return nil, refusedAs("decode the message", err)
	}
	var m decodedMessage
	if err := json.Unmarshal([]byte(aws.ToString(out.DecodedMessage)), &m); err != nil {
		return nil, fmt.Errorf("the decoded message: %w", err)
	}
	d := Decision{Principal: m.Context.Principal.ARN, Action: m.Context.Action, Resource: m.Context.Resource, Allowed: m.Allowed,
		RoleARN: m.Remit.RoleARN, Reasons: m.Remit.Reasons}
	if d.Reasons == nil && !m.Allowed {
		d.Why = fmt.Sprintf("%s on %s by %s: no policy allows it", d.Action, d.Resource, d.Principal)
		if m.ExplicitDeny {
			var ids []string
			for _, s := range m.MatchedStatements.Items {
				ids = append(ids, s.StatementID)
			}
			d.Why = fmt.Sprintf("%s on %s by %s: a statement denies it %s", d.Action, d.Resource, d.Principal, strings.Join(ids, ", "))
		}
	}
	x := &Explanation{Allowed: m.Allowed, Calls: []Call{{RequestID: m.Remit.RequestID, Time: m.Remit.Time, Caller: d.Principal,
		Allowed: m.Allowed, Decisions: []Decision{d}}}}
	if len(m.Remit.LeftOut) > 0 {
		x.Notes = append(x.Notes, "the message had no room for "+strings.Join(m.Remit.LeftOut, ", ")+": explain the request "+m.Remit.RequestID+" for all of it")
	}
	return x, nil
}
