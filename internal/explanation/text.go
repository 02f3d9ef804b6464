package explanation

import (
	"encoding/json"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"
	"unicode"
)

// Text prints the explanation for people.
func (x *Explanation) Text(w io.Writer) error {
	x, err := x.printable()
	if err != nil {
		return err
	}
	var b strings.Builder
	if x.Task != nil {
		x.Task.text(&b)
		switch n := x.Task.denied(); {
		case n == 0:
			b.WriteString("\nNo call of its roles was denied.\n")
		case n == 1:
			b.WriteString("\nOne was denied:\n")
		default:
			fmt.Fprintf(&b, "\n%d were denied:\n", n)
		}
	}
	for i := range x.Calls {
		if i > 0 || x.Task != nil {
			b.WriteString("\n")
		}
		x.Calls[i].text(&b)
	}
	for _, n := range x.Notes {
		b.WriteString("note: " + n + "\n")
	}
	_, err = io.WriteString(w, b.String())
	return err
}

func (t *Task) denied() int {
	n := 0
	for _, r := range t.Roles {
		n += r.Denied
	}
	return n
}

func (t *Task) text(b *strings.Builder) {
	if t.ARN != "" {
		fmt.Fprintf(b, "task %s is %s", t.ARN, t.Status)
		if t.StopCode != "" {
			fmt.Fprintf(b, " (%s)", t.StopCode)
		}
		b.WriteString("\n")
	}
	if t.StoppedReason != "" {
		b.WriteString("  " + t.StoppedReason + "\n")
	}
	for _, c := range t.Containers {
		var parts []string
		if c.ExitCode != nil {
			parts = append(parts, fmt.Sprintf("exited with %d", *c.ExitCode))
		}
		if c.Reason != "" && !strings.Contains(t.StoppedReason, c.Reason) {
			parts = append(parts, c.Reason)
		}
		if len(parts) > 0 {
			fmt.Fprintf(b, "  container %s: %s\n", c.Name, strings.Join(parts, ": "))
		}
	}
	for _, r := range t.Roles {
		who := r.Use
		if r.ARN != "" {
			who += " " + r.ARN
		}
		fmt.Fprintf(b, "  %s: %s, %d denied\n", who, calls(r.Calls), r.Denied)
	}
}

func calls(n int) string {
	if n == 1 {
		return "1 call"
	}
	return strconv.Itoa(n) + " calls"
}

func (c *Call) text(b *strings.Builder) {
	if c.Operation != "" {
		who := c.Caller
		if who == "" {
			who = "somebody unknown"
		}
		if c.Role != "" {
			who = "the " + strings.TrimPrefix(c.Role, "the ")
			if c.Role == UseOther || c.Role == UseECS {
				who = c.Caller
			}
		}
		fmt.Fprintf(b, "%s by %s", c.Operation, who)
		if c.Time != nil {
			fmt.Fprintf(b, " at %s", c.Time.UTC().Format(time.RFC3339))
		}
		if c.RequestID != "" {
			fmt.Fprintf(b, ", request %s", c.RequestID)
		}
		if c.Count > 1 {
			fmt.Fprintf(b, ", and %d more like it", c.Count-1)
		}
		b.WriteString("\n")
	}
	if c.ErrorCode != "" {
		fmt.Fprintf(b, "answered %s: %s\n", c.ErrorCode, c.ErrorMessage)
	}
	if c.Hint != "" {
		b.WriteString("  " + c.Hint + "\n")
	}
	if c.Mode != "" && len(c.denied()) > 0 {
		fmt.Fprintf(b, "With --iam %s it went on all the same.\n", c.Mode)
	}
	for i := range c.Decisions {
		d := &c.Decisions[i]
		switch {
		case d.Reasons != nil:
			b.WriteString(d.Reasons.Tree())
		case d.Allowed:
			fmt.Fprintf(b, "allowed: %s on %s by %s (%s)\n", d.Action, d.Resource, d.Principal, d.Why)
		default:
			fmt.Fprintf(b, "denied: %s\n", d.Why)
			if d.Fix != "" {
				fmt.Fprintf(b, "to allow it: %s\n", d.Fix)
			}
		}
	}
}

// printable is a copy of the explanation with every text on one line and
// harmless for a terminal: a container or a caller chose many of them, and none
// may pass for a line of ours.
func (x *Explanation) printable() (*Explanation, error) {
	text, err := json.Marshal(x)
	if err != nil {
		return nil, err
	}
	var v any
	if err := json.Unmarshal(text, &v); err != nil {
		return nil, err
	}
	if text, err = json.Marshal(oneLine(v)); err != nil {
		return nil, err
	}
	out := &Explanation{}
	return out, json.Unmarshal(text, out)
}

// oneLine does it for all texts within a JSON value.
func oneLine(v any) any {
	switch v := v.(type) {
	case map[string]any:
		for k, e := range v {
			v[k] = oneLine(e)
		}
	case []any:
		for i, e := range v {
			v[i] = oneLine(e)
		}
	case string:
		return strings.Map(func(r rune) rune {
			switch {
			case r == '\n' || r == '\r' || r == '\t':
				return ' '
			case unicode.IsPrint(r):
				return r
			}
			return unicode.ReplacementChar
		}, v)
	}
	return v
}
