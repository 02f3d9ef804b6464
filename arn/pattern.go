package arn

import (
	"strings"
	"unicode/utf8"
)

// Style says how far the wildcards of a pattern reach.
type Style uint8

const (
	// Plain is a glob over the whole value: '*' is any run of characters, also
	// an empty one, '?' exactly one character. StringLike works so.
	Plain Style = iota
	// Resource is how the Resource element of a statement is matched. The first
	// five colons divide pattern and value into six parts. In the first five
	// parts wildcards stay within their part, except for a '*' that is the last
	// character of its part: that one may go on beyond the colon. In the sixth
	// part colons are ordinary characters. A pattern of fewer than six parts is
	// completed with "*". A lone "*" matches every value, also the "*" that
	// stands for the resource of an action without one; nothing else matches
	// that.
	//
	// https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_elements_resource.html
	Resource
	// Parts is how ArnLike compares: pattern and value must both have six
	// parts, and each part is a glob of its own.
	Parts
)

// PartKind says what a Part of a pattern stands for.
type PartKind uint8

const (
	Wild    PartKind = iota // text in which '*' and '?' are wildcards
	Literal                 // text in which they are themselves
	Hole                    // text given to MatchFilled; matched literally
)

// Part is a piece of a pattern. Patterns with policy variables are made of
// several: the text between the variables, and a hole for each.
type Part struct {
	Kind PartKind
	Text string // unused in a hole
}

// Pattern is a compiled pattern. The zero Pattern matches only the empty
// string. A Pattern is not changed by matching and may be shared.
type Pattern struct {
	tokens []token
	style  Style
	holes  int
}

type token struct {
	kind tokenKind
	text string // of a literal
}

type tokenKind uint8

const (
	literal   tokenKind = iota
	hole                // becomes a literal
	one                 // any one character
	run                 // any run of characters
	oneInPart           // any one character but a colon
	runInPart           // any run without a colon
)

// fiveColons make six parts.
const fiveColons = 5

// Compile makes a pattern out of text in which '*' and '?' are wildcards.
func Compile(style Style, text string) Pattern {
	return CompileParts(style, Part{Kind: Wild, Text: text})
}

// CompileParts makes a pattern out of parts that follow one another.
func CompileParts(style Style, parts ...Part) Pattern {
	p := Pattern{style: style}
	p.tokens = appendParts(nil, style, parts...)
	for _, t := range p.tokens {
		if t.kind == hole {
			p.holes++
		}
	}
	return p
}

// Match reports whether value matches a Resource pattern; see [Resource] for
// the rules. It takes time proportional to len(pattern)*len(value) at worst.
func Match(pattern, value string) bool {
	var buf [24]token
	return match(appendParts(buf[:0], Resource, Part{Kind: Wild, Text: pattern}), value)
}

// Glob reports whether value matches a Plain pattern.
func Glob(pattern, value string) bool {
	var buf [24]token
	return match(appendParts(buf[:0], Plain, Part{Kind: Wild, Text: pattern}), value)
}

// Match reports whether value matches the pattern. A pattern with holes matches
// nothing: use MatchFilled.
func (p Pattern) Match(value string) bool {
	return p.MatchFilled(value)
}

// MatchFilled is Match for a pattern with holes, filled in their order. It
// reports false when the number of fillings is not the number of holes. What
// fills a hole is never searched for wildcards.
func (p Pattern) MatchFilled(value string, fill ...string) bool {
	if len(fill) != p.holes {
		return false
	}
	tokens := p.tokens
	if p.holes > 0 {
		var buf [24]token
		tokens = append(buf[:0], p.tokens...)
		n := 0
		for i := range tokens {
			if tokens[i].kind == hole {
				tokens[i] = token{kind: literal, text: fill[n]}
				n++
			}
		}
		if p.style == Parts {
			confine(tokens) // a filling may itself be an ARN and bring colons
		}
	}
	if p.style == Parts && (colons(tokens) < fiveColons || !sixParts(value)) {
		return false
	}
	return match(tokens, value)
}

// sixParts reports whether a value has the six parts of an ARN.
func sixParts(value string) bool {
	return strings.HasPrefix(value, "arn:") && strings.Count(value, ":") >= fiveColons
}

// colons counts the colons in the literal text of tokens.
func colons(tokens []token) int {
	n := 0
	for i := range tokens {
		if tokens[i].kind == literal {
			n += strings.Count(tokens[i].text, ":")
		}
	}
	return n
}

// confine sets which wildcards of a Parts pattern stay within their part.
func confine(tokens []token) {
	seen := 0
	for i := range tokens {
		switch t := &tokens[i]; t.kind {
		case literal:
			seen += strings.Count(t.text, ":")
		case one, oneInPart:
			t.kind = one
			if seen < fiveColons {
				t.kind = oneInPart
			}
		case run, runInPart:
			t.kind = run
			if seen < fiveColons {
				t.kind = runInPart
			}
		}
	}
}

// appendParts turns parts into tokens.
func appendParts(dst []token, style Style, parts ...Part) []token {
	seen := 0 // colons so far: the part we are in is seen+1
	lit := func(text string) {
		if text == "" {
			return
		}
		dst = append(dst, token{kind: literal, text: text})
		seen += strings.Count(text, ":")
	}
	for n, part := range parts {
		switch part.Kind {
		case Hole:
			dst = append(dst, token{kind: hole})
			continue
		case Literal:
			lit(part.Text)
			continue
		}
		text := part.Text
		for text != "" {
			i := strings.IndexAny(text, "*?")
			if i < 0 {
				lit(text)
				break
			}
			lit(text[:i])
			wild := text[i]
			text = text[i+1:]
			inPart := style != Plain && seen < fiveColons
			if wild == '?' {
				k := one
				if inPart {
					k = oneInPart
				}
				dst = append(dst, token{kind: k})
				continue
			}
			last := text == "" && n == len(parts)-1 || strings.HasPrefix(text, ":")
			k := run
			if inPart && !(style == Resource && last) {
				k = runInPart
			}
			if n := len(dst); n > 0 && dst[n-1].kind == runInPart {
				dst[n-1].kind = k // "**" is "*"
				continue
			} else if n > 0 && dst[n-1].kind == run {
				continue
			}
			dst = append(dst, token{kind: k})
		}
	}
	if style == Resource && !(len(dst) == 1 && dst[0].kind == run) {
		for ; seen < fiveColons; seen++ {
			dst = append(dst, token{kind: literal, text: ":"}, token{kind: run})
		}
	}
	return dst
}

// match walks tokens and value side by side and, at a mismatch, lets the last
// wildcard take one character more.
//
// With wildcards of one kind it is enough to remember the last: whatever came
// before it matched as early as possible. With two kinds, the last run that
// stays in its part may be stopped by a colon; then the last run that does not
// stop takes more. Runs in between need not be tried again: up to the next
// colon, which is the same for all of them, an earlier match leaves at least as
// many choices to what follows. So no choice is tried twice, and there is
// nothing exponential.
func match(tokens []token, v string) bool {
	ti, vi := 0, 0
	partT, partV := -1, 0 // the last run that stays in its part, and where it ends
	runT, runV := -1, 0   // the last run that does not
	for {
		if ti < len(tokens) {
			switch t := &tokens[ti]; t.kind {
			case literal:
				if strings.HasPrefix(v[vi:], t.text) {
					vi += len(t.text)
					ti++
					continue
				}
			case one, oneInPart:
				if vi < len(v) && (t.kind == one || v[vi] != ':') {
					vi += width(v, vi)
					ti++
					continue
				}
			case runInPart:
				partT, partV = ti, vi
				ti++
				continue
			case run:
				if ti == len(tokens)-1 {
					return true
				}
				runT, runV = ti, vi
				partT = -1
				ti++
				continue
			}
		} else if vi == len(v) {
			return true
		}
		switch {
		case partT >= 0 && partV < len(v) && v[partV] != ':':
			partV += width(v, partV)
			ti, vi = partT+1, partV
		case runT >= 0 && runV < len(v):
			partT = -1
			runV += width(v, runV)
			ti, vi = runT+1, runV
		default:
			return false
		}
	}
}

// width is the number of bytes of the character at v[i].
func width(v string, i int) int {
	if v[i] < utf8.RuneSelf {
		return 1
	}
	_, n := utf8.DecodeRuneInString(v[i:])
	return n
}
