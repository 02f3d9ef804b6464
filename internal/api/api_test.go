// SPDX-License-Identifier: Apache-2.0

package api_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/remit-ecs/remit/internal/api"
	"github.com/remit-ecs/remit/internal/api/ecsapi"
	"github.com/remit-ecs/remit/internal/api/iamapi"
)

func TestTimeJSON(t *testing.T) {
	for _, c := range []struct {
		in   string
		want time.Time
		out  string
	}{
		{"0", time.Unix(0, 0), "0"},
		{"1700000000", time.Unix(1700000000, 0), "1700000000"},
		{"1700000000.5", time.Unix(1700000000, 5e8), "1700000000.5"},
		{"1700000000.123456789", time.Unix(1700000000, 123456789), "1700000000.123456789"},
		{"1.7e9", time.Unix(1700000000, 0), "1700000000"},
		{"-0.25", time.Unix(0, -25e7), "-0.25"},
		{"-1.75", time.Unix(-1, -75e7), "-1.75"},
		{`"2023-11-14T22:13:20Z"`, time.Unix(1700000000, 0), "1700000000"},
		{`"2023-11-14T23:13:20.25+01:00"`, time.Unix(1700000000, 25e7), "1700000000.25"},
		{`"2023-11-14"`, time.Unix(1699920000, 0), "1699920000"},
		{`"Tue, 14 Nov 2023 22:13:20 GMT"`, time.Unix(1700000000, 0), "1700000000"},
	} {
		var got api.Time
		if err := json.Unmarshal([]byte(c.in), &got); err != nil {
			t.Errorf("%s: %v", c.in, err)
			continue
		}
		if !got.Equal(c.want) || got.Location() != time.UTC {
			t.Errorf("%s: %v, want %v", c.in, got, c.want)
		}
		if b, err := json.Marshal(got); err != nil || string(b) != c.out {
			t.Errorf("%s: written as %s (%v), want %s", c.in, b, err, c.out)
		}
	}
	for _, in := range []string{`""`, `"soon"`, "1e300", "-1e300", "99999999999999", `"0x10"`, `"inf"`, "true", "{}", `"1_0"`, `"99999-01-01"`} {
		var got api.Time
		if err := json.Unmarshal([]byte(in), &got); err == nil {
			t.Errorf("%s: read as %v", in, got)
		}
	}
}

func FuzzParseTime(f *testing.F) {
	for _, s := range []string{"0", "-1.5", "1.7e9", "2023-11-14T22:13:20Z", "Tue, 14 Nov 2023 22:13:20 GMT", "253402300799.999999999"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		v, err := api.ParseTime(s)
		if err != nil {
			return
		}
		b, err := json.Marshal(v)
		if err != nil {
			t.Fatalf("%q: %v", s, err)
		}
		var again api.Time
		if err := json.Unmarshal(b, &again); err != nil || !again.Equal(v.Time) {
			t.Fatalf("%q: %v became %s became %v (%v)", s, v, b, again, err)
		}
	})
}

// Documents in the store are generated structures: absent and empty must both
// survive.
func TestDocumentsRoundTrip(t *testing.T) {
	for _, want := range []string{
		`{}`,
		`{"containerDefinitions":[],"family":""}`,
		`{"containerDefinitions":[{"name":"app","cpu":0,"environment":[],"dockerLabels":{}}],"requiresCompatibilities":["FARGATE"],"registeredAt":1700000000.123456789}`,
	} {
		var d ecsapi.TaskDefinition
		if err := json.Unmarshal([]byte(want), &d); err != nil {
			t.Fatal(err)
		}
		got, err := json.Marshal(d)
		if err != nil {
			t.Fatal(err)
		}
		var a, b any
		if json.Unmarshal(got, &a) != nil || json.Unmarshal([]byte(want), &b) != nil || fmt.Sprint(a) != fmt.Sprint(b) {
			t.Errorf("%s became %s", want, got)
		}
	}
}

func TestErrors(t *testing.T) {
	e := iamapi.NoSuchEntityException("The role with name %s cannot be found.", "app")
	if e.Code != "NoSuchEntity" || e.Status != 404 || e.Fault != api.FaultClient || e.Error() != "NoSuchEntity: The role with name app cannot be found." {
		t.Errorf("%+v", e)
	}
	if s := ecsapi.ServerException("no"); s.Status != 500 || s.Fault != api.FaultServer {
		t.Errorf("%+v", s)
	}
	cause := errors.New("disk full")
	i := api.Internal(cause)
	if !errors.Is(i, cause) || i.Idea != api.IdeaInternal {
		t.Errorf("%+v", i)
	}
	w := e.With("resource", "x")
	if e.Fields != nil || w.Fields["resource"] != "x" {
		t.Errorf("With changed the original: %+v %+v", e, w)
	}
}

func TestOpLookup(t *testing.T) {
	op := ecsapi.API.Op("RunTask")
	if op != ecsapi.RunTask.Info || op.Action() != "ecs:RunTask" || op.Service != ecsapi.API {
		t.Errorf("%+v", op)
	}
	if ecsapi.API.Op("runTask") != nil || ecsapi.API.Op("") != nil {
		t.Error("found an operation that does not exist")
	}
	if _, ok := op.NewInput().(*ecsapi.RunTaskInput); !ok || op.InputShape().Name != "RunTaskRequest" {
		t.Errorf("input of RunTask: %T, %s", op.NewInput(), op.InputShape().Name)
	}
}
