// Package simulation asks the policy engine what it would decide, for policies
// and requests that need not exist: IAM's policy simulator.
//
// service/iam calls it for SimulateCustomPolicy and SimulatePrincipalPolicy,
// cmd/remit for `remit simulate`. It checks the parameters of a simulation, as
// IAM words its refusals, and turns decisions into evaluation results. It knows
// nothing of where policies are stored, reads no clock, does no I/O and enforces
// nothing; whoever enforces calls package authz.
//
//	parameters ─ New ──> Simulation ─┬─ Page    ──> evaluation results of the API
//	documents  ─────────────┘        └─ Explain ──> reasons, for people
//
// A condition key has a value only where the simulation was given one, or where
// it follows from the simulated caller. What AWS documents is followed; where
// the documentation is silent, or contradicts what AWS answers, what was seen in
// September 2026 is: see the tables in testdata.
//
// https://docs.aws.amazon.com/IAM/latest/UserGuide/access_policies_testing-policies.html
package simulation

import (
	"maps"
	"strings"

	"github.com/remit-ecs/remit/arn"
	"github.com/remit-ecs/remit/internal/api"
	"github.com/remit-ecs/remit/internal/api/iamapi"
	"github.com/remit-ecs/remit/policy"
)

// Policy is a document that takes part in a simulation.
type Policy struct {
	ID   string // the SourcePolicyId of its statements
	ARN  string // of a managed policy
	Text string // as written; positions refer to it

	// Document is in place of Text where that is not known: of control policies,
	// whose statements are not told.
	Document *policy.Document
}

// Source is the principal of SimulatePrincipalPolicy with its policies, and the
// account in which a simulation takes place.
type Source struct {
	Account  string // of whoever asks; a caller that is not named belongs to it
	ARN      string // of the user, group or role; empty for SimulateCustomPolicy
	UserID   string // its unique id
	Identity []Policy
	Boundary *Policy // of the user or role, unless the parameters bring another

	// SCP are the service control policies by level, from the organization's
	// root to the account; nil where no organization reaches the caller.
	SCP [][]Policy
}

// Simulation is a set of policies and a caller. Its fields are set before the
// first question and not changed after it. It is for one goroutine.
type Simulation struct {
	Caller   policy.Principal
	Context  map[string][]string // by lower-case key: what was supplied
	Identity []Policy
	Boundary *Policy
	SCP      [][]Policy // nil without an organization

	// Session are session policies, which IAM's API does not simulate; with
	// HasSession and no Session nothing is allowed by the session.
	Session    []Policy
	HasSession bool

	// Resource is the policy that every resource has: the trust policy of a role
	// where the action is one that trust policies are about.
	Resource *Policy

	// Owner is the account of resources whose ARN names none; the caller's
	// where it is empty.
	Owner string

	sets    map[policy.Kind]*policy.Set
	lacking map[policy.Kind][]string // what missing has found
	texts   map[*policy.Document]*Policy
	known   map[string][]string // see context
	bytes   int                 // of all documents
}

// New makes the simulation that a request to IAM describes. The parameters are
// those of SimulateCustomPolicy, which SimulatePrincipalPolicy has too; src is
// what the latter adds. The error is an *api.Error, InvalidInput.
//
// https://docs.aws.amazon.com/IAM/latest/APIReference/API_SimulateCustomPolicy.html
// https://docs.aws.amazon.com/IAM/latest/APIReference/API_SimulatePrincipalPolicy.html
func New(in *iamapi.SimulateCustomPolicyInput, src Source) (*Simulation, error) {
	s := &Simulation{Identity: src.Identity, Boundary: src.Boundary, SCP: src.SCP}
	var err error
	if s.Context, err = ContextEntries(in.ContextEntries); err != nil {
		return nil, err
	}
	if err := checkActions(in.ActionNames); err != nil {
		return nil, err
	}
	if err := checkResources(in); err != nil {
		return nil, err
	}
	s.Identity = append(s.Identity[:len(s.Identity):len(s.Identity)], inputList("PolicyInputList", in.PolicyInputList)...)
	switch boundary := inputList("PermissionsBoundaryPolicyInputList", in.PermissionsBoundaryPolicyInputList); len(boundary) {
	case 0:
	case 1:
		s.Boundary = &boundary[0]
	default:
		return nil, iamapi.InvalidInputException("The list of Permissions Boundary policies cannot exceed 1 items.")
	}
	if in.ResourcePolicy != nil {
		s.Resource = &Policy{ID: "ResourcePolicy", Text: *in.ResourcePolicy}
	}
	if s.Caller, err = caller(in, &src); err != nil {
		return nil, err
	}
	if in.ResourceOwner != nil {
		if s.Owner, err = owner(*in.ResourceOwner); err != nil {
			return nil, err
		}
	}
	return s, s.checkDocuments(in)
}

// inputList names policies that a request brings along.
func inputList(parameter string, texts []string) []Policy {
	out := make([]Policy, len(texts))
	for i, text := range texts {
		out[i] = Policy{ID: itemOf(parameter, i), Text: text}
	}
	return out
}

// checkDocuments refuses documents of the request that cannot be read. Those
// that are attached already stay: unreadable, they deny as they do in earnest.
func (s *Simulation) checkDocuments(in *iamapi.SimulateCustomPolicyInput) error {
	for i, text := range in.PolicyInputList {
		if _, err := policy.Parse(policy.KindIdentity, []byte(text)); err != nil {
			return invalidDocument("Policy input list item", i, err)
		}
	}
	for i, text := range in.PermissionsBoundaryPolicyInputList {
		if _, err := policy.Parse(policy.KindIdentity, []byte(text)); err != nil {
			return invalidDocument("Permissions boundary policy input list item", i, err)
		}
	}
	if s.Resource == nil {
		return nil
	}
	for _, action := range in.ActionNames {
		if _, err := policy.Parse(ResourceKind(action), []byte(s.Resource.Text)); err != nil {
			return iamapi.InvalidInputException("Resource policy has invalid content").Because(err)
		}
	}
	return nil
}

// ResourceKind is what kind of resource-based policy governs an action: a role's
// trust policy or any other.
func ResourceKind(action string) policy.Kind {
	service, name, _ := strings.Cut(strings.ToLower(action), ":")
	if service != "sts" {
		return policy.KindResource
	}
	switch name {
	case "assumerole", "assumerolewithsaml", "assumerolewithwebidentity", "tagsession", "setsourceidentity", "setcontext":
		return policy.KindTrust
	}
	return policy.KindResource
}

// set compiles the policies once for each kind of resource-based policy.
func (s *Simulation) set(kind policy.Kind) *policy.Set {
	if set := s.sets[kind]; set != nil {
		return set
	}
	if s.sets == nil {
		s.sets, s.lacking, s.texts = map[policy.Kind]*policy.Set{}, map[policy.Kind][]string{}, map[*policy.Document]*Policy{}
	}
	set := &policy.Set{
		Identity: s.attach(policy.KindIdentity, policy.LayerIdentity, s.Identity),
		Session:  s.attach(policy.KindSession, policy.LayerSession, s.Session), HasSession: s.HasSession,
		ResourceUnknown: s.Resource == nil,
	}
	if s.Boundary != nil {
		set.Boundary = &s.attach(policy.KindIdentity, policy.LayerBoundary, []Policy{*s.Boundary})[0]
	}
	for _, level := range s.SCP {
		set.SCP = append(set.SCP, s.attach(policy.KindSCP, policy.LayerSCP, level))
	}
	if s.SCP != nil && set.SCP == nil {
		set.SCP = [][]policy.Attached{}
	}
	if s.Resource != nil {
		layer := policy.LayerResource
		if kind == policy.KindTrust {
			layer = policy.LayerTrust
		}
		a := &s.attach(kind, layer, []Policy{*s.Resource})[0]
		if kind == policy.KindTrust {
			set.Trust = a
		} else {
			set.Resource = a
		}
	}
	s.sets[kind] = set
	return set
}

func (s *Simulation) attach(kind policy.Kind, layer policy.Layer, list []Policy) []policy.Attached {
	out := make([]policy.Attached, len(list))
	for i := range list {
		doc := list[i].Document
		if doc == nil { // what cannot be read stays in the document's diagnostics, and denies
			doc, _ = policy.Parse(kind, []byte(list[i].Text))
		}
		out[i] = policy.Attached{Layer: layer, ARN: list[i].ARN, Name: list[i].ID, Document: doc}
		s.texts[doc] = &list[i]
		s.bytes += len(list[i].Text)
	}
	return out
}

// Explain decides about one action, without wildcards, on one resource, and
// says why.
func (s *Simulation) Explain(action, resource string) *policy.Reasons {
	return policy.Explain(s.request(action, resource), s.set(ResourceKind(action)))
}

func (s *Simulation) request(action, resource string) *policy.Request {
	return &policy.Request{Principal: s.Caller, Action: action, Resource: resource, ResourceAccount: s.resourceAccount(resource), Context: s.context()}
}

// resourceAccount is the account that owns a resource. Where the resource's
// policy is not given, nobody knows what the other account says, and the
// simulation is of the caller's side alone: the resource counts as its own.
func (s *Simulation) resourceAccount(resource string) string {
	if s.Resource == nil {
		return s.Caller.Account
	}
	if a, err := arn.Parse(resource); err == nil && a.Account != "" {
		return a.Account
	}
	if s.Owner != "" {
		return s.Owner
	}
	return s.Caller.Account
}

// context is what follows from the caller, overlaid with what was supplied.
func (s *Simulation) context() map[string][]string {
	if s.known == nil {
		s.known = make(map[string][]string, len(s.Context)+8)
		fillContext(&s.Caller, s.known)
		maps.Copy(s.known, s.Context)
	}
	return s.known
}

func invalidDocument(what string, i int, err error) *api.Error {
	return iamapi.InvalidInputException("%s %d has invalid content", what, i+1).Because(err)
}
