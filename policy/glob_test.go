package policy

import (
	"strings"
	"testing"

	"github.com/remit-ecs/remit/arn"
)

// The matcher for action names agrees with the one for ARNs, which is judged
// against a naive one.
func FuzzActionName(f *testing.F) {
	f.Add("describe*", "DescribeTasks")
	f.Add("*a*?b", "xaayb")
	f.Fuzz(func(t *testing.T, pattern, name string) {
		pattern = ascii(pattern)
		name = ascii(name)
		want := arn.Glob(strings.ToLower(pattern), strings.ToLower(name))
		if got := globLower(strings.ToLower(pattern), name); got != want {
			t.Errorf("globLower(%q, %q) = %v", pattern, name, got)
		}
		a, ok := compileAction("ecs:" + pattern)
		if !ok {
			return
		}
		if got := a.match("ecs", name); got != want {
			t.Errorf("action %q matches %q: %v", pattern, name, got)
		}
	})
}

func ascii(s string) string {
	return strings.Map(func(r rune) rune {
		if r >= 0x80 {
			return -1
		}
		return r
	}, s)
}

// The index finds exactly the statements that match.
func TestIndexFindsWhatMatches(t *testing.T) {
	d, err := Parse(KindIdentity, []byte(`{"Version":"2012-10-17","Statement":[
		{"Effect":"Allow","Action":["ecs:RunTask","ECS:runtask","s3:*"],"Resource":"*"},
		{"Effect":"Allow","Action":["ecs:RunTask","ecs:Run*"],"Resource":"*"},
		{"Effect":"Allow","Action":["*","ecs:RunTask"],"Resource":"*"},
		{"Effect":"Allow","Action":["ecs:R*","ecs:Ru?Task","ecs:*Task","ecs:RunT*k","ecs:RunTaskDefinition*","ecs:????????"],"Resource":"*"},
		{"Effect":"Allow","NotAction":"ecs:RunTask","Resource":"*"}]}`))
	if err != nil {
		t.Fatal(err)
	}
	if len(d.rest) == len(d.Statements) {
		t.Fatal("the document is too small to have an index")
	}
	for _, action := range []string{"ecs:RunTask", "ECS:RUNTASK", "s3:GetObject", "ecs:RunX", "ecs:R", "ecs:StopTask", "ecs:StopTasks", "iam:PassRole"} {
		q, ok := prepare(&Request{Action: action, Resource: "*"}, &Set{})
		if !ok {
			t.Fatal(action)
		}
		found := map[int32]int{}
		lists := [][]candidate{d.index[q.hash], d.rest}
		for i, h := range q.anchors {
			if d.anchors&q.anchored&(1<<i) != 0 {
				lists = append(lists, d.index[h])
			}
		}
		for _, list := range lists {
			for _, c := range list {
				if q.among(c.actions) != d.Statements[c.statement].notAction {
					found[c.statement]++
				}
			}
		}
		for i := range d.Statements {
			n := found[int32(i)]
			if q.matchesAction(&d.Statements[i]) != (n > 0) {
				t.Errorf("%s: statement %d is found %d times", action, i, n)
			}
		}
	}
}
