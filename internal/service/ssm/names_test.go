package ssm

import (
	"strings"
	"testing"
)

func TestParseRef(t *testing.T) {
	const acc, reg = "111122223333", "eu-west-1"
	tests := []struct{ in, name, selector, arn string }{
		{"a", "a", "", "arn:aws:ssm:eu-west-1:111122223333:parameter/a"},
		{" /a/b ", "/a/b", "", "arn:aws:ssm:eu-west-1:111122223333:parameter/a/b"},
		{"/a/b:3", "/a/b", ":3", "arn:aws:ssm:eu-west-1:111122223333:parameter/a/b"},
		{"arn:aws:ssm:us-east-1:999988887777:parameter/a/b:prod", "/a/b", ":prod", "arn:aws:ssm:us-east-1:999988887777:parameter/a/b"},
	}
	for _, tt := range tests {
		r, err := parseRef(acc, reg, tt.in)
		if err != nil || r.name != tt.name || r.selector != tt.selector || r.arn() != tt.arn {
			t.Errorf("%q: %+v %s, %v", tt.in, r, r.arn(), err)
		}
	}
	for _, in := range []string{"", "/", "a/", "//a", "a b", "a:", "a:b:c", "é", "a\x00", "arn:aws:ssm:eu-west-1:111122223333:parameter/", "arn:aws:ssm:eu-west-1:111122223333:document/a", "arn:aws:s3:::parameter/a", "arn:aws:ssm:eu-west-1:1:parameter/a", "arn:aws:ssm:eu-west-1:111122223333:parameter//a"} {
		if r, err := parseRef(acc, reg, in); err == nil {
			t.Errorf("%q: %+v", in, r)
		}
	}
}

func FuzzParseRef(f *testing.F) {
	for _, s := range []string{"a", "/a/b:3", " x ", "arn:aws:ssm:eu-west-1:111122223333:parameter/a/b:prod", "arn:aws:ssm:eu-west-1:111122223333:parameter//", "a:b:c", "/\x00"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		r, err := parseRef("111122223333", "eu-west-1", s)
		if err != nil {
			return
		}
		if strings.ContainsAny(r.name, ":\x00 *?$") || !validName(r.name) {
			t.Fatalf("%q names %q", s, r.name)
		}
		if !r.byARN && (r.account != "111122223333" || r.region != "eu-west-1") {
			t.Fatalf("%q is in %s, %s", s, r.account, r.region)
		}
		again, err := parseRef("", "", r.arn()+r.selector)
		if err != nil || again.arn() != r.arn() || again.selector != r.selector {
			t.Fatalf("%q: %+v is read back as %+v, %v", s, r, again, err)
		}
	})
}
