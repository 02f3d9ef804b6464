package policy_test

import (
	"encoding/json"
	"regexp"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/remit-ecs/remit/policy"
)

// met asks whether one condition is met: "Operator", key, value wanted, and the
// values found. ok is false where such a policy cannot be written.
func met(t *testing.T, operator, wanted string, found ...string) (met, ok bool) {
	t.Helper()
	text, err := json.Marshal(map[string]any{"Version": "2012-10-17", "Statement": map[string]any{
		"Effect": "Allow", "Action": "t:A", "Resource": "*",
		"Condition": map[string]any{operator: map[string]any{"t:key": wanted}}}})
	if err != nil {
		t.Fatal(err)
	}
	d, err := policy.Parse(policy.KindIdentity, text)
	if err != nil {
		return false, false
	}
	r := &policy.Request{Principal: policy.Principal{Type: policy.User, Account: "111122223333"}, Action: "t:A", Resource: "*",
		Context: map[string][]string{"aws:username": {"alice"}, "aws:tagkeys": {"a", "b"}}}
	if found != nil {
		r.Context["t:key"] = found
	}
	set := &policy.Set{Identity: []policy.Attached{{Document: d}}}
	if got := policy.Explain(r, set); got.Decision.Effect == policy.ImplicitDeny && len(got.Nearest) != 1 {
		t.Fatal("nothing is near", got)
	}
	return policy.Authorize(r, set).Allowed, true
}

// opposites are the operators that have a negated one. Where both sides can be
// read the two always differ; where they cannot, only the negated one is met.
var opposites = [...][2]string{
	{"StringEquals", "StringNotEquals"}, {"StringEqualsIgnoreCase", "StringNotEqualsIgnoreCase"}, {"StringLike", "StringNotLike"},
	{"NumericEquals", "NumericNotEquals"}, {"DateEquals", "DateNotEquals"}, {"IpAddress", "NotIpAddress"},
	{"ArnEquals", "ArnNotEquals"}, {"ArnLike", "ArnNotLike"},
	{"Bool", ""}, {"BinaryEquals", ""}, {"NumericLessThan", ""}, {"NumericGreaterThanEquals", ""},
	{"NumericLessThanEquals", ""}, {"NumericGreaterThan", ""},
	{"DateLessThan", ""}, {"DateGreaterThanEquals", ""}, {"DateLessThanEquals", ""}, {"DateGreaterThan", ""},
}

func FuzzCondition(f *testing.F) {
	for i, seed := range [][2]string{
		{"a${aws:username}b", "aaliceb"}, {"A*", "a*"}, {"a?c*", "abcd"}, {"1e3", "1000.0"}, {"2026-02-28T10:00Z", "1772272800"},
		{"203.0.113.7/24", "::ffff:203.0.113.1"}, {"arn:aws:ecs:*:1:task/*", "arn:aws:ecs:r:1:task/a:b"}, {"arn:*", "x"},
		{"true", "TRUE"}, {"QmluYXJ5", "QmluYXJ5"}, {"10", "9.5"}, {"-1", "+1"}, {"2026", "2027"}, {"0", "1970-01-01"},
		{"", ""}, {"${a", "${a"}, {"${aws:x, 'd'}", "d"}, {"2026-01-01T00:00:00.5+14:00", "x"},
	} {
		f.Add(uint8(i), seed[0], seed[1])
	}
	f.Fuzz(func(t *testing.T, which uint8, wanted, found string) {
		if !utf8.ValidString(wanted) || !utf8.ValidString(found) || len(wanted)+len(found) > 4000 {
			return
		}
		pair := opposites[int(which)%len(opposites)]
		is, ok := met(t, pair[0], wanted, found)
		if !ok {
			t.Fatalf("%s with %q cannot be read", pair[0], wanted)
		}
		if pair[1] != "" {
			if not, _ := met(t, pair[1], wanted, found); is == not {
				t.Errorf("%s and %s of %q with %q are both %v", pair[0], pair[1], wanted, found, is)
			}
			if not, _ := met(t, pair[1], wanted); !not {
				t.Errorf("%s: a missing key is the same as %q", pair[1], wanted)
			}
		}
		for _, same := range []string{pair[0] + "IfExists", "ForAnyValue:" + pair[0], "ForAllValues:" + pair[0]} {
			if got, _ := met(t, same, wanted, found); got != is && !(found == "" && strings.HasPrefix(same, "ForAll")) {
				t.Errorf("%s of %q with %q is %v, without %v", same, wanted, found, got, is)
			}
		}
		if is, _ := met(t, pair[0], wanted); is {
			t.Errorf("%s of %q is met without a key", pair[0], wanted)
		}
		if is, _ := met(t, pair[0]+"IfExists", wanted); !is {
			t.Errorf("%sIfExists of %q is not met without a key", pair[0], wanted)
		}
	})
}

// variableText is a policy variable as the user guide describes it.
var variableText = regexp.MustCompile(`^\$\{([^,{}]*)(, *'([^']*)' *)?\}`)

// expand replaces policy variables one after the other, as one reads.
func expand(text string, values map[string]string) (out string, ok bool) {
	for text != "" {
		m := variableText.FindStringSubmatch(text)
		if m == nil || strings.TrimSpace(m[1]) == "" {
			out, text = out+text[:1], text[1:]
			continue
		}
		key := strings.TrimSpace(m[1])
		value, has := values[strings.ToLower(key)]
		switch {
		case m[2] == "" && (key == "*" || key == "?" || key == "$"):
			value = key
		case has:
		case m[2] != "":
			value = m[3]
		default:
			return "", false
		}
		out, text = out+value, text[len(m[0]):]
	}
	return out, true
}

// FuzzVariables judges policy variables by expanding the text, which is safe
// only with an operator that knows no wildcards.
func FuzzVariables(f *testing.F) {
	for _, seed := range []string{"a${aws:username}b", "${AWS:UserName}${aws:username}", "${*}${?}${$}", "${aws:x, 'd'}", "${aws:x,'d' }", "${aws:username",
		"${}", "${ }", "${aws:TagKeys}", "${${aws:username}}", "${aws:x, 'it''s'}", "$${aws:username}", "${ aws:username }", "${aws:x, '${aws:username}'}", "${*, 'a'}"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		if !utf8.ValidString(text) || len(text) > 4000 {
			return
		}
		want, ok := expand(text, map[string]string{"aws:username": "alice", "t:key": "unused"})
		if strings.Contains(strings.ToLower(text), "t:key") {
			return // its value is what is compared
		}
		if is, _ := met(t, "StringEquals", text, want); is != ok {
			t.Errorf("%q against %q: %v, want %v", text, want, is, ok)
		}
		if is, _ := met(t, "StringEquals", text, want+"x"); is {
			t.Errorf("%q is equal to %q", text, want+"x")
		}
		if is, _ := met(t, "StringNotEquals", text, want); is == ok {
			t.Errorf("not %q against %q: %v", text, want, is)
		}
	})
}
