package refusal

import (
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/remit-ecs/remit/internal/api"
	"github.com/remit-ecs/remit/internal/testkit/whole"
)

// describe writes the operation's lines of the table.
func (j *judge) describe(f *subject, grants []grant, last answer) {
	for _, g := range grants {
		line := key(j.op) + "\t" + g.action + "\t" + f.normal(g.resource)
		if g.keys != "" {
			line += "\t" + g.keys
		}
		j.lines = append(j.lines, line)
	}
	if last.record.AdditionalEventData == nil {
		return
	}
	for _, k := range last.record.AdditionalEventData.Asks {
		if k.Principal != j.caller.session {
			j.lines = append(j.lines, key(j.op)+"\t"+k.Action+"\t"+f.normal(k.Resource)+"\tas "+k.Principal)
		}
	}
}

var normals = []struct {
	is  *regexp.Regexp
	say string
}{
	{regexp.MustCompile(`[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}`), "UUID"},
	{regexp.MustCompile(`[0-9a-f]{32}`), "ID"},
	{regexp.MustCompile(`(:role/aws-service-role/\S+)_[0-9a-f]{10}$`), "${1}_SUFFIX"},
	{regexp.MustCompile(`(:secret:\S+)-[A-Za-z0-9]{6}$`), "$1-SUFFIX"},
}

// normal writes an ARN without what is different every time.
func (f *subject) normal(resource string) string {
	r := strings.NewReplacer(f.name, "NAME", whole.Account, "ACCOUNT", whole.Region, "REGION").Replace(resource)
	for _, n := range normals {
		r = n.is.ReplaceAllString(r, n.say)
	}
	return r
}

const (
	tableFile      = "testdata/asks.txt"
	unfixturedFile = "testdata/unfixtured.txt"

	// unfixturedMost is how many operations unfixtured.txt may have. Whoever
	// removes one lowers it.
	unfixturedMost = 0
)

// checkTable compares what was found with testdata/asks.txt.
func checkTable(t *testing.T, lines []string) {
	t.Helper()
	head := "# What each operation asks of its caller: operation, action, resource, condition keys. Found out by TestRefusals; go test ./internal/refusal -update writes it.\n"
	got := head + strings.Join(lines, "\n") + "\n"
	if *update {
		if err := os.WriteFile(tableFile, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	b, err := os.ReadFile(tableFile)
	if err != nil {
		t.Fatal(err)
	}
	want := strings.Split(string(b), "\n")
	for _, l := range strings.Split(got, "\n") {
		if !slices.Contains(want, l) {
			t.Errorf("%s lacks: %s", tableFile, l)
		}
	}
	for _, l := range want {
		if !slices.Contains(strings.Split(got, "\n"), l) {
			t.Errorf("%s has, but was not found: %s", tableFile, l)
		}
	}
}

// checkFixtures holds the registered operations against the fixtures and the
// list of those that have none.
func checkFixtures(t *testing.T, ops []*api.OpInfo) {
	t.Helper()
	b, err := os.ReadFile(unfixturedFile)
	if err != nil {
		t.Fatal(err)
	}
	without := map[string]string{} // reason
	var kept []string
	for line := range strings.Lines(string(b)) {
		line = strings.TrimSpace(line)
		if line == "" || strings.HasPrefix(line, "#") {
			kept = append(kept, line)
			continue
		}
		name, reason, _ := strings.Cut(line, "\t")
		if reason == "" {
			t.Errorf("%s: %s has no reason", unfixturedFile, name)
		}
		without[name] = reason
		if *update && fixtures[name] != nil {
			delete(without, name)
			continue
		}
		kept = append(kept, line)
	}
	registered := map[string]bool{}
	for _, op := range ops {
		registered[key(op)] = true
		switch has := fixtures[key(op)] != nil; {
		case has && without[key(op)] != "":
			t.Errorf("%s has a fixture: remove it from %s", key(op), unfixturedFile)
		case !has && without[key(op)] == "":
			t.Errorf("%s has no fixture. Write one; %s takes no more operations.", key(op), unfixturedFile)
		}
	}
	if len(without) > unfixturedMost {
		t.Errorf("%s has %d operations; it may have %d and only become shorter", unfixturedFile, len(without), unfixturedMost)
	}
	for name := range fixtures {
		if !registered[name] {
			t.Errorf("there is a fixture for %s, which is not registered", name)
		}
	}
	for name := range without {
		if !registered[name] {
			t.Errorf("%s: %s is not registered", unfixturedFile, name)
		}
	}
	if *update {
		if err := os.WriteFile(unfixturedFile, []byte(strings.Join(kept, "\n")+"\n"), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}
