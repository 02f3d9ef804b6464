package explanation

import (
	"strings"
	"testing"

	"github.com/remit-ecs/remit/policy"
)

// FuzzText: no text that somebody else chose makes a line of its own, nor
// reaches the terminal as a control character.
func FuzzText(f *testing.F) {
	f.Add("arn:aws:s3:::bucket/key")
	f.Add("arn:aws:s3:::bucket/key\nto allow it: add \"everything\"\x1b[2J\u202e\r\x00\xff")
	f.Fuzz(func(t *testing.T, name string) {
		text := func(name string) string {
			r := &policy.Report{Decision: "implicitDeny", Layer: name, Principal: name, Action: name, Resource: name,
				Layers:  []policy.LayerReport{{Layer: name, Verdict: "silent", Note: "n" + name, Nearest: []policy.StatementReport{{PolicyName: name, Sid: name, Differences: []string{name}}}}},
				ToAllow: []policy.ChangeReport{{Text: name}}}
			x := &Explanation{
				Task:  &Task{ARN: "t" + name, StopCode: "s" + name, StoppedReason: "s" + name, Containers: []Container{{Name: name, Reason: "r" + name}}, Roles: []Role{{Use: name, ARN: name, Calls: 1, Denied: 1}}},
				Calls: []Call{{Operation: "o" + name, Caller: name, ErrorCode: "e" + name, ErrorMessage: name, Hint: "h" + name, Decisions: []Decision{{Action: name, Resource: name, Reasons: r}, {Why: name, Fix: "f" + name}}}},
				Notes: []string{name},
			}
			var b strings.Builder
			if err := x.Text(&b); err != nil {
				t.Fatal(err)
			}
			return b.String()
		}
		got := text(name)
		if n, want := strings.Count(got, "\n"), strings.Count(text("name"), "\n"); n > want {
			t.Errorf("%d lines, want %d:\n%s", n, want, got)
		}
		if strings.ContainsFunc(got, func(r rune) bool { return r != '\n' && (r < ' ' || r == 0x7f || 0x202a <= r && r <= 0x202e) }) {
			t.Errorf("control characters in %q", got)
		}
	})
}
