// SPDX-License-Identifier: Apache-2.0

package wire

import "testing"

func TestFromJava(t *testing.T) {
	for _, c := range []struct {
		java, value string
		want        bool
	}{
		{`[\w+=,.@-]+`, "a.b@c", true},
		{`[\w+=,.@-]+`, "a b", false},
		{`[\w+=,.@-]+`, "a\n", false},
		{`[\u0020-\u00FF]*`, "a \u00e9", true},
		{`[\u0020-\u00FF]*`, "\u0100", false},
		{`(\u002F)|(\u002F[\u0021-\u007E]+\u002F)`, "/", true},
		{`(\u002F)|(\u002F[\u0021-\u007E]+\u002F)`, "/a/b/", true},
		{`(\u002F)|(\u002F[\u0021-\u007E]+\u002F)`, "a/", false},
		{`a|b`, "ab", false},
		{`[\u0009\u000A\u000D\u0020-\u00FF]+`, "{\n\t\"a\": 1}\r", true},
		{`\\u0020`, `\u0020`, true},
	} {
		re := pattern(c.java)
		if re == nil {
			t.Errorf("%s: cannot be expressed", c.java)
			continue
		}
		if got := re.MatchString(c.value); got != c.want {
			t.Errorf("%s on %q: %v, want %v", c.java, c.value, got, c.want)
		}
	}
}
