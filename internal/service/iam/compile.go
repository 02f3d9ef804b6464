package iam

import (
	"sync"

	"github.com/remit-ecs/remit/internal/api"
	"github.com/remit-ecs/remit/policy"
)

// compiled is what evaluations need of a document. It is shared by them all.
type compiled struct {
	inline []policy.Attached // identity-based, of a role or user
	tags   map[string]string // of a role or user
	trust  *policy.Attached  // of a role
	doc    *policy.Document  // of a managed policy's default version
}

// compile makes, once per document, what evaluations need. Two goroutines may
// both make it; either result is good.
func (e *Entity) compile() *compiled {
	if k := e.compiled.Load(); k != nil {
		return k
	}
	k := &compiled{}
	for _, in := range e.Inline {
		// What does not parse stays in the document's diagnostics, and denies.
		doc, _ := policy.Parse(policy.KindIdentity, []byte(in.Document))
		k.inline = append(k.inline, policy.Attached{Layer: policy.LayerIdentity, Name: in.Name, Document: doc})
	}
	if len(e.Tags) > 0 {
		k.tags = make(map[string]string, len(e.Tags))
		for _, t := range e.Tags {
			k.tags[api.Value(t.Key)] = api.Value(t.Value)
		}
	}
	e.compiled.Store(k)
	return k
}

// compileTrust is compile with the trust policy, in which principals are named
// by the unique ids that they were bound to.
func (d *Role) compileTrust() *policy.Attached {
	k := d.compile()
	if k.trust != nil {
		return k.trust
	}
	trust := &policy.Attached{Layer: policy.LayerTrust, ARN: d.ARN, Document: d.Bound.Parse(policy.KindTrust, d.Trust)}
	with := *k
	with.trust = trust
	d.compiled.Store(&with)
	return trust
}

func (p *Policy) compile() *policy.Document {
	if k := p.compiled.Load(); k != nil {
		return k.doc
	}
	k := &compiled{}
	if v := p.version(p.Default); v != nil {
		k.doc, _ = policy.Parse(policy.KindIdentity, []byte(v.Document))
	}
	p.compiled.Store(k)
	return k.doc
}

func (p *Policy) version(number int) *Version {
	for i := range p.Versions {
		if p.Versions[i].Number == number {
			return &p.Versions[i]
		}
	}
	return nil
}

// sessionPolicies remembers compiled inline session policies by their text: it
// comes with every request of the session, out of its token.
type sessionPolicies struct {
	mu     sync.Mutex
	byText map[string]*policy.Document
}

// maxSessionPolicies bounds how many compiled session policies are kept; each
// is at most 2,048 characters of text.
const maxSessionPolicies = 4096

func (s *sessionPolicies) compile(text string) *policy.Document {
	s.mu.Lock()
	d := s.byText[text]
	s.mu.Unlock()
	if d != nil {
		return d
	}
	d, _ = policy.Parse(policy.KindSession, []byte(text))
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.byText == nil || len(s.byText) >= maxSessionPolicies {
		s.byText = map[string]*policy.Document{} // rare, and soon filled again
	}
	s.byText[text] = d
	return d
}
