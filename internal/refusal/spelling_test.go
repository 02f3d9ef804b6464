package refusal

import (
	"io"
	"reflect"
	"strings"
	"testing"

	"github.com/remit-ecs/remit/internal/id"
	"github.com/remit-ecs/remit/internal/testkit/whole"
)

// getRound are the operations where a statement that denies can be got round by
// spelling the resource otherwise: faults that are known. The list may only
// become shorter.
var getRound = map[string]string{}

// absent asks about something that does not exist, as the role without
// policies: whoever may not look must not learn what there is.
func (j *judge) absent(t *testing.T, f *subject, in any, asked grant) {
	t.Helper()
	other := "absent-" + id.Hex(id.Random, 10)
	renamed, changed := rename(reflect.ValueOf(in), func(s string) string { return strings.ReplaceAll(s, f.name, other) })
	if !changed {
		return // a list, or known by its id alone
	}
	nobody := j.nobody(t.Context())
	a := j.unchanged(t, "what does not exist", func() answer { return j.call(t, nobody.cfg, j.op, renamed.Interface()) })
	if got, ok := j.denied(t, a, nobody); !ok || got.action != asked.action {
		t.Errorf("about what exists the refusal names %v, about what does not %v", asked, got)
	}
}

// spelledOtherwise tries to get round a statement that denies by spelling the
// resource in another way than the statement does.
func (j *judge) spelledOtherwise(t *testing.T) {
	t.Helper()
	f := j.subject(t)
	in := j.fixture(f)
	nobody := j.nobody(t.Context())
	asked, ok := j.denied(t, j.call(t, nobody.cfg, j.op, in), nobody)
	if !ok || asked.resource == "*" {
		return
	}
	j.caller.may(t.Context(), []grant{{action: "*", resource: "*"}}, statement{Effect: "Deny", Action: asked.action, Resource: asked.resource})
	arns := func(change func(string) string) func(string) string {
		return func(s string) string {
			if strings.HasPrefix(s, "arn:") {
				s = change(s)
			}
			return s
		}
	}
	spellings := map[string]func(string) string{
		"with another partition": arns(func(s string) string { return strings.Replace(s, "arn:aws:", "arn:aws-cn:", 1) }),
		"with another region":    arns(func(s string) string { return strings.Replace(s, ":"+whole.Region+":", ":us-west-2:", 1) }),
		"with another account":   arns(func(s string) string { return strings.Replace(s, ":"+whole.Account+":", ":444455556666:", 1) }),
		"with a final :*":        arns(func(s string) string { return s + ":*" }),
	}
	if j.op.Service.Name == "iam" && !strings.HasPrefix(j.op.Name, "Create") { // whose names have no case
		spellings["in upper case"] = func(s string) string { return strings.ReplaceAll(s, f.name, strings.ToUpper(f.name)) }
	}
	around := 0
	for what, spell := range spellings {
		other, changed := rename(reflect.ValueOf(in), spell)
		if !changed {
			continue
		}
		if a := j.call(t, j.caller.cfg, j.op, other.Interface()); a.err == nil && !fruitless(a.out) {
			around++
			if getRound[key(j.op)] == "" {
				t.Errorf("%v is denied, but %s it was allowed: %v", asked, what, asksOf(a.record, j.caller))
			}
		}
	}
	if getRound[key(j.op)] != "" && around == 0 {
		t.Errorf("a statement that denies cannot be got round any more: remove %s from getRound", key(j.op))
	}
}

// fruitless tells whether an answer says of what it was asked about that it
// could not be done.
func fruitless(out any) bool {
	f := reflect.ValueOf(out).Elem().FieldByName("Failures")
	return f.IsValid() && f.Len() > 0
}

// rename copies an SDK input with every string changed.
func rename(v reflect.Value, change func(string) string) (_ reflect.Value, changed bool) {
	switch v.Kind() {
	case reflect.String:
		s := change(v.String())
		out := reflect.New(v.Type()).Elem()
		out.SetString(s)
		return out, s != v.String()
	case reflect.Pointer:
		if v.IsNil() || v.Elem().Kind() == reflect.Struct && v.Type().Implements(reflect.TypeFor[io.Reader]()) {
			return v, false
		}
		e, changed := rename(v.Elem(), change)
		out := reflect.New(v.Type().Elem())
		out.Elem().Set(e)
		return out, changed
	case reflect.Struct:
		out := reflect.New(v.Type()).Elem()
		out.Set(v)
		for i := range v.NumField() {
			if v.Type().Field(i).IsExported() {
				f, c := rename(v.Field(i), change)
				out.Field(i).Set(f)
				changed = changed || c
			}
		}
		return out, changed
	case reflect.Slice:
		if v.IsNil() {
			return v, false
		}
		out := reflect.MakeSlice(v.Type(), v.Len(), v.Len())
		for i := range v.Len() {
			e, c := rename(v.Index(i), change)
			out.Index(i).Set(e)
			changed = changed || c
		}
		return out, changed
	}
	return v, false
}
