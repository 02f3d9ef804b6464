package iam

import (
	"slices"
	"strconv"
	"strings"

	"github.com/remit-ecs/remit/arn"
	"github.com/remit-ecs/remit/internal/api"
	"github.com/remit-ecs/remit/internal/api/iamapi"
	"github.com/remit-ecs/remit/internal/authz"
	"github.com/remit-ecs/remit/internal/gateway"
	"github.com/remit-ecs/remit/internal/simulation"
	"github.com/remit-ecs/remit/policy"
)

// registerSimulation adds the operations of the policy simulator.
func (s *Service) registerSimulation(m *gateway.Mux) {
	gateway.Handle(m, iamapi.SimulateCustomPolicy, s.maySimulateCustomPolicy, s.simulateCustomPolicy)
	gateway.Handle(m, iamapi.SimulatePrincipalPolicy, s.maySimulatePrincipalPolicy, s.simulatePrincipalPolicy)
	gateway.Handle(m, iamapi.GetContextKeysForCustomPolicy, s.mayGetContextKeysForCustomPolicy, s.getContextKeysForCustomPolicy)
	gateway.Handle(m, iamapi.GetContextKeysForPrincipalPolicy, s.mayGetContextKeysForPrincipalPolicy, s.getContextKeysForPrincipalPolicy)
}

func (s *Service) maySimulateCustomPolicy(c *gateway.Call, _ *iamapi.SimulateCustomPolicyInput) ([]authz.Ask, error) {
	return all(c)
}

// simulateCustomPolicy asks about policies that are sent along. No document is
// read: what a caller may learn is what it says itself.
//
// https://docs.aws.amazon.com/IAM/latest/APIReference/API_SimulateCustomPolicy.html
func (s *Service) simulateCustomPolicy(c *gateway.Call, in *iamapi.SimulateCustomPolicyInput) (*iamapi.SimulateCustomPolicyOutput, error) {
	return simulate(c, in, simulation.Source{Account: c.Account})
}

func (s *Service) maySimulatePrincipalPolicy(c *gateway.Call, in *iamapi.SimulatePrincipalPolicyInput) ([]authz.Ask, error) {
	return aboutSource(c, in.PolicySourceArn)
}

// simulatePrincipalPolicy asks about the policies of a user with its groups, of
// a group or of a role, as they are now.
//
// https://docs.aws.amazon.com/IAM/latest/APIReference/API_SimulatePrincipalPolicy.html
func (s *Service) simulatePrincipalPolicy(c *gateway.Call, in *iamapi.SimulatePrincipalPolicyInput) (*iamapi.SimulatePrincipalPolicyOutput, error) {
	src, err := s.readSource(c, in.PolicySourceArn)
	if err != nil {
		return nil, err
	}
	out, err := simulate(c, &iamapi.SimulateCustomPolicyInput{
		PolicyInputList: in.PolicyInputList, PermissionsBoundaryPolicyInputList: in.PermissionsBoundaryPolicyInputList,
		ActionNames: in.ActionNames, ResourceArns: in.ResourceArns, ResourcePolicy: in.ResourcePolicy, ResourceOwner: in.ResourceOwner,
		CallerArn: in.CallerArn, ContextEntries: in.ContextEntries, ResourceHandlingOption: in.ResourceHandlingOption,
		MaxItems: in.MaxItems, Marker: in.Marker,
	}, src)
	if err != nil {
		return nil, err
	}
	return &iamapi.SimulatePrincipalPolicyOutput{EvaluationResults: out.EvaluationResults, IsTruncated: out.IsTruncated, Marker: out.Marker}, nil
}

// simulate answers one page of a simulation. The marker is a place in
// ActionNames; like IAM's it does not remember the other parameters.
func simulate(c *gateway.Call, in *iamapi.SimulateCustomPolicyInput, src simulation.Source) (*iamapi.SimulateCustomPolicyOutput, error) {
	sim, err := simulation.New(in, src)
	if err != nil {
		return nil, err
	}
	from := 0
	after, ok := c.After(in.Marker)
	if ok && after != "" {
		if from, err = strconv.Atoi(after); err != nil {
			ok = false
		}
	}
	if !ok {
		return nil, iamapi.InvalidInputException("Invalid marker for pagination.")
	}
	size := pageSize
	if in.MaxItems != nil {
		size = int(*in.MaxItems)
	}
	results, next, err := sim.Page(in.ActionNames, in.ResourceArns, from, size)
	if err != nil {
		return nil, err
	}
	out := &iamapi.SimulateCustomPolicyOutput{EvaluationResults: results, IsTruncated: api.Ptr(next > 0)}
	if next > 0 {
		out.Marker = c.NextToken(strconv.Itoa(next))
	}
	return out, nil
}

// sourceNoun finds out what a policy source ARN names. As on AWS the path in it
// does not matter.
func sourceNoun(c *gateway.Call, source *string) (n noun, name string, err error) {
	text := api.Value(source)
	a, aerr := arn.Parse(text)
	kind, _ := a.Type()
	switch {
	case aerr != nil || a.Service != "iam" || a.Name() == "":
		return n, "", iamapi.InvalidInputException("Invalid ARN provided in the request: %s", text)
	case kind == userNoun.word:
		n = userNoun
	case kind == roleNoun.word:
		n = roleNoun
	case kind == groupNoun.word:
		n = groupNoun
	default:
		return n, "", iamapi.InvalidInputException("Invalid ARN provided in the request: %s", text)
	}
	if a.Account != c.Account {
		return n, "", iamapi.InvalidInputException("Invalid Policy Source Arn: caller's account %s does not have access to policies in account %s.", c.Account, a.Account)
	}
	return n, a.Name(), nil
}

// aboutSource asks about the principal by its own ARN, whatever path was given.
func aboutSource(c *gateway.Call, source *string) ([]authz.Ask, error) {
	n, name, err := sourceNoun(c, source)
	if err != nil {
		return nil, err
	}
	ask := about(c, n, name)
	ask.Refuse = nil // the refusal tells the ARN
	if e, ok := n.get(c.Tx, c.Home, name); !ok || e == nil {
		ask.Resource = api.Value(source)
	}
	return []authz.Ask{ask}, nil
}

// readSource reads a principal with everything that is attached to it.
func (s *Service) readSource(c *gateway.Call, source *string) (simulation.Source, error) {
	n, name, err := sourceNoun(c, source)
	if err != nil {
		return simulation.Source{}, err
	}
	e, ok := n.get(c.Tx, c.Home, name)
	if !ok {
		return simulation.Source{}, iamapi.NoSuchEntityException("Unable to retrieve specified IAM entity.")
	}
	src := simulation.Source{Account: c.Account, ARN: e.ARN, UserID: e.ID, Identity: attachedPolicies(c, n, e)}
	if n.word == userNoun.word {
		if u, ok := getUser(c.Tx, c.Home, name); ok {
			for _, g := range groupsOf(c.Tx, c.Home, u) {
				for _, p := range attachedPolicies(c, groupNoun, &g.Entity) {
					// A policy that is attached twice takes part once.
					if p.ARN == "" || !slices.ContainsFunc(src.Identity, func(q simulation.Policy) bool { return q.ARN == p.ARN }) {
						src.Identity = append(src.Identity, p)
					}
				}
			}
		}
	}
	if s.Organizations != nil {
		src.SCP = serviceControlPolicies(s.Organizations.SCP(c.Account))
	}
	if e.Boundary != "" {
		b := managedPolicy(c, e.Boundary)
		src.Boundary = &b
	}
	return src, nil
}

// attachedPolicies are the inline and managed policies of an entity, named as
// IAM's simulator names them: user_alice_inline, and the names of managed ones.
func attachedPolicies(c *gateway.Call, n noun, e *Entity) []simulation.Policy {
	var out []simulation.Policy
	for _, p := range e.Inline {
		out = append(out, simulation.Policy{ID: n.word + "_" + e.Name + "_" + p.Name, Text: p.Document})
	}
	for _, policyARN := range e.Attached {
		out = append(out, managedPolicy(c, policyARN))
	}
	return out
}

// serviceControlPolicies are those that bind the principal's account, by level;
// nil outside of an organization and in its management account.
func serviceControlPolicies(levels [][]policy.Attached) [][]simulation.Policy {
	if levels == nil {
		return nil
	}
	out := make([][]simulation.Policy, len(levels))
	for i, level := range levels {
		for _, a := range level {
			out[i] = append(out[i], simulation.Policy{ID: a.Name, ARN: a.ARN, Document: a.Document})
		}
	}
	return out
}

// managedPolicy is the default version of a managed policy. One that is not
// there has no text, and denies everything as it does when enforced.
func managedPolicy(c *gateway.Call, policyARN string) simulation.Policy {
	out := simulation.Policy{ID: policyARN[strings.LastIndexByte(policyARN, '/')+1:], ARN: policyARN}
	if p, ok := managed(c.Tx, c.Home, policyARN); ok {
		if v := p.version(p.Default); v != nil {
			out.Text = v.Document
		}
	}
	return out
}
