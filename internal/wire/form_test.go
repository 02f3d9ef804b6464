// SPDX-License-Identifier: Apache-2.0

package wire

import (
	"net/url"
	"testing"
	"unicode/utf8"
)

// FuzzForm holds parseForm to url.ParseQuery: the same parameters, and what is
// not an error there is one here only where a name stands twice or is not UTF-8.
func FuzzForm(f *testing.F) {
	for _, s := range []string{
		"", "Action=GetCallerIdentity&Version=2011-06-15", "a=1&a=2", "a=1&%61=2", "a", "a=", "=a", "&&a=b&", "a=b;c=d", "a=%3B", "a=%zz",
		"a=%", "a+b=c+d", "a=b=c", "a=%ff", "a=1&b=2&c=3&d=4&e=5&f=6&g=7&h=8&i=9&j=1&k=2&l=3&m=4&n=5&o=6&p=7&q=8&a=9",
	} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, raw string) {
		want, werr := url.ParseQuery(raw)
		got, err := parseForm(raw)
		if err != nil {
			for k, v := range want {
				if werr != nil || len(v) > 1 || !utf8.ValidString(k) || !utf8.ValidString(v[0]) {
					return
				}
			}
			if werr == nil {
				t.Fatalf("%q refused: %v", raw, err)
			}
			return
		}
		if werr != nil || len(got) != len(want) {
			t.Fatalf("%q: %v, want %v %v", raw, got, want, werr)
		}
		for k, v := range want {
			if len(v) != 1 || got.get(k) != v[0] {
				t.Errorf("%q: %s is %q, want %q", raw, k, got.get(k), v)
			}
		}
	})
}
