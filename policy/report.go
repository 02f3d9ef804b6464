package policy

import (
	"encoding/json"
	"fmt"
	"strings"
)

// Report is Reasons as plain data: their JSON form. It stands by itself, so a
// record that kept it explains a past decision as it was made, also when the
// policies have changed since: unmarshal it and call Tree. The names of its
// fields do not change.
type Report struct {
	// Decision is "allowed", "explicitDeny" or "implicitDeny", as in policy
	// simulation, and Layer the kind of policy that decided, in the words of
	// AWS's denials: "identity-based policy".
	Decision string `json:"decision"`
	Layer    string `json:"layer,omitempty"`

	Principal    string `json:"principal"` // ARN, service or provider; "anonymous"
	Action       string `json:"action"`
	Resource     string `json:"resource"`
	CrossAccount bool   `json:"crossAccount,omitempty"`

	// Message is AWS's one line about a denial.
	Message string `json:"message,omitempty"`

	// Note is what no layer says: that an action needs no permission.
	Note string `json:"note,omitempty"`

	Layers         []LayerReport `json:"layers,omitempty"`
	MissingContext []string      `json:"missingContext,omitempty"`
	Diagnostics    []string      `json:"diagnostics,omitempty"` // what could not be read

	// ToAllow are the changes that, made together, would allow the request.
	ToAllow []ChangeReport `json:"toAllow,omitempty"`
}

// LayerReport is a LayerReason as plain data.
type LayerReport struct {
	Layer      string            `json:"layer"`
	Verdict    string            `json:"verdict"` // a Verdict's name: "allows", "silent", ...
	Decided    bool              `json:"decided,omitempty"`
	Note       string            `json:"note,omitempty"`
	Policies   []string          `json:"policies,omitempty"` // ARNs, or names of inline policies
	Statements []StatementReport `json:"statements,omitempty"`
	Nearest    []StatementReport `json:"nearest,omitempty"`
}

// StatementReport is a StatementReason as plain data.
type StatementReport struct {
	PolicyARN   string            `json:"policyArn,omitempty"`
	PolicyName  string            `json:"policyName,omitempty"`
	Sid         string            `json:"sid,omitempty"`
	Index       int               `json:"index"` // in the document, from 0
	Effect      string            `json:"effect"`
	Start       Position          `json:"start"` // of the opening brace
	End         Position          `json:"end"`   // behind the closing one
	Action      bool              `json:"action"`
	Resource    bool              `json:"resource"`
	Principal   bool              `json:"principal"`
	Conditions  []ConditionReport `json:"conditions,omitempty"`
	Differences []string          `json:"differences,omitempty"`
}

// ConditionReport is a ConditionReason as plain data.
type ConditionReport struct {
	Operator string   `json:"operator"`
	Key      string   `json:"key"`
	Wanted   []string `json:"wanted"`
	Means    []string `json:"means,omitempty"`
	Found    []string `json:"found,omitempty"`
	Negated  bool     `json:"negated,omitempty"`
	Met      bool     `json:"met"`
	Note     string   `json:"note,omitempty"`
}

// ChangeReport is a Change as plain data.
type ChangeReport struct {
	Kind      string          `json:"kind"` // a ChangeKind's name
	Layer     string          `json:"layer"`
	Of        string          `json:"of,omitempty"`
	Level     int             `json:"level,omitempty"`
	PolicyARN string          `json:"policyArn,omitempty"`
	Policy    string          `json:"policyName,omitempty"`
	Statement json.RawMessage `json:"statement,omitempty"`
	Sid       string          `json:"sid,omitempty"`
	Index     *int            `json:"index,omitempty"`
	Start     *Position       `json:"start,omitempty"`
	Text      string          `json:"text"` // the change as a sentence
}

// MarshalJSON writes the Report.
func (w *Reasons) MarshalJSON() ([]byte, error) { return json.Marshal(w.Report()) }

// Report is the reasons as plain data.
func (w *Reasons) Report() *Report {
	d, r := &w.Decision, w.request
	out := &Report{
		Decision: d.Effect.String(), Principal: r.Principal.label(), Action: r.Action, Resource: r.Resource,
		CrossAccount: d.CrossAccount, Message: w.Message(), MissingContext: w.MissingContext,
	}
	if d.Layer != LayerNone {
		out.Layer = d.Layer.String()
	}
	switch {
	case d.Allowed && d.Layer == LayerNone:
		out.Note = r.Action + " needs no permission"
	case d.Layer == LayerProtected:
		out.Note = "AWS owns " + r.Resource + ", and no policy lets anybody change it"
	}
	for i := range w.Layers {
		l := &w.Layers[i]
		lr := LayerReport{Layer: l.Layer.String(), Verdict: l.Verdict.String(), Decided: l.Decided, Note: l.Note,
			Statements: statementReports(l.Statements), Nearest: statementReports(l.Nearest)}
		for _, a := range l.Policies {
			lr.Policies = append(lr.Policies, a.label())
		}
		out.Layers = append(out.Layers, lr)
	}
	for _, diag := range d.Diagnostics {
		out.Diagnostics = append(out.Diagnostics, diag.String())
	}
	for _, c := range w.Changes() {
		out.ToAllow = append(out.ToAllow, c.report())
	}
	return out
}

func statementReports(list []StatementReason) []StatementReport {
	var out []StatementReport
	for i := range list {
		sr := &list[i]
		st := sr.Statement()
		r := StatementReport{PolicyARN: sr.Ref.Policy.ARN, PolicyName: sr.Ref.Policy.Name, Sid: st.Sid, Index: st.Index,
			Effect: st.Effect, Start: st.Start, End: st.End, Action: sr.Action, Resource: sr.Resource, Principal: sr.Principal,
			Differences: sr.Differences}
		for _, c := range sr.Conditions {
			r.Conditions = append(r.Conditions, ConditionReport(c))
		}
		out = append(out, r)
	}
	return out
}

func (c *Change) report() ChangeReport {
	r := ChangeReport{Kind: c.Kind.String(), Layer: c.Layer.String(), Of: c.Of, Level: c.Level, Text: c.String()}
	if c.Policy != nil {
		r.PolicyARN, r.Policy = c.Policy.ARN, c.Policy.Name
	}
	if c.Statement != "" {
		r.Statement = json.RawMessage(c.Statement)
	}
	if st := c.Ref.Get(); st != nil {
		r.Sid, r.Index, r.Start = st.Sid, &st.Index, &st.Start
	}
	return r
}

// Tree is the reasons for people: the decision, each layer with what it said
// and the statements behind it, and what would allow the request.
func (w *Reasons) Tree() string { return w.Report().Tree() }

// Tree draws the report; see [Reasons.Tree].
func (r *Report) Tree() string {
	var b strings.Builder
	on := r.Action + " on " + r.Resource + " by " + r.Principal
	switch {
	case r.Decision == Allowed.String() && r.Note != "":
		fmt.Fprintf(&b, "allowed: %s\n", r.Note)
	case r.Decision == Allowed.String():
		fmt.Fprintf(&b, "allowed by the %s: %s\n", r.Layer, on)
	case r.Note != "":
		fmt.Fprintf(&b, "denied: %s\n", r.Note)
	case r.Decision == ExplicitDeny.String():
		fmt.Fprintf(&b, "explicit deny in the %s: %s\n", r.Layer, on)
	default:
		fmt.Fprintf(&b, "implicit deny: no %s allows %s\n", r.Layer, on)
	}
	for i := range r.Layers {
		edge, stem := "├─ ", "│  "
		if i == len(r.Layers)-1 {
			edge, stem = "└─ ", "   "
		}
		l := &r.Layers[i]
		b.WriteString(edge + l.head() + "\n")
		for j := range l.Statements {
			s := &l.Statements[j]
			fmt.Fprintf(&b, "%s   %s in %s\n", stem, s.Effect, s.label())
			for k := range s.Conditions {
				fmt.Fprintf(&b, "%s     %s\n", stem, ConditionReason(s.Conditions[k]))
			}
		}
		for j := range l.Nearest {
			s := &l.Nearest[j]
			fmt.Fprintf(&b, "%s   nearest: %s\n", stem, s.label())
			for _, text := range s.Differences {
				fmt.Fprintf(&b, "%s     %s\n", stem, text)
			}
		}
	}
	for _, text := range r.Diagnostics {
		fmt.Fprintf(&b, "unreadable, so denied: %s\n", text)
	}
	for i := range r.ToAllow {
		lead := "to allow it: "
		if i > 0 {
			lead = "        and: "
		}
		b.WriteString(lead + r.ToAllow[i].Text + "\n")
	}
	return b.String()
}

// verdictTexts are the verdicts in the tree.
var verdictTexts = map[string]string{
	"notAsked": "not asked", "absent": "none", "allows": "allows", "silent": "does not allow",
	"denies": "denies", "unreadable": "cannot be read",
}

// head is the line of a layer.
func (l *LayerReport) head() string {
	text := l.Layer + ": " + verdictTexts[l.Verdict]
	if l.Note != "" {
		text += " (" + l.Note + ")"
	}
	if l.Decided {
		text += "  <- decides"
	}
	return text
}

// label names the statement and where it stands.
func (s *StatementReport) label() string {
	a := Attached{ARN: s.PolicyARN, Name: s.PolicyName}
	st := Statement{Sid: s.Sid, Index: s.Index, Start: s.Start}
	return a.label() + ", " + st.label()
}
