// SPDX-License-Identifier: Apache-2.0

package wire

import (
	"regexp"
	"strings"
	"sync"
)

// Patterns of the models are Java's and are matched against the whole value.
// They are compiled when first needed; most never are.
var patterns sync.Map // Java pattern -> *regexp.Regexp, nil where RE2 cannot say it

// pattern returns the compiled form of a Java pattern, or nil where Go's
// engine has no equivalent: look-around, back references, repetitions of more
// than a thousand. Such patterns are
// not enforced unless rewritten says them differently; a test lists them.
func pattern(java string) *regexp.Regexp {
	if re, ok := patterns.Load(java); ok {
		return re.(*regexp.Regexp)
	}
	expr, ok := rewritten[java]
	if !ok {
		expr = fromJava(java)
	}
	re, err := regexp.Compile(`\A(?:` + expr + `)\z`)
	if err != nil {
		re = nil
	}
	patterns.Store(java, re)
	return re
}

// rewritten are patterns that RE2 says differently. Lengths are left to the
// shapes' own bounds.
var rewritten = map[string]string{
	// iam accountAliasType: no two hyphens in a row.
	`^[a-z0-9]([a-z0-9]|-(?!-)){1,61}[a-z0-9]$`: `[a-z0-9]+(?:-[a-z0-9]+)*`,
}

// fromJava rewrites what the two dialects spell differently.
func fromJava(java string) string {
	var b strings.Builder
	for i := 0; i < len(java); i++ {
		c := java[i]
		if c != '\\' || i+1 == len(java) {
			b.WriteByte(c)
			continue
		}
		i++
		switch {
		case java[i] == 'u' && i+5 <= len(java): // \u0020
			b.WriteString(`\x{` + java[i+1:i+5] + `}`)
			i += 4
		case java[i] == 'Z': // end, perhaps before a line break
			b.WriteString(`\n?\z`)
		default:
			b.WriteByte('\\')
			b.WriteByte(java[i])
		}
	}
	return b.String()
}
