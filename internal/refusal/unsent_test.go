package refusal

import (
	"maps"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
)

const (
	unsentFile = "testdata/unsent.txt"

	// unsentMost is how many lines unsent.txt may have. Whoever removes one
	// lowers it.
	unsentMost = 65
)

// audited are the services whose questions are held against the reference key
// by key.
var audited = []string{"ecr", "ecs", "logs", "s3", "secretsmanager", "ssm"}

// unsent is a line of unsent.txt: condition keys that AWS has for actions and
// that no question in asks.txt carries, with the reason.
type unsent struct {
	key     string         // as the reference spells it
	actions *regexp.Regexp // "s3:*"
	asked   bool           // by other requests than the fixture's
	reason  string
	line    string
	used    bool
}

var tagSuffix = regexp.MustCompile(`/.*`)

// plainKey is a condition key, without the key of its tag.
func plainKey(k string) string { return tagSuffix.ReplaceAllString(strings.ToLower(k), "/") }

// TestKeysAreSent holds asks.txt against the reference: each condition key that
// AWS has for an action is in the question, or stands in unsent.txt with the
// reason. "request" there says that the key is sent where the request has what
// it is about, "never" that no request is served which could have it.
func TestKeysAreSent(t *testing.T) {
	ref := readReference(t)
	lines := readUnsent(t)
	spelled := map[string]map[string]bool{}
	for service, keys := range scanKeys(t) {
		spelled[service] = map[string]bool{}
		for _, k := range keys {
			spelled[service][plainKey(k)] = true
		}
	}
	sent := sentKeys(t)
	for _, name := range slices.Sorted(maps.Keys(sent)) {
		service, _, _ := strings.Cut(name, ":")
		a, ok := ref.action(name)
		if !ok || !slices.Contains(audited, service) {
			continue
		}
		for _, k := range a.Keys {
			if sent[name][plainKey(k)] {
				continue
			}
			i := slices.IndexFunc(lines, func(u unsent) bool { return plainKey(u.key) == plainKey(k) && u.actions.MatchString(name) })
			if i < 0 {
				t.Errorf("%s has the condition key %s, which no question carries and %s does not mention", name, k, unsentFile)
				continue
			}
			lines[i].used = true
			own, _, _ := strings.Cut(k, ":")
			if own == service && lines[i].asked != spelled[service][plainKey(k)] {
				t.Errorf("%q: the source of %s spells the key: %v", lines[i].line, service, spelled[service][plainKey(k)])
			}
		}
	}
	for _, u := range lines {
		if !u.used {
			t.Errorf("%s: nothing needs %q any more: remove it", unsentFile, u.line)
		}
	}
	if len(lines) > unsentMost {
		t.Errorf("%s has %d lines; it may have %d and only become shorter", unsentFile, len(lines), unsentMost)
	}
}

func readUnsent(t *testing.T) []unsent {
	t.Helper()
	b, err := os.ReadFile(unsentFile)
	if err != nil {
		t.Fatal(err)
	}
	var out []unsent
	for line := range strings.Lines(string(b)) {
		line = strings.TrimSpace(line)
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		f := strings.Split(line, "\t")
		if len(f) != 4 || f[2] != "request" && f[2] != "never" || f[3] == "" {
			t.Errorf("%s: %q is not: key, action, request or never, reason", unsentFile, line)
			continue
		}
		pattern := strings.ReplaceAll(regexp.QuoteMeta(f[1]), `\*`, ".*")
		out = append(out, unsent{key: f[0], actions: regexp.MustCompile("^" + pattern + "$"), asked: f[2] == "request", reason: f[3], line: line})
	}
	return out
}

// sentKeys are the condition keys of each action in asks.txt.
func sentKeys(t *testing.T) map[string]map[string]bool {
	t.Helper()
	b, err := os.ReadFile(tableFile)
	if err != nil {
		t.Fatal(err)
	}
	out := map[string]map[string]bool{}
	for line := range strings.Lines(string(b)) {
		f := strings.Split(strings.TrimSuffix(line, "\n"), "\t")
		if strings.HasPrefix(line, "#") || len(f) < 3 || len(f) > 3 && strings.HasPrefix(f[3], "as ") {
			continue
		}
		if out[f[1]] == nil {
			out[f[1]] = map[string]bool{}
		}
		if len(f) > 3 {
			for k := range strings.FieldsSeq(f[3]) {
				out[f[1]][plainKey(k)] = true
			}
		}
	}
	return out
}
