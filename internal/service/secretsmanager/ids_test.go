package secretsmanager

import (
	"strings"
	"testing"

	"github.com/remit-ecs/remit/internal/id"
)

func TestSuffix(t *testing.T) {
	seen := map[string]bool{}
	for range 1000 {
		s := suffix(id.Random)
		if _, ok := withoutSuffix("x-" + s); !ok || seen[s] {
			t.Fatalf("%q", s)
		}
		seen[s] = true
	}
	first, again := suffix(id.NewSeeded([]byte("a"))), suffix(id.NewSeeded([]byte("a")))
	if first != again {
		t.Error("a rerun draws another suffix")
	}
}

func TestWithoutSuffix(t *testing.T) {
	for in, want := range map[string]string{"db-AbCd12": "db", "a-b-AbCdEf": "a-b", "db": "", "-AbCdEf": "", "db-AbCd.f": "", "db-AbCdE": "", "dbxAbCdEf": ""} {
		if got, ok := withoutSuffix(in); got != want || ok != (want != "") {
			t.Errorf("%q: %q, %v", in, got, ok)
		}
	}
}

func FuzzParseID(f *testing.F) {
	for _, s := range []string{"prod/db", "arn:aws:secretsmanager:eu-west-1:111122223333:secret:prod/db-AbCdEf", "arn:aws:secretsmanager:eu-west-1:111122223333:secret:", "arn:aws:secretsmanager:::secret:x", "arn:aws:s3:::secret:x", "a:b", "\x00", strings.Repeat("a", 513)} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		r, err := parseID("111122223333", "eu-west-1", s)
		if err != nil {
			return
		}
		if strings.ContainsAny(r.name, ":\x00 *?$") || r.name == "" {
			t.Fatalf("%q names %q", s, r.name)
		}
		if r.foreign != (r.account != "111122223333") || !r.byARN && r.foreign {
			t.Fatalf("%q belongs to %s", s, r.account)
		}
		again, err := parseID("111122223333", "eu-west-1", r.arn)
		if err != nil || again.arn != r.arn || again.name != r.name || again.account != r.account {
			t.Fatalf("%q: %+v is read back as %+v, %v", s, r, again, err)
		}
	})
}
