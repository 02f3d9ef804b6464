package gateway

import (
	"github.com/remit-ecs/remit/internal/api"
	"github.com/remit-ecs/remit/internal/session"
	"github.com/remit-ecs/remit/internal/store"
)

// limited refuses what the sessions of GetSessionToken and GetFederationToken
// cannot be used for, whatever the policies say: IAM, but with MFA, and nearly
// all of STS. AWS answers calls to IAM as if it did not know the credentials.
//
// https://docs.aws.amazon.com/IAM/latest/UserGuide/id_credentials_sts-comparison.html
func limited(p *session.Principal, op *api.OpInfo) *api.Error {
	if p == nil || !p.Temporary() {
		return nil
	}
	federated := p.Type == session.FederatedUser
	switch op.Service.Name {
	case "iam":
		if federated || p.Type != session.AssumedRole && !p.MFA {
			return api.InvalidClientToken()
		}
	case "sts":
		switch op.Name {
		case "GetCallerIdentity":
			return nil
		case "GetSessionToken", "GetFederationToken": // nor with those of a role
			return cannotCall(op, "session")
		case "AssumeRole":
			if federated {
				return cannotCall(op, "federation")
			}
		default:
			if p.Type != session.AssumedRole {
				return cannotCall(op, "session")
			}
		}
	}
	return nil
}

// cannotCall is AWS's refusal of GetSessionToken to a session. For other
// operations the text is unseen.
func cannotCall(op *api.OpInfo, kind string) *api.Error {
	return api.AccessDenied("Cannot call " + op.Name + " with " + kind + " credentials")
}

// present brings the principal of a user's session up to date: a session
// follows its user to a new name, and ends when the user is deleted. The access
// key that it was made with does not matter any more. It reports whether the
// session still has somebody behind it; of a role that is a question for package
// authz.
//
// https://docs.aws.amazon.com/IAM/latest/UserGuide/id_credentials_temp_control-access_disable-perms.html
func (g *Gateway) present(r store.Reader, p *session.Principal) bool {
	switch {
	case p.FromRoot():
	case p.Type == session.User:
		now, ok := g.Keys.User(r, p.Account, p.UserID)
		if !ok {
			return false
		}
		p.ARN, p.UserName = now.ARN, now.UserName
	case p.Type == session.FederatedUser:
		now, ok := g.Keys.User(r, p.Account, p.IssuerID)
		if !ok {
			return false
		}
		p.IssuerARN, p.UserName = now.ARN, now.UserName
	}
	return true
}
