package refusal

import (
	"compress/gzip"
	"encoding/json"
	"go/ast"
	"go/parser"
	"go/token"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// reference is what AWS says of its actions.
type reference struct {
	Services map[string]struct {
		Keys    []string `json:"keys"`
		Actions map[string]action
	} `json:"services"`
}

type action struct {
	Keys      []string `json:"keys"` // of the action and of its resource types
	Resources []struct {
		Name     string `json:"name"`
		Required bool   `json:"required"`
		ARN      string `json:"arn"` // with ${Placeholders}
	} `json:"resources"`
}

func readReference(t *testing.T) reference {
	t.Helper()
	f, err := os.Open("testdata/actions.json.gz")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	z, err := gzip.NewReader(f)
	if err != nil {
		t.Fatal(err)
	}
	var r reference
	if err := json.NewDecoder(z).Decode(&r); err != nil {
		t.Fatal(err)
	}
	return r
}

func (r reference) action(name string) (action, bool) {
	service, name, _ := strings.Cut(name, ":")
	a, ok := r.Services[service].Actions[name]
	return a, ok
}

// check holds a permission against the reference: the action exists, and the
// resource is of a type that it has. The whole "*" is right where an action has
// no resource types, or none that is required.
func (r reference) check(t *testing.T, g grant) {
	t.Helper()
	a, ok := r.action(g.action)
	if !ok {
		t.Errorf("AWS has no action %s", g.action)
		return
	}
	fits := len(a.Resources) == 0
	for _, res := range a.Resources {
		if !res.Required {
			fits = true
		}
	}
	if g.resource == "*" {
		if !fits {
			t.Errorf("%v, but the action has a resource type that is required", g)
		}
		return
	}
	var patterns []string
	for _, res := range a.Resources {
		if arnPattern(res.ARN).MatchString(g.resource) {
			return
		}
		patterns = append(patterns, res.ARN)
	}
	if why := besideReference[g.action]; why == "" {
		t.Errorf("%v, but the action's resources are %q", g, patterns)
	}
}

// besideReference are actions that are asked for on a resource the reference
// does not list, and where AWS's documentation says so.
var besideReference = map[string]string{
	"sts:TagSession":         "the tags of a federated user: https://docs.aws.amazon.com/IAM/latest/UserGuide/id_session-tags.html#id_session-tags_adding-getfederationtoken",
	"logs:DescribeLogGroups": "AWS's own refusals name the resource arn:aws:logs:REGION:ACCOUNT:log-group:PREFIX:log-stream:",
	"s3:ListAllMyBuckets":    `"arn:aws:s3:::*" and "*" match alike: https://docs.aws.amazon.com/AmazonS3/latest/userguide/security_iam_service-with-iam.html`,
}

var placeholder = regexp.MustCompile(`\\\$\\\{([A-Za-z]+)\\\}`)

// arnPattern is a resource type's ARN as a regular expression.
func arnPattern(arn string) *regexp.Regexp {
	return regexp.MustCompile("^" + placeholder.ReplaceAllStringFunc(regexp.QuoteMeta(arn), func(p string) string {
		switch placeholder.FindStringSubmatch(p)[1] {
		case "Partition":
			return "aws"
		case "Region":
			return "[a-z0-9-]+"
		case "Account":
			return "(?:[0-9]{12}|aws)" // AWS managed policies belong to "aws"
		case "BucketName":
			return "[^/:]+"
		}
		return ".*" // a log group's ARN ends in ":log-stream:", with an empty name
	}) + "$")
}

// hasKey tells whether AWS has a condition key, by its lower-case name, for an
// action: the action's own or one of its resource types'.
func (r reference) hasKey(name, key string) bool {
	a, _ := r.action(name)
	return slices.ContainsFunc(a.Keys, func(k string) bool { return sameKey(k, key) })
}

// sameKey compares a key of the reference ("s3:ExistingObjectTag/<key>",
// "iam:ResourceTag/${TagKey}") with one that is asked.
func sameKey(reference, asked string) bool {
	reference = strings.ToLower(reference)
	if head, _, tagged := strings.Cut(reference, "/"); tagged {
		return strings.HasPrefix(asked, head+"/")
	}
	return reference == asked
}

var keyLiteral = regexp.MustCompile(`^([a-z0-9-]+):[a-z][a-z0-9-]*(/[a-z]*)?$`)

// scanKeys collects the condition keys of its own, and of IAM, that the source
// of each service spells. Global keys are not a service's affair.
func scanKeys(t *testing.T) map[string][]string {
	t.Helper()
	out := map[string][]string{}
	ref := readReference(t)
	files, err := filepath.Glob("../service/*/*.go")
	if err != nil || len(files) == 0 {
		t.Fatalf("no services: %v", err)
	}
	for _, file := range files {
		if strings.HasSuffix(file, "_test.go") {
			continue
		}
		tree, err := parser.ParseFile(token.NewFileSet(), file, nil, parser.SkipObjectResolution)
		if err != nil {
			t.Fatal(err)
		}
		service := filepath.Base(filepath.Dir(file))
		ast.Inspect(tree, func(n ast.Node) bool {
			lit, ok := n.(*ast.BasicLit)
			if !ok || lit.Kind != token.STRING {
				return true
			}
			s, err := strconv.Unquote(lit.Value)
			if err != nil || !keyLiteral.MatchString(s) {
				return true
			}
			if prefix, _, _ := strings.Cut(s, ":"); len(ref.Services[prefix].Actions) > 0 {
				if strings.HasSuffix(s, "/") {
					s += tagKey // the one that every fixture's tags have
				}
				if !slices.Contains(out[service], s) {
					out[service] = append(out[service], s)
				}
			}
			return true
		})
	}
	return out
}

// TestConditionKeysExist checks that the condition keys spelled in the source
// of the services are ones that AWS has for the service. Whether they are
// asked about the right actions, TestRefusals finds out.
func TestConditionKeysExist(t *testing.T) {
	ref := readReference(t)
	all := scanKeys(t)
	if len(all) == 0 {
		t.Fatal("no condition keys found")
	}
	for _, service := range slices.Sorted(maps.Keys(all)) {
		for _, key := range all[service] {
			prefix, _, _ := strings.Cut(key, ":")
			known := slices.ContainsFunc(ref.Services[prefix].Keys, func(k string) bool { return sameKey(k, key) })
			if !known {
				t.Errorf("service %s spells %q, which is no condition key of %s", service, key, prefix)
			}
		}
	}
}
