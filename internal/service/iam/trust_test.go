package iam

import (
	"encoding/json"
	"reflect"
	"testing"
)

func TestAWSManaged(t *testing.T) {
	all, err := readAWSManaged(awsManagedData)
	if err != nil {
		t.Fatal(err)
	}
	for i, p := range all.byName {
		if i > 0 && all.byName[i-1].Name >= p.Name {
			t.Errorf("%s is out of order", p.Name)
		}
		if p.compile() == nil || len(p.compile().Diagnostics) > 0 || len(p.compile().Statements) == 0 {
			t.Errorf("%s: %v", p.ARN, p.compile())
		}
		if p.ID[:4] != "ANPA" || p.Created.IsZero() || p.Updated.Before(p.Created) {
			t.Errorf("%s: id %s, created %v, updated %v", p.ARN, p.ID, p.Created, p.Updated)
		}
	}
	if len(all.byName) != 71 {
		t.Errorf("%d policies", len(all.byName))
	}
}

// What is derived from a document must not be stored with it.
func TestDocumentsHoldNoDerived(t *testing.T) {
	d := &Role{Trust: `{"Statement":[]}`}
	d.ARN = "arn:aws:iam::111122223333:role/app"
	before, err := json.Marshal(d)
	if err != nil {
		t.Fatal(err)
	}
	d.compileTrust()
	after, err := json.Marshal(d)
	if err != nil || !reflect.DeepEqual(before, after) {
		t.Errorf("%s became %s (%v)", before, after, err)
	}
}
