package policy

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// Kind is what a document is for; it decides which elements belong in it.
type Kind uint8

const (
	KindIdentity    Kind = iota // identity-based policies and permissions boundaries
	KindSession                 // session policies
	KindResource                // resource-based policies
	KindTrust                   // role trust policies
	KindSCP                     // service control policies
	KindRCP                     // resource control policies
	KindVPCEndpoint             // VPC endpoint policies
)

// hasPrincipal reports whether statements of the kind say whom they are about.
func (k Kind) hasPrincipal() bool {
	return k == KindResource || k == KindTrust || k == KindRCP || k == KindVPCEndpoint
}

// Document is a policy document, compiled. It is not changed after Parse and
// may be used by many evaluations at once.
type Document struct {
	Kind        Kind
	Version     string // "2012-10-17", "2008-10-17", or empty
	ID          string
	Statements  []Statement
	Diagnostics []Diagnostic // what could not be read, the first 20; any denies

	// The index: which statements could be about an action. Exact actions are
	// found by the hash of their whole name, patterns by the hash of the first
	// bytes of it; anchors has a bit for each length in use. A collision costs
	// a comparison more, nothing else.
	index   map[uint64][]candidate
	anchors uint8
	rest    []candidate // statements about every service; all, of a small document
}

// anchorLengths are how many bytes of an action's name patterns are found by:
// the longest that their text before the first wildcard has. Few lengths mean
// few look-ups.
var anchorLengths = [...]int{0, 2, 4, 8}

// candidate is a statement that could be about an action, with those of its
// actions that decide it.
type candidate struct {
	statement int32
	actions   []action
}

// smallDocument is how many actions a document may name to be compared with all
// of them: for so few that is faster than looking anything up.
const smallDocument = 6

// Statement is one statement of a document.
type Statement struct {
	Index      int // in the document, from 0
	Sid        string
	Effect     string   // "Allow" or "Deny"
	Start, End Position // of its braces; End is behind the closing one

	deny       bool
	unreadable bool // it matches nothing, and the document denies

	actions      []action
	notAction    bool
	resources    []pattern
	notResource  bool
	noResource   bool // no Resource or NotResource element: every resource
	principals   *principals
	notPrincipal bool
	conditions   []condition
}

// version2012 is the version in which policy variables are active; in others
// they are literal text.
const version2012 = "2012-10-17"

// Parse reads and compiles a document for evaluation. It is lenient where AWS
// stores what it would no longer accept; Validate is the check for new
// documents. The Document is never nil: what could not be read is in its
// Diagnostics, and makes every evaluation that involves it a denial. The error
// is the first of the Diagnostics.
func Parse(kind Kind, text []byte) (*Document, error) {
	d := &Document{Kind: kind}
	c := &compiler{doc: d, lines: newLines(text)}
	root, err := parseJSON(text)
	if err != nil {
		c.complain(err.at, "not JSON: %s", err.text)
	} else {
		c.document(&root)
	}
	if len(d.Diagnostics) > 0 {
		return d, errors.New("policy document: " + d.Diagnostics[0].String())
	}
	return d, nil
}

// compiler turns nodes into a Document.
type compiler struct {
	doc      *Document
	lines    lines
	problems int
}

// maxDiagnostics is how many problems of a document are kept. More help nobody.
const maxDiagnostics = 20

func (c *compiler) complain(at int, format string, args ...any) {
	if c.problems++; c.problems > maxDiagnostics {
		return
	}
	c.doc.Diagnostics = append(c.doc.Diagnostics, Diagnostic{At: c.lines.position(at), Text: fmt.Sprintf(format, args...)})
}

func (c *compiler) document(root *node) {
	if root.kind != objectNode {
		c.complain(root.start, "not a JSON object")
		return
	}
	if key := root.repeated(); key != "" {
		c.complain(root.start, "the element %s is repeated", key)
		return
	}
	var statements *node
	for i := range root.members {
		m := &root.members[i]
		switch m.key {
		case "Version":
			c.doc.Version = m.value.text
			if m.value.kind != stringNode || m.value.text != version2012 && m.value.text != "2008-10-17" {
				c.complain(m.at, "unknown Version")
				return
			}
		case "Id":
			c.doc.ID = m.value.text
		case "Statement":
			statements = &m.value
		default:
			c.complain(m.at, "unknown element %s", m.key)
		}
	}
	var list []node
	switch {
	case statements == nil:
		c.complain(root.start, "no Statement")
		return
	case statements.kind == arrayNode:
		list = statements.items
	default:
		list = []node{*statements}
	}
	c.doc.Statements = make([]Statement, len(list))
	for i := range list {
		st := &c.doc.Statements[i]
		st.Index = i
		st.Start, st.End = c.lines.position(list[i].start), c.lines.position(list[i].end)
		before := c.problems
		c.statement(st, &list[i])
		st.unreadable = c.problems > before
	}
	c.doc.enter()
}

func (c *compiler) statement(st *Statement, n *node) {
	if n.kind != objectNode {
		c.complain(n.start, "a statement is not a JSON object")
		return
	}
	if key := n.repeated(); key != "" {
		c.complain(n.start, "the element %s is repeated", key)
	}
	var hasAction, hasResource, hasPrincipal bool
	once := func(had *bool, m *member) {
		if *had {
			c.complain(m.at, "%s beside its opposite", m.key)
		}
		*had = true
	}
	for i := range n.members {
		m := &n.members[i]
		switch m.key {
		case "Sid":
			st.Sid = m.value.text
		case "Effect":
			st.Effect = m.value.text
			st.deny = m.value.text == "Deny"
			if m.value.kind != stringNode || m.value.text != "Allow" && m.value.text != "Deny" {
				c.complain(m.at, "Effect is neither Allow nor Deny")
			}
		case "Action", "NotAction":
			once(&hasAction, m)
			st.notAction = m.key == "NotAction"
			c.actions(st, m)
		case "Resource", "NotResource":
			once(&hasResource, m)
			st.notResource = m.key == "NotResource"
			c.resources(st, m)
		case "Principal", "NotPrincipal":
			once(&hasPrincipal, m)
			st.notPrincipal = m.key == "NotPrincipal"
			if !c.doc.Kind.hasPrincipal() {
				c.complain(m.at, "%s does not belong in this kind of policy", m.key)
			}
			st.principals = c.principals(&m.value)
		case "Condition":
			c.conditions(st, &m.value)
		default:
			c.complain(m.at, "unknown element %s", m.key)
		}
	}
	if st.Effect == "" {
		c.complain(n.start, "a statement without Effect")
	}
	if !hasAction {
		c.complain(n.start, "a statement without Action")
	}
	if c.doc.Kind.hasPrincipal() && !hasPrincipal {
		c.complain(n.start, "a statement without Principal")
	}
	// Trust policies have no Resource, and some services' policies (ECR's, for
	// one) need none: they are about what they are attached to.
	if !hasResource && !c.doc.Kind.hasPrincipal() {
		c.complain(n.start, "a statement without Resource")
	}
	st.noResource = !hasResource
}

// texts reads a string or an array of strings, or of the other scalars where
// they are accepted.
func (c *compiler) texts(n *node, scalars bool) []node {
	list := []node{*n}
	if n.kind == arrayNode {
		list = n.items
	}
	for i := range list {
		switch list[i].kind {
		case stringNode:
			continue
		case boolNode, numberNode:
			if scalars {
				continue
			}
		}
		c.complain(list[i].start, "not a string")
		return nil
	}
	return list
}

func (c *compiler) actions(st *Statement, m *member) {
	for _, n := range c.texts(&m.value, false) {
		a, ok := compileAction(n.text)
		if !ok {
			c.complain(n.start, "%q is not an action", n.text)
			return
		}
		st.actions = append(st.actions, a)
	}
}

func (c *compiler) resources(st *Statement, m *member) {
	for _, n := range c.texts(&m.value, false) {
		// Whatever is no ARN simply matches nothing.
		st.resources = append(st.resources, compileResource(n.text, c.doc.Version == version2012))
	}
}

func (c *compiler) conditions(st *Statement, n *node) {
	if n.kind != objectNode {
		c.complain(n.start, "Condition is not a JSON object")
		return
	}
	// Repeated operators and keys are all required: the last alone would
	// silently drop the others.
	for i := range n.members {
		op := &n.members[i]
		if op.value.kind != objectNode {
			c.complain(op.at, "the operator %s has no keys", op.key)
			return
		}
		for j := range op.value.members {
			key := &op.value.members[j]
			values := c.texts(&key.value, true)
			cond, ok := compileCondition(op.key, key.key, values, c.doc.Version == version2012)
			if !ok {
				c.complain(op.at, "unknown operator %s", op.key)
				return
			}
			st.conditions = append(st.conditions, cond)
		}
		if !knownOperator(op.key) {
			c.complain(op.at, "unknown operator %s", op.key)
		}
	}
}

// enter puts the statements into the index, but for those that could not be
// read: they are about nothing.
func (d *Document) enter() {
	n := 0
	for i := range d.Statements {
		n += len(d.Statements[i].actions)
	}
	small := n <= smallDocument
	for i := range d.Statements {
		st := &d.Statements[i]
		switch {
		case st.unreadable:
		case small, st.notAction, slices.ContainsFunc(st.actions, func(a action) bool { return a.service == "*" }):
			d.rest = append(d.rest, candidate{int32(i), st.actions})
		default:
			if d.index == nil {
				d.index = make(map[uint64][]candidate, n)
			}
			for j := range st.actions {
				d.enterAction(int32(i), st.actions[j:j+1:j+1])
			}
		}
	}
}

// enterAction enters one action of a statement, given as a list of one.
func (d *Document) enterAction(statement int32, one []action) {
	a := &one[0]
	key := hashAction(a.service, a.name)
	if a.form != formExact {
		i := a.anchor()
		d.anchors |= 1 << i
		key = hashAnchor(hashAction(a.service, a.name[:anchorLengths[i]]))
	}
	list := d.index[key]
	if n := len(list); n > 0 && list[n-1].statement == statement {
		list[n-1].actions = append(list[n-1].actions, *a)
		return
	}
	d.index[key] = append(list, candidate{statement, one})
}

// anchor is which of anchorLengths a pattern is found by.
func (a *action) anchor() int {
	fixed := len(a.name) // of formPrefix, which has lost its star
	if i := strings.IndexAny(a.name, "*?"); i >= 0 {
		fixed = i
	}
	i := len(anchorLengths) - 1
	for anchorLengths[i] > fixed {
		i--
	}
	return i
}

// with is a copy that has one more statement.
func (d *Document) with(st Statement) *Document {
	st.Index = len(d.Statements)
	return d.edited(append(slices.Clone(d.Statements), st))
}

// without is a copy in which some statements match nothing. The others keep
// their indexes.
func (d *Document) without(dropped []int) *Document {
	statements := slices.Clone(d.Statements)
	for _, i := range dropped {
		statements[i].unreadable = true
	}
	return d.edited(statements)
}

func (d *Document) edited(statements []Statement) *Document {
	e := &Document{Kind: d.Kind, Version: d.Version, ID: d.ID, Statements: statements, Diagnostics: d.Diagnostics}
	e.enter()
	return e
}

// hashAction is FNV-1a over service:name in lower case.
func hashAction(service, name string) uint64 {
	h := hashLower(14695981039346656037, service)
	return hashLower(hashLower(h, ":"), name)
}

// hashAnchor tells the beginning of a name from the whole.
func hashAnchor(h uint64) uint64 { return hashLower(h, "*") }

func hashLower(h uint64, s string) uint64 {
	for i := range len(s) {
		h = (h ^ uint64(lower(s[i]))) * 1099511628211
	}
	return h
}

func lower(c byte) byte {
	if c >= 'A' && c <= 'Z' {
		return c + 'a' - 'A'
	}
	return c
}

// label names a statement for people.
func (st *Statement) label() string {
	name := strconv.Itoa(st.Index + 1)
	if st.Sid != "" {
		name = strconv.Quote(st.Sid)
	}
	return fmt.Sprintf("statement %s (line %d, column %d)", name, st.Start.Line, st.Start.Column)
}

// equalLower reports whether s in lower case is want, which is lower case.
func equalLower(s, want string) bool {
	return len(s) == len(want) && hasPrefixLower(s, want)
}

func hasPrefixLower(s, want string) bool {
	if len(s) < len(want) {
		return false
	}
	for i := range len(want) {
		if lower(s[i]) != want[i] {
			return false
		}
	}
	return true
}

// splitAction takes an action apart at its colon.
func splitAction(s string) (service, name string, ok bool) {
	service, name, ok = strings.Cut(s, ":")
	return service, name, ok && service != "" && name != "" && !strings.Contains(name, ":")
}
