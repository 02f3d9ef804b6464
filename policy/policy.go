// Package policy is IAM's policy evaluation: documents and a request in, a
// decision and its reasons out.
//
// Whoever enforces IAM calls it: it knows the policy language and the rules by
// which identity-based policies, resource-based policies, role trust policies,
// permissions boundaries, session policies, service control policies and
// resource control policies combine. It knows nothing about where policies are
// stored or how requests arrive. It has no clock, does no I/O, keeps no state,
// and nothing in it fails: what cannot be read is a [Diagnostic] beside a
// decision, and denies.
//
//	text ── Parse ──> Document ─┐
//	                            ├─ Set ─┐
//	                 ARN, name ─┘       ├── Authorize ──> Decision ──> Message
//	       Request (who, what, on which resource, under which conditions)
//	                                    └── Explain ────> Reasons ──> Suggest
//
// The layers of a decision, in the order in which a denial is attributed:
//
//	explicit deny:  RCP, SCP, VPC endpoint, resource or trust, identity, boundary, session
//	implicit deny:  SCP, VPC endpoint, then by account:
//	   same account   a grant to the user or session itself, or to everyone, is enough;
//	                  a grant to the role needs boundary and session to allow;
//	                  otherwise identity, boundary and session must all allow
//	   other account  resource policy there, and identity, boundary, session here
//
// Where AWS's documentation and observation disagree, contested.go has one
// named switch per question.
//
// https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_evaluation-logic.html
package policy

import "strconv"

// Request is what is to be decided: one action on one resource. A single API
// call often yields several (ecs:RunTask, and iam:PassRole for each role).
type Request struct {
	Principal Principal
	Action    string // "ecs:RunTask", without wildcards; case does not matter
	Resource  string // an ARN; "*" for an action without resource types

	// ResourceAccount is the account that owns the resource. When empty it is
	// the account in the resource's ARN, and when that has none, as in
	// S3, the principal's own.
	ResourceAccount string

	// Context holds the condition keys of the request: lower-case names to
	// values. A key that is not here is missing, and so is one with no values.
	// A single-valued key has one value; see MultiValued for the others.
	Context map[string][]string
}

// PrincipalType is the kind of caller.
type PrincipalType uint8

const (
	Anonymous     PrincipalType = iota // unsigned; matches only "*" in resource-based policies
	Root                               // the account's root user
	User                               // an IAM user
	AssumedRole                        // a role session
	FederatedUser                      // a session from GetFederationToken
	Service                            // an AWS service acting for itself
	Federated                          // an identity that a provider vouches for, as in AssumeRoleWithWebIdentity
)

// Principal is who makes a request.
type Principal struct {
	Type    PrincipalType
	Account string // twelve digits; empty for Service, Anonymous and Federated

	// ARN is the principal's own: of a role session, the assumed-role ARN.
	ARN string

	// RoleARN is the ARN with its path of the identity that a session stands
	// for: of an AssumedRole the role, of a FederatedUser the IAM user.
	RoleARN string

	UserID        string // AIDA..., AROA...:session, ACCOUNT:name, or the account id of a root user
	Service       string // of a Service: "ecs-tasks.amazonaws.com"
	Provider      string // of a Federated: the provider's ARN or host name
	CanonicalUser string // S3's canonical id of the principal's account, where known
}

// Layer is a kind of policy by the part that it plays in a decision.
type Layer uint8

const (
	LayerNone        Layer = iota // no policy: always-allowed actions
	LayerIdentity                 // identity-based policies of user, groups or role
	LayerResource                 // the resource-based policy
	LayerTrust                    // the role trust policy: the resource-based policy of a role
	LayerBoundary                 // the permissions boundary
	LayerSession                  // session policies
	LayerSCP                      // service control policies
	LayerRCP                      // resource control policies
	LayerVPCEndpoint              // the VPC endpoint policy
	LayerProtected                // what AWS lets nobody change: AWS managed policies and the like
)

// layerNames are the words of AWS's denial messages.
var layerNames = [...]string{
	LayerNone:        "none",
	LayerIdentity:    "identity-based policy",
	LayerResource:    "resource-based policy",
	LayerTrust:       "role trust policy",
	LayerBoundary:    "permissions boundary",
	LayerSession:     "session policy",
	LayerSCP:         "service control policy",
	LayerRCP:         "resource control policy",
	LayerVPCEndpoint: "VPC endpoint policy",
	LayerProtected:   "protected resource",
}

// String is what AWS calls the layer in denial messages.
func (l Layer) String() string {
	if int(l) < len(layerNames) {
		return layerNames[l]
	}
	return "layer " + strconv.Itoa(int(l))
}

// Attached is a document where it is attached: an inline policy has a name, a
// managed one an ARN (and may have a name).
type Attached struct {
	Layer    Layer // for the caller's records; Authorize goes by the place in the Set
	ARN      string
	Name     string
	Document *Document // nil is a document that cannot be read
}

// label names a policy for people.
func (a *Attached) label() string {
	switch {
	case a == nil:
		return "a policy"
	case a.ARN != "":
		return a.ARN
	case a.Name != "":
		return a.Name
	}
	return "an unnamed policy"
}

// Set is every policy that applies to a request.
type Set struct {
	// Identity holds the identity-based policies: a user's own and its
	// groups', or a role's. It must be empty for principals that have none.
	Identity []Attached

	// Boundary is the permissions boundary of the user or role, if any.
	Boundary *Attached

	// Session holds the session policies; together they are one layer. With
	// HasSession and no Session nothing is allowed by the session.
	Session    []Attached
	HasSession bool // policies were passed when the session was made

	// Resource is the resource-based policy of the resource, and Trust the
	// trust policy of the role, which takes its place for sts:AssumeRole and
	// the other actions that roles' trust policies govern.
	Resource *Attached
	Trust    *Attached

	// SCP and RCP hold, for each level from the organization's root down to
	// the account, the policies attached there: SCP of the principal's account,
	// RCP of the resource's. Nil where organizations do not reach: no
	// organization, the management account. A level without SCP allows nothing.
	SCP [][]Attached
	RCP [][]Attached

	// VPCEndpoint is the policy of the endpoint that the request came through.
	VPCEndpoint *Attached

	// ResourceUnknown says that nobody knows the resource's policy, as in
	// SimulateCustomPolicy without one: KMS keys and roles are then taken
	// to delegate to identity-based policies. Never set it to enforce.
	ResourceUnknown bool
}

// Effect is the outcome of an evaluation. The zero Effect is ImplicitDeny.
type Effect uint8

const (
	ImplicitDeny Effect = iota // nothing allows it
	ExplicitDeny               // a statement denies it
	Allowed
)

// String is the effect's name in policy simulation.
func (e Effect) String() string {
	switch e {
	case Allowed:
		return "allowed"
	case ExplicitDeny:
		return "explicitDeny"
	}
	return "implicitDeny"
}

// Decision is the answer to a Request. The zero Decision denies.
type Decision struct {
	Allowed bool
	Effect  Effect

	// Layer is the kind of policy that decided: the one that denied, the one
	// whose allow is lacking, or the one that granted.
	Layer Layer

	// Statement is a statement that decided, zero when it is the lack of one.
	// Where several did it is one of them; Explain has all.
	Statement StatementRef

	// CrossAccount says that the resource belongs to another account than the
	// principal's. STS then says less in its denials.
	CrossAccount bool

	// Diagnostics are what could not be read in the policies. Anything here
	// means a denial.
	Diagnostics []Diagnostic
}

// StatementRef points at a statement of an attached document.
type StatementRef struct {
	Layer  Layer
	Policy *Attached // nil in the zero StatementRef
	Index  int       // into Policy.Document.Statements
}

// Get is the statement pointed at, nil for the zero StatementRef.
func (r StatementRef) Get() *Statement {
	if r.Policy == nil || r.Policy.Document == nil || r.Index >= len(r.Policy.Document.Statements) {
		return nil
	}
	return &r.Policy.Document.Statements[r.Index]
}

// Position is a place in the text of a document.
type Position struct {
	Offset int `json:"offset"` // bytes from the beginning
	Line   int `json:"line"`   // from 1
	Column int `json:"column"` // from 1, in bytes
}

// Diagnostic is something in a document that could not be read.
type Diagnostic struct {
	Layer  Layer     // zero in Document.Diagnostics
	Policy *Attached // nil in Document.Diagnostics
	At     Position
	Text   string
}

// String is the diagnostic as a line for people.
func (d Diagnostic) String() string {
	s := d.Text
	if d.At.Line > 0 { // the request, or a missing document, has no lines
		s = "line " + strconv.Itoa(d.At.Line) + ": " + s
	}
	if d.Policy != nil {
		s = d.Policy.label() + ", " + s
	}
	return s
}
