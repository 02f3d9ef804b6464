// Package session knows who makes a request, and makes and opens temporary
// credentials.
//
// A [Sealer] turns a [Principal] into [Credentials] and back. Sessions are
// stateless: the session token is the principal itself, sealed, and the secret
// access key is derived from the sealer's key, so any replica with the same
// keys opens what another has minted and nothing is stored when a role is
// assumed. STS and the ECS control plane mint; the gateway opens, once it has
// read an access key and a token from a request, and hands the secret to
// package sigv4. With the same keys it seals the messages that a denial carries
// for those who may know its reasons.
//
// The package checks no signature, evaluates no policy, and knows no roles or
// users: what was true when the session was made is in the token, what is true
// now (does the role still exist, is the session revoked by policy) is for
// package authz. It never logs, and what it prints holds no secret.
package session

import (
	"log/slog"
	"time"
)

// Type is the kind of a principal.
type Type uint8

// The principal types. The zero value is no principal.
const (
	Root Type = iota + 1
	User
	AssumedRole
	Service
	Anonymous
	FederatedUser // a session from GetFederationToken; last, since tokens hold the number
)

// String returns the type as CloudTrail's userIdentity.type spells it.
func (t Type) String() string {
	switch t {
	case Root:
		return "Root"
	case User:
		return "IAMUser"
	case AssumedRole:
		return "AssumedRole"
	case Service:
		return "AWSService"
	case Anonymous:
		return "AWSAccount" // with the principal id ANONYMOUS_PRINCIPAL
	case FederatedUser:
		return "FederatedUser"
	}
	return "Unknown"
}

// Principal is who makes a request. Values are shared: do not modify the map
// and the slices of one that [Sealer.Open] returned.
type Principal struct {
	Type    Type
	Account string // 12 digits; of an anonymous principal empty
	// ARN is that of the session for an assumed role and for a federated user,
	// arn:aws:sts::ACCOUNT:assumed-role/ROLE/SESSION and
	// arn:aws:sts::ACCOUNT:federated-user/NAME. A session of GetSessionToken is
	// the user, or the root user, itself.
	ARN string
	// UserID is what aws:userid holds: AIDA..., the account number for the
	// root user, AROA...:SESSION for an assumed role, ACCOUNT:NAME for a
	// federated user.
	UserID string

	// The role behind an assumed role.
	RoleARN, RoleName, RoleID, SessionName string

	// Whose permissions a federated user has at the most: the IAM user, or the
	// root user, who called GetFederationToken. IssuerID is AIDA..., or the
	// account number.
	IssuerARN, IssuerID string

	UserName  string // of an IAM user, and of the one behind a federated user
	Service   string // service principal name, such as ecs-tasks.amazonaws.com
	InvokedBy string // the service that makes the call for the principal

	AccessKeyID string
	// IssuedAt and ExpiresAt are in whole seconds, and zero for long-term
	// credentials.
	IssuedAt, ExpiresAt time.Time

	SourceIdentity    string
	Tags              map[string]string // session tags
	TransitiveTagKeys []string
	Policy            string   // inline session policy, JSON
	PolicyARNs        []string // managed session policies
	MFA               bool
	Chained           bool // assumed with the credentials of another role
	Region            string
}

// Temporary reports whether the principal's credentials are those of a session.
func (p *Principal) Temporary() bool { return !p.ExpiresAt.IsZero() }

// FromRoot reports whether the principal has the permissions of the account's
// root user: it is the root user, or federated by it.
func (p *Principal) FromRoot() bool {
	return p.Type == Root || p.Type == FederatedUser && p.IssuerID == p.Account
}

// Credentials are temporary credentials.
type Credentials struct {
	AccessKeyID, SecretAccessKey, SessionToken string

	Expiration time.Time
}

// String names the access key alone.
func (c Credentials) String() string { return "credentials of " + c.AccessKeyID }

// GoString is String, so that %#v tells no more.
func (c Credentials) GoString() string { return c.String() }

// LogValue implements slog.LogValuer: the access key and the expiry.
func (c Credentials) LogValue() slog.Value {
	return slog.GroupValue(slog.String("accessKeyId", c.AccessKeyID), slog.Time("expiration", c.Expiration))
}
