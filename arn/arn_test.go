package arn_test

import (
	"fmt"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/remit-ecs/remit/arn"
)

func ExampleMatch() {
	fmt.Println(arn.Match("arn:aws:logs:*:111122223333:log-group:/ecs/*",
		"arn:aws:logs:eu-west-1:111122223333:log-group:/ecs/web:log-stream:web/app/9781"))
	fmt.Println(arn.Match("arn:aws:ecs:*:111122223333:cluster/prod",
		"arn:aws:ecs:eu-west-1:111122223333:cluster/production"))
	// Output:
	// true
	// false
}

func ExampleParse() {
	a, err := arn.Parse("arn:aws:iam::111122223333:role/apps/web")
	fmt.Println(a.Account, a.Name(), err)
	// Output: 111122223333 web <nil>
}

func TestParse(t *testing.T) {
	for _, tc := range []struct {
		in       string
		want     arn.ARN
		typ, id  string
		lastName string
	}{
		{"arn:aws:ecs:eu-west-1:111122223333:task/prod/9781", arn.ARN{Partition: "aws", Service: "ecs", Region: "eu-west-1", Account: "111122223333", Resource: "task/prod/9781"}, "task", "prod/9781", "9781"},
		{"arn:aws:s3:::bucket", arn.ARN{Partition: "aws", Service: "s3", Resource: "bucket"}, "", "bucket", "bucket"},
		{"arn:aws:logs:us-east-1:1:log-group:/ecs/web:*", arn.ARN{Partition: "aws", Service: "logs", Region: "us-east-1", Account: "1", Resource: "log-group:/ecs/web:*"}, "log-group", "/ecs/web:*", "*"},
		{"arn:aws-cn:iam::111122223333:root", arn.ARN{Partition: "aws-cn", Service: "iam", Account: "111122223333", Resource: "root"}, "", "root", "root"},
	} {
		got, err := arn.Parse(tc.in)
		if err != nil || got != tc.want {
			t.Errorf("Parse(%q) = %+v, %v", tc.in, got, err)
		}
		if got.String() != tc.in {
			t.Errorf("String() = %q, want %q", got.String(), tc.in)
		}
		if typ, id := got.Type(); typ != tc.typ || id != tc.id {
			t.Errorf("Type(%q) = %q, %q", tc.in, typ, id)
		}
		if got.Name() != tc.lastName {
			t.Errorf("Name(%q) = %q", tc.in, got.Name())
		}
	}
	for _, in := range []string{"", "*", "arn", "arn:aws:s3", "arn:aws:s3:::", "arn::s3:::b", "arn:aws::::b", "aws:arn:s3:::b", "ARN:aws:s3:::b"} {
		if a, err := arn.Parse(in); err == nil {
			t.Errorf("Parse(%q) = %+v, want an error", in, a)
		}
	}
}

func TestMatch(t *testing.T) {
	for _, tc := range []struct {
		pattern, value string
		want           bool
	}{
		{"*", "*", true},
		{"*", "arn:aws:s3:::b", true},
		{"arn:*", "*", false},
		{"arn:aws:s3:::*", "*", false},
		{"", "", false},
		{"", "arn:aws:s3:::b", false},
		{"arn:aws:s3:::b", "arn:aws:s3:::b", true},
		{"arn:aws:s3:::B", "arn:aws:s3:::b", false},
		{"arn:aws:s3:::b/*", "arn:aws:s3:::b/x/y:z", true},
		{"arn:aws:s3:::b/*", "arn:aws:s3:::b", false},
		{"arn:aws:s3:::b/?", "arn:aws:s3:::b/é", true},
		{"arn:aws:s3:::b/??", "arn:aws:s3:::b/é", false},
		{"arn:aws:s3:::b/*??", "arn:aws:s3:::b/€", false},
		// In the sixth part the star crosses colons.
		{"arn:aws:logs:eu-west-1:1:log-group:/ecs/*", "arn:aws:logs:eu-west-1:1:log-group:/ecs/web:log-stream:x", true},
		// A star at the end of a part may cross the colon, ...
		{"arn:aws:logs:*:1:log-group:web", "arn:aws:logs:eu-west-1:9:1:log-group:web", true},
		{"arn:aws:logs:eu-*:1:log-group:web", "arn:aws:logs:eu-west-1:9:1:log-group:web", true},
		// ... one in the middle of a part may not.
		{"arn:aws:logs:e*1:1:log-group:web", "arn:aws:logs:eu:x1:1:log-group:web", false},
		{"arn:aws:ecs:*-1:1:cluster/a", "arn:aws:ecs:eu-west-1:1:cluster/a", true},
		{"arn:aws:s3:?:1:b", "arn:aws:s3:::1:b", false},
		// Fewer than six parts are completed with "*".
		{"arn:aws:s3:*", "arn:aws:s3:::b/k", true},
		{"arn:aws:s3", "arn:aws:s3:::b/k", true},
		{"arn:aws:s3", "arn:aws:s3express:::b", false},
		{"arn:aws:ecs:*:task/prod", "arn:aws:ecs:eu-west-1:1:task/prod", false},
		{"arn:aws:ecs:eu-west-1", "arn:aws:ecs:us-east-1:1:cluster/a", false},
	} {
		if got := arn.Match(tc.pattern, tc.value); got != tc.want {
			t.Errorf("Match(%q, %q) = %v, want %v", tc.pattern, tc.value, got, tc.want)
		}
		if got := naive(arn.Resource, tc.pattern, tc.value); got != tc.want {
			t.Errorf("the naive matcher: (%q, %q) = %v, want %v", tc.pattern, tc.value, got, tc.want)
		}
	}
}

func TestPartsPattern(t *testing.T) {
	for _, tc := range []struct {
		pattern, value string
		want           bool
	}{
		{"arn:aws:ecs:*:1:*", "arn:aws:ecs:eu-west-1:1:task/x:y", true},
		{"arn:aws:ecs:*", "arn:aws:ecs:eu-west-1:1:task/x", false},
		{"*", "arn:aws:ecs:eu-west-1:1:task/x", false},
		{"arn:aws:ecs:*:task", "arn:aws:ecs:eu-west-1:1:task", false},
		{"arn:aws:*:*:*:*", "not an arn", false},
		{"*:*:*:*:*:*", "a:b:c:d:e:f", false},
		{"arn:aws:s3:::b", "arn:aws:s3:::b", true},
	} {
		if got := arn.Compile(arn.Parts, tc.pattern).Match(tc.value); got != tc.want {
			t.Errorf("%q, %q: %v, want %v", tc.pattern, tc.value, got, tc.want)
		}
	}
}

func TestMatchFilled(t *testing.T) {
	p := arn.CompileParts(arn.Resource,
		arn.Part{Text: "arn:aws:s3:::b/"}, arn.Part{Kind: arn.Hole}, arn.Part{Text: "/*"}, arn.Part{Kind: arn.Literal, Text: "*"})
	for _, tc := range []struct {
		value, fill string
		want        bool
	}{
		{"arn:aws:s3:::b/alice/x*", "alice", true},
		{"arn:aws:s3:::b/alice/x", "alice", false},
		{"arn:aws:s3:::b/alice/x*", "*", false},
		{"arn:aws:s3:::b/*/x*", "*", true},
	} {
		if got := p.MatchFilled(tc.value, tc.fill); got != tc.want {
			t.Errorf("%q filled with %q: %v", tc.value, tc.fill, got)
		}
	}
	if p.Match("arn:aws:s3:::b//x*") {
		t.Error("an unfilled hole must not match")
	}
	// A filling that is an ARN itself brings the colons of a Parts pattern.
	q := arn.CompileParts(arn.Parts, arn.Part{Kind: arn.Hole}, arn.Part{Text: "/*"})
	if !q.MatchFilled("arn:aws:ecs:r:1:task/a/b:c", "arn:aws:ecs:r:1:task/a") {
		t.Error("a filling that is an ARN must bring its colons")
	}
}

func TestGlob(t *testing.T) {
	for _, tc := range []struct {
		pattern, value string
		want           bool
	}{
		{"", "", true}, {"", "a", false}, {"*", "", true}, {"?", "", false},
		{"a*b?c", "axxb\nc", true}, {"a*b?c", "ab:c", true}, {"**a", "ba", true}, {"a", "A", false},
	} {
		if got := arn.Glob(tc.pattern, tc.value); got != tc.want {
			t.Errorf("Glob(%q, %q) = %v", tc.pattern, tc.value, got)
		}
	}
}

// A pattern that makes naive matchers explode must be answered at once.
func TestMatchIsNotExponential(t *testing.T) {
	start := time.Now()
	arn.Match("arn:aws:s3:::"+strings.Repeat("a*", 500)+"b", "arn:aws:s3:::"+strings.Repeat("a", 2000))
	arn.Match("arn:*:*:*:*:"+strings.Repeat("a*", 300)+"b", "arn:"+strings.Repeat("a:", 1000))
	arn.Match(strings.Repeat("a*", 300)+"b", strings.Repeat("a:", 1000))
	if d := time.Since(start); d > 2*time.Second {
		t.Errorf("took %v", d)
	}
}

func TestMatchDoesNotAllocate(t *testing.T) {
	if n := testing.AllocsPerRun(100, func() {
		arn.Match("arn:aws:logs:*:111122223333:log-group:/ecs/*", "arn:aws:logs:eu-west-1:111122223333:log-group:/ecs/web:log-stream:x")
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

// naive is the rule written down as it is told, trying everything.
func naive(style arn.Style, pattern, value string) bool {
	if style == arn.Resource {
		if strings.Trim(pattern, "*") == "" && pattern != "" {
			return true
		}
		for strings.Count(pattern, ":") < 5 {
			pattern += ":*"
		}
	}
	if style == arn.Parts && (strings.Count(pattern, ":") < 5 || strings.Count(value, ":") < 5 || !strings.HasPrefix(value, "arn:")) {
		return false
	}
	return naiveRest(style, []rune(pattern), []rune(value), 0)
}

func naiveRest(style arn.Style, p, v []rune, seen int) bool {
	if len(p) == 0 {
		return len(v) == 0
	}
	free := style == arn.Plain || seen >= 5
	switch p[0] {
	case '*':
		if style == arn.Resource && (len(p) == 1 || p[1] == ':') {
			free = true
		}
		for i := 0; ; i++ {
			if naiveRest(style, p[1:], v[i:], seen) {
				return true
			}
			if i == len(v) || !free && v[i] == ':' {
				return false
			}
		}
	case '?':
		return len(v) > 0 && (free || v[0] != ':') && naiveRest(style, p[1:], v[1:], seen)
	case ':':
		return len(v) > 0 && v[0] == ':' && naiveRest(style, p[1:], v[1:], seen+1)
	}
	return len(v) > 0 && v[0] == p[0] && naiveRest(style, p[1:], v[1:], seen)
}

func FuzzMatch(f *testing.F) {
	f.Add("arn:aws:s3:::b/*", "arn:aws:s3:::b/x")
	f.Add("arn:aws:*-1:*:?:a*b", "arn:aws:x-1:y::z:aab")
	f.Add("*:*a:*b*c:d*", "a:a:bcc:dd:d")
	f.Add("a*?:*:*b", "aa:b:b:€b")
	f.Add("***", "0")
	f.Fuzz(func(t *testing.T, pattern, value string) {
		if len(pattern) > 24 || len(value) > 30 || strings.Count(pattern, "*") > 7 || !utf8.ValidString(pattern) || !utf8.ValidString(value) {
			return // the naive matcher is exponential, and works on characters
		}
		for _, style := range []arn.Style{arn.Plain, arn.Resource, arn.Parts} {
			if got, want := arn.Compile(style, pattern).Match(value), naive(style, pattern, value); got != want {
				t.Errorf("style %d: %q, %q: %v, the naive matcher says %v", style, pattern, value, got, want)
			}
		}
		if arn.Match(pattern, value) != arn.Compile(arn.Resource, pattern).Match(value) {
			t.Errorf("Match and Compile disagree about %q, %q", pattern, value)
		}
	})
}

func FuzzParse(f *testing.F) {
	f.Add("arn:aws:s3:::b")
	f.Add("arn:aws:ecs:eu-west-1:1:task/a:b")
	f.Fuzz(func(t *testing.T, s string) {
		if a, err := arn.Parse(s); err == nil && a.String() != s {
			t.Errorf("%q came back as %q", s, a.String())
		}
	})
}

func BenchmarkMatch(b *testing.B) {
	b.ReportAllocs()
	for b.Loop() {
		arn.Match("arn:aws:logs:*:111122223333:log-group:/ecs/*", "arn:aws:logs:eu-west-1:111122223333:log-group:/ecs/web:log-stream:x")
	}
}
