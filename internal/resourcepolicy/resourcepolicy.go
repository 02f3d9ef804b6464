// Package resourcepolicy is what the services with resource-based policies
// have in common: how such a policy is checked, bound to the principals that it
// names, kept in the document of its resource, compiled once, and shown.
//
//	Put...Policy   New   ─► *Policy, stored in the resource's document
//	every question       ─► Policy.Attached ─► authz.Authorizer.Resources
//	Get...Policy         ─► Policy.Show
//
// Services call it and word its refusals as AWS words theirs. It decides
// nothing about a request: that is what package policy does with the document.
package resourcepolicy

import (
	"encoding/json"
	"sync/atomic"

	"github.com/remit-ecs/remit/internal/authz"
	"github.com/remit-ecs/remit/internal/store"
	"github.com/remit-ecs/remit/policy"
)

// Policy is a resource-based policy as it is stored.
type Policy struct {
	Text  string      `json:"text"`            // as given
	Bound authz.Bound `json:"bound,omitempty"` // unique ids of the principals that Text names

	// A document of the store is never changed, only replaced, so what is made
	// of it never has to be made again.
	compiled atomic.Pointer[policy.Attached]
}

// Draft is a policy that can be read and is not stored yet.
type Draft struct {
	*Policy
	Outline *Outline
	// Missing are the principals that the policy cannot name, because they do
	// not exist; with them it must not be stored.
	Missing []policy.NamedPrincipal
}

// New reads a policy that is to be attached to a resource of an account, and
// binds its principals. The error says, for people, what cannot be read; each
// service has words of its own for it.
func New(r store.Reader, who authz.Principals, account, text string) (*Draft, error) {
	if err := policy.Validate(policy.KindResource, []byte(text)); err != nil {
		return nil, err
	}
	bound, missing, err := authz.BindPrincipals(r, who, account, policy.KindResource, text)
	if err != nil {
		return nil, err
	}
	outline, err := read(text)
	if err != nil {
		return nil, err
	}
	return &Draft{Policy: &Policy{Text: text, Bound: bound}, Outline: outline, Missing: missing}, nil
}

// Attached is the policy as the engine takes it, under a name for people; nil
// where there is none. A text that cannot be read any more denies.
func (p *Policy) Attached(name string) *policy.Attached {
	if p == nil {
		return nil
	}
	if a := p.compiled.Load(); a != nil {
		return a
	}
	a := &policy.Attached{Layer: policy.LayerResource, Name: name, Document: p.Bound.Parse(policy.KindResource, p.Text)}
	p.compiled.Store(a)
	return a
}

// With is the policy with a further statement, in JSON, which is not stored and
// not shown: what the settings of a resource add to its policy.
func (p *Policy) With(name, statement string) *policy.Attached {
	a := &policy.Attached{Layer: policy.LayerResource, Name: name}
	var whole struct {
		Version   string          `json:",omitempty"`
		ID        string          `json:"Id,omitempty"`
		Statement json.RawMessage // one statement, or several
	}
	var all []json.RawMessage
	if json.Unmarshal([]byte(p.Text), &whole) != nil {
		return a // the missing document denies
	}
	if json.Unmarshal(whole.Statement, &all) != nil {
		all = []json.RawMessage{whole.Statement}
	}
	var err error
	if whole.Statement, err = json.Marshal(append(all, json.RawMessage(statement))); err != nil {
		return a
	}
	text, err := json.Marshal(whole)
	if err != nil {
		return a
	}
	a.Document = p.Bound.Parse(policy.KindResource, string(text))
	return a
}

// Public reports whether the policy grants something to everyone, see
// Outline.Public. One that cannot be read any more is taken for public.
func (p *Policy) Public() bool {
	o, err := read(p.Text)
	return err != nil || o.Public()
}

// Show is the policy as answers show it: principals that were deleted stand in
// it with their unique ids.
func (p *Policy) Show(r store.Reader, who authz.Principals, account string) string {
	return p.Bound.Show(r, who, account, p.Text)
}
