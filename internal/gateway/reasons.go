package gateway

import (
	"encoding/json"
	"fmt"
	"strings"

	"github.com/remit-ecs/remit/internal/audit"
	"github.com/remit-ecs/remit/internal/authz"
	"github.com/remit-ecs/remit/internal/session"
	"github.com/remit-ecs/remit/policy"
)

// Bounds on what a record keeps of the questions that a call asked. Policies
// can be long and many; CloudTrail too cuts what is beyond a field's size.
const (
	mostAsks      = 500      // questions: the first ones, and the last, which is the one refused
	mostReasons   = 12 << 10 // bytes of the reasons of one refusal
	mostOfRecord  = 32 << 10 // bytes of all reasons of a record
	mostListed    = 4        // statements of a layer, and values of a list, where reasons are shortened
	mostOfOneText = 300      // bytes of a text there
)

func (g *Gateway) additional(c *Call) *audit.Additional {
	if len(c.asked) == 0 && g.Mode == Strict {
		return nil
	}
	a := &audit.Additional{}
	if g.Mode != Strict {
		a.IAM = string(g.Mode)
	}
	room := mostOfRecord
	for i := range c.asked {
		if i >= mostAsks-1 && i < len(c.asked)-1 {
			a.Omitted++
			continue
		}
		ask := askRecord(&c.asked[i], accountOf(c), room)
		room -= len(ask.Reasons)
		a.Asks = append(a.Asks, ask)
	}
	return a
}

// askRecord is a question with its answer, for the trail of an account. Refusals
// keep their reasons, at most room bytes of them; what was allowed keeps the
// statement that decided.
func askRecord(v *authz.Verdict, account string, room int) audit.Ask {
	a := audit.Ask{Principal: v.Principal.ARN, RoleARN: v.Principal.RoleARN, Action: v.Ask.Action, Resource: v.Ask.Resource, Allowed: v.Allowed}
	if v.Allowed {
		a.Why = grantedBy(v)
		return a
	}
	a.Why = v.Message()
	reasons := v.Reasons()
	report := reasons.Report()
	if v.Gone {
		const gone = "the role or user behind the session no longer exists"
		a.Why += " (" + gone + ")"
		report.Note, report.Layers, report.ToAllow = gone, nil, nil
	} else {
		a.Fix = reasons.Suggest()
	}
	if hideTheirs(report, v, account) {
		a.Fix = ""
	}
	if n := v.Principal.SessionName; len(n) >= 16 {
		// What is named after the session (the log stream of a task) exists
		// once; a policy has to allow it for every task.
		a.Fix = strings.ReplaceAll(a.Fix, n, "*")
		for i := range report.ToAllow {
			c := &report.ToAllow[i]
			if c.Kind == policy.AddStatement.String() {
				c.Statement = json.RawMessage(strings.ReplaceAll(string(c.Statement), n, "*"))
				c.Text = strings.ReplaceAll(c.Text, n, "*")
			}
		}
	}
	a.Reasons = encodeReasons(report, min(room, mostReasons))
	return a
}

// encodeReasons renders a report in at most room bytes: whole, else shortened,
// else without its layers; nil where even that is too much.
func encodeReasons(r *policy.Report, room int) json.RawMessage {
	for _, shorter := range [...]func(*policy.Report){func(*policy.Report) {}, shorten, withoutLayers} {
		shorter(r)
		if b, err := json.Marshal(r); err == nil && len(b) <= room {
			return b
		}
	}
	return nil
}

// shorten keeps of each layer the first statements, and of each list the first
// values. Nobody is misled: every layer that lost something says so.
func shorten(r *policy.Report) {
	for i := range r.Layers {
		l := &r.Layers[i]
		lost := len(l.Policies) > mostListed
		l.Policies = shortList(l.Policies)
		for _, list := range []*[]policy.StatementReport{&l.Statements, &l.Nearest} {
			if len(*list) > mostListed {
				*list, lost = (*list)[:mostListed], true
			}
			for j := range *list {
				lost = shortenStatement(&(*list)[j]) || lost
			}
		}
		if lost {
			l.Note = strings.TrimPrefix(l.Note+"; shortened, there was more", "; ")
		}
	}
	r.MissingContext, r.Diagnostics = shortList(r.MissingContext), shortList(r.Diagnostics)
	if n := len(r.ToAllow) - mostListed; n > 0 {
		// A part of the changes does not allow it: the last one says so.
		r.ToAllow = append(r.ToAllow[:mostListed], policy.ChangeReport{Kind: "more", Text: fmt.Sprintf("%d more such changes", n)})
	}
}

// shortenStatement reports whether anything was lost.
func shortenStatement(s *policy.StatementReport) bool {
	lost := len(s.Conditions) > mostListed || len(s.Differences) > mostListed
	s.Conditions = s.Conditions[:min(len(s.Conditions), mostListed)]
	for i := range s.Conditions {
		c := &s.Conditions[i]
		lost = lost || len(c.Wanted) > mostListed || len(c.Found) > mostListed
		c.Wanted, c.Means, c.Found = shortList(c.Wanted), shortList(c.Means), shortList(c.Found)
	}
	s.Differences = shortList(s.Differences)
	return lost
}

func shortList(list []string) []string {
	list = list[:min(len(list), mostListed)]
	for i, s := range list {
		list[i] = shortText(s)
	}
	return list
}

func shortText(s string) string {
	if len(s) <= mostOfOneText {
		return s
	}
	return strings.ToValidUTF8(s[:mostOfOneText], "") + "…"
}

func withoutLayers(r *policy.Report) {
	if r.Note == "" {
		r.Note = "the reasons had no room in the record: " + shortText(r.Message)
	}
	r.Layers, r.MissingContext, r.Diagnostics = nil, nil, nil
}

// grantedBy names what allowed: the statement of which policy, or the rule.
func grantedBy(v *authz.Verdict) string {
	d := &v.Decision
	st := d.Statement.Get()
	if st == nil {
		switch {
		case v.Principal.Type == session.Root:
			return "root user of the account"
		case d.Layer == policy.LayerNone:
			return "always allowed"
		}
		return d.Layer.String()
	}
	by := d.Statement.Policy.Name
	if by == "" {
		by = d.Statement.Policy.ARN
	}
	if d.Layer == policy.LayerTrust {
		by = "trust policy"
	}
	if st.Sid != "" {
		return by + ", statement " + st.Sid
	}
	return fmt.Sprintf("%s, statement %d", by, d.Statement.Index+1)
}
