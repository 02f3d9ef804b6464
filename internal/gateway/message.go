package gateway

import (
	"bytes"
	"cmp"
	"compress/flate"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/remit-ecs/remit/internal/api"
	"github.com/remit-ecs/remit/internal/authz"
	"github.com/remit-ecs/remit/internal/session"
	"github.com/remit-ecs/remit/policy"
)

// MessageHeader is the header of an answer that carries the message of a denial.
const MessageHeader = "X-Remit-Authorization-Message"

// AuthorizationMessage is what a denial tells those who may know its reasons:
// AWS's encoded authorization failure message. Whoever is denied gets it sealed;
// sts:DecodeAuthorizationMessage opens it for callers of the same account, and
// so does [OpenMessage]. It stands by itself: the decision as it was made,
// whatever has become of the policies.
//
// It has to fit into a header, of [session.MessageLength] characters. What does
// not, compressed, is left out, and LeftOut says so: first context keys, the
// largest first, then the reasons in detail, then statements, in the end part
// of the resource. The audit record of RequestID has no such limit.
//
// https://docs.aws.amazon.com/STS/latest/APIReference/API_DecodeAuthorizationMessage.html
type AuthorizationMessage struct {
	RequestID string    `json:"r"`
	Account   string    `json:"o"` // whose callers may open it: the denied caller's
	Region    string    `json:"g,omitempty"`
	Time      time.Time `json:"t"` // when the request arrived

	PrincipalID  string `json:"i,omitempty"` // as aws:userid has it
	PrincipalARN string `json:"p"`           // of a session its own; the name of a service
	RoleARN      string `json:"e,omitempty"` // of the role behind a session

	Action   string `json:"a"`
	Resource string `json:"n"`

	// Context are the condition keys of the request, by lower-case name.
	Context map[string][]string `json:"c,omitempty"`

	// Statements are those that denied, of layers the account has a right to
	// see; there are none for an implicit denial.
	Statements []MessageStatement `json:"s,omitempty"`

	// Reasons are the decision's. What policies of another account said is not
	// in them. Nil where even the shortest form had no room.
	Reasons *policy.Report `json:"w,omitempty"`

	LeftOut []string `json:"x,omitempty"` // what did not fit, for people
}

// MessageStatement is a statement that denied a request.
type MessageStatement struct {
	Policy     string             `json:"p,omitempty"` // ARN of a managed policy, name of an inline one
	Layer      string             `json:"l"`           // as policy.Layer spells it
	Sid        string             `json:"s,omitempty"`
	Index      int                `json:"i"` // in the document, from 0
	Actions    []string           `json:"a,omitempty"`
	Resources  []string           `json:"r,omitempty"`
	Conditions []MessageCondition `json:"c,omitempty"`
}

// MessageCondition is a condition of such a statement, which was met.
type MessageCondition struct {
	Operator string   `json:"o"`
	Key      string   `json:"k"`
	Values   []string `json:"v"`
}

// ErrMessage refuses what is no message that the account may open, in any way.
//
//lint:ignore ST1005 AWS's text
var ErrMessage = errors.New("Message is not valid")

// OpenMessage opens the message of a denial for an account; see
// [AuthorizationMessage]. The error is [ErrMessage].
func OpenMessage(s *session.Sealer, account, text string) (*AuthorizationMessage, error) {
	content, err := s.OpenMessage(text)
	if err != nil {
		return nil, ErrMessage
	}
	// What is sealed is ours, and still nothing may unfold for ever.
	plain, err := io.ReadAll(io.LimitReader(flate.NewReader(bytes.NewReader(content)), largestMessage+1))
	if err != nil || len(plain) > largestMessage {
		return nil, ErrMessage
	}
	return readMessage(plain, account)
}

// largestMessage bounds a message before compression.
const largestMessage = 16 << 10

// packed encodes and compresses the message, with as much of it as goes into
// limit bytes. Compression makes about a third of a message; what does not
// shrink so far is tried with less in it.
func (m *AuthorizationMessage) packed(limit int) []byte {
	const stored = 32 // what compression adds at the most
	for _, size := range []int{largestMessage, 4 * limit, 2 * limit, limit - stored} {
		if b := deflated(m.fit(size)); len(b) <= limit {
			return b
		}
	}
	panic("gateway: compression adds more than it may")
}

var deflaters = sync.Pool{New: func() any {
	w, err := flate.NewWriter(nil, flate.DefaultCompression)
	if err != nil {
		panic(err) // the level is one
	}
	return w
}}

func deflated(b []byte) []byte {
	w := deflaters.Get().(*flate.Writer)
	defer deflaters.Put(w)
	var out bytes.Buffer
	w.Reset(&out)
	_, _ = w.Write(b) // a Buffer takes everything
	_ = w.Close()
	return out.Bytes()
}

func readMessage(content []byte, account string) (*AuthorizationMessage, error) {
	m := &AuthorizationMessage{}
	if err := json.Unmarshal(content, m); err != nil || m.Account == "" || m.Account != account {
		return nil, ErrMessage
	}
	if r := m.Reasons; r != nil {
		r.Principal, r.Action, r.Resource = m.PrincipalARN, m.Action, m.Resource
	}
	return m, nil
}

// AuthorizationMessage is the sealed message of a denial, for services that
// have a place for it in their text, as EC2 has: an Ask's Refuse may call it.
// It is empty where there is nobody to whom it could be told.
func (c *Call) AuthorizationMessage(v *authz.Verdict) string {
	m := newMessage(c, v)
	if m == nil {
		return ""
	}
	text, err := c.g.Sealer.SealMessage(m.packed(session.MaxMessage))
	if err != nil {
		c.g.Log.Warn("authorization message", "request", c.RequestID, "error", err)
		return ""
	}
	return text
}

// tellWhy adds the message of a denial to the answer. Only denials pay for it.
func (c *Call) tellWhy(w http.ResponseWriter, err *api.Error) {
	if c.refusal != nil && c.refusal == err {
		if text := c.AuthorizationMessage(c.refused); text != "" {
			w.Header().Set(MessageHeader, text)
		}
	}
}

// newMessage tells all there is to tell; nil where the caller has no account.
func newMessage(c *Call, v *authz.Verdict) *AuthorizationMessage {
	m := &AuthorizationMessage{
		RequestID: c.RequestID, Account: accountOf(c), Region: c.Region, Time: c.Time.UTC().Truncate(time.Second),
		Action: v.Ask.Action, Resource: v.Ask.Resource, Context: maps.Clone(v.Context()),
	}
	if c.Principal == nil || m.Account == "" {
		return nil
	}
	p := v.Principal
	m.PrincipalID, m.PrincipalARN, m.RoleARN = p.UserID, p.ARN, p.RoleARN

	why := v.Reasons()
	for i := range why.Determining {
		if sr := &why.Determining[i]; !theirs(sr.Ref.Layer) || !foreign(v, m.Account) {
			m.Statements = append(m.Statements, messageStatement(sr))
		}
	}
	if foreign(v, m.Account) {
		for k := range m.Context { // tags of what is theirs
			if _, name, _ := strings.Cut(k, ":"); strings.HasPrefix(name, "resourcetag/") {
				delete(m.Context, k)
			}
		}
	}
	m.Reasons = why.Report()
	hideTheirs(m.Reasons, v, m.Account)
	m.Reasons.Message = v.Message()
	m.Reasons.Principal, m.Reasons.Action, m.Reasons.Resource = "", "", "" // said already; put back by readMessage
	if v.Gone {
		m.Reasons.Note = "the role or user behind the session no longer exists"
	}
	return m
}

// accountOf is whose business a call is: the account of its caller, or, of a
// service, the one that it acts in.
func accountOf(c *Call) string {
	if c.Principal != nil && c.Principal.Account != "" {
		return c.Principal.Account
	}
	return c.Account
}

// foreign reports whether the resource of a question is another account's.
func foreign(v *authz.Verdict, account string) bool {
	owner := v.ResourceAccount()
	return owner != "" && owner != "aws" && owner != account
}

// theirs reports whether policies of a layer belong to the resource's account.
func theirs(l policy.Layer) bool {
	return l == policy.LayerResource || l == policy.LayerTrust || l == policy.LayerRCP
}

// hideTheirs takes out of a report for an account what policies of the account
// that owns the resource say: a refused caller must not learn them, nor who else
// they speak of. It reports whether a statement there is what refused.
func hideTheirs(r *policy.Report, v *authz.Verdict, account string) bool {
	if !foreign(v, account) {
		return false
	}
	hidden := func(layer string) bool {
		return layer == policy.LayerResource.String() || layer == policy.LayerTrust.String() || layer == policy.LayerRCP.String()
	}
	r.Layers = slices.DeleteFunc(r.Layers, func(l policy.LayerReport) bool { return hidden(l.Layer) })
	r.ToAllow = slices.DeleteFunc(r.ToAllow, func(c policy.ChangeReport) bool {
		return hidden(c.Layer) && c.Kind != policy.AddStatement.String()
	})
	r.Diagnostics, r.MissingContext = nil, nil // they do not say whose policies they are about
	if !theirs(v.Decision.Layer) {
		return false
	}
	r.Decision, r.Layer = policy.ImplicitDeny.String(), ""
	r.Note = "it is for policies of the resource's account, " + v.ResourceAccount() + ", which are not shown"
	return v.Decision.Effect == policy.ExplicitDeny
}

func messageStatement(sr *policy.StatementReason) MessageStatement {
	st := sr.Statement()
	out := MessageStatement{Policy: cmp.Or(sr.Ref.Policy.ARN, sr.Ref.Policy.Name), Layer: sr.Ref.Layer.String(),
		Sid: st.Sid, Index: st.Index, Actions: st.Actions(), Resources: st.Resources()}
	for _, c := range sr.Conditions {
		out.Conditions = append(out.Conditions, MessageCondition{c.Operator, c.Key, c.Wanted})
	}
	return out
}

// fit encodes the message in at most limit bytes. The parts are taken in the
// order of their worth as long as there is room, so that the cost follows the
// size of the request once.
func (m *AuthorizationMessage) fit(limit int) []byte {
	if b := encoded(m); len(b) <= limit {
		return b
	}
	fitting := *m
	out := &fitting
	out.Context, out.Statements, out.Reasons = nil, nil, nil
	const note = 160 // for LeftOut, which is known last
	for len(encoded(out)) > limit-note && out.Resource != "" {
		out.Resource = strings.ToValidUTF8(out.Resource[:len(out.Resource)/2], "")
		out.LeftOut = []string{"the end of the resource"}
	}
	room := limit - note - len(encoded(out))
	take := func(v any) bool {
		const member = 8 // name, colon and comma
		n := len(encoded(v)) + member
		if n > room {
			return false
		}
		room -= n
		return true
	}
	for i := range m.Statements {
		if take(m.Statements[i]) {
			out.Statements = append(out.Statements, m.Statements[i])
		}
	}
	if n := len(m.Statements) - len(out.Statements); n > 0 {
		out.LeftOut = append(out.LeftOut, fmt.Sprintf("%d statements", n))
	}
	for i, r := range shorter(m.Reasons) {
		if take(r) {
			if out.Reasons = r; i > 0 {
				out.LeftOut = append(out.LeftOut, "details of the reasons")
			}
			break
		}
	}
	if out.Reasons == nil {
		out.LeftOut = append(out.LeftOut, "the reasons")
	}
	type entry struct {
		key  string
		size int
	}
	var entries []entry
	for k, v := range m.Context {
		n := len(k)
		for _, s := range v {
			n += len(s)
		}
		entries = append(entries, entry{k, n})
	}
	slices.SortFunc(entries, func(a, b entry) int { return cmp.Or(cmp.Compare(a.size, b.size), cmp.Compare(a.key, b.key)) })
	out.Context = map[string][]string{}
	for _, e := range entries {
		if e.size > room || !take(map[string][]string{e.key: m.Context[e.key]}) {
			continue
		}
		out.Context[e.key] = m.Context[e.key]
	}
	if n := len(entries) - len(out.Context); n > 0 {
		out.LeftOut = append(out.LeftOut, fmt.Sprintf("%d context keys", n))
	}
	return encoded(out)
}

// shorter are a report and ever shorter forms of it.
func shorter(full *policy.Report) []*policy.Report {
	if full == nil {
		return nil
	}
	plain := *full // layers and their verdicts, without the policies that were asked
	plain.Layers = nil
	for _, l := range full.Layers {
		if l.Verdict == policy.NotAsked.String() || l.Verdict == policy.Absent.String() {
			continue
		}
		l.Policies, l.Nearest = nil, l.Nearest[:min(len(l.Nearest), 1)]
		plain.Layers = append(plain.Layers, l)
	}
	bare := plain // verdicts alone, and what would allow
	bare.Layers = nil
	for _, l := range plain.Layers {
		l.Statements, l.Nearest = nil, nil
		bare.Layers = append(bare.Layers, l)
	}
	bare.MissingContext, bare.Diagnostics = nil, nil
	last := bare
	last.ToAllow = nil
	return []*policy.Report{full, &plain, &bare, &last}
}

// encoded is JSON with '<', '>' and '&' as they are.
func encoded(v any) []byte {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(v); err != nil {
		panic(err) // strings, numbers and times
	}
	return bytes.TrimSuffix(b.Bytes(), []byte("\n"))
}
