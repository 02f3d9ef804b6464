package id_test

import (
	"regexp"
	"strings"
	"testing"

	"github.com/remit-ecs/remit/internal/id"
)

func TestShapes(t *testing.T) {
	for name, c := range map[string]struct {
		make    func(id.Source) string
		pattern string
	}{
		"task":       {func(s id.Source) string { return id.Hex(s, 32) }, `^[0-9a-f]{32}$`},
		"odd hex":    {func(s id.Source) string { return id.Hex(s, 17) }, `^[0-9a-f]{17}$`},
		"uuid":       {id.UUID, `^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$`},
		"role":       {func(s id.Source) string { return id.Unique(s, "AROA") }, `^AROA[A-Z2-7]{17}$`},
		"access key": {func(s id.Source) string { return id.AccessKeyID(s, id.LongTerm, "123456789012") }, `^AKIA[A-Z2-7]{16}$`},
		"session":    {func(s id.Source) string { return id.AccessKeyID(s, id.Temporary, "000000000000") }, `^ASIA[A-Z2-7]{16}$`},
		"secret":     {id.SecretKey, `^[A-Za-z0-9/+]{40}$`},
	} {
		for range 50 {
			got := c.make(id.Random)
			if !regexp.MustCompile(c.pattern).MatchString(got) {
				t.Errorf("%s: %q does not match %s", name, got, c.pattern)
			}
		}
		if one, other := c.make(id.Random), c.make(id.Random); one == other {
			t.Errorf("%s: twice the same", name)
		}
		a, b, other := id.NewSeeded([]byte("seed")), id.NewSeeded([]byte("seed")), id.NewSeeded([]byte("other"))
		first, second := c.make(a), c.make(a)
		if c.make(b) != first || c.make(b) != second || first == second || c.make(other) == first {
			t.Errorf("%s: a seeded source should repeat itself, and only itself", name)
		}
	}
}

func TestAccountOf(t *testing.T) {
	for _, account := range []string{"000000000000", "000000000001", "123456789012", "999999999999"} {
		for _, prefix := range []string{id.LongTerm, id.Temporary} {
			key := id.AccessKeyID(id.Random, prefix, account)
			if got, ok := id.AccountOf(key); !ok || got != account {
				t.Errorf("AccountOf(%s) = %s, %v, want %s", key, got, ok, account)
			}
		}
	}
	for _, key := range []string{"", "AKIA", "AROAAAAAAAAAAAAAAAAA", "AKIA0000000000000000", "AKIAAAAAAAAAAAAAAAAAA", "akiaaaaaaaaaaaaaaaaa"} {
		if got, ok := id.AccountOf(key); ok {
			t.Errorf("AccountOf(%q) = %s", key, got)
		}
	}
}

func FuzzAccountOf(f *testing.F) {
	f.Add("AKIAIOSFODNN7EXAMPLE")
	f.Add(id.AccessKeyID(id.Random, id.Temporary, "123456789012"))
	f.Fuzz(func(t *testing.T, key string) {
		account, ok := id.AccountOf(key)
		if !ok {
			return
		}
		if len(account) != 12 || strings.Trim(account, "0123456789") != "" {
			t.Errorf("AccountOf(%q) = %q", key, account)
		}
	})
}
