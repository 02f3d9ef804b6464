package gateway

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/remit-ecs/remit/internal/session"
	"github.com/remit-ecs/remit/policy"
)

func someMessage() *AuthorizationMessage {
	return &AuthorizationMessage{
		RequestID: "0f2e4ba8-7f0e-4c38-8ad3-1f8ad67ccd31", Account: "111122223333", Region: "eu-west-1", Time: time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC),
		PrincipalID: "AROAEXAMPLEEXAMPLE22:task", PrincipalARN: "arn:aws:sts::111122223333:assumed-role/app/task", RoleARN: "arn:aws:iam::111122223333:role/app",
		Action: "s3:GetObject", Resource: "arn:aws:s3:::bucket/key",
		Context:    map[string][]string{"aws:currenttime": {"2026-01-02T03:04:05Z"}, "aws:tagkeys": {"a", "b"}},
		Statements: []MessageStatement{{Policy: "p", Layer: "identity-based policy", Sid: "No", Actions: []string{"s3:*"}, Resources: []string{"*"}}},
		Reasons:    &policy.Report{Decision: "explicitDeny", Layer: "identity-based policy", Message: "User: ..."},
	}
}

// TestMessageFits: whatever a request brings, the message fits, keeps what it is
// about, and says what it left out.
func TestMessageFits(t *testing.T) {
	const limit = session.MaxMessage
	whole := someMessage()
	got, err := readMessage(whole.fit(limit), whole.Account)
	want := someMessage()
	want.Reasons.Principal, want.Reasons.Action, want.Reasons.Resource = want.PrincipalARN, want.Action, want.Resource
	if err != nil || string(encoded(got)) != string(encoded(want)) || got.LeftOut != nil {
		t.Fatalf("%+v %v", got, err)
	}
	for name, c := range map[string]struct {
		change func(m *AuthorizationMessage)
		left   string
		kept   func(m *AuthorizationMessage) bool
	}{
		"a large header": {func(m *AuthorizationMessage) { m.Context["aws:useragent"] = []string{strings.Repeat("u", 1<<20)} }, "1 context keys",
			func(m *AuthorizationMessage) bool {
				return len(m.Context) == 2 && len(m.Statements) == 1 && m.Reasons != nil
			}},
		"many keys": {func(m *AuthorizationMessage) {
			for i := range 5000 {
				m.Context[fmt.Sprintf("kms:encryptioncontext:%d", i)] = []string{"v"}
			}
		}, "context keys", func(m *AuthorizationMessage) bool {
			return len(m.Context) > 10 && len(m.Statements) == 1 && m.Reasons != nil
		}},
		"a long resource": {func(m *AuthorizationMessage) { m.Resource += strings.Repeat("<\x01é", 2000) }, "the end of the resource",
			func(m *AuthorizationMessage) bool { return strings.HasPrefix(m.Resource, "arn:aws:s3:::bucket/key") }},
		"a long statement": {func(m *AuthorizationMessage) {
			m.Statements = append(m.Statements, MessageStatement{Actions: []string{strings.Repeat("a", 5000)}})
		}, "1 statements", func(m *AuthorizationMessage) bool { return len(m.Statements) == 1 && m.Statements[0].Sid == "No" }},
		"long reasons": {func(m *AuthorizationMessage) {
			m.Reasons.Layers = []policy.LayerReport{{Layer: "identity-based policy", Verdict: "denies", Policies: slices.Repeat([]string{"arn:aws:iam::111122223333:policy/p"}, 200)}}
		}, "details of the reasons", func(m *AuthorizationMessage) bool {
			return m.Reasons.Decision == "explicitDeny" && len(m.Reasons.Layers) == 1 && len(m.Reasons.Layers[0].Policies) == 0
		}},
		"endless reasons": {func(m *AuthorizationMessage) { m.Reasons.Message = strings.Repeat("m", 5000) }, "the reasons", func(m *AuthorizationMessage) bool { return m.Reasons == nil }},
	} {
		m := someMessage()
		c.change(m)
		b := m.fit(limit)
		got, err := readMessage(b, m.Account)
		if err != nil || len(b) > limit {
			t.Errorf("%s: %d bytes, %v", name, len(b), err)
			continue
		}
		if packed := m.packed(limit); len(packed) > limit {
			t.Errorf("%s: packed to %d bytes", name, len(packed))
		}
		if !strings.Contains(strings.Join(got.LeftOut, ", "), c.left) || !c.kept(got) || got.RequestID == "" || got.Action == "" || got.PrincipalARN == "" {
			t.Errorf("%s: %s", name, b)
		}
	}
}

func TestMessageOfAnotherAccount(t *testing.T) {
	b := someMessage().fit(session.MaxMessage)
	for _, account := range []string{"", "444455556666", "11112222333"} {
		if _, err := readMessage(b, account); err != ErrMessage {
			t.Errorf("%q: %v", account, err)
		}
	}
	if _, err := readMessage([]byte(`{"r":"x"}`), ""); err != ErrMessage {
		t.Error("a message of nobody was read")
	}
}

// FuzzReadMessage: what was read can be written again, and fits.
func FuzzReadMessage(f *testing.F) {
	f.Add(encoded(someMessage()))
	f.Add([]byte(`{"o":"111122223333","t":"2026-01-02T03:04:05Z","c":{"k":null},"w":{"layers":[{}]}}`))
	f.Add([]byte(`{"o":"111122223333","n":"` + strings.Repeat(`\u0001`, 4000) + `"}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		m, err := readMessage(b, "111122223333")
		if err != nil {
			if err != ErrMessage {
				t.Fatal(err)
			}
			return
		}
		if m.Reasons != nil {
			_ = m.Reasons.Tree()
		}
		for _, s := range []*string{&m.RequestID, &m.Region, &m.PrincipalID, &m.PrincipalARN, &m.RoleARN, &m.Action} {
			*s = (*s)[:min(len(*s), 16)] // the gateway's own, and bounded
		}
		if m.Time = m.Time.UTC(); m.Time.Year() < 0 || m.Time.Year() > 9999 { // JSON has no such times
			t.Skip()
		}
		m.LeftOut = nil
		again := m.fit(session.MaxMessage)
		if len(again) > session.MaxMessage || len(m.packed(session.MaxMessage)) > session.MaxMessage {
			t.Fatalf("%d bytes", len(again))
		}
		if _, err := readMessage(again, "111122223333"); err != nil {
			t.Fatalf("%v: %s", err, again)
		}
	})
}
