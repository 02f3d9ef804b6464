// Package imports holds the import rule: who may import whom, inside the module
// and outside. deps.txt lists every import with its reason; a new one is a
// visible line in review.
package imports

import (
	"bytes"
	"cmp"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"maps"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "rewrite deps.txt, keeping the reasons that stand there")

const module = "github.com/remit-ecs/remit/"

// rules say what a package may import inside the module. The first pattern
// that fits the importer holds; every prefix named is allowed.
var rules = []struct {
	from string
	may  []string
	why  string
}{
	{"arn", nil, "arn is public and needs only the standard library"},
	{"policy", []string{"arn"}, "policy is public: the engine knows nothing about us"},
	{"internal/api", []string{"internal/api"}, "generated types are a leaf"},
	{"internal/wire", []string{"arn", "internal/api"}, "a leaf: bytes to shapes and back"},
	{"internal/clock", nil, "a leaf"},
	{"internal/id", nil, "a leaf"},
	{"internal/seal", []string{"internal/id"}, "a leaf"},
	{"internal/blob", []string{"internal/id"}, "a leaf"},
	{"internal/store", []string{"internal/clock", "internal/id"}, "a leaf: only store knows SQL"},
	{"internal/sigv4", nil, "a leaf"},
	{"internal/session", []string{"internal/id", "internal/clock"}, "leaves and policy only"},
	{"internal/audit", []string{"internal/session", "internal/api"}, "leaves and policy only"},
	{"internal/authz", []string{"arn", "policy", "internal/api", "internal/session", "internal/store"}, "authz gathers policies and asks the engine; it knows no service"},
	{"internal/organization", []string{"policy"}, "a leaf: it reads a file and evaluates nothing"},
	{"internal/resourcepolicy", []string{"policy", "internal/authz", "internal/store"}, "what services with resource-based policies have in common; it knows none of them"},
	{"internal/gateway", []string{"arn", "policy", "internal/api", "internal/audit", "internal/authz", "internal/blob", "internal/clock", "internal/id", "internal/seal", "internal/session", "internal/sigv4", "internal/store", "internal/wire"}, "the one path knows no service"},
	{"internal/schedule", nil, "a pure function of its own small values"},
	{"internal/service/ecs", []string{"internal/schedule", "internal/service/ecs"}, "a service imports the gateway and below, never another service"},
	{"internal/simulation", []string{"arn", "policy", "internal/api"}, "policy simulation is pure: documents and parameters in, results out"},
	{"internal/service/iam", []string{"internal/service/iam", "internal/simulation"}, "a service imports the gateway and below, never another service"},
	{"internal/service/", nil, "a service imports the gateway and below, never another service"},
	{"internal/registry", nil, "the registry reaches ECR through the gateway only"},
	{"internal/agent/runtime", []string{"internal/agent/runtime"}, "the agent imports only its own folders"},
	{"internal/agent", []string{"arn", "internal/api", "internal/clock", "internal/id", "internal/agent"}, "the agent speaks through the network, also inside the process"},
	{"internal/explanation", []string{"arn", "policy"}, "remit explain uses the public APIs only"},
	{"internal/scenario", []string{"arn"}, "remit run uses the public APIs only"},
	{"internal/controlplane", []string{""}, "builds concrete things"},
	{"cmd/", []string{""}, "builds concrete things"},
	{"internal/testkit", []string{""}, "starts whole systems inside tests"},
	{"internal/refusal", []string{""}, "judges from outside, in tests"},
	{"internal/bench", []string{""}, "judges from outside, in tests"},
	{"tools/", []string{"internal/api", "internal/controlplane"}, "developers' programs"},
	{"examples/", nil, "what users write knows nothing of us"},
}

// gatewayAndBelow is what every service and the registry may import.
var gatewayAndBelow = []string{"arn", "policy", "internal/api", "internal/audit", "internal/authz", "internal/blob", "internal/clock", "internal/gateway", "internal/id", "internal/resourcepolicy", "internal/seal", "internal/session", "internal/sigv4", "internal/store", "internal/wire"}

type pkg struct {
	ImportPath string
	Imports    []string
	Standard   bool
	Module     *struct{ Path string }
}

func packages(t *testing.T) map[string]pkg {
	t.Helper()
	cmd := exec.Command("go", "list", "-deps", "-json=ImportPath,Imports,Standard,Module", "./...")
	cmd.Dir = "../.."
	var errs bytes.Buffer
	cmd.Stderr = &errs
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("go list: %v\n%s", err, errs.String())
	}
	all := map[string]pkg{}
	for d := json.NewDecoder(bytes.NewReader(out)); ; {
		var p pkg
		if err := d.Decode(&p); err == io.EOF {
			return all
		} else if err != nil {
			t.Fatal(err)
		}
		all[p.ImportPath] = p
	}
}

// TestRule holds every import inside the module against the rules.
func TestRule(t *testing.T) {
	for path, p := range packages(t) {
		from, ours := strings.CutPrefix(path, module)
		if !ours {
			continue
		}
		for _, imp := range p.Imports {
			to, ours := strings.CutPrefix(imp, module)
			if !ours {
				continue
			}
			if why, ok := allowed(from, to); !ok {
				t.Errorf("%s imports %s: %s", from, to, why)
			}
		}
	}
}

func allowed(from, to string) (why string, ok bool) {
	for _, r := range rules {
		if !within(from, r.from) {
			continue
		}
		may := r.may
		if strings.HasPrefix(from, "internal/service/") || strings.HasPrefix(from, "internal/registry") {
			may = append(slices.Clone(may), gatewayAndBelow...)
		}
		for _, m := range may {
			if within(to, m) {
				return "", true
			}
		}
		return r.why, false
	}
	return "no rule names this package; add one to internal/imports", false
}

func within(path, prefix string) bool {
	return prefix == "" || path == prefix || strings.HasPrefix(path, strings.TrimSuffix(prefix, "/")+"/")
}

// TestDependencies compares the third-party modules that the program imports
// directly with deps.txt, where each stands with its reason.
func TestDependencies(t *testing.T) {
	uses := map[string]map[string]bool{} // module -> our packages
	all := packages(t)
	for path, p := range all {
		from, ours := strings.CutPrefix(path, module)
		if !ours {
			continue
		}
		for _, imp := range p.Imports {
			q := all[imp]
			if q.Standard || q.Module == nil || strings.HasPrefix(imp, module) {
				continue
			}
			if uses[q.Module.Path] == nil {
				uses[q.Module.Path] = map[string]bool{}
			}
			uses[q.Module.Path][from] = true
		}
	}
	reasons := map[string]string{}
	listed := map[string]string{}
	text, err := os.ReadFile("../../deps.txt")
	if err != nil && !*update {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(text)) {
		line = strings.TrimSpace(line)
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		left, reason, _ := strings.Cut(line, " | ")
		mod, users, _ := strings.Cut(left, ": ")
		listed[mod], reasons[mod] = strings.TrimSpace(users), strings.TrimSpace(reason)
	}
	want := map[string]string{}
	for mod, users := range uses {
		want[mod] = strings.Join(slices.Sorted(maps.Keys(users)), " ")
	}
	if *update {
		var b strings.Builder
		b.WriteString("# Third-party modules, the packages of ours that import them, and why each is here.\n# `make generate` keeps the lists; the reasons are written by hand.\n")
		for _, mod := range slices.SortedFunc(maps.Keys(want), cmp.Compare) {
			fmt.Fprintf(&b, "%s: %s | %s\n", mod, want[mod], reasons[mod])
		}
		if err := os.WriteFile("../../deps.txt", []byte(b.String()), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	for mod, users := range want {
		switch {
		case listed[mod] == "":
			t.Errorf("%s is imported by %s and is not in deps.txt: add it with its reason", mod, users)
		case reasons[mod] == "":
			t.Errorf("deps.txt gives no reason for %s", mod)
		case listed[mod] != users:
			t.Errorf("deps.txt: %s is imported by %q, not by %q (make generate)", mod, users, listed[mod])
		}
	}
	for mod := range listed {
		if want[mod] == "" {
			t.Errorf("deps.txt lists %s, which nothing imports any more", mod)
		}
	}
}
