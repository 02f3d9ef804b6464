package simulation_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"github.com/remit-ecs/remit/internal/api"
	"github.com/remit-ecs/remit/internal/api/iamapi"
	"github.com/remit-ecs/remit/internal/simulation"
)

// The tables under testdata are simulations as the AWS CLI sends and prints
// them. After some prose, a file has sections:
//
//	-- NAME.json --                 a document; requests name it as file://NAME.json
//	-- source.json --               the principal of SimulatePrincipalPolicy: its
//	                                Account, ARN, UserID, Identity, Boundary and SCP
//	-- request: what it shows --    the request's parameters
//	-- result --                    EvaluationResults of the request before
//	-- error --                     or its refusal
//
// A simulation without a source is in account 111122223333.
func TestTables(t *testing.T) {
	files, err := filepath.Glob("testdata/*.txtar")
	if err != nil || len(files) == 0 {
		t.Fatal("no tables", err)
	}
	for _, name := range files {
		t.Run(strings.TrimSuffix(filepath.Base(name), ".txtar"), func(t *testing.T) { table(t, name) })
	}
}

func table(t *testing.T, path string) {
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	docs := map[string]string{}
	src := simulation.Source{Account: "111122223333"}
	var about, request string
	asked := 0
	for _, part := range strings.Split("\n"+string(text), "\n-- ")[1:] {
		head, body, _ := strings.Cut(part, " --\n")
		body = strings.TrimSuffix(body, "\n")
		switch name, isRequest := strings.CutPrefix(head, "request: "); {
		case isRequest:
			about, request = name, body
		case head == "source.json":
			decode(t, head, expand(t, docs, body), &src)
		case head == "result" || head == "error":
			asked++
			t.Run(about, func(t *testing.T) { check(t, expand(t, docs, request), src, head, body) })
		default:
			docs[head] = body
		}
	}
	if asked == 0 {
		t.Error("no request")
	}
}

func check(t *testing.T, request string, src simulation.Source, want, text string) {
	var in iamapi.SimulateCustomPolicyInput
	decode(t, "request", request, &in)
	s, err := simulation.New(&in, src)
	var results []iamapi.EvaluationResult
	if err == nil {
		results, _, err = s.Page(in.ActionNames, in.ResourceArns, 0, 100)
	}
	if want == "error" {
		var e *api.Error
		if !errors.As(err, &e) || e.Code+": "+e.Message != strings.TrimSpace(text) {
			t.Errorf("got  %v\nwant %s", err, text)
		}
		return
	}
	if err != nil {
		t.Fatal(err)
	}
	var wanted []iamapi.EvaluationResult
	decode(t, "result", text, &wanted)
	got, err := json.MarshalIndent(results, "", "  ")
	if err != nil {
		t.Fatal(err)
	}
	var again []iamapi.EvaluationResult
	decode(t, "what is got", string(got), &again)
	if !reflect.DeepEqual(again, wanted) {
		t.Errorf("got\n%s", got)
	}
}

// expand replaces "file://NAME.json" by the document, as a JSON string.
func expand(t *testing.T, docs map[string]string, text string) string {
	t.Helper()
	for name, doc := range docs {
		quoted, err := json.Marshal(doc)
		if err != nil {
			t.Fatal(err)
		}
		text = strings.ReplaceAll(text, `"file://`+name+`"`, string(quoted))
	}
	if strings.Contains(text, "file://") {
		t.Fatalf("a document is missing: %s", text)
	}
	return text
}

func decode(t *testing.T, what, text string, into any) {
	t.Helper()
	d := json.NewDecoder(bytes.NewReader([]byte(text)))
	d.DisallowUnknownFields()
	if err := d.Decode(into); err != nil {
		t.Fatalf("%s: %v\n%s", what, err, text)
	}
}
