package policy

import (
	"encoding/base64"
	"net/netip"
	"strings"

	"github.com/remit-ecs/remit/arn"
)

// operator is a condition operator without prefix, suffix and negation.
type operator uint8

const (
	opString operator = iota
	opStringIgnoreCase
	opStringLike
	opNumeric
	opDate
	opBool
	opBinary
	opIP
	opARN
	opNull
)

// order is the comparison of a numeric or date operator.
type order uint8

const (
	equal order = iota
	less
	lessEqual
	greater
	greaterEqual
)

func (o order) holds(cmp int) bool {
	switch o {
	case less:
		return cmp < 0
	case lessEqual:
		return cmp <= 0
	case greater:
		return cmp > 0
	case greaterEqual:
		return cmp >= 0
	}
	return cmp == 0
}

type operatorSpec struct {
	op      operator
	order   order
	negated bool
}

// operators are the condition operators as AWS spells them.
//
// https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_elements_condition_operators.html
var operators = map[string]operatorSpec{
	"StringEquals":              {op: opString},
	"StringNotEquals":           {op: opString, negated: true},
	"StringEqualsIgnoreCase":    {op: opStringIgnoreCase},
	"StringNotEqualsIgnoreCase": {op: opStringIgnoreCase, negated: true},
	"StringLike":                {op: opStringLike},
	"StringNotLike":             {op: opStringLike, negated: true},
	"NumericEquals":             {op: opNumeric},
	"NumericNotEquals":          {op: opNumeric, negated: true},
	"NumericLessThan":           {op: opNumeric, order: less},
	"NumericLessThanEquals":     {op: opNumeric, order: lessEqual},
	"NumericGreaterThan":        {op: opNumeric, order: greater},
	"NumericGreaterThanEquals":  {op: opNumeric, order: greaterEqual},
	"DateEquals":                {op: opDate},
	"DateNotEquals":             {op: opDate, negated: true},
	"DateLessThan":              {op: opDate, order: less},
	"DateLessThanEquals":        {op: opDate, order: lessEqual},
	"DateGreaterThan":           {op: opDate, order: greater},
	"DateGreaterThanEquals":     {op: opDate, order: greaterEqual},
	"Bool":                      {op: opBool},
	"BinaryEquals":              {op: opBinary},
	"IpAddress":                 {op: opIP},
	"NotIpAddress":              {op: opIP, negated: true},
	"ArnEquals":                 {op: opARN},
	"ArnLike":                   {op: opARN},
	"ArnNotEquals":              {op: opARN, negated: true},
	"ArnNotLike":                {op: opARN, negated: true},
	"Null":                      {op: opNull},
}

// setOperator is how a condition reads a key with several values.
type setOperator uint8

const (
	noSet setOperator = iota
	forAllValues
	forAnyValue
)

// condition is one key under one operator.
type condition struct {
	operatorSpec
	set      setOperator
	ifExists bool
	name     string // the operator as written
	keyText  string // the key as written
	key      string // lower case
	multi    bool   // MultiValued
	operands []operand
}

// operand is a value of a condition, prepared for its operator.
type operand struct {
	text     string // as written
	readable bool   // as a number, date, address, ... where the operator wants one
	glob     arn.Pattern
	parts    []arn.Part // of opStringIgnoreCase with variables
	vars     []variable
	number   number
	instant  instant
	prefix   netip.Prefix
	bytes    string
}

// parseOperator takes an operator's name apart.
func parseOperator(name string) (spec operatorSpec, set setOperator, ifExists, ok bool) {
	base := name
	if s, found := strings.CutPrefix(base, "ForAllValues:"); found {
		base, set = s, forAllValues
	} else if s, found := strings.CutPrefix(base, "ForAnyValue:"); found {
		base, set = s, forAnyValue
	}
	base, ifExists = strings.CutSuffix(base, "IfExists")
	spec, ok = operators[base]
	if spec.op == opNull && (ifExists || set != noSet) {
		ok = false
	}
	return spec, set, ifExists, ok
}

func knownOperator(name string) bool {
	_, _, _, ok := parseOperator(name)
	return ok
}

// compileCondition prepares one key under one operator; ok is false for an
// unknown operator.
func compileCondition(name, key string, values []node, variables bool) (c condition, ok bool) {
	c.operatorSpec, c.set, c.ifExists, ok = parseOperator(name)
	c.name, c.keyText, c.key = name, key, strings.ToLower(key)
	c.multi = MultiValued(c.key)
	for i := range values {
		c.operands = append(c.operands, compileOperand(c.op, values[i].text, variables))
	}
	return c, ok
}

func compileOperand(op operator, text string, variables bool) operand {
	o := operand{text: text, readable: true}
	switch op {
	case opString, opStringIgnoreCase, opStringLike, opARN:
		kind, style := arn.Literal, arn.Plain
		if op == opStringLike || op == opARN {
			kind = arn.Wild
		}
		if op == opARN {
			style = arn.Parts
		}
		o.parts = []arn.Part{{Kind: kind, Text: text}}
		if variables && strings.Contains(text, "${") {
			o.parts, o.vars = splitVariables(text, kind)
		}
		o.glob = arn.CompileParts(style, o.parts...)
	case opNumeric:
		o.number, o.readable = parseNumber(text)
	case opDate:
		o.instant, o.readable = parseDate(text)
	case opBool, opNull:
		o.readable = strings.EqualFold(text, "true") || strings.EqualFold(text, "false")
	case opBinary:
		b, err := base64.StdEncoding.DecodeString(text)
		o.bytes, o.readable = string(b), err == nil
	case opIP:
		o.prefix, o.readable = parsePrefix(text)
	}
	return o
}

// parsePrefix reads a CIDR block or a bare address. Host bits are ignored, and
// IPv4 written within IPv6 (::ffff:192.0.2.0/120) is IPv4, as it is in compare.
func parsePrefix(text string) (netip.Prefix, bool) {
	var a netip.Addr
	var bits int
	if strings.Contains(text, "/") {
		p, err := netip.ParsePrefix(text)
		if err != nil {
			return netip.Prefix{}, false
		}
		a, bits = p.Addr(), p.Bits()
	} else {
		var err error
		if a, err = netip.ParseAddr(text); err != nil {
			return netip.Prefix{}, false
		}
		bits = a.BitLen()
	}
	if a.Is4In6() && bits >= 96 {
		a, bits = a.Unmap(), bits-96
	}
	return netip.PrefixFrom(a.WithZone(""), bits).Masked(), true
}

// outcome is the comparison of one value with one operand.
type outcome uint8

const (
	differs outcome = iota
	matches
	unreadable // one side is not what the operator compares
	noValue    // a policy variable has no value
)

// compare compares a request's value with an operand, without the negation.
func (c *condition) compare(value string, o *operand, context map[string][]string) outcome {
	result := func(ok bool) outcome {
		if ok {
			return matches
		}
		return differs
	}
	switch c.op {
	case opString, opStringIgnoreCase, opStringLike, opARN:
		if len(o.vars) == 0 {
			if c.op == opStringIgnoreCase {
				return result(strings.EqualFold(value, plain(o.parts, nil)))
			}
			return result(o.glob.Match(value))
		}
		var buf [8]string
		fill, ok := resolve(buf[:0], o.vars, context)
		if !ok {
			return noValue
		}
		if c.op == opStringIgnoreCase {
			return result(strings.EqualFold(value, plain(o.parts, fill)))
		}
		return result(o.glob.MatchFilled(value, fill...))
	case opNumeric:
		n, ok := parseNumber(value)
		if !ok || !o.readable {
			return unreadable
		}
		return result(c.order.holds(n.compare(o.number)))
	case opDate:
		t, ok := parseDate(value)
		if !ok || !o.readable {
			return unreadable
		}
		return result(c.order.holds(t.compare(o.instant)))
	case opBool:
		return result(o.readable && strings.EqualFold(value, o.text))
	case opBinary:
		b, err := base64.StdEncoding.DecodeString(value)
		if err != nil || !o.readable {
			return unreadable
		}
		return result(string(b) == o.bytes)
	case opIP:
		a, err := netip.ParseAddr(value)
		if err != nil || !o.readable {
			return unreadable
		}
		// ::ffff:192.0.2.1 is 192.0.2.1: ranges bind however it is spelled.
		return result(o.prefix.Contains(a.Unmap().WithZone("")))
	}
	return differs
}

// plain is the text that parts make with their holes filled.
func plain(parts []arn.Part, fill []string) string {
	if len(parts) == 1 && parts[0].Kind != arn.Hole {
		return parts[0].Text
	}
	var b strings.Builder
	for _, p := range parts {
		if p.Kind == arn.Hole {
			b.WriteString(fill[0])
			fill = fill[1:]
			continue
		}
		b.WriteString(p.Text)
	}
	return b.String()
}

// test compares one value of the request with all operands: any of them for a
// positive operator, none for a negated one.
func (c *condition) test(value string, context map[string][]string) bool {
	found := false
	for i := range c.operands {
		switch c.compare(value, &c.operands[i], context) {
		case matches:
			found = true
		case unreadable:
			if c.negated && !unparsableNegatedTrue {
				return false
			}
		case noValue:
			if c.negated && !negatedWithoutValueTrue {
				return false
			}
		}
	}
	return found != c.negated
}

// holds reports whether the condition is met.
func (c *condition) holds(context map[string][]string) bool {
	values := context[c.key]
	if c.op == opNull {
		absent := len(values) == 0
		for i := range c.operands {
			if c.operands[i].readable && strings.EqualFold(c.operands[i].text, "true") == absent {
				return true
			}
		}
		return false
	}
	if len(values) == 0 {
		switch {
		case c.set == forAnyValue:
			return c.ifExists && forAnyValueIfExistsTrue
		case c.set == forAllValues, c.ifExists:
			return true
		}
		return c.negated
	}
	set := c.set
	if set == noSet && (len(values) > 1 || c.multi) {
		if multiValuedNeedsSetOperator {
			return false
		}
		set = forAnyValue
	}
	switch set {
	case forAllValues:
		if forAllValuesOverEmptyString && len(values) == 1 && values[0] == "" {
			return true
		}
		for _, v := range values {
			if !c.test(v, context) {
				return false
			}
		}
		return true
	case forAnyValue:
		for _, v := range values {
			if c.test(v, context) {
				return true
			}
		}
		return false
	}
	return c.test(values[0], context)
}
