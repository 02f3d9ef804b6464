package policy

import (
	"strings"

	"github.com/remit-ecs/remit/arn"
)

// form is how a pattern is compared: the cheapest way that is right.
type form uint8

const (
	formExact    form = iota // equal
	formPrefix               // a prefix, then anything
	formAnything             // everything
	formGlob                 // wildcards anywhere
	formNothing              // nothing
)

// action is an element of Action or NotAction. Service and name are lower case:
// actions are compared without regard to case.
type action struct {
	service string // "*" for every service
	form    form
	name    string // without the final '*' of formPrefix
	text    string // as written
}

// compileAction reads "*" or service:name; wildcards stand in the name only.
func compileAction(text string) (action, bool) {
	if text == "*" || text == "*:*" {
		return action{service: "*", form: formAnything, text: text}, true
	}
	service, name, ok := splitAction(strings.ToLower(text))
	if !ok || strings.ContainsAny(service, "*?") {
		return action{}, false
	}
	a := action{service: service, name: name, text: text}
	switch i := strings.IndexAny(name, "*?"); {
	case i < 0:
	case name == "*":
		a.form = formAnything
	case i == len(name)-1 && name[i] == '*':
		a.form, a.name = formPrefix, name[:i]
	default:
		a.form = formGlob
	}
	return a, true
}

// match compares with a request's action; service is in lower case already.
func (a *action) match(service, name string) bool {
	if a.service != "*" && a.service != service {
		return false
	}
	switch a.form {
	case formExact:
		return equalLower(name, a.name)
	case formPrefix:
		return hasPrefixLower(name, a.name)
	case formAnything:
		return true
	}
	return globLower(a.name, name)
}

// globLower matches s in lower case with a lower-case glob, byte by byte. Action
// names are ASCII; it allocates nothing, which strings.ToLower would.
func globLower(pattern, s string) bool {
	pi, si, star, from := 0, 0, -1, 0
	for si < len(s) {
		switch {
		case pi < len(pattern) && pattern[pi] == '*':
			star, from = pi, si
			pi++
		case pi < len(pattern) && (pattern[pi] == '?' || pattern[pi] == lower(s[si])):
			pi++
			si++
		case star >= 0:
			from++
			pi, si = star+1, from
		default:
			return false
		}
	}
	for pi < len(pattern) && pattern[pi] == '*' {
		pi++
	}
	return pi == len(pattern)
}

// variable is a policy variable: ${key} or ${key, 'default'}.
type variable struct {
	key        string // lower case
	text       string // the key as written
	multi      bool   // MultiValued: it has no value here
	fallback   string
	hasDefault bool
}

// value is what the variable stands for in a request.
func (v *variable) value(context map[string][]string) (string, bool) {
	if values := context[v.key]; len(values) == 1 && !v.multi {
		return values[0], true
	}
	return v.fallback, v.hasDefault
}

// resolve appends the values of variables to dst, or reports that one has none.
func resolve(dst []string, vars []variable, context map[string][]string) ([]string, bool) {
	for i := range vars {
		s, ok := vars[i].value(context)
		if !ok {
			return nil, false
		}
		dst = append(dst, s)
	}
	return dst, true
}

// splitVariables divides text at its policy variables. Text between them gets
// the kind given; ${*}, ${?} and ${$} become the literal character. An unclosed
// or malformed ${ is ordinary text.
func splitVariables(text string, kind arn.PartKind) (parts []arn.Part, vars []variable) {
	from := 0 // where the ordinary text begins
	for i := 0; i+1 < len(text); {
		if text[i] != '$' || text[i+1] != '{' {
			i++
			continue
		}
		v, char, end := readVariable(text, i)
		if end < 0 {
			i += 2
			continue
		}
		if i > from {
			parts = append(parts, arn.Part{Kind: kind, Text: text[from:i]})
		}
		if char != "" {
			parts = append(parts, arn.Part{Kind: arn.Literal, Text: char})
		} else {
			parts = append(parts, arn.Part{Kind: arn.Hole})
			vars = append(vars, v)
		}
		i, from = end, end
	}
	if from < len(text) {
		parts = append(parts, arn.Part{Kind: kind, Text: text[from:]})
	}
	return parts, vars
}

// readVariable reads the variable at text[i:], which begins with "${". It
// returns where the text goes on, -1 if there is no variable.
func readVariable(text string, i int) (v variable, char string, end int) {
	rest := text[i+2:]
	// No key has a brace. Stopping there also keeps "${${${" from being read
	// to its end again and again.
	stop := strings.IndexAny(rest, ",}{")
	if stop < 0 || rest[stop] == '{' {
		return v, "", -1
	}
	key := strings.TrimSpace(rest[:stop])
	if key == "" {
		return v, "", -1
	}
	v.key, v.text = strings.ToLower(key), key
	v.multi = MultiValued(v.key)
	end = i + 2 + stop + 1
	if rest[stop] == '}' {
		if key == "*" || key == "?" || key == "$" {
			char = key
		}
		return v, char, end
	}
	after := strings.TrimLeft(text[end:], " ")
	if !strings.HasPrefix(after, "'") {
		return v, "", -1
	}
	fallback, after, ok := strings.Cut(after[1:], "'")
	after = strings.TrimLeft(after, " ")
	if !ok || !strings.HasPrefix(after, "}") {
		return v, "", -1
	}
	v.fallback, v.hasDefault = fallback, true
	return v, "", len(text) - len(after) + 1
}

// pattern is an element of Resource or NotResource.
type pattern struct {
	form   form
	text   string // of formExact and formPrefix, there without the final '*'
	glob   arn.Pattern
	vars   []variable
	source string // as written
}

// compileResource compiles an ARN pattern. Policy variables are active only
// after the fifth colon.
func compileResource(text string, variables bool) pattern {
	p := compileARN(text, variables)
	p.source = text
	return p
}

func compileARN(text string, variables bool) pattern {
	if text == "*" {
		return pattern{form: formAnything}
	}
	head, tail := text, ""
	if i := fifthColon(text); i >= 0 {
		head, tail = text[:i+1], text[i+1:]
	}
	style := arn.Resource
	if !starCrossesColon && tail != "" {
		style = arn.Parts
	}
	if i := strings.IndexAny(tail, "/:"); !wildcardsInResourceType && i >= 0 && strings.ContainsAny(tail[:i], "*?") {
		return pattern{form: formNothing}
	}
	if variables && strings.Contains(tail, "${") {
		parts, vars := splitVariables(tail, arn.Wild)
		parts = append([]arn.Part{{Kind: arn.Wild, Text: head}}, parts...)
		return pattern{form: formGlob, glob: arn.CompileParts(style, parts...), vars: vars}
	}
	if tail != "" && !strings.ContainsAny(head, "*?") {
		switch i := strings.IndexAny(tail, "*?"); {
		case i < 0:
			return pattern{form: formExact, text: text}
		case i == len(tail)-1 && tail[i] == '*':
			return pattern{form: formPrefix, text: text[:len(text)-1]}
		}
	}
	return pattern{form: formGlob, glob: arn.Compile(style, text)}
}

func fifthColon(text string) int {
	seen := 0
	for i := range len(text) {
		if text[i] == ':' {
			if seen++; seen == 5 {
				return i
			}
		}
	}
	return -1
}

// match reports whether the pattern matches; noValue says that a variable of it
// has no value, so that it matches nothing.
func (p *pattern) match(resource string, context map[string][]string) (ok, noValue bool) {
	switch p.form {
	case formExact:
		return resource == p.text, false
	case formPrefix:
		return strings.HasPrefix(resource, p.text), false
	case formAnything:
		return true, false
	case formNothing:
		return false, false
	}
	if len(p.vars) == 0 {
		return p.glob.Match(resource), false
	}
	var buf [8]string
	fill, ok := resolve(buf[:0], p.vars, context)
	if !ok {
		return false, true
	}
	return p.glob.MatchFilled(resource, fill...), false
}
